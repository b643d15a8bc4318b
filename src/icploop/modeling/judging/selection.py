"""How the holdout came to be: whom earlier lists sent sales to, and how to judge fairly then.

Where a list decided whom sales pursued, customers are found where an earlier version liked to look,
and a version that agrees with it is judged on its own choices. Each list was logged with the chance
that each account of the market had to stand on it. Together with how often listed and other
accounts were pursued, that gives the chance of each customer to be in the holdout, and one over it
is what the customer must count (Horvitz and Thompson, J. Am. Stat. Assoc. 47, 1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# A customer who was hardly ever going to be pursued must not decide alone.
_MOST_WEIGHT = 10.0
LISTING_COLUMNS = ["as_of", "account_id", "propensity", "listed"]


@dataclass(frozen=True)
class Selection:
    """What earlier lists had to do with the accounts of a holdout.

    `listed` is the share of them that stood on the list in force when their sale began, `because`
    the share that would not have been pursued without it, and `weight` what each account counts so
    that the holdout is like the market (mean 1; 1 where no list was in force yet).
    """

    listed: float
    because: float
    weight: pd.Series

    @property
    def n_effective(self) -> float:
        """How many equally weighted accounts the weighted ones are worth (Kish 1965)."""
        return float(self.weight.sum() ** 2 / (self.weight**2).sum())


def selection(
    holdout: pd.DataFrame, pursuits: pd.DataFrame, listings: pd.DataFrame, today: pd.Timestamp
) -> Selection | None:
    """How lists chose the holdout; None where no list was in force for any of it.

    `holdout` has the column `at` (when the sale began) and the index account_id; `pursuits` has
    account_id and created_at of every deal; `listings` has a row for each account of the market and
    each list (LISTING_COLUMNS: its day, the account, the chance to be listed, whether it was).
    """
    known = listings[listings["as_of"] < today]
    days = np.sort(known["as_of"].unique())
    if len(days) == 0:
        return None
    # A list is in force from the day after it was drawn up.
    number = np.searchsorted(days, holdout["at"].dt.normalize().to_numpy(), side="left") - 1
    in_force = number >= 0
    if not in_force.any():
        return None
    of_listed, of_others = _pursuit_rates(known, days, pursuits, today)
    mine = pd.DataFrame(
        {"as_of": days[number[in_force]], "account_id": holdout.index[in_force].to_numpy()}
    ).merge(known[LISTING_COLUMNS], how="left", on=["as_of", "account_id"])
    # An account that no list knew could not be listed.
    propensity = mine["propensity"].fillna(0.0).to_numpy(dtype="float64")
    listed = mine["listed"].eq(True).to_numpy()
    chance = propensity * of_listed + (1 - propensity) * of_others
    weight = np.ones(len(holdout))
    weight[in_force] = _bounded(1 / chance)
    share = float(listed.sum()) / len(holdout)
    return Selection(
        listed=share,
        because=share * max(1 - of_others / of_listed, 0.0),
        weight=pd.Series(weight, index=holdout.index),
    )


def _pursuit_rates(
    listings: pd.DataFrame, days: np.ndarray, pursuits: pd.DataFrame, today: pd.Timestamp
) -> tuple[float, float]:
    """First deals for each account and day on the market: of listed accounts, and of the others."""
    starts = days + np.timedelta64(1, "D")
    ends = np.append(starts[1:], np.datetime64(today))
    number = np.searchsorted(days, listings["as_of"].to_numpy())
    spells = listings.assign(start=starts[number], end=ends[number])
    begun = pursuits[["account_id", "created_at"]].dropna()
    first = pd.merge_asof(
        spells.astype({"start": "datetime64[us]"}).sort_values("start", kind="stable"),
        begun.astype({"created_at": "datetime64[us]"}).sort_values("created_at", kind="stable"),
        left_on="start",
        right_on="created_at",
        by="account_id",
        direction="forward",
    )
    happened = (first["created_at"] <= first["end"]).to_numpy()
    until = first["created_at"].where(happened, first["end"])
    exposed = ((until - first["start"]).dt.total_seconds() / 86_400).to_numpy()
    on_list = first["listed"].to_numpy(dtype=bool)

    def rate(who: np.ndarray) -> float:
        # Half a pursuit more: where nobody was pursued yet, somebody may be.
        return (float(happened[who].sum()) + 0.5) / max(float(exposed[who].sum()), 1.0)

    return rate(on_list), rate(~on_list)


def _bounded(weight: np.ndarray) -> np.ndarray:
    """Weights of mean 1, none more than ten times the smallest."""
    bounded = np.minimum(weight, _MOST_WEIGHT * weight.min())
    return bounded / bounded.mean()
