"""Status: what is in force, what waits, how fresh the data are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

from icploop.domain.ledger import Sealed, first_broken
from icploop.domain.standing import Standing
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.releases import Releases
from icploop.io.warehouse import Warehouse
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.mirror import MIRRORED
from icploop.pipelines.watch import last_round, watch
from icploop.settings import Settings


@dataclass(frozen=True)
class Status:
    """The state of one motion's loop as of a day."""

    motion: str
    as_of: str
    champion: str | None
    champion_as_of: str | None
    pending_approval: str | None
    pending_note: str | None
    unfinished: str | None
    published: str | None
    closed_since: int
    missing_deals: int
    round_due: bool
    matured_accounts: int
    min_matured: int
    last_round: str | None
    newest_deal: str | None
    newest_revenue_month: str | None
    quarantined_rows: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)


@dataclass(frozen=True)
class LedgerReport:
    """The ledger, and whether it is as it was written."""

    rows: tuple[Sealed, ...]
    first_broken: int | None
    missing: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether every row is as it was written, and none is missing."""
        return self.first_broken is None and not self.missing

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "rows": [
                {"number": s.number, "at": s.at, **asdict(s.row), "seal": s.seal} for s in self.rows
            ],
            "sound": self.is_sound,
            "first_broken": self.first_broken,
            "missing": list(self.missing),
        }


def ledger_report(home: Home) -> LedgerReport:
    """The ledger of all lineages, its seals checked, and its length against what MLflow saw."""
    settings = home.settings()
    rows = tuple(Warehouse(home.warehouse_file).sealed_ledger())
    missing = []
    for motion in settings.motions:
        lineage = settings.lineage(motion)
        seen = int((registry.tags_of_model(home, lineage) or {}).get(MIRRORED, 0))
        if seen > len(rows):
            missing.append(f"MLflow saw row {seen} of {lineage}; the ledger ends at {len(rows)}")
    return LedgerReport(rows, first_broken(rows), tuple(missing))


def status(at: AsOf) -> Status:
    """The state of a motion's loop. Raises DataError before the first ingest."""
    due = watch(at)
    stands = at.standing
    champion = stands.in_force.version if stands.in_force else None
    found = registry.versions(at.home, at.lineage).get(champion) if champion else None
    last = last_round(at.ledger)
    lines = at.state.quarantine
    refused = lines[~lines["kept"].astype("bool")]
    return Status(
        motion=at.motion,
        as_of=at.day.isoformat(),
        champion=champion,
        champion_as_of=found.tags.get("as_of") if found else None,
        pending_approval=stands.pending.version if stands.pending else None,
        pending_note=_note(stands, at.settings, at.day),
        unfinished=stands.unfinished.event if stands.unfinished else None,
        published=Releases(at.home, at.lineage).current(),
        closed_since=due.closed_since,
        missing_deals=due.missing,
        round_due=due.is_due,
        matured_accounts=int(at.sight.sold["matured"].sum()),
        min_matured=at.settings.policy.min_matured,
        last_round=last.as_of.isoformat() if last else None,
        newest_deal=_day(at.seen.deals["created_at"].max()),
        newest_revenue_month=_day(at.seen.revenue["month"].max()),
        quarantined_rows=len(refused[["table_name", "source", "row"]].drop_duplicates()),
    )


def _note(stands: Standing, settings: Settings, as_of: date) -> str | None:
    """What stands in the way of approving what waits."""
    if stands.pending is None:
        return None
    if stands.stale:
        return "stale: another version came into force since; it is judged again"
    expires = stands.pending.expires_on(settings.policy)
    return "expired" if as_of >= expires else f"until {expires}"


def _day(moment: Any) -> str | None:
    return None if pd.isna(moment) else moment.date().isoformat()
