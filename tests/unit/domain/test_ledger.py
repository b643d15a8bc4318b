import json
from dataclasses import FrozenInstanceError
from datetime import date
from typing import get_args

import pytest

from icploop.domain.ledger import Event, LedgerRow

ROW = LedgerRow("promotion", "default", date(2024, 3, 1), "7", "Ann", "It wins.", {"n": 3})


def test_a_row_is_told_as_json_with_the_day_as_it_is_written() -> None:
    told = ROW.as_dict()
    assert json.loads(json.dumps(told)) == told
    assert told == {
        "event": "promotion",
        "motion": "default",
        "as_of": "2024-03-01",
        "version": "7",
        "who": "Ann",
        "reason": "It wins.",
        "details": {"n": 3},
    }


def test_a_row_cannot_be_changed_and_its_details_are_its_own() -> None:
    with pytest.raises(FrozenInstanceError):
        ROW.reason = "Other."  # type: ignore[misc]
    ROW.as_dict()["details"]["n"] = 4
    assert ROW.details == {"n": 3}
    bare = LedgerRow("trigger", "default", date(2024, 3, 1))
    assert bare.details is not LedgerRow("trigger", "default", date(2024, 3, 1)).details


def test_every_decision_of_the_contract_has_its_event() -> None:
    assert {"trigger", "verdict", "approval", "promotion", "rollback"} <= set(get_args(Event))
