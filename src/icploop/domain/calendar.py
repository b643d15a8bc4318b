"""Time as the project means it: as-of days, months, horizons, and what a day could have seen.

A day stands for its end: as-of 2024-03-31 has seen all that is dated 2024-03-31, and March's
revenue.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from icploop.domain.tables import CONTRACTS, Tables
from icploop.errors import UsageError
from icploop.settings import TABLES, TableName

# Outside of these, months before or after a day could not be counted any more.
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)


def parse_day(text: str) -> date:
    """The day in `text` (YYYY-MM-DD). Raises UsageError for anything else, and as `known_day`."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a day; write it as YYYY-MM-DD") from error
    return known_day(day)


def known_day(day: date) -> date:
    """The day itself. Raises UsageError where it lies centuries away."""
    if not FIRST_DAY <= day <= LAST_DAY:
        raise UsageError(f"{day} is too far away; give a day from {FIRST_DAY} to {LAST_DAY}")
    return day


def end_of(day: date) -> pd.Timestamp:
    """The first moment that `day` has not seen."""
    return pd.Timestamp(day) + pd.Timedelta(days=1)


def last_moment(day: date) -> pd.Timestamp:
    """The last moment that `day` has seen."""
    return end_of(day) - pd.Timedelta(microseconds=1)


def month_number(moments: pd.Series) -> pd.Series:
    """Months since year 0, so that months can be subtracted; missing where the moment is."""
    return (moments.dt.year * 12 + moments.dt.month - 1).astype("float64")


def month_start(number: int) -> date:
    """The first day of the month with this number (the inverse of `month_number`)."""
    return date(number // 12, number % 12 + 1, 1)


def last_ended_month(day: date) -> int:
    """The number of the newest month that has ended by the end of `day`."""
    after = end_of(day)
    return after.year * 12 + after.month - 2


def seen_by(tables: Tables, day: date) -> Tables:
    """What `day` could have seen of the tables, and nothing else.

    Deals created by then with their outcome if closed by then (open otherwise), revenue of months
    that ended by then, account rows observed by then (undated ones count as always known), signals
    up to then; where a source has said something else of them since, what it said then. Changing
    anything dated later changes no byte of the result: columns that only later rows fill are left
    out, and rows are in the order of their keys.
    """
    seen = seen_in_any_order(tables, day)
    return replace(
        seen,
        accounts=settled(seen.accounts, "accounts"),
        deals=settled(seen.deals, "deals"),
        revenue=settled(seen.revenue, "revenue"),
        signals=settled(seen.signals, "signals"),
    )


def seen_in_any_order(tables: Tables, day: date) -> Tables:
    """As `seen_by`, with rows as they are stored: enough for sums, and soon done for many rows."""
    limit = end_of(day)
    stated = {name: _as_stated_on(tables, name, day) for name in TABLES}
    accounts, revenue, signals = (stated[name] for name in ("accounts", "revenue", "signals"))
    deals = stated["deals"][stated["deals"]["created_at"] < limit].copy()
    still_open = ~(deals["closed_at"] < limit)
    deals.loc[still_open, "outcome"] = "open"
    deals.loc[still_open, "closed_at"] = pd.NaT
    after = pd.Timestamp(month_start(last_ended_month(day) + 1))
    return Tables(
        accounts=accounts[accounts["observed_at"].isna() | (accounts["observed_at"] < limit)],
        deals=deals,
        revenue=revenue[revenue["month"] < after],
        signals=signals[signals["at"] < limit],
        prepaid=_prepaid(tables.known.ahead, day),
    )


def _as_stated_on(tables: Tables, name: TableName, day: date) -> pd.DataFrame:
    """The table as its sources gave it on `day`, as far as former rows tell."""
    table: pd.DataFrame = getattr(tables, name)
    former = tables.known.former.get(name)
    if former is None or former.empty:
        return table
    today, key = pd.Timestamp(day), list(CONTRACTS[name].key)
    held = former[(former["_until"] > today) & ~(former["_since"] > today)]
    if key:
        later = former.loc[former["_replaced_on"] > today, key].drop_duplicates()
        table = table[~_are_among(table, later, key)]
    held = held.drop(columns=["_since", "_until", "_replaced_on"])
    if held.empty or table.empty:
        return held if table.empty and len(held) else table
    return pd.concat([table, held], ignore_index=True)


def _are_among(table: pd.DataFrame, few: pd.DataFrame, key: list[str]) -> np.ndarray:
    """Which rows of a table, which may be long, have one of a few keys."""
    found = np.array(table[key[0]].isin(few[key[0]].unique()))
    if found.any():
        named = table.loc[found, key].astype({key[0]: "str"})
        met = named.merge(few.astype({key[0]: "str"}), on=key, how="left", indicator=True)
        found[found] = (met["_merge"] == "both").to_numpy()
    return found


def _prepaid(ahead: pd.DataFrame | None, day: date) -> dict[str, tuple[float, float]]:
    """Of which months (first and last) the revenue of an account had been stored long before.

    Of all, where months that are still to come are known on `day`: who has paid for them has no
    bill that could be missing.
    """
    if ahead is None:
        return {}
    known = ahead[ahead["came_on"] <= pd.Timestamp(day)]
    spans = known.groupby("account_id").agg({"first": "min", "last": "max"})
    now = last_ended_month(day)
    return {
        str(account): (-math.inf, math.inf) if last > now else (float(first), float(last))
        for account, first, last in spans.itertuples()
    }


def settled(table: pd.DataFrame, name: TableName) -> pd.DataFrame:
    """The table in an order, and with columns, that depend on nothing but its own rows."""
    canonical = CONTRACTS[name].columns
    extra = [c for c in table.columns if c not in canonical and table[c].notna().any()]
    known = table[canonical + sorted(extra)].copy()
    for column in extra:
        known[column] = _typed_by_itself(known[column])
    for column in CONTRACTS[name].texts:
        if isinstance(known[column].dtype, pd.CategoricalDtype):
            known[column] = known[column].cat.remove_unused_categories()
    order = list(CONTRACTS[name].key or ("account_id", "at", "kind", "value"))
    return known.sort_values(order, kind="stable", na_position="first", ignore_index=True)


def _typed_by_itself(values: pd.Series) -> pd.Series:
    """Later rows that lack a column turn its whole numbers into floats, and its flags too."""
    plain = values.infer_objects()
    is_whole = pd.api.types.is_bool_dtype(plain) or pd.api.types.is_integer_dtype(plain)
    return plain.astype("float64") if is_whole else plain
