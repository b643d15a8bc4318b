"""Point-in-time features: what was known of an account at a moment, and nothing later.

An attribute frame has one column for each declared attribute, typed by its kind: category text,
number float, flag 1.0/0.0, set text `a|b|c`, date float (age in days at the moment). Texts are
pandas categories, so that whatever is asked of a text is worked out once for each distinct one.
Missing values stay missing; what to make of them is the model's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from icploop.domain.tables import read_kind
from icploop.errors import DataError
from icploop.settings import Attribute, Kind

# The kinds whose values are texts: one level, or several with bars between them.
TEXTS: tuple[Kind, ...] = ("category", "set")
# When a row without a date was observed.
LONG_AGO = pd.Timestamp(1900, 1, 1)


@dataclass(frozen=True)
class AttributeHistory:
    """Every row of the accounts table with its declared attributes typed, once for all who ask.

    `values` has a row for each row of the table, by account and in the order in which they were
    observed, and a column for each attribute; `account_id` and `seen` go with it (a row without a
    date was always known).
    """

    account_id: pd.Series
    seen: pd.Series
    values: pd.DataFrame
    attributes: tuple[Attribute, ...]

    @classmethod
    def of(cls, accounts: pd.DataFrame, attributes: Sequence[Attribute]) -> AttributeHistory:
        """The history of the declared attributes.

        Raises DataError for a declared attribute that no account carries.
        """
        if absent := [a.name for a in attributes if a.name not in accounts.columns]:
            there = ", ".join(sorted(set(accounts.columns) - {"observed_at"}))
            raise DataError(
                f"conf/icp.yaml declares `{absent[0]}`, but no account has a value for it that can "
                f"be read by this day; add a column `{absent[0]}` to the accounts (columns there: "
                f"{there}), see what `icp ingest` said of its cells, or take it out of dimensions"
            )
        # Undated rows sort before every dated one: they count as always known.
        ordered = accounts.sort_values(
            ["account_id", "observed_at"], kind="stable", na_position="first", ignore_index=True
        )
        return cls(
            ordered["account_id"],
            ordered["observed_at"].fillna(LONG_AGO),
            pd.DataFrame({a.name: _typed(ordered[a.name], a.kind) for a in attributes}),
            tuple(attributes),
        )

    def at(self, moments: pd.DataFrame) -> pd.DataFrame:
        """The attributes of each account as last recorded at or before a moment.

        `moments` has the columns account_id and at; the result has its index. An attribute's value
        is the last one given with observed_at <= at (an empty cell of a later row says nothing).
        """
        row = self._last_row(moments)
        found = {}
        for attribute in self.attributes:
            values = self.values[attribute.name].array.take(
                self._last_given[attribute.name][row], allow_fill=True
            )
            if attribute.kind == "date":
                age = moments["at"] - pd.Series(values, index=moments.index)
                values = age.dt.total_seconds() / 86_400
            found[attribute.name] = values
        return pd.DataFrame(found, index=moments.index)

    def _last_row(self, moments: pd.DataFrame) -> np.ndarray:
        """The last row of each account by its moment, -1 where there is none."""
        account = self._ids.get_indexer(moments["account_id"])
        days, day_of_row = self._days
        at = moments["at"].to_numpy(dtype="datetime64[us]")
        day = np.searchsorted(days, at, side="right") - 1
        # Rows are in the order of accounts and days, so one number stands for both.
        keys = self._account_of_row * len(days) + day_of_row
        row = np.searchsorted(keys, account * len(days) + day, side="right") - 1
        known = (account >= 0) & (day >= 0) & (row >= 0) & ~np.isnat(at)
        known[known] = self._account_of_row[row[known]] == account[known]
        return np.where(known, row, -1)

    @cached_property
    def _ids(self) -> pd.Index:
        return pd.Index(self.account_id.unique())

    @cached_property
    def _account_of_row(self) -> np.ndarray:
        return self._ids.get_indexer(self.account_id)

    @cached_property
    def _days(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct moments at which something was observed, and which of them a row's is."""
        return np.unique(self.seen.to_numpy(dtype="datetime64[us]"), return_inverse=True)

    @cached_property
    def _last_given(self) -> dict[str, np.ndarray]:
        """For each row the last one of its account that has a value, -1 for none; and -1 last."""
        rows = np.arange(len(self.account_id))
        first = np.searchsorted(self._account_of_row, self._account_of_row, side="left")
        last = {}
        for name in self.values:
            given = np.maximum.accumulate(np.where(self.values[name].notna(), rows, -1))
            last[str(name)] = np.append(np.where(given >= first, given, -1), -1)
        return last


def attributes_at(
    accounts: pd.DataFrame, moments: pd.DataFrame, attributes: Sequence[Attribute]
) -> pd.DataFrame:
    """The declared attributes of each account as last recorded at or before a moment.

    For who asks once; see `AttributeHistory`.
    """
    return AttributeHistory.of(accounts, attributes).at(moments)


def attributes_in(
    frame: pd.DataFrame, at: pd.Timestamp, attributes: Sequence[Attribute]
) -> pd.DataFrame:
    """The attribute frame of accounts that come as one row each, with dates aged at `at`.

    A declared attribute that the frame lacks is missing for every account.
    """
    columns = {}
    for attribute in attributes:
        given = frame.get(attribute.name, pd.Series(None, index=frame.index, dtype="str"))
        values = _typed(given, attribute.kind)
        if attribute.kind == "date":
            values = (at - values).dt.total_seconds() / 86_400
        columns[attribute.name] = values
    return pd.DataFrame(columns, index=frame.index)


def coverage(features: pd.DataFrame) -> pd.Series:
    """The share of declared attributes that each account has, 0 to 1."""
    return features.notna().mean(axis=1).astype("float64")


def _typed(values: pd.Series, kind: Kind) -> pd.Series:
    """The values by kind, texts as categories in order; each distinct cell is read once."""
    # Lists cannot be told apart, and numbers and moments are hardly ever the same twice.
    if not isinstance(values.dtype, pd.StringDtype):
        read = read_kind(values, kind)
        return read.astype("category") if kind in TEXTS else read
    codes, cells = pd.factorize(values)
    read = read_kind(pd.Series(cells, dtype="str"), kind)
    if kind in TEXTS:
        read = read.astype("category")
    return pd.Series(read.array.take(codes, allow_fill=True), index=values.index)
