"""Bills for several months, spread over the months that they are for."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from icploop.domain.cells import read_moment, read_number
from icploop.settings import Spread
from icploop.settings.formats import TableFormat

MONTHS, UNTIL = "months", "until"
# The longest contract that anybody pays at once.
_MOST = 120
_DAYS_A_MONTH = 365.25 / 12


def months_covered(bills: pd.DataFrame, spread: Spread, formats: TableFormat) -> pd.Series:
    """For how many months each bill is, missing where that cannot be read.

    `spread` is a number of months, or says where it stands: in `months`, or by a last day in
    `until` (or the day after it: a year is twelve months either way). `month` is the first day.
    """
    if isinstance(spread, int):
        return pd.Series(float(spread), index=bills.index)
    if spread == MONTHS:
        covered = read_number(bills[MONTHS], formats.of(MONTHS)).round()
    else:
        last = read_moment(bills[UNTIL], formats.of(UNTIL))
        days = (last - bills["month"]).dt.days
        covered = (days / _DAYS_A_MONTH).round().clip(lower=1).where(days >= 0)
    return covered.where(covered.between(1, _MOST))


def spread_over_months(bills: pd.DataFrame, covered: pd.Series) -> pd.DataFrame:
    """A row for each month that a bill is for, from the month of its first day on.

    `mrr` is the bill's amount over its months; other columns are repeated. The index is new.
    """
    times = covered.to_numpy().astype("int64")
    rows = bills.loc[bills.index.repeat(times)].reset_index(drop=True)
    nth = np.concatenate([np.arange(n) for n in times]) if len(times) else np.array([], "int64")
    months = rows["month"].to_numpy().astype("datetime64[M]") + nth
    return rows.assign(
        month=months.astype("datetime64[us]"), mrr=rows["mrr"] / np.repeat(times, times)
    )


def first_of_month(moments: pd.Series) -> pd.Series:
    """The first day of the month of each moment."""
    return moments.dt.to_period("M").dt.to_timestamp().astype("datetime64[us]")


def last_billed(began: pd.Series, day: date | None) -> pd.Timestamp:
    """The last month of which bills tell anything, by the first months that bills are for.

    After the newest bill of an export that is older than `day` nobody knows who would have been
    billed: months that were paid before must not stand alone there. Where bills are still made, all
    months count that are paid already; without a day they do as well.
    """
    newest = began.max()
    if day is None or pd.isna(newest) or newest + pd.DateOffset(months=2) > pd.Timestamp(day):
        return pd.Timestamp.max
    return newest
