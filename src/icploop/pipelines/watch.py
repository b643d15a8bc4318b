"""Watch: is a round due?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from icploop.domain.calendar import seen_by
from icploop.domain.ledger import LedgerRow
from icploop.domain.outcomes import of_motion
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
    ledger = warehouse.ledger(settings.lineage(motion))
    return check(warehouse.tables(), ledger, settings, motion, as_of)


def check(
    tables: Tables, ledger: Sequence[LedgerRow], settings: Settings, motion: str, as_of: date
) -> Due:
    """Whether a round is due, from ready tables and ledger.

    Raises DataError when deals were created by then, but none of any motion in the settings.
    """
    seen = seen_by(tables, as_of)
    known = [of_motion(seen.deals, stated).any() for stated in settings.motions]
    if len(seen.deals) and not any(known):
        counts = seen.deals["motion"].fillna("default").value_counts()
        found = ", ".join(f"{name} ({count})" for name, count in counts.items())
        raise DataError(
            f"None of the {len(seen.deals)} deals created by {as_of} belongs to the motions "
            f"{', '.join(settings.motions)}; motions found: {found}. "
            "Name them under `motions` in conf/icp.yaml, or map the column `motion`"
        )
    closed = closed_deals(seen, motion, settings.trigger)
    return due(closed, last_round(ledger), as_of, settings.trigger)


def last_round(ledger: Sequence[LedgerRow]) -> LastRound | None:
    """The last judged round that the ledger knows."""
    verdicts = [row for row in ledger if row.event == "verdict"]
    if not verdicts:
        return None
    return LastRound(verdicts[-1].as_of, int(verdicts[-1].details["closed_deals"]))
