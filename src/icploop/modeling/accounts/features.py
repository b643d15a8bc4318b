"""Point-in-time features: what was known of an account at a moment, and nothing later.

An attribute frame has one column for each declared attribute, typed by its kind: category text,
number float, flag 1.0/0.0, set text `a|b|c`, date float (age in days at the moment). Texts are
pandas categories, so that whatever is asked of a text is worked out once for each distinct one.
Spellings of one level are one level: compare them by `spelling_key`.
Missing values stay missing; what to make of them is the model's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from icploop.domain.cells import one_spelling, read_kind
from icploop.errors import DataError
from icploop.settings import Attribute, Kind

# The kinds whose values are texts: one level, or several with bars between them.
TEXTS: tuple[Kind, ...] = ("category", "set")
# When a row without a date was observed.
LONG_AGO = pd.Timestamp(1900, 1, 1)


@dataclass(frozen=True)
class AttributeHistory:
    """The accounts table as a history of attributes, each typed once for all who ask for it.

    `accounts` has its rows by account and in the order in which they were observed, and `seen`
    says when each was; one without a date was always known.
    """

    accounts: pd.DataFrame
    seen: pd.Series

    @classmethod
    def of(cls, accounts: pd.DataFrame) -> AttributeHistory:
        """The history that the rows of the accounts table tell, in whatever order they come."""
        # Undated rows sort before every dated one: they count as always known.
        ordered = accounts.sort_values(
            ["account_id", "observed_at"], kind="stable", na_position="first", ignore_index=True
        )
        return cls(ordered, ordered["observed_at"].fillna(LONG_AGO))

    def values(self, attribute: Attribute) -> pd.Series:
        """What each row says of an attribute, by its kind.

        Raises DataError for a declared attribute that no account carries.
        """
        name = attribute.name
        if name not in self.accounts.columns:
            there = ", ".join(sorted(set(self.accounts.columns) - {"observed_at"}))
            raise DataError(
                f"conf/icp.yaml declares `{name}`, but no account has a value for it that can be "
                f"read by this day; add a column `{name}` to the accounts (columns there: {there}),"
                " see what `icp ingest` said of its cells, or take it out of dimensions"
            )
        if attribute not in self._typed:
            self._typed[attribute] = _typed(self.accounts[name], attribute, spelled_as_most=True)
        return self._typed[attribute]

    def at(self, moments: pd.DataFrame, attributes: Sequence[Attribute]) -> pd.DataFrame:
        """The attributes of each account as last recorded at or before a moment.

        `moments` has the columns account_id and at; the result has its index. An attribute's value
        is the last one given with observed_at <= at (an empty cell of a later row says nothing).
        Raises DataError for a declared attribute that no account carries.
        """
        # Where nobody is asked about, pandas cannot know that moments are times.
        at = moments["at"].astype(self.seen.dtype)
        row = self._last_row(moments["account_id"], at.to_numpy(dtype="datetime64[us]"))
        found = {}
        for attribute in attributes:
            given = self._last_given(attribute)[row]
            values = self.values(attribute).array.take(given, allow_fill=True)
            if attribute.kind == "date":
                age = at - pd.Series(values, index=moments.index)
                values = age.dt.total_seconds() / 86_400
            found[attribute.name] = values
        return pd.DataFrame(found, index=moments.index)

    def numbers(self, accounts: pd.Series) -> np.ndarray:
        """The number of each account in the order of their ids, -1 for one that is not known."""
        return self._ids.get_indexer(pd.Index(accounts))

    @cached_property
    def account_of_row(self) -> np.ndarray:
        """The number of each row's account."""
        return self.numbers(self.accounts["account_id"])

    def _last_row(self, accounts: pd.Series, at: np.ndarray) -> np.ndarray:
        """The last row of each account by its moment, -1 where there is none."""
        account = self.numbers(accounts)
        days, day_of_row = self._days
        day = np.searchsorted(days, at, side="right") - 1
        # Rows are in the order of accounts and days, so one number stands for both.
        keys = self.account_of_row * len(days) + day_of_row
        row = np.searchsorted(keys, account * len(days) + day, side="right") - 1
        known = (account >= 0) & (day >= 0) & (row >= 0) & ~np.isnat(at)
        known[known] = self.account_of_row[row[known]] == account[known]
        return np.where(known, row, -1)

    def _last_given(self, attribute: Attribute) -> np.ndarray:
        """For each row the last one of its account that has a value, -1 for none; and -1 last."""
        if attribute not in self._given:
            given = self.values(attribute).notna().to_numpy()
            last = np.maximum.accumulate(np.where(given, np.arange(len(given)), -1))
            self._given[attribute] = np.append(np.where(last >= self._first_row, last, -1), -1)
        return self._given[attribute]

    @cached_property
    def _typed(self) -> dict[Attribute, pd.Series]:
        return {}

    @cached_property
    def _given(self) -> dict[Attribute, np.ndarray]:
        return {}

    @cached_property
    def _ids(self) -> pd.Index:
        return pd.Index(self.accounts["account_id"].unique())

    @cached_property
    def _first_row(self) -> np.ndarray:
        return np.searchsorted(self.account_of_row, self.account_of_row, side="left")

    @cached_property
    def _days(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct moments at which something was observed, and which of them a row's is."""
        return np.unique(self.seen.to_numpy(dtype="datetime64[us]"), return_inverse=True)


@dataclass(frozen=True)
class Altered:
    """Some accounts (their places, which may repeat) with other values of one attribute."""

    attribute: str
    rows: np.ndarray
    values: pd.Series

    def of(self, features: pd.DataFrame) -> pd.DataFrame:
        """Their attribute frame."""
        return features.iloc[self.rows].assign(**{self.attribute: self.values.array})


def attributes_at(
    accounts: pd.DataFrame, moments: pd.DataFrame, attributes: Sequence[Attribute]
) -> pd.DataFrame:
    """The declared attributes of each account as last recorded at or before a moment.

    For who asks once; see `AttributeHistory`.
    """
    return AttributeHistory.of(accounts).at(moments, attributes)


def attributes_in(
    frame: pd.DataFrame, at: pd.Timestamp, attributes: Sequence[Attribute]
) -> pd.DataFrame:
    """The attribute frame of accounts that come as one row each, with dates aged at `at`.

    A declared attribute that the frame lacks is missing for every account.
    """
    columns = {}
    for attribute in attributes:
        given = frame.get(attribute.name, pd.Series(None, index=frame.index, dtype="str"))
        values = _typed(given, attribute)
        if attribute.kind == "date":
            values = (at - values).dt.total_seconds() / 86_400
        columns[attribute.name] = values
    return pd.DataFrame(columns, index=frame.index)


def plain(features: pd.DataFrame) -> pd.DataFrame:
    """An attribute frame with its texts as texts, for whoever takes categories for numbers."""
    texts = features.columns[features.dtypes == "category"]
    return features.astype(dict.fromkeys(texts, "str"))


def coverage(features: pd.DataFrame) -> pd.Series:
    """The share of declared attributes that each account has, 0 to 1."""
    return features.notna().mean(axis=1).astype("float64")


def _typed(values: pd.Series, attribute: Attribute, *, spelled_as_most: bool = False) -> pd.Series:
    """The values by kind, texts as categories in order; each distinct cell is read once.

    Spellings of one level (`Retail`, `RETAIL`) may become that which most cells have.
    """
    kind, how = attribute.kind, attribute.format
    # Lists cannot be told apart, and numbers and moments are hardly ever the same twice.
    if not isinstance(values.dtype, pd.StringDtype):
        read = read_kind(values, kind, how)
    else:
        codes, cells = pd.factorize(values)
        read = read_kind(pd.Series(cells, dtype="str"), kind, how)
        read = pd.Series(read.array.take(codes, allow_fill=True), index=values.index)
    if kind not in TEXTS:
        return read
    return (one_spelling(read, kind) if spelled_as_most else read).astype("category")
