"""What a source hands on: raw rows under canonical column names, before any rule is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from icploop.domain.tables import read_text
from icploop.errors import DataError
from icploop.io.staging import KeptRows
from icploop.settings import MappedTable, TableName

Change = Callable[[pd.DataFrame], pd.DataFrame]


def _none_unreadable() -> pd.DataFrame:
    return pd.DataFrame(columns=["row", "rule", "value"])


@dataclass(frozen=True)
class RawTable:
    """Rows of one table as the source has them.

    The index is the row's number in the source, from 1. `unreadable` are lines that could not be
    split into cells: columns row, rule, value (the line itself).
    """

    table: TableName
    origin: str
    rows: pd.DataFrame
    dates: str | None = None
    unreadable: pd.DataFrame = field(default_factory=_none_unreadable)

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self) -> Iterator[pd.DataFrame]:
        """All rows, at once."""
        yield self.rows

    def every(self, step: int) -> pd.DataFrame:
        """Each `step`-th row, from the first on."""
        return self.rows.iloc[::step]

    def changed(self, change: Change) -> RawTable:
        """The table with its rows changed, row by row."""
        return replace(self, rows=change(self.rows))


@dataclass(frozen=True)
class TableInParts:
    """Rows of one table that is too large to be held at once; otherwise as `RawTable`."""

    table: TableName
    origin: str
    kept: KeptRows
    change: Change
    dates: str | None = None
    unreadable: pd.DataFrame = field(default_factory=_none_unreadable)

    def __len__(self) -> int:
        return self.kept.count

    def parts(self) -> Iterator[pd.DataFrame]:
        """All rows, by parts; one empty part where there are none."""
        return map(self._as_given, self.kept.parts())

    def every(self, step: int) -> pd.DataFrame:
        """Each `step`-th row, from the first on."""
        return self._as_given(self.kept.every(step))

    def at(self, numbers: np.ndarray) -> pd.DataFrame:
        """The rows with these numbers, in order."""
        left_out = np.searchsorted(self._unreadable_rows(), numbers)
        return self._as_given(self.kept.at(numbers - 1 - left_out))

    def changed(self, change: Change) -> TableInParts:
        """The table with its rows changed, row by row, when they are read."""
        before = self.change
        return replace(self, change=lambda rows: change(before(rows)))

    def _as_given(self, rows: pd.DataFrame) -> pd.DataFrame:
        # Lines that could not be read have their numbers too, and leave gaps.
        gaps = self._unreadable_rows()
        readable_before = gaps - np.arange(len(gaps))
        number = rows.index.to_numpy() + 1
        rows.index = pd.Index(number + np.searchsorted(readable_before, number, side="right"))
        return self.change(rows)

    def _unreadable_rows(self) -> np.ndarray:
        rows = np.unique(self.unreadable["row"].to_numpy(dtype="int64"))
        return rows[rows >= 1]


GivenTable = RawTable | TableInParts


def mapped(rows: pd.DataFrame, table: TableName, source: MappedTable, place: str) -> pd.DataFrame:
    """Rename columns and values as the settings say.

    Raises DataError for a mapped column that is absent, or a name that stands for two columns.
    """
    if not rows.columns.is_unique:
        twice = rows.columns[rows.columns.duplicated()][0]
        raise DataError(
            f"{place}: tables.{table} has two columns `{twice}`; select one, or rename one with AS"
        )
    for canonical, own in source.columns.items():
        if own not in rows.columns:
            raise DataError(
                f"{place}: tables.{table}.columns maps `{canonical}` to `{own}`, which is not "
                f"there; columns found: {', '.join(map(str, rows.columns))}"
            )
    # A source column that already bears a canonical name gives way to the one that is mapped to it;
    # one source column may serve two canonical ones.
    spent = {*source.columns, *source.columns.values()}
    renamed = rows[[c for c in rows.columns if c not in spent]].assign(
        **{canonical: rows[own] for canonical, own in source.columns.items()}
    )
    for column, words in source.words.items():
        if column not in renamed.columns:
            raise DataError(
                f"{place}: tables.{table}.values names `{column}`, which is not a column after "
                f"mapping; columns there: {', '.join(map(str, renamed.columns))}"
            )
        text = read_text(renamed[column])
        renamed[column] = text.map(lambda word, words=words: words.get(word, word), "ignore")
    return renamed
