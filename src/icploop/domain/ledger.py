"""The append-only ledger: every decision about a lineage, each row sealed by the hash of the chain.

A decision comes before its effect: an approval is followed by the promotion that carried it out, a
rollback by the restoration. A decision without its effect is unfinished business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from icploop.errors import RefusedError
from icploop.settings import digest

Event = Literal[
    "trigger",
    "verdict",
    "approval",
    "rejection",
    "promotion",
    "publication",
    "rollback",
    "restoration",
    "failure",
]
# What a decision becomes once it has been carried out.
EFFECTS: dict[str, Event] = {"approval": "promotion", "rollback": "restoration"}
# What people decide about versions.
DECISIONS: tuple[Event, ...] = ("approval", "rejection", "rollback")
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

    @property
    def written_on(self) -> date:
        """The day of UTC on which it was written."""
        return datetime.fromisoformat(self.at).date()


@dataclass(frozen=True)
class End:
    """How far a ledger had come: the number and the seal of its last row."""

    number: int
    seal: str

    @classmethod
    def of(cls, rows: Sequence[Sealed]) -> End:
        """The end of a ledger."""
        return cls(rows[-1].number, rows[-1].seal) if rows else cls(0, GENESIS)

    def lost_from(self, rows: Sequence[Sealed]) -> str | None:
        """What is no longer as it was in a ledger that once ended here, in words.

        None where all of it is: the seal of its last row covers every row before.
        """
        if not self.number:
            return None
        if self.number > len(rows):
            return f"row {len(rows) + 1} and what came after it, up to row {self.number}, are gone"
        if rows[self.number - 1].seal != self.seal:
            return f"row {self.number} is another one"
        return None


def seal_of(previous: str, number: int, at: str, row: LedgerRow) -> str:
    """The SHA-256 of a row together with the seal of the row before it."""
    plain = row.as_dict() | {"as_of": str(row.as_of)}
    return digest([previous, number, at, plain])


def first_broken(rows: Iterable[Sealed]) -> int | None:
    """The number of the first row that does not fit its seal or its place; None when all do.

    Whoever cuts off the end of the chain leaves a sound one: what kept its `End` tells.
    """
    previous, expected = GENESIS, 1
    for sealed in rows:
        if sealed.number != expected:
            return expected
        if sealed.seal != seal_of(previous, sealed.number, sealed.at, sealed.row):
            return sealed.number
        previous, expected = sealed.seal, expected + 1
    return None


def checked(rows: Sequence[Sealed], end: End | None) -> Sequence[Sealed]:
    """The rows, all of them as they were written, and none missing up to the `end` that was kept.

    Raises RefusedError naming the first row that is not.
    """
    broken = first_broken(rows)
    lost = end.lost_from(rows) if end else None
    if broken is None and lost is None:
        return rows
    what = f"row {broken} is not as it was written" if broken is not None else lost
    raise RefusedError(
        f"The ledger was altered: {what} (`icp status --log` shows all of it). Nothing is decided "
        "or used on its word; put back data/ from a backup in which it is sound"
    )
