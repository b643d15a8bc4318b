"""From billed lines to MRR by month: what an account pays for a month, at the end of each month.

A line is an amount for a period of service. Its MRR is the amount for each month of its period, and
it counts in every month whose last moment lies in the period. So a year paid at once is a twelfth
of it in each of twelve months; an upgrade in the middle of a month (a credit for the rest of the
old price, a charge for the rest of the new one) is the new price from that month on; and a month
without service is a month without revenue. A plan of $25 a week is 25 * 52 / 12 in every month.

A credit for the rest of a line's period, to within a twelfth of it, means that service ended there.
Any other makes the price lower from its own month on: months that were over keep what they were, as
long as those to come suffice. Without a moment, every month loses its share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

LINE_COLUMNS = [
    "line_id",
    "account_id",
    "amount",
    "currency",
    "start",
    "end",
    "interval",
    "interval_count",
    "credits",
]

_DAY = 24 * 60 * 60.0
_MONTH_IN_DAYS = 365.25 / 12
# What a week and a day are of a month, for plans that are billed by them.
_IN_MONTHS = {"week": 12 / 52, "day": 12 / 365}
_IN_DAYS = {"week": 7.0, "day": 1.0}
# A month of less than half a cent is what is left of amounts that were rounded to the cent.
_NOTHING = 0.005
_CURRENCY_RULE = "the currency has a rate under currencies"
_PERIOD_RULE = "the period of a billed line ends after it starts"
_ACCOUNT_RULE = "the customer of a billed line has an account_id"


@dataclass(frozen=True)
class Credit:
    """What was given back of a line: a share of its amount, and when (None: nobody knows)."""

    share: float
    at: pd.Timestamp | None


def by_month(lines: pd.DataFrame, rates: Mapping[str, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """MRR of each account and month, and the lines that were refused.

    `lines` has `LINE_COLUMNS`: amount (net of discounts and tax, in whole units of `currency`),
    start and end of its period (on the company's clock), interval (`month`, `week` or `day`) and
    interval_count (how many make a billing period; missing where unknown), and credits (a tuple of
    `Credit`). `rates` is what a unit of a currency is worth in the company's. Lines of nothing
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
    mrr = spread["mrr"].to_numpy(copy=True)
    for line in good.index[good["credits"].map(len) > 0]:
        own = slice(*np.searchsorted(spread.index, [line, line + 1]))
        mrr[own] = _after_credits(good.loc[line], spread["month"].iloc[own], mrr[own])
    spread["mrr"] = mrr
    revenue = spread.groupby(["account_id", "month"])["mrr"].sum().reset_index()
    revenue["mrr"] = revenue["mrr"].where(revenue["mrr"].abs() >= _NOTHING, 0.0).round(4) + 0.0
    return revenue[["account_id", "month", "mrr"]], refused.sort_values("row", ignore_index=True)


def _after_credits(line: pd.Series, months: pd.Series, mrr: np.ndarray) -> np.ndarray:
    """The MRR of a line in each of its months, once its credits were taken off, in their order."""
    left = mrr.copy()
    length = line["end"] - line["start"]
    for credit in sorted(line["credits"], key=lambda c: c.at or pd.Timestamp.min):
        over = np.zeros(len(left), dtype=bool)
        if credit.at is not None and len(left) > 1:
            ended = line["end"] - length * min(credit.share, 1.0)
            if abs(ended - credit.at) <= length / 12:
                left[months + pd.offsets.MonthBegin(1) > ended] = 0.0
                continue
            over = (months < credit.at.to_period("M").to_timestamp()).to_numpy()
        taken = credit.share * mrr.sum()
        for part in (~over, over):
            there = left[part].sum()
            if there > 0:
                left[part] *= 1 - min(taken / there, 1.0)
                taken = max(taken - there, 0.0)
    return left


def length_in_months(lines: pd.DataFrame) -> pd.Series:
    """How many months the period of each line is.

    A period that is one billing interval from either of its ends is that interval, however many
    days its months have; a shorter or longer one is the share that its days are of the interval
    which ends with it, as billing systems prorate. A year has 52 weeks and 365 days.
    """
    start, end = lines["start"], lines["end"]
    days = (end - start).dt.total_seconds() / _DAY
    count = lines["interval_count"].astype("float64")
    guessed = (days / _MONTH_IN_DAYS).round().clip(lower=1)
    interval = count.fillna(guessed).clip(lower=1).round()
    short = lines["interval"].isin(_IN_DAYS)
    per_day = {name: _IN_MONTHS[name] / of for name, of in _IN_DAYS.items()}
    length = days * lines["interval"].map(per_day).astype("float64")
    for months in interval[~short].unique():
        own = interval.index[(interval == months) & ~short]
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
