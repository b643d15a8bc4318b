"""What the amounts of a billing export are: MRR by month, ARR, or bills for several months."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from icploop.domain.guess.looks import Column
from icploop.domain.guess.tables import Found
from icploop.domain.guess.words import INTERVALS, NOT_BILLED, ONE_TIME, phrase

# Bills of one customer that follow each other after so many months, for most of them.
_TERMS = (1, 3, 6, 12, 24, 36)
_MOST = 0.7
_FEW = 0.05
_FEWEST_GAPS = 10
# A month's row times twelve against the ACV, or the row itself.
_LIKE = 0.5


@dataclass(frozen=True)
class Bills:
    """What amounts are, and why.

    `what` is `mrr` (a row a month), `arr` (a row a month, of what a year brings) or `bills` (each
    for a time). A bill is for `spread` months: as many (a number), as a column says (`months`), or
    until a column's day (`until`). `words` map words of an interval to months, and `unsure` says
    what a person should look at.
    """

    what: Literal["mrr", "arr", "bills"]
    why: str
    spread: int | Literal["months", "until"] | None = None
    words: Mapping[str, int] | None = None
    by_customer: Mapping[str, int] | None = None
    unsure: str = ""


def bills_of(found: Found, starting_acv: Mapping[str, float]) -> Bills:
    """What the amounts of an export are. `starting_acv` is the ACV of each customer, by its key."""
    if found.months:
        return _rows_of_months(found, starting_acv, "a column a month")
    if (until := found.roles.get("until")) is not None:
        covered = _months_between(found.roles["month"].moments(), until.moments())
        told = _counted(covered)
        return Bills("bills", f"`{until.name}` says until when each is for: {told}", "until")
    if (months := found.roles.get("months")) is not None:
        return Bills("bills", f"`{months.name}` says for how many months", "months")
    interval = found.roles.get("interval")
    if interval is not None and (words := _interval_words(interval)):
        told = ", ".join(
            f"{word} ({interval.counts[word]:,})" for word in list(interval.counts.index)[:4]
        )
        return Bills("bills", f"`{interval.name}` says for how long: {told}", "months", words)
    return _by_gaps(found, starting_acv)


def _rows_of_months(found: Found, acv: Mapping[str, float], why: str) -> Bills:
    named = phrase(found.roles["mrr"].name) if "mrr" in found.roles else ""
    if {"arr", "annual"} & {*named.split()}:
        return Bills("arr", f"{why}, and `{found.roles['mrr'].name}` is named like ARR")
    ratio = _against_acv(found, acv)
    if ratio is not None and abs(np.log(ratio)) < _LIKE:
        return Bills(
            "arr", f"{why}, and the first amount is as much as the ACV for the median customer"
        )
    told = why if ratio is None else f"{why}; twelve times the first amount is {12 * ratio:.2f} ACV"
    return Bills("mrr", told)


def _by_gaps(found: Found, acv: Mapping[str, float]) -> Bills:
    keys = found.keys[0] if found.link is None else found.link.own
    moments = found.roles["month"].moments()
    amounts = found.roles["mrr"].amounts()
    rows = pd.DataFrame({"who": keys.texts, "at": moments, "amount": amounts}).dropna()
    rows = rows[rows["amount"] > 0]
    rows["month"] = rows["at"].dt.year * 12 + rows["at"].dt.month
    each = rows.drop_duplicates(["who", "month"]).sort_values(["who", "month"])
    gaps = each.groupby("who")["month"].diff().dropna()
    is_first_day = bool(rows["at"].dt.day.eq(1).mean() > 0.98)
    ratio = _against_acv(found, acv)
    if len(gaps) < _FEWEST_GAPS:
        if ratio is not None and abs(np.log(ratio)) < _LIKE:
            return Bills("bills", "a row a customer, of about the ACV of its deal", 12)
        return _monthly(found, acv, is_first_day, "few customers have a second row")
    shares = {term: float((gaps - term).abs().le(1 if term > 3 else 0).mean()) for term in _TERMS}
    term = max(shares, key=lambda one: shares[one])
    told = f"{shares[term]:.0%} of a customer's rows follow {term} months after the one before"
    if term == 1 and shares[1] >= 1 - _FEW:
        return _monthly(found, acv, is_first_day, told)
    by_customer = _own_terms(each, term)
    if len(set(by_customer.values())) > 1:
        counted = pd.Series(by_customer).value_counts()
        several = ", ".join(f"{n} customers every {m} months" for m, n in counted.items())
        if counted.drop(1, errors="ignore").sum() >= 3 and counted.min() >= _FEW * counted.sum():
            return Bills(
                "bills",
                f"bills come at several distances: {several}",
                "months",
                by_customer=by_customer,
            )
    if term == 1:
        return _monthly(found, acv, is_first_day, told)
    return Bills(
        "bills", told, term, unsure="" if shares[term] >= _MOST else "many rows follow otherwise"
    )


def _monthly(found: Found, acv: Mapping[str, float], is_first_day: bool, why: str) -> Bills:
    rows = _rows_of_months(found, acv, why)
    if rows.what == "mrr" and not is_first_day:
        return Bills("bills", f"{rows.why}; the days are not the first of a month", 1)
    return rows


def _own_terms(each: pd.DataFrame, usual: int) -> dict[str, int]:
    """How many months lie between the bills of each customer; as usual where there is one bill."""
    middle = each.assign(gap=each.groupby("who")["month"].diff()).groupby("who")["gap"].median()

    def nearest(gap: float) -> int:
        return usual if np.isnan(gap) else min(_TERMS, key=lambda term: abs(np.log(gap / term)))

    return {str(who): nearest(gap) for who, gap in middle.items()}


def _against_acv(found: Found, acv: Mapping[str, float]) -> float | None:
    """The median of the first amount of a customer over the ACV of its deal; None without any."""
    keys = found.keys[0] if found.link is None else found.link.own
    if found.months:
        wide = pd.DataFrame({m: found.export.columns[m].amounts() for m in found.months})
        first = wide.where(wide > 0).bfill(axis=1).iloc[:, 0]
    else:
        order = found.roles["month"].moments().sort_values(kind="stable").index
        first = found.roles["mrr"].amounts().where(lambda a: a > 0).loc[order]
    known = pd.DataFrame({"first": first, "who": keys.texts.loc[first.index]}).dropna()
    known = known.drop_duplicates("who")
    ratio = (known["first"] / known["who"].map(acv)).replace([np.inf, -np.inf], np.nan).dropna()
    return float(ratio.median()) if len(ratio) >= _FEWEST_GAPS else None


def _months_between(start: pd.Series, end: pd.Series) -> pd.Series:
    days = (end - start).dt.days.dropna()
    return (days / 30.4375).round().clip(lower=1).astype("int64")


def _counted(months: pd.Series) -> str:
    counts = months.value_counts().head(3)
    return ", ".join(f"{n:,} for {m} month{'s' * (m != 1)}" for m, n in counts.items())


def _interval_words(column: Column) -> dict[str, int]:
    """The months of each word; empty where a word says nothing."""
    words = {}
    for text in map(str, column.counts.index):
        months = [m for m, known in INTERVALS.items() if phrase(text) in known]
        if not months:
            return {}
        words[text] = months[0]
    return words


def nobody_owes(column: Column) -> list[str]:
    """The states of bills that nobody owes."""
    return [str(text) for text in column.counts.index if phrase(str(text)) in NOT_BILLED]


def does_not_recur(column: Column) -> list[str]:
    """The kinds of lines that are billed once; none where that would be all of them."""
    once = [str(text) for text in column.counts.index if phrase(str(text)) in ONE_TIME]
    return once if len(once) < len(column.counts) else []
