"""Status: what is in force, what waits, how fresh the data are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

from icploop.domain.calendar import seen_by
from icploop.domain.outcomes import outcomes
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.watch import check, last_round


@dataclass(frozen=True)
class Status:
    """The state of one motion's loop as of a day."""

    motion: str
    as_of: str
    champion: str | None
    champion_as_of: str | None
    pending_approval: str | None
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


def status(home: Home, motion: str, as_of: date) -> Status:
    """The state of a motion's loop. Raises DataError before the first ingest."""
    settings = home.settings()
    warehouse = Warehouse(home.warehouse_file)
    tables = warehouse.tables()
    seen = seen_by(tables, as_of)
    ledger = warehouse.ledger(settings.lineage(motion))
    due = check(tables, ledger, settings, motion, as_of)
    aliases = registry.aliases(home, settings.lineage(motion))
    champion = aliases.get(registry.CHAMPION)
    found = registry.describe(home, settings.lineage(motion), champion) if champion else None
    last = last_round(ledger)
    quarantine = warehouse.quarantine()
    refused = quarantine[~quarantine["kept"].astype("bool")]
    return Status(
        motion=motion,
        as_of=as_of.isoformat(),
        champion=champion,
        champion_as_of=found.tags.get("as_of") if found else None,
        pending_approval=aliases.get(registry.CHALLENGER),
        closed_since=due.closed_since,
        missing_deals=due.missing,
        round_due=due.is_due,
        matured_accounts=int(outcomes(seen, motion, settings.outcome)["matured"].sum()),
        min_matured=settings.policy.min_matured,
        last_round=last.as_of.isoformat() if last else None,
        newest_deal=_day(seen.deals["created_at"].max()),
        newest_revenue_month=_day(seen.revenue["month"].max()),
        quarantined_rows=len(refused[["table_name", "source", "row"]].drop_duplicates()),
    )


def _day(moment: Any) -> str | None:
    return None if pd.isna(moment) else moment.date().isoformat()
