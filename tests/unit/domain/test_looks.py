from datetime import date
from typing import Any

import pytest

from icploop.domain.ledger import Event, LedgerRow
from icploop.domain.looks import Looks, looks_of
from icploop.settings import GatePolicy


def row(event: Event, **details: Any) -> LedgerRow:
    return LedgerRow(event, "default", date(2024, 1, 1), details=details)


def test_looks_are_counted_by_account() -> None:
    looks = Looks().after(["a", "b"]).after(["b", "c"])
    assert looks == Looks({"a": 1, "b": 2, "c": 1})


def test_the_ledger_knows_the_looks() -> None:
    ledger = [
        row("trigger"),
        row("verdict", holdout=["a", "b"]),
        row("approval"),
        row("promotion"),
        row("verdict", holdout=["b"]),
        # A round without enough matured customers looked at nobody.
        row("verdict", holdout=[]),
        row("verdict", holdout=["b", "c"]),
    ]
    assert looks_of(ledger) == Looks({"a": 1, "b": 3, "c": 1})
    assert looks_of([]) == Looks()


@pytest.mark.parametrize(("times", "alarmed"), [(2, False), (3, True)])
def test_a_holdout_that_decided_too_often_is_used_up(times: int, alarmed: bool) -> None:
    policy = GatePolicy(looks=3)
    looks = Looks({"a": times, "b": times, "c": 0})
    said = looks.used_up(["a", "b", "c"], policy)
    assert (said is not None) == alarmed
    if said:
        assert "3 holdout customers have decided 3 rounds" in said.message
    assert looks.used_up(["new"], policy) is None
    assert looks.used_up([], policy) is None
