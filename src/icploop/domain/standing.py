"""Where a lineage stands by its ledger: what is in force, what waits, what was left half done.

The ledger decides; aliases and tags in MLflow only show it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from icploop.domain.ledger import LedgerRow
from icploop.settings import GatePolicy


@dataclass(frozen=True)
class InForce:
    """A version that came into force: the hash of its content, and what it published last.

    `release_hash` is that of the release's manifest.
    """

    version: str
    content_hash: str
    release: str
    release_hash: str
    since: date


@dataclass(frozen=True)
class Pending:
    """A version that waits for a decision, and what its verdict rests on."""

    version: str
    content_hash: str
    settings_hash: str
    judged_against: str | None
    trained_by: str | None
    since: date

    def expires_on(self, policy: GatePolicy) -> date:
        """The first day on which it may not be approved any more."""
        return self.since + timedelta(days=policy.expires_days)


@dataclass(frozen=True)
class Standing:
    """The state of a lineage.

    `history` holds what was in force, oldest first, without what a rollback took back; its last is
    in force now. `unfinished` is a decision that was not carried out yet, `done` the last one that
    was: a promotion, a restoration or a rejection.
    """

    history: tuple[InForce, ...] = ()
    pending: Pending | None = None
    unfinished: LedgerRow | None = None
    done: LedgerRow | None = None

    @property
    def in_force(self) -> InForce | None:
        """What is in force."""
        return self.history[-1] if self.history else None

    @property
    def previous(self) -> InForce | None:
        """What was in force before, and what a rollback returns to."""
        return self.history[-2] if len(self.history) > 1 else None

    @property
    def stale(self) -> bool:
        """Whether the waiting version was judged against another one than that in force."""
        current = self.in_force.version if self.in_force else None
        return self.pending is not None and self.pending.judged_against != current

    def aliases(self) -> dict[str, str]:
        """The aliases that MLflow should show."""
        found = {"champion": self.in_force, "previous": self.previous, "challenger": self.pending}
        return {alias: known.version for alias, known in found.items() if known}

    def once_in_force(self, version: str) -> InForce | None:
        """The last time that a version was in force and was not taken back; None if it never was.

        What is in force now does not count.
        """
        earlier = [known for known in self.history[:-1] if known.version == version]
        return earlier[-1] if earlier else None


def standing_of(ledger: Sequence[LedgerRow]) -> Standing:
    """The standing that the rows of a lineage lead to, oldest row first."""
    standing = Standing()
    for row in ledger:
        if row.event in _AFTER:
            standing = _AFTER[row.event](standing, row)
    return standing


def _judged(before: Standing, row: LedgerRow) -> Standing:
    if row.details.get("verdict") == "PROMOTE" and row.version:
        return replace(before, pending=_pending(row))
    # A stale version waited to be judged again; this round did.
    return replace(before, pending=None) if before.stale else before


def _begun(before: Standing, row: LedgerRow) -> Standing:
    return replace(before, unfinished=row)


def _rejected(before: Standing, row: LedgerRow) -> Standing:
    return replace(_without_pending(before, row.version), done=row)


def _promoted(before: Standing, row: LedgerRow) -> Standing:
    history = (*before.history, _in_force(row))
    return replace(
        _without_pending(before, row.version), history=history, unfinished=None, done=row
    )


def _restored(before: Standing, row: LedgerRow) -> Standing:
    """Whatever came into force after the restored version is taken back."""
    earlier = list(before.history)
    while len(earlier) > 1 and earlier[-1].version != row.version:
        earlier.pop()
    return replace(before, history=(*earlier[:-1], _in_force(row)), unfinished=None, done=row)


def _published(before: Standing, row: LedgerRow) -> Standing:
    """The version in force is what it was; only what it published last is another one."""
    *earlier, current = before.history
    release = replace(_in_force(row), since=current.since)
    return replace(before, history=(*earlier, release))


def _failed(before: Standing, row: LedgerRow) -> Standing:
    return replace(before, unfinished=None) if row.details.get("undone") else before


_AFTER: dict[str, Callable[[Standing, LedgerRow], Standing]] = {
    "verdict": _judged,
    "approval": _begun,
    "rollback": _begun,
    "rejection": _rejected,
    "promotion": _promoted,
    "publication": _published,
    "restoration": _restored,
    "failure": _failed,
}


def _without_pending(before: Standing, version: str | None) -> Standing:
    waits = before.pending is not None and before.pending.version != version
    return before if waits else replace(before, pending=None)


def _in_force(row: LedgerRow) -> InForce:
    return InForce(
        str(row.version),
        str(row.details.get("content_hash", "")),
        str(row.details.get("release", "")),
        str(row.details.get("release_hash", "")),
        row.as_of,
    )


def _pending(row: LedgerRow) -> Pending:
    said: dict[str, Any] = row.details
    return Pending(
        version=str(row.version),
        content_hash=str(said.get("content_hash", "")),
        settings_hash=str(said.get("settings_hash", "")),
        judged_against=said.get("champion"),
        trained_by=row.who,
        since=row.as_of,
    )
