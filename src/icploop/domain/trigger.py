"""When a new round is due: deals are the clock, and the calendar is its floor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from icploop.domain.outcomes import of_motion
from icploop.domain.tables import Tables
from icploop.settings import Trigger


@dataclass(frozen=True)
class LastRound:
    """The last judged round of a motion: its as-of day, and the day of the newest deal it saw."""

    as_of: date
    newest_close: date

    def days_before(self, today: date) -> int:
        """Days since the round; where a clock that ran ahead dated it, since what it had seen."""
        return (today - (self.as_of if self.as_of <= today else self.newest_close)).days


@dataclass(frozen=True)
class Due:
    """Whether a round is due, and why or what is missing."""

    is_due: bool
    closed_since: int
    missing: int
    reason: str


def closed_deals(tables: Tables, motion: str, trigger: Trigger) -> pd.Series:
    """The closing moments of the deals of `motion` that count as closed, by deal_id."""
    deals = tables.deals[of_motion(tables.deals, motion)]
    counted = ["won"] if trigger.count == "won" else ["won", "lost"]
    closed = deals[deals["outcome"].isin(counted)]
    return closed.set_index("deal_id")["closed_at"]


def due(since: int, last: LastRound | None, as_of: date, trigger: Trigger) -> Due:
    """Whether N deals have closed, or the calendar floor has passed, since the last round.

    `since` counts the closed deals that no round has used up yet. Counting deals by name, not by
    date, lets one that arrives late count when it arrives, and one that was reopened, closed again
    or deleted never count twice.
    """
    missing = max(0, trigger.closed_deals - since)
    kind = "won" if trigger.count == "won" else "closed"
    if missing == 0:
        return Due(True, since, 0, f"{since} deals {kind} since the last round")
    if last and since and last.days_before(as_of) >= trigger.calendar_floor_days:
        return Due(True, since, missing, f"{last.days_before(as_of)} days since the last round")
    return Due(False, since, missing, f"{missing} more {kind} deals are needed")
