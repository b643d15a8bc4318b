"""What the history of accounts says of a column: was it filled, or altered, after the sale?

Point in time keeps such values out as far as rows are dated by observed_at. What has no date counts
as always known, and there the same habit lets the future in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from icploop.modeling.accounts.features import LONG_AGO, AttributeHistory
from icploop.modeling.statistics.intervals import gap, share
from icploop.settings import Attribute

# Most accounts that ever got a value got it after the close.
_MOSTLY = 0.5
_HONEST_GAP = 0.25
# So much of what is used may lack a date before the habit counts against the column.
_UNDATED = 0.05


@dataclass(frozen=True)
class BackfilledColumn:
    """A column that is written late. `undated` is the share of used values without a date."""

    rule: Literal["filled_after_close", "changes_after_outcome"]
    evidence: str
    undated: float

    @property
    def reaches_the_model(self) -> bool:
        """Whether values without a date are used; dated ones are kept out by point in time."""
        return self.undated > _UNDATED


@dataclass(frozen=True)
class Watched:
    """What was recorded of accounts with a closed deal, and what their sales were.

    Accounts are named by their number in `history`. `rows` are the places of their rows, `sales`
    has the first closed deal of each (at, closed, won), and `retained` (0 or 1) of those that are
    matured customers. `watched` are the sales of accounts that were recorded both by the deal's
    creation and after its close, which alone can tell.
    """

    history: AttributeHistory
    rows: np.ndarray
    sales: pd.DataFrame
    retained: pd.Series
    watched: pd.DataFrame

    @classmethod
    def of(cls, history: AttributeHistory, deals: pd.DataFrame, retained: pd.Series) -> Watched:
        """From the history of accounts, rows of `decided_deals`, and outcomes by account_id."""
        sales = deals.drop_duplicates("account_id")
        sales = sales.set_axis(history.numbers(sales["account_id"]))
        sales = sales.assign(closed=sales["at"] + pd.to_timedelta(sales["cycle_days"], unit="D"))
        rows = np.flatnonzero(np.isin(history.account_of_row, sales.index))
        by_account = history.seen.iloc[rows].groupby(history.account_of_row[rows])
        before = by_account.min().reindex(sales.index) <= sales["at"]
        after = by_account.max().reindex(sales.index) > sales["closed"]
        stayed = retained.set_axis(history.numbers(pd.Series(retained.index)))
        return cls(history, rows, sales, stayed, sales[before & after])

    def values(self, attribute: Attribute) -> pd.DataFrame:
        """The cells of an attribute that are filled in: account, seen, value."""
        typed = self.history.values(attribute).iloc[self.rows]
        seen = self.history.seen.iloc[self.rows]
        account = self.history.account_of_row[self.rows]
        return pd.DataFrame({"account": account, "seen": seen, "value": typed})[typed.notna()]


def backfilled(attribute: Attribute, watched: Watched, z: float) -> Iterator[BackfilledColumn]:
    """What the history of a column gives away."""
    if watched.watched.empty:
        return
    given = watched.values(attribute)
    # Missing days compare as false, which is what an account without a value should.
    first = given.groupby("account")["seen"].min()
    undated = _undated(first, watched.sales)
    yield from _filled_late(first, watched.watched, undated, z)
    yield from _altered(given, watched.watched, watched.retained, undated, z)


def undated_share(attribute: Attribute, watched: Watched) -> float:
    """The share of the values that are used which have no date (0..1)."""
    return _undated(watched.values(attribute).groupby("account")["seen"].min(), watched.sales)


def _undated(first: pd.Series, sales: pd.DataFrame) -> float:
    used = first[first <= sales["at"].reindex(first.index)]
    return float((used == LONG_AGO).mean()) if len(used) else 0.0


def _filled_late(
    first: pd.Series, watched: pd.DataFrame, undated: float, z: float
) -> Iterator[BackfilledColumn]:
    """Of accounts that got a value at all, most got their first one after the close.

    A column that was introduced on some day is first filled late for every older deal, which is no
    habit: only deals created since count.
    """
    dated = first[first > LONG_AGO]
    if dated.empty:
        return
    introduced = dated.quantile(0.1)
    asked = watched[watched["at"] >= introduced]
    known = first.reindex(asked.index).dropna()
    late = known > asked.loc[known.index, "closed"]
    found = share(int(late.sum()), len(late), z)
    if found.low > _MOSTLY:
        yield BackfilledColumn(
            "filled_after_close",
            f"was first filled in after the close for {found.estimate:.0%} "
            f"({found.low:.0%} to {found.high:.0%}) of the {found.n} accounts whose history shows "
            "it",
            undated,
        )


def _altered(
    given: pd.DataFrame, watched: pd.DataFrame, retained: pd.Series, undated: float, z: float
) -> Iterator[BackfilledColumn]:
    """A value of the day of the sale is another one later, and which accounts it is tells."""
    at = given["account"].map(watched["at"])
    before = given[given["seen"] <= at].groupby("account")["value"].last()
    closed = given["account"].map(watched["closed"])
    after = given[given["seen"] > closed].groupby("account")["value"].last()
    both = before.index.intersection(after.index)
    changed = before[both] != after[both]
    won = watched.loc[both, "won"] > 0
    stayed = retained.reindex(both)
    for one, other, who, whom in (
        (changed[won], changed[~won], "won accounts", "lost ones"),
        (changed[stayed > 0], changed[stayed == 0], "customers that stayed", "those that left"),
    ):
        found = gap(one, other, z)
        if found.lies_beyond(_HONEST_GAP):
            yield BackfilledColumn(
                "changes_after_outcome",
                f"changed after the close for {one.mean():.0%} of {who} (n = {len(one)}) and "
                f"{other.mean():.0%} of {whom} (n = {len(other)}), a difference of "
                f"{found.estimate:.2f} ({found.low:.2f} to {found.high:.2f})",
                undated,
            )
