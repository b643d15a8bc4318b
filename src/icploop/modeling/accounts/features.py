"""Point-in-time features: what was known of an account at a moment, and nothing later.

An attribute frame has one column for each declared attribute, typed by its kind: category text,
number float, flag 1.0/0.0, set text `a|b|c`, date float (age in days at the moment). Missing
values stay missing; what to make of them is the model's business.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from icploop.domain.tables import read_kind
from icploop.errors import DataError
from icploop.settings import Attribute


def attributes_at(
    accounts: pd.DataFrame, moments: pd.DataFrame, attributes: Sequence[Attribute]
) -> pd.DataFrame:
    """The declared attributes of each account as last recorded at or before a moment.

    `moments` has the columns account_id and at; the result has its index. An attribute's value is
    the last one given with observed_at <= at (an empty cell of a later row says nothing); rows
    without observed_at count as always known. Raises DataError for a declared attribute that no
    account carries.
    """
    history, values = _typed(accounts, attributes)
    last_known = values.groupby(history["account_id"], sort=False).ffill()
    asked = moments[["account_id", "at"]].assign(position=range(len(moments)))
    # Where nobody is asked about, pandas cannot know that ids are text and moments times.
    asked = asked.astype({"account_id": history["account_id"].dtype, "at": history["seen"].dtype})
    joined = pd.merge_asof(
        asked.sort_values("at", kind="stable"),
        history.sort_values("seen", kind="stable"),
        left_on="at",
        right_on="seen",
        by="account_id",
    ).sort_values("position")
    # Rows are joined, not values: an attribute may bear the name of any column above.
    found = last_known.reindex(joined["row"].fillna(-1).astype("int64")).set_axis(moments.index)
    for attribute in attributes:
        if attribute.kind == "date":
            age = asked["at"] - found[attribute.name]
            found[attribute.name] = age.dt.total_seconds() / 86_400
    return found


def attributes_in(
    frame: pd.DataFrame, at: pd.Timestamp, attributes: Sequence[Attribute]
) -> pd.DataFrame:
    """The attribute frame of accounts that come as one row each, with dates aged at `at`.

    A declared attribute that the frame lacks is missing for every account.
    """
    columns = {}
    for attribute in attributes:
        given = frame.get(attribute.name, pd.Series(None, index=frame.index, dtype="str"))
        values = read_kind(given, attribute.kind)
        if attribute.kind == "date":
            values = (at - values).dt.total_seconds() / 86_400
        columns[attribute.name] = values
    return pd.DataFrame(columns, index=frame.index)


def coverage(features: pd.DataFrame) -> pd.Series:
    """The share of declared attributes that each account has, 0 to 1."""
    return features.notna().mean(axis=1).astype("float64")


def _typed(
    accounts: pd.DataFrame, attributes: Sequence[Attribute]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The history (account_id, seen, row) in its order, and the values of its rows by kind."""
    if absent := [a.name for a in attributes if a.name not in accounts.columns]:
        there = ", ".join(sorted(set(accounts.columns) - {"observed_at"}))
        raise DataError(
            f"conf/icp.yaml declares `{absent[0]}`, but no account has a value for it that can be "
            f"read by this day; add a column `{absent[0]}` to the accounts (columns there: "
            f"{there}), see what `icp ingest` said of its cells, or take it out of dimensions"
        )
    # Undated rows sort before every dated one: they count as always known.
    ordered = accounts.sort_values(
        ["account_id", "observed_at"], kind="stable", na_position="first", ignore_index=True
    )
    seen = ordered["observed_at"].fillna(pd.Timestamp(1900, 1, 1))
    history = pd.DataFrame({"account_id": ordered["account_id"], "seen": seen})
    values = pd.DataFrame({a.name: read_kind(ordered[a.name], a.kind) for a in attributes})
    return history.assign(row=range(len(history))), values
