"""Watch: is a round due?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from icploop.domain.ledger import LedgerRow
from icploop.domain.outcomes import of_motion
from icploop.domain.trigger import Due, LastRound, closed_deals, due
from icploop.errors import DataError
from icploop.pipelines.as_of import AsOf


def watch(at: AsOf) -> Due:
    """Whether a round is due, from what the day has seen, the ledger, and the deals used up.

    A version that waits, but was judged against another one than that in force, makes a round due:
    it is judged again. Raises DataError when deals were created by then, but none of any motion in
    the settings.
    """
    deals, settings, stands = at.seen.deals, at.settings, at.standing
    known = [of_motion(deals, stated).any() for stated in settings.motions]
    if len(deals) and not any(known):
        counts = deals["motion"].fillna("default").value_counts()
        found = ", ".join(f"{name} ({count})" for name, count in counts.items())
        raise DataError(
            f"None of the {len(deals)} deals created by {at.day} belongs to the motions "
            f"{', '.join(settings.motions)}; motions found: {found}. "
            "Name them under `motions` in conf/icp.yaml, or map the column `motion`"
        )
    found_due = due(len(fresh_deals(at)), last_round(at.ledger), at.day, settings.trigger)
    if stands.stale and stands.pending:
        current = stands.in_force.version if stands.in_force else "none"
        return Due(
            True,
            found_due.closed_since,
            found_due.missing,
            f"version {stands.pending.version} waits, but was judged against "
            f"{stands.pending.judged_against or 'none'} while {current} is in force",
        )
    return found_due


def fresh_deals(at: AsOf) -> pd.Series:
    """The closing moments of the closed deals that no round has used up, by deal_id."""
    closed = closed_deals(at.seen, at.motion, at.settings.trigger)
    return closed[~closed.index.isin(list(at.state.counted))]


def last_round(ledger: Sequence[LedgerRow]) -> LastRound | None:
    """The last judged round that the ledger knows."""
    verdicts = [row for row in ledger if row.event == "verdict"]
    if not verdicts:
        return None
    last = verdicts[-1]
    newest = last.details.get("newest_close")
    return LastRound(last.as_of, date.fromisoformat(newest) if newest else last.as_of)
