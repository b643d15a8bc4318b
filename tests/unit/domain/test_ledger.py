from dataclasses import FrozenInstanceError
from datetime import date
from typing import get_args

import pytest

from icploop.domain.ledger import Event, LedgerRow

ROW = LedgerRow("promotion", "default", date(2024, 3, 1), "7", "Ann", "It wins.", {"n": 3})


def test_a_row_cannot_be_changed_and_its_details_are_its_own() -> None:
    with pytest.raises(FrozenInstanceError):
        ROW.reason = "Other."  # type: ignore[misc]
    bare = LedgerRow("trigger", "default", date(2024, 3, 1))
    assert bare.details is not LedgerRow("trigger", "default", date(2024, 3, 1)).details


def test_every_decision_of_the_contract_has_its_event() -> None:
    assert {"trigger", "verdict", "approval", "promotion", "rollback"} <= set(get_args(Event))
