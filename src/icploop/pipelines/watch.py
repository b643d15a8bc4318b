"""Watch: is a round due?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import pandas as pd

from icploop.domain.identity import companies_seen_by
from icploop.domain.ledger import LedgerRow
from icploop.domain.outcomes import of_motion
from icploop.domain.standing import standing_of
from icploop.domain.tables import Tables
from icploop.domain.trigger import Due, LastRound, closed_deals, due
from icploop.errors import DataError
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.settings import Settings


def watch(home: Home, motion: str, as_of: date) -> Due:
    """Whether a round is due for a motion on a day."""
    warehouse = Warehouse(home.warehouse_file)
    settings = home.settings()
    lineage = settings.lineage(motion)
    seen = companies_seen_by(warehouse.tables(), as_of, settings.identity)
    counted = warehouse.counted_deals(lineage)
    return check(seen, warehouse.ledger(lineage), counted, settings, motion, as_of)


def check(
    seen: Tables,
    ledger: Sequence[LedgerRow],
    counted: Collection[str],
    settings: Settings,
    motion: str,
    as_of: date,
) -> Due:
    """Whether a round is due, from what the day has seen, the ledger, and the deals used up.

    A version that waits, but was judged against another one than that in force, makes a round due:
    it is judged again. Raises DataError when deals were created by then, but none of any motion in
    the settings.
    """
    known = [of_motion(seen.deals, stated).any() for stated in settings.motions]
    if len(seen.deals) and not any(known):
        counts = seen.deals["motion"].fillna("default").value_counts()
        found = ", ".join(f"{name} ({count})" for name, count in counts.items())
        raise DataError(
            f"None of the {len(seen.deals)} deals created by {as_of} belongs to the motions "
            f"{', '.join(settings.motions)}; motions found: {found}. "
            "Name them under `motions` in conf/icp.yaml, or map the column `motion`"
        )
    fresh = fresh_deals(seen, counted, settings, motion)
    found_due = due(len(fresh), last_round(ledger), as_of, settings.trigger)
    standing = standing_of(ledger)
    if standing.stale and standing.pending:
        current = standing.in_force.version if standing.in_force else "none"
        return Due(
            True,
            found_due.closed_since,
            found_due.missing,
            f"version {standing.pending.version} waits, but was judged against "
            f"{standing.pending.judged_against or 'none'} while {current} is in force",
        )
    return found_due


def fresh_deals(
    seen: Tables, counted: Collection[str], settings: Settings, motion: str
) -> pd.Series:
    """The closing moments of the closed deals that no round has used up, by deal_id."""
    closed = closed_deals(seen, motion, settings.trigger)
    return closed[~closed.index.isin(list(counted))]


def last_round(ledger: Sequence[LedgerRow]) -> LastRound | None:
    """The last judged round that the ledger knows."""
    verdicts = [row for row in ledger if row.event == "verdict"]
    if not verdicts:
        return None
    last = verdicts[-1]
    newest = last.details.get("newest_close")
    return LastRound(last.as_of, date.fromisoformat(newest) if newest else last.as_of)
