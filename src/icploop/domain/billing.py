"""Which months have been billed: the last one that is complete, and how fresh the data are.

A month is complete when nearly all customers who should have a row in it have one. Who should: who
had one in the month before it, as far as customers of a month usually have one in the next. Revenue
that was stored long before its months began (a prepayment, a schedule) says nothing of whether the
bills of a month have been made, and is left apart. Nor is a month complete where bills broke off
within the year before it: half of a month's customers had no row any more, and nobody took their
place. So a prepayment that runs on does not carry those who are billed by the month.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from icploop.domain.calendar import month_start
from icploop.domain.findings import Finding
from icploop.domain.tables import Tables
from icploop.settings import Freshness

# Of the customers who usually stay from one month to the next so many must have a row.
_NEARLY_ALL = 0.8
# Bills broke off where so many of a month's customers never had a row again, and are not replaced.
_HALF = 0.5
_YEAR = 12


@dataclass(frozen=True)
class Billed:
    """Up to which month revenue is complete (`last`), and the newest month with any (`newest`).

    Months are numbers (`month_number`); None where there is no revenue. Of the `expected` customers
    who should have a row in the month after `last`, `missing` have none; both are 0 where only
    prepaid customers have later rows.
    """

    last: int | None
    newest: int | None
    expected: int = 0
    missing: int = 0

    @property
    def why(self) -> str:
        """A sentence that says why no later month is complete."""
        if self.last is None:
            return "There is no revenue."
        if self.newest == self.last:
            return "It is the newest month with revenue."
        after = f"{month_start(self.last + 1):%Y-%m}"
        if not self.expected:
            return f"{after} has rows of prepaid customers only."
        return (
            f"{self.missing} of the {self.expected} customers who should have a row in {after} "
            "(prepaid ones apart) have none."
        )


def billed(tables: Tables) -> Billed:
    """How far the revenue that a day sees is complete."""
    revenue = tables.revenue
    if revenue.empty:
        return Billed(None, None)
    months = _numbers(revenue["month"])
    newest = int(months.max())
    counts = ~_is_prepaid(revenue["account_id"], months, tables)
    if not counts.any():
        # Where all is known ahead, no bill can be missing.
        counts[:] = True
    first = max(int(months[counts].min()), int(months[counts].max()) - 2 * _YEAR - 1)
    counts &= months >= first
    there = _attendance(revenue["account_id"][counts], months[counts] - first)
    until = there.shape[1] - 1
    stay = [_stay(there, month, month + 1) for month in range(there.shape[1] - 1)]
    last = until
    while last > 0 and not _is_complete(there, stay, last):
        last -= 1
    expected = there[:, last] if last < until else np.zeros(0, dtype=bool)
    missing = expected & ~there[:, last + 1] if last < until else expected
    return Billed(first + last, newest, int(expected.sum()), int(missing.sum()))


def _numbers(months: pd.Series) -> np.ndarray:
    """As `month_number`, of first days of months, whole, and fast for many."""
    days: np.ndarray = months.to_numpy().astype("datetime64[M]").astype("int64")
    return days + 1970 * _YEAR


def _is_prepaid(accounts: pd.Series, months: np.ndarray, tables: Tables) -> np.ndarray:
    """Which rows had been stored long before their month began."""
    apart = np.zeros(len(accounts), dtype=bool)
    if tables.prepaid:
        among = accounts.isin(list(tables.prepaid)).to_numpy()
        spans = np.array([tables.prepaid[name] for name in accounts[among]]).reshape(-1, 2)
        apart[among] = (months[among] >= spans[:, 0]) & (months[among] <= spans[:, 1])
    return apart


def _attendance(accounts: pd.Series, months: np.ndarray) -> np.ndarray:
    """Whether each account (row) has a row of revenue in each month (column)."""
    if isinstance(accounts.dtype, pd.CategoricalDtype):
        codes, count = accounts.cat.codes.to_numpy(), len(accounts.cat.categories)
    else:
        codes, names = pd.factorize(accounts)
        count = len(names)
    there = np.zeros((count, int(months.max()) + 1), dtype=bool)
    there[codes, months] = True
    return there


def _is_complete(there: np.ndarray, stay: list[float], month: int) -> bool:
    """Whether nearly all are there of the month before, and bills did not break off in the year.

    `stay` has for each month the share of its customers who are there in the next.
    """
    if stay[month - 1] < _NEARLY_ALL * _usual(stay, month - 1):
        return False
    customers = there.sum(axis=0)
    return not any(
        customers[month] < _HALF * customers[before]
        and _stay(there, before, month) < _HALF * _usual(stay, before)
        for before in range(max(month - _YEAR, 0), month - 1)
    )


def _usual(stay: list[float], month: int) -> float:
    """The median share of customers who stayed, in the year before a month."""
    return float(np.median(stay[max(month - _YEAR, 0) : month])) if month else 1.0


def _stay(there: np.ndarray, month: int, until: int) -> float:
    """The share of a month's customers with a row in any later month up to another one."""
    customers = there[:, month]
    if not customers.any():
        return 1.0
    return float(there[customers, month + 1 : until + 1].any(axis=1).mean())


@dataclass(frozen=True)
class DataAge:
    """How old the newest data are on a day.

    Revenue is as old as its last complete month, deals as their newest creation or close.
    """

    as_of: date
    complete_until: date | None
    newest_deal: date | None

    @classmethod
    def of(cls, tables: Tables, as_of: date, how_far: Billed | None = None) -> DataAge:
        """The age of what a day sees; `how_far` it is billed, where that is known already."""
        last = (how_far or billed(tables)).last
        moments = [tables.deals[column].max() for column in ("created_at", "closed_at")]
        known = [moment.date() for moment in moments if not pd.isna(moment)]
        return cls(
            as_of,
            None if last is None else month_start(last + 1) - timedelta(days=1),
            max(known, default=None),
        )

    @property
    def days(self) -> int:
        """The age of what is older, revenue or deals; 0 where there is neither."""
        known = [day for day in (self.complete_until, self.newest_deal) if day is not None]
        return max((self.as_of - min(known)).days, 0) if known else 0

    def finding(self, rule: Freshness) -> Finding | None:
        """What is to be said of it: nothing while it is fresh."""
        if self.days <= rule.warn_after_days:
            return None
        refused = rule.refuse_after_days is not None and self.days > rule.refuse_after_days
        limit = (
            f", more than freshness.refuse_after_days {rule.refuse_after_days}" if refused else ""
        )
        return Finding(
            "stale_data",
            "refusal" if refused else "warning",
            f"The data are {self.days} days old on {self.as_of}{limit}: revenue is complete until "
            f"{self.complete_until}, and the newest deal is of {self.newest_deal}. Export and "
            "ingest again, or say by --as-of which day is meant.",
        )
