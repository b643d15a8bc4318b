from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import date
from typing import get_args

import pytest

from icploop.domain.ledger import GENESIS, Event, LedgerRow, Sealed, first_broken, seal_of

ROW = LedgerRow("promotion", "default", date(2024, 3, 1), "7", "Ann", "It wins.", {"n": 3})


def test_a_row_cannot_be_changed_and_its_details_are_its_own() -> None:
    with pytest.raises(FrozenInstanceError):
        ROW.reason = "Other."  # type: ignore[misc]
    bare = LedgerRow("trigger", "default", date(2024, 3, 1))
    assert bare.details is not LedgerRow("trigger", "default", date(2024, 3, 1)).details


def test_every_decision_of_the_contract_has_its_event() -> None:
    assert {"trigger", "verdict", "approval", "promotion", "rollback"} <= set(get_args(Event))


def test_a_seal_holds_for_ever() -> None:
    sealed = seal_of(GENESIS, 1, "2024-03-01T00:00:00+00:00", ROW)
    assert sealed == "56908a1ec91440f79a9ab81bd5bfebdb276d8e2e9e606be0125a64697b5b9425"


def chain(length: int = 5) -> list[Sealed]:
    sealed: list[Sealed] = []
    previous = GENESIS
    for number in range(1, length + 1):
        row = replace(ROW, version=str(number), details={"n": number, "names": ["a", "b"]})
        at = f"2024-03-0{number}T00:00:00+00:00"
        previous = seal_of(previous, number, at, row)
        sealed.append(Sealed(number, at, row, previous))
    return sealed


def test_an_untouched_chain_is_sound() -> None:
    assert first_broken(chain()) is None
    assert first_broken([]) is None


TAMPERINGS: dict[str, tuple[Callable[[list[Sealed]], list[Sealed]], int]] = {
    "who": (lambda c: [*c[:2], replace(c[2], row=replace(c[2].row, who="Eve")), *c[3:]], 3),
    "details": (lambda c: [replace(c[0], row=replace(c[0].row, details={})), *c[1:]], 1),
    "when": (lambda c: [*c[:4], replace(c[4], at="2020-01-01T00:00:00+00:00")], 5),
    "a row taken out": (lambda c: [*c[:1], *c[2:]], 2),
    "two rows swapped": (lambda c: [c[1], c[0], *c[2:]], 1),
    "a row put in, the rest renumbered": (
        lambda c: [c[0], *(replace(s, number=s.number + 1) for s in c)],
        2,
    ),
}


@pytest.mark.parametrize(("tamper", "where"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_what_was_changed_afterwards_is_found(
    tamper: Callable[[list[Sealed]], list[Sealed]], where: int
) -> None:
    assert first_broken(tamper(chain())) == where
