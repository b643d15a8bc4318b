"""From billed lines to MRR by month: what an account pays for a month, at the end of each month.

A line is an amount for a period of service. Its MRR is the amount for each month of its period, and
it counts in every month whose last moment lies in the period. So a year paid at once is a twelfth
of it in each of twelve months; an upgrade in the middle of a month (a credit for the rest of the
old price, a charge for the rest of the new one) is the new price from that month on; and a month
without service is a month without revenue.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

LINE_COLUMNS = ["line_id", "account_id", "amount", "currency", "start", "end", "interval_months"]

_DAY = 24 * 60 * 60.0
_MONTH_IN_DAYS = 365.25 / 12
_CURRENCY_RULE = "the currency has a rate under currencies"
_PERIOD_RULE = "the period of a billed line ends after it starts"
_ACCOUNT_RULE = "the customer of a billed line has an account_id"


def by_month(lines: pd.DataFrame, rates: Mapping[str, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """MRR of each account and month, and the lines that were refused.

    `lines` has `LINE_COLUMNS`: amount (net of discounts and tax, in whole units of `currency`),
    start and end of its period (UTC), interval_months (months in a whole billing period, missing
    where unknown). `rates` is what a unit of a currency is worth in the company's. Lines of nothing
    still give their months, with 0: a month that was taken back must say so.

    Revenue: account_id, month, mrr (company's currency), sorted. Refused: row (from 1, in `lines`),
    rule, value.
    """
    numbered = lines.reset_index(drop=True)
    faults = {
        _ACCOUNT_RULE: numbered["account_id"].isna(),
        _CURRENCY_RULE: ~numbered["currency"].isin(set(rates)),
        _PERIOD_RULE: ~(numbered["end"] > numbered["start"]),
    }
    refused = pd.concat([_refused(numbered[bad], rule) for rule, bad in faults.items()])
    good = numbered[~np.logical_or.reduce(list(faults.values()))]
    amount = good["amount"].astype("float64") * good["currency"].map(rates).astype("float64")
    months = _month_ends(good["start"], good["end"])
    spread = months.join(
        pd.DataFrame(
            {"account_id": good["account_id"], "mrr": amount / length_in_months(good)},
        )
    )
    revenue = spread.groupby(["account_id", "month"])["mrr"].sum().reset_index()
    # Cents of cents are what is left of sums that cancel.
    revenue["mrr"] = revenue["mrr"].round(4) + 0.0
    return revenue[["account_id", "month", "mrr"]], refused.sort_values("row", ignore_index=True)


def length_in_months(lines: pd.DataFrame) -> pd.Series:
    """How many months the period of each line is.

    A period that is one billing interval from either of its ends is that interval, however many
    days its months have; a shorter or longer one is the share that its days are of the interval
    which ends with it, as billing systems prorate.
    """
    start, end = lines["start"], lines["end"]
    days = (end - start).dt.total_seconds() / _DAY
    guessed = (days / _MONTH_IN_DAYS).round().clip(lower=1)
    interval = lines["interval_months"].astype("float64").fillna(guessed).clip(lower=1).round()
    length = pd.Series(np.nan, index=lines.index)
    for months in interval.unique():
        own = interval.index[interval == months]
        offset = pd.DateOffset(months=int(months))
        full = (end[own] - (end[own] - offset)).dt.total_seconds() / _DAY
        whole = (start[own] + offset == end[own]) | (end[own] - offset == start[own])
        length[own] = months * (days[own] / full).mask(whole, 1.0)
    return length


def _month_ends(start: pd.Series, end: pd.Series) -> pd.DataFrame:
    """A row for each month whose last moment lies in [start, end), under the line's index."""
    first = start.dt.year * 12 + start.dt.month - 1
    after = end.dt.year * 12 + end.dt.month - 1
    repeated = first.index.repeat((after - first).to_numpy())
    nth = pd.Series(1, index=repeated).groupby(level=0).cumsum() - 1
    number = first.loc[repeated] + nth
    month = pd.to_datetime({"year": number // 12, "month": number % 12 + 1, "day": 1})
    return pd.DataFrame({"month": month})


def _refused(lines: pd.DataFrame, rule: str) -> pd.DataFrame:
    said = (
        lines["line_id"].astype("str")
        + ": "
        + lines["amount"].astype("str")
        + " "
        + lines["currency"].astype("str")
    )
    return pd.DataFrame({"row": lines.index + 1, "rule": rule, "value": said})
