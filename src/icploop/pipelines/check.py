"""Check: who is missing from the list, who is doubtful on it, and what came of all lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from icploop.domain.identity import under_one_account
from icploop.errors import DataError
from icploop.io.versions import CHAMPION
from icploop.modeling.judging.list_check import what_came_of
from icploop.modeling.scoring.target_list import AT_RANDOM, BEYOND, HELD_BACK, OVERRIDDEN
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.target_list import CUSTOMER, what_would_be_listed

_ON_A_LIST = ("A", "B")


@dataclass(frozen=True)
class CheckReport:
    """The last list against what is known today, and all lists against their outcomes.

    `missing` are accounts of tier A or B that are not on the list (why), `doubtful` accounts on it
    that are worse than that today or may not be pursued any more (why); both have account_id, name,
    tier and why. `outcomes` is described in modeling/judging/list_check.py.
    """

    motion: str
    list_of: date
    missing: pd.DataFrame
    doubtful: pd.DataFrame
    outcomes: pd.DataFrame

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values; unknown numbers are null."""
        tables = ("missing", "doubtful", "outcomes")
        return {
            "motion": self.motion,
            "list_of": self.list_of.isoformat(),
            **{
                name: getattr(self, name)
                .astype("object")
                .where(lambda t: t.notna(), None)
                .to_dict("records")
                for name in tables
            },
        }


def check_lists(at: AsOf) -> CheckReport:
    """Hold the lists against what came. Raises DataError before there was one."""
    at = at.anew(with_lists=True)
    listings = at.listings[at.listings["as_of"] <= pd.Timestamp(at.day)]
    listings = under_one_account(listings, at.seen.same_as)
    if listings.empty:
        nobody = at.sight.prospects.empty
        raise DataError(
            f"No target list of `{at.motion}` with anybody on it was drawn up by {at.day}; "
            + (
                "every account is a customer, so ingest accounts that are not"
                if nobody
                else "write one with `icp list`"
            )
        )
    newest = listings["as_of"].max()
    last = listings[(listings["as_of"] == newest) & listings["listed"]]
    # Whom chance or people chose is there whatever the score says.
    by_score = ~last["chosen_by"].isin([AT_RANDOM, OVERRIDDEN])
    today = what_would_be_listed(at, CHAMPION)
    return CheckReport(
        at.motion,
        newest.date(),
        *_against_today(today, set(last["account_id"]), set(last.loc[by_score, "account_id"])),
        what_came_of(
            listings,
            at.sight.decided,
            at.sight.sold,
            at.settings.policy.draws,
            at.settings.seed,
        ),
    )


def _against_today(
    today: pd.DataFrame, listed: set[str], by_score: set[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Who is missing from a list and who is doubtful on it, by today's scores, best first."""
    fits = today["tier"].isin(_ON_A_LIST)
    columns = ["account_id", "name", "tier", "why"]
    missing = today[fits & ~today["account_id"].isin(listed) & (today["why"] != CUSTOMER)]
    why = today["why"].mask(today["why"] == OVERRIDDEN, "override by " + today["override"])
    missing = missing.assign(why=why[missing.index].fillna("would be listed today"))
    # By chance, or for want of room, a good account may be left off today's list.
    still = today["why"].isna() | (fits & today["why"].isin([BEYOND, HELD_BACK]))
    doubtful = today[today["account_id"].isin(by_score) & ~still]
    return missing[columns], doubtful.assign(why=why[doubtful.index])[columns]
