"""What the history of accounts says of a column: was it filled, or altered, after the sale?

Point in time keeps such values out as far as rows are dated by observed_at. What has no date counts
as always known, and there the same habit lets the future in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from icploop.domain.tables import read_kind
from icploop.modeling.statistics.intervals import gap, share
from icploop.settings import Attribute

# Most accounts that ever got a value got it after the close.
_MOSTLY = 0.5
_HONEST_GAP = 0.25
# So much of what is used may lack a date before the habit counts against the column.
_UNDATED = 0.05
_LONG_AGO = pd.Timestamp(1900, 1, 1)


@dataclass(frozen=True)
class BackfilledColumn:
    """A column that is written late. `undated` is the share of used values without a date."""

    rule: Literal["filled after the close", "changes after the outcome"]
    evidence: str
    undated: float

    @property
    def reaches_the_model(self) -> bool:
        """Whether values without a date are used; dated ones are kept out by point in time."""
        return self.undated > _UNDATED


@dataclass(frozen=True)
class History:
    """The rows of accounts with a closed deal, in their order, and what their sales were.

    `sales` has the first closed deal of each account (index account_id; at, closed, won);
    `watched` those of accounts that were recorded both by the deal's creation and after its close,
    which alone can tell.
    """

    rows: pd.DataFrame
    seen: pd.Series
    sales: pd.DataFrame
    watched: pd.DataFrame

    @classmethod
    def of(cls, accounts: pd.DataFrame, deals: pd.DataFrame) -> History:
        """From the accounts with their history, and rows of `decided_deals`."""
        sales = deals.drop_duplicates("account_id").set_index("account_id")
        sales = sales.assign(closed=sales["at"] + pd.to_timedelta(sales["cycle_days"], unit="D"))
        rows = accounts[accounts["account_id"].isin(sales.index)].sort_values(
            ["account_id", "observed_at"], kind="stable", na_position="first"
        )
        seen = rows["observed_at"].fillna(_LONG_AGO)
        by_account = seen.groupby(rows["account_id"])
        before = by_account.min().reindex(sales.index) <= sales["at"]
        after = by_account.max().reindex(sales.index) > sales["closed"]
        return cls(rows, seen, sales, sales[before & after])

    def values(self, attribute: Attribute) -> pd.DataFrame:
        """The cells of an attribute that are filled in: account_id, seen, value."""
        typed = read_kind(self.rows[attribute.name], attribute.kind)
        frame = pd.DataFrame(
            {"account_id": self.rows["account_id"], "seen": self.seen, "value": typed}
        )
        return frame[typed.notna()]


def backfilled(
    attribute: Attribute, history: History, retained: pd.Series, z: float
) -> Iterator[BackfilledColumn]:
    """What the history of a column gives away.

    `retained` (0 or 1) is the outcome of matured customers by account_id.
    """
    if history.watched.empty:
        return
    given = history.values(attribute)
    # Missing days compare as false, which is what an account without a value should.
    first = given.groupby("account_id")["seen"].min()
    undated = _undated(first, history.sales)
    yield from _filled_late(first, history.watched, undated, z)
    yield from _altered(given, history.watched, retained, undated, z)


def _undated(first: pd.Series, sales: pd.DataFrame) -> float:
    used = first[first <= sales["at"].reindex(first.index)]
    return float((used == _LONG_AGO).mean()) if len(used) else 0.0


def _filled_late(
    first: pd.Series, watched: pd.DataFrame, undated: float, z: float
) -> Iterator[BackfilledColumn]:
    """Of accounts that got a value at all, most got their first one after the close.

    A column that was introduced on some day is first filled late for every older deal, which is no
    habit: only deals created since count.
    """
    dated = first[first > _LONG_AGO]
    if dated.empty:
        return
    introduced = dated.quantile(0.1)
    asked = watched[watched["at"] >= introduced]
    known = first.reindex(asked.index).dropna()
    late = known > asked.loc[known.index, "closed"]
    found = share(int(late.sum()), len(late), z)
    if found.low > _MOSTLY:
        yield BackfilledColumn(
            "filled after the close",
            f"was first filled in after the close for {found.estimate:.0%} "
            f"({found.low:.0%} to {found.high:.0%}) of the {found.n} accounts whose history shows "
            "it",
            undated,
        )


def _altered(
    given: pd.DataFrame, watched: pd.DataFrame, retained: pd.Series, undated: float, z: float
) -> Iterator[BackfilledColumn]:
    """A value of the day of the sale is another one later, and which accounts it is tells."""
    at = given["account_id"].map(watched["at"])
    before = given[given["seen"] <= at].groupby("account_id")["value"].last()
    closed = given["account_id"].map(watched["closed"])
    after = given[given["seen"] > closed].groupby("account_id")["value"].last()
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
                "changes after the outcome",
                f"changed after the close for {one.mean():.0%} of {who} (n = {len(one)}) and "
                f"{other.mean():.0%} of {whom} (n = {len(other)}), a difference of "
                f"{found.estimate:.2f} ({found.low:.2f} to {found.high:.2f})",
                undated,
            )
