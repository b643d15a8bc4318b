"""When a new round is due: deals are the clock, and the calendar is its floor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from icploop.domain.outcomes import of_motion
from icploop.domain.tables import Tables
from icploop.settings import Trigger


@dataclass(frozen=True)
class LastRound:
    """The last judged round of a motion: its as-of day and how many closed deals it had seen."""

    as_of: date
    closed_deals: int


@dataclass(frozen=True)
class Due:
    """Whether a round is due, and why or what is missing."""

    is_due: bool
    closed_since: int
    missing: int
    reason: str


def closed_deals(tables: Tables, motion: str, trigger: Trigger) -> int:
    """How many deals of `motion` count as closed in what has been seen."""
    deals = tables.deals[of_motion(tables.deals, motion)]
    counted = ["won"] if trigger.count == "won" else ["won", "lost"]
    return int(deals["outcome"].isin(counted).sum())


def due(closed: int, last: LastRound | None, as_of: date, trigger: Trigger) -> Due:
    """Whether N deals have closed, or the calendar floor has passed, since the last round.

    Counting totals instead of dates lets a deal that arrives late count when it arrives. A deal
    that was deleted or reopened lowers the total, never below zero deals since.
    """
    since = max(0, closed - (last.closed_deals if last else 0))
    missing = max(0, trigger.closed_deals - since)
    kind = "won" if trigger.count == "won" else "closed"
    if missing == 0:
        return Due(True, since, 0, f"{since} deals {kind} since the last round")
    if last and since and (as_of - last.as_of).days >= trigger.calendar_floor_days:
        days = (as_of - last.as_of).days
        return Due(True, since, missing, f"{days} days since the last round")
    return Due(False, since, missing, f"{missing} more {kind} deals are needed")
