"""Status: what is in force, what waits, how fresh the data are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

from icploop.domain.billing import billed
from icploop.domain.calendar import month_start
from icploop.domain.findings import Finding
from icploop.domain.outcomes import LeftOut
from icploop.domain.standing import Standing
from icploop.errors import UsageError
from icploop.io import versions
from icploop.io.releases import Releases
from icploop.pipelines.as_of import AsOf
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
    last_complete_month: str | None
    data_age_days: int
    quarantined_rows: int
    left_out: LeftOut
    findings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)


def status(at: AsOf) -> Status:
    """The state of a motion's loop. Raises DataError before the first ingest."""
    due = watch(at)
    stands = at.standing
    champion = stands.in_force.version if stands.in_force else None
    last, age, complete = last_round(at.ledger), at.sight.age, billed(at.seen).last
    stale = age.finding(at.settings.freshness)
    lines = at.state.quarantine
    refused = lines[~lines["kept"].astype("bool")]
    return Status(
        motion=at.motion,
        as_of=at.day.isoformat(),
        champion=champion,
        champion_as_of=_trained_on(at, champion) if champion else None,
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
        last_complete_month=None if complete is None else month_start(complete).isoformat(),
        data_age_days=age.days,
        quarantined_rows=len(refused[["table_name", "source", "row"]].drop_duplicates()),
        left_out=at.sight.left_out,
        findings=(stale,) if stale else (),
    )


def _trained_on(at: AsOf, champion: str) -> str | None:
    """The as-of day of a version, unless it was deleted in MLflow."""
    try:
        return versions.describe(at.home, at.lineage, champion).tags.get("as_of")
    except UsageError:
        return None


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
