"""The append-only ledger: every decision about a lineage, each row sealed by the hash of the chain.

A decision comes before its effect: an approval is followed by the promotion that carried it out, a
rollback by the restoration. A decision without its effect is unfinished business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from icploop.settings import digest

Event = Literal[
    "trigger",
    "verdict",
    "approval",
    "rejection",
    "promotion",
    "rollback",
    "restoration",
    "failure",
]
# What a decision becomes once it has been carried out.
EFFECTS: dict[str, Event] = {"approval": "promotion", "rollback": "restoration"}
GENESIS = "0" * 64


@dataclass(frozen=True)
class LedgerRow:
    """One decision. `details` holds JSON-like values only; `as_of` is the day it was made for.

    `who` trained, approved, rejected or rolled back.
    """

    event: Event
    lineage: str
    as_of: date
    version: str | None = None
    who: str | None = None
    reason: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The row by the names that it is sealed under: ledgers call the lineage `motion`."""
        return {"motion" if k == "lineage" else k: v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Sealed:
    """A row as it stands in the ledger: its number, when it was written (UTC, ISO), its seal."""

    number: int
    at: str
    row: LedgerRow
    seal: str


def seal_of(previous: str, number: int, at: str, row: LedgerRow) -> str:
    """The SHA-256 of a row together with the seal of the row before it."""
    plain = row.as_dict() | {"as_of": row.as_of.isoformat()}
    return digest([previous, number, at, plain])


def first_broken(rows: Iterable[Sealed]) -> int | None:
    """The number of the first row that does not fit its seal or its place; None when all do.

    Whoever cuts off the end of the chain leaves a sound one: the tags in MLflow know how long it
    was.
    """
    previous, expected = GENESIS, 1
    for sealed in rows:
        if sealed.number != expected:
            return expected
        if sealed.seal != seal_of(previous, sealed.number, sealed.at, sealed.row):
            return sealed.number
        previous, expected = sealed.seal, expected + 1
    return None
