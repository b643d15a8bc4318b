"""What was understood of a company's exports, in sums that a person can hold against a dashboard.

And what looks wrong by itself, as findings: nothing here changes a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from icploop.domain.billing import Billed, DataAge, billed
from icploop.domain.calendar import last_ended_month, month_number, month_start
from icploop.domain.cells import spelling_key
from icploop.domain.findings import Finding
from icploop.domain.outcomes import LeftOut, number_of
from icploop.domain.tables import Tables
from icploop.settings import Attribute, Freshness, TableName

# Twelve times the first month against ACV: a factor that no ramp or discount explains.
_UNLIKE = 3.0
_FEWEST_WINS = 5
# MRR of a month against the one before, among so many customers at least, in the last two years.
_JUMP = 0.5
_FEWEST_CUSTOMERS = 10
_LOOKED_BACK = 24
# More children than any company has that sells to one another's parents: so many, or such a share
# of all accounts where that is more than a large family.
_CROWD, _FAMILY, _CROWDED = 100, 20, 0.05
_SHOWN = 5
_UNMATCHED = 0.05
# Of the customers so many may have no deal that won them.
_MANY = 0.1
_HALF = 0.5
_YEAR = 12


@dataclass(frozen=True)
class Sums:
    """Revenue as a dashboard would show it: all customers, whatever deal won them.

    `mrr` and `customers` (who pay) are of the last complete month; `nrr` and `grr` say what who
    paid a year before pays now (ratios). None where there is no such month.
    """

    first_month: date | None
    last_complete_month: date | None
    why: str
    mrr: float | None
    customers: int | None
    nrr: float | None
    grr: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        months = {
            name: None if month is None else f"{month:%Y-%m}"
            for name, month in (
                ("first_month", self.first_month),
                ("last_complete_month", self.last_complete_month),
            )
        }
        return asdict(self) | months


@dataclass(frozen=True)
class Understood:
    """The sums of what a day sees, and what looks wrong in it."""

    sums: Sums
    findings: tuple[Finding, ...]


def understood(seen: Tables, day: date, freshness: Freshness) -> Understood:
    """What is understood of the tables as `day` sees them."""
    how_far, numbers = billed(seen), month_number(seen.revenue["month"])
    found = [
        *_incomplete(how_far, day),
        *_stale(seen, day, how_far, freshness),
        *_jumps(seen.revenue, numbers, how_far),
        *_one_customer(seen.revenue, numbers, how_far),
        *_unlike_acv(seen, numbers),
        *crowds(seen.accounts),
    ]
    return Understood(_sums(seen.revenue, numbers, how_far), tuple(found))


def of_remarks(table: TableName, remarks: Counter[tuple[str, str]], currency: str) -> list[Finding]:
    """What was made of good cells of a table, by how many."""
    said = {
        "keys_folded": "{count:,} ids of {table}.{column} were written with other blanks or in "
        "another Unicode form, and were brought to one.",
        "money_converted": "The money of {count:,} rows of {table} was converted into {currency} "
        "by `currencies` in conf/icp.yaml.",
        "acv_annualised": "The acv of {count:,} deals was brought to a year by `{column}`; where "
        "it is a year's already, state `acv_per: year` under tables.deals.",
    }
    return [
        Finding(
            code,
            "note",
            said[code].format(count=count, table=table, column=column, currency=currency),
        )
        for (code, column), count in sorted(remarks.items())
    ]


def spellings(accounts: pd.DataFrame, attributes: Iterable[Attribute]) -> list[Finding]:
    """Categories and sets whose levels are spelled in several ways; each counts as one level."""
    found = []
    for attribute in attributes:
        if attribute.kind not in ("category", "set") or attribute.name not in accounts:
            continue
        texts = pd.Series(accounts[attribute.name].dropna().unique(), dtype="str")
        if attribute.kind == "set":
            texts = texts.str.split("|").explode()
        spelled = pd.Series(texts.unique())
        levels = spelled.map(spelling_key)
        again = levels[levels.duplicated()].unique()
        if not len(again):
            continue
        shown = [" = ".join(sorted(spelled[levels == level])) for level in again[:_SHOWN]]
        more = f"; and {len(again) - len(shown)} more" if len(again) > len(shown) else ""
        found.append(
            Finding(
                "spellings_folded",
                "note",
                f"{attribute.name}: {len(spelled):,} spellings, {levels.nunique():,} levels "
                f"({'; '.join(shown)}{more}). Each is one level; the commonest spelling is shown.",
            )
        )
    return found


def unmatched_money(matched: float, unmatched: float) -> list[Finding]:
    """Where more than a twentieth of the money that is billed belongs to no account."""
    total = matched + unmatched
    if not total or unmatched / total <= _UNMATCHED:
        return []
    return [
        Finding(
            "unmatched_money",
            "warning",
            f"{unmatched:,.0f} of {total:,.0f} billed ({unmatched / total:.0%}) belong to no "
            "account: give billing `domain` and `name`, or say who is who under identity.aliases.",
        )
    ]


def many_left_out(motion: str, found: LeftOut) -> list[Finding]:
    """Where more than a tenth of the customers count in no motion."""
    nowhere = found.reasons["already_customer"] + found.reasons["no_won_deal"]
    if not found.customers or nowhere / found.customers <= _MANY:
        return []
    return [
        Finding(
            "left_out",
            "warning",
            f"Motion {motion}: {found} See outcome.acquired_again_after_months and "
            "outcome.billed_before_deal_months, and whether deals are missing.",
        )
    ]


def _sums(revenue: pd.DataFrame, numbers: pd.Series, how_far: Billed) -> Sums:
    if how_far.last is None:
        return Sums(None, None, how_far.why, None, None, None, None)
    now = _paying(revenue, numbers, how_far.last)
    before = _paying(revenue, numbers, how_far.last - _YEAR)
    start = float(before.sum())
    later = now.reindex(before.index).fillna(0.0)
    return Sums(
        first_month=month_start(int(numbers.min())),
        last_complete_month=month_start(how_far.last),
        why=how_far.why,
        mrr=float(now.sum()),
        customers=len(now),
        nrr=float(later.sum()) / start if start else None,
        grr=float(np.minimum(later, before).sum()) / start if start else None,
    )


def _paying(revenue: pd.DataFrame, numbers: pd.Series, month: int) -> pd.Series:
    """The MRR of a month by account, where it is more than nothing."""
    rows = revenue[(numbers == month).to_numpy() & (revenue["mrr"] > 0).to_numpy()]
    return pd.Series(rows["mrr"].to_numpy(), index=rows["account_id"].astype("str"))


def _incomplete(how_far: Billed, day: date) -> list[Finding]:
    if how_far.last is None or not how_far.missing or how_far.last >= last_ended_month(day):
        return []
    return [
        Finding(
            "incomplete_month",
            "warning",
            f"Revenue is complete until {month_start(how_far.last):%Y-%m} only: {how_far.why} "
            "Nobody's outcome needs a later month before it is complete.",
        )
    ]


def _stale(seen: Tables, day: date, how_far: Billed, rule: Freshness) -> list[Finding]:
    found = DataAge.of(seen, day, how_far).finding(rule)
    return [found] if found else []


def _jumps(revenue: pd.DataFrame, numbers: pd.Series, how_far: Billed) -> list[Finding]:
    if how_far.last is None:
        return []
    first = int(numbers.min())
    places = (numbers - first).to_numpy().astype("int64")
    mrr = np.bincount(places, revenue["mrr"].to_numpy())
    customers = np.bincount(places, (revenue["mrr"] > 0).to_numpy())
    told = []
    last = how_far.last - first
    for month in range(max(last - _LOOKED_BACK + 1, 1), last + 1):
        before, now = mrr[month - 1], mrr[month]
        few = customers[month - 1] < _FEWEST_CUSTOMERS
        if few or not before or abs(now / before - 1) <= _JUMP:
            continue
        told.append(
            f"{month_start(first + month):%Y-%m} ({before:,.0f} to {now:,.0f}, customers "
            f"{customers[month - 1]:.0f} to {customers[month]:.0f})"
        )
    if not told:
        return []
    return [
        Finding(
            "month_jump",
            "warning",
            f"MRR changes by more than half in a month: {', '.join(told)}. Check whether bills are "
            "missing or counted twice there, or whether invoices for a year stand in one month.",
        )
    ]


def _one_customer(revenue: pd.DataFrame, numbers: pd.Series, how_far: Billed) -> list[Finding]:
    if how_far.last is None:
        return []
    paying = _paying(revenue, numbers, how_far.last)
    if len(paying) < _FEWEST_WINS or paying.max() <= _HALF * paying.sum():
        return []
    return [
        Finding(
            "one_customer",
            "warning",
            f"{paying.idxmax()!r} pays {paying.max() / paying.sum():.0%} of the MRR of "
            f"{month_start(how_far.last):%Y-%m}: NRR is that of one customer. Check its unit and "
            "currency, and whether several customers share its id.",
        )
    ]


def _unlike_acv(seen: Tables, numbers: pd.Series) -> list[Finding]:
    """Twelve times the first month that is billed against the ACV of the deal that was won."""
    won = seen.deals[(seen.deals["outcome"] == "won") & (seen.deals["acv"] > 0)]
    won = won.sort_values(["created_at", "deal_id"]).drop_duplicates("account_id")
    created = pd.Series(month_number(won["created_at"]).to_numpy(), index=won["account_id"])
    mrr = _first_paid(seen.revenue, numbers.to_numpy(), created)
    ratio = (12 * number_of(won["account_id"], mrr) / won["acv"]).dropna()
    if len(ratio) < _FEWEST_WINS or 1 / _UNLIKE <= ratio.median() <= _UNLIKE:
        return []
    return [
        Finding(
            "unlike_acv",
            "warning",
            f"Twelve times the first month billed is {ratio.median():.3g} times the ACV for half "
            f"of the {len(ratio)} billed wins: either revenue is not MRR (invoices for a year "
            "belong spread over their months), or acv is not money a year.",
        )
    ]


def _first_paid(revenue: pd.DataFrame, months: np.ndarray, since: pd.Series) -> pd.Series:
    """What each account pays in the first month that it pays for since some month, by account.

    Revenue may be long: accounts are numbers here.
    """
    account, names = pd.factorize(revenue["account_id"])
    mrr = revenue["mrr"].to_numpy()
    begins = since.reindex(pd.Index(names).astype("str")).to_numpy()
    paid = np.flatnonzero((mrr > 0) & (months >= begins[account]))
    first = np.full(len(names), np.inf)
    np.minimum.at(first, account[paid], months[paid])
    rows = paid[months[paid] == first[account[paid]]]
    return pd.Series(mrr[rows], index=pd.Index(names).astype("str")[account[rows]])


def crowds(accounts: pd.DataFrame) -> list[Finding]:
    """Values of `parent_id` or `domain` that more accounts share than a family has, by name."""
    found = []
    enough = min(_CROWD, max(_FAMILY, _CROWDED * accounts["account_id"].nunique()))
    for column in ("parent_id", "domain"):
        members = accounts.dropna(subset=[column]).groupby(column)["account_id"].nunique()
        crowds = members[members > enough].sort_values(ascending=False, kind="stable")
        found += [f"{column} {name!r} ({count:,})" for name, count in crowds.items()]
    if not found:
        return []
    return [
        Finding(
            "crowded_parent",
            "warning",
            f"Many accounts share one value: {', '.join(found[:_SHOWN])}. As one family they stand "
            "on one side of training and holdout, and have one place on the list; if the value "
            "means nothing, say `nothing: {parent_id: [...]}` under tables.accounts of the source.",
        )
    ]
