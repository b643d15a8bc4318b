"""What a source hands on: raw rows under canonical column names, before any rule is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from icploop.domain.cells import as_text, read_text
from icploop.domain.tables import CONTRACTS
from icploop.errors import DataError
from icploop.io.warehouse.staging import CodedRows
from icploop.settings import MappedTable, TableName
from icploop.settings.formats import AS_IT_IS, TableFormat

Change = Callable[[pd.DataFrame], pd.DataFrame]


# The end of a moment that says how far it is from UTC.
_OFFSET = r"\d[T ]\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"


def _none_unreadable() -> pd.DataFrame:
    return pd.DataFrame(columns=["row", "rule", "value"])


@dataclass(frozen=True)
class RawTable:
    """Rows of one table as the source has them.

    The index is the row's number in the source, from 1. `formats` says how cells are written.
    `unreadable` are lines that could not be split into cells: columns row, rule, value (the line
    itself). `told` says what was made of the source that nobody stated.
    """

    table: TableName
    origin: str
    rows: pd.DataFrame
    formats: TableFormat = AS_IT_IS
    unreadable: pd.DataFrame = field(default_factory=_none_unreadable)
    told: tuple[str, ...] = ()

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
    """Rows of one table that is too large to be held at once; otherwise as `RawTable`.

    `columns` says from which column of the source each one comes: all that is done to a cell
    depends on that one alone.
    """

    table: TableName
    origin: str
    coded: CodedRows
    columns: dict[str, str]
    change: Change
    formats: TableFormat = AS_IT_IS
    unreadable: pd.DataFrame = field(default_factory=_none_unreadable)
    told: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.coded.kept.count

    def parts(self) -> Iterator[pd.DataFrame]:
        """All rows, by parts; one empty part where there are none."""
        return map(self._as_given, self.coded.kept.parts())

    def every(self, step: int) -> pd.DataFrame:
        """Each `step`-th row, from the first on."""
        return self._as_given(self.coded.kept.every(step))

    def at(self, positions: np.ndarray) -> pd.DataFrame:
        """The rows at these positions (from 0, lines that could not be read not counted)."""
        return self._as_given(self.coded.kept.at(positions))

    def cells(self, column: str) -> pd.Series:
        """The distinct cells of a column, by the numbers that `coded` has for them."""
        parts = self.coded.cells(self.columns[column])
        return pd.concat([self.change(part)[column] for part in parts])

    def changed(self, change: Change, columns: dict[str, str] | None = None) -> TableInParts:
        """The table with its cells changed when they are read, and `columns` as they are then."""
        before = self.change
        return replace(
            self,
            change=lambda rows: change(before(rows)),
            columns=self.columns if columns is None else columns,
        )

    def _as_given(self, rows: pd.DataFrame) -> pd.DataFrame:
        # Lines that could not be read have their numbers too, and leave gaps.
        gaps = np.unique(self.unreadable["row"].to_numpy(dtype="int64"))
        gaps = gaps[gaps >= 1]
        readable_before = gaps - np.arange(len(gaps))
        number = rows.index.to_numpy() + 1
        rows.index = pd.Index(number + np.searchsorted(readable_before, number, side="right"))
        return self.change(rows)


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
    renamed = renamed.assign(**_of_bytes(renamed, table, place))
    for column, words in source.words.items():
        if column not in renamed.columns:
            raise DataError(
                f"{place}: tables.{table}.values names `{column}`, which is not a column after "
                f"mapping; columns there: {', '.join(map(str, renamed.columns))}"
            )
        # A word that means nothing elsewhere may stand for something here.
        text = as_text(renamed[column])
        renamed[column] = text.map(lambda word, words=words: words.get(word, word), "ignore")
    for column in {*CONTRACTS[table].moments, "observed_at"} & {*renamed.columns}:
        zone = source.timezone or "UTC"
        renamed[column] = on_the_clock(renamed[column], zone, source.formats.of(column).dates)
    return renamed


def _of_bytes(rows: pd.DataFrame, table: TableName, place: str) -> dict[str, pd.Series]:
    """The columns of bytes as the text that they are; others than UTF-8 stay bytes.

    Raises DataError for a column of the contract that holds such bytes, or a structure.
    """
    found: dict[str, pd.Series] = {}
    for column in (str(c) for c in rows if pd.api.types.is_object_dtype(rows[c].dtype)):
        first = rows[column].first_valid_index()
        value = None if first is None else rows[column].loc[first]
        fault = "structures" if isinstance(value, dict) else ""
        if isinstance(value, bytes | bytearray):
            try:
                found[column] = rows[column].map(lambda cell: bytes(cell).decode(), "ignore")
            except UnicodeDecodeError:
                fault = "bytes that are no text"
        if fault and column in CONTRACTS[table].columns:
            raise DataError(
                f"{place}: column `{column}` of tables.{table} holds {fault}; export it as text, "
                "or select what is meant by a `query`"
            )
    return found


def on_the_clock(moments: pd.Series, zone: str, dates: str | None = None) -> pd.Series:
    """Moments that say how far they are from UTC, as a clock in a time zone shows them.

    What is a day, or does not say so, or is no moment, stays what it is. `dates` is the strptime
    format where it is not ISO.
    """
    if isinstance(moments.dtype, pd.DatetimeTZDtype):
        return moments.dt.tz_convert(zone).dt.tz_localize(None)
    if zone == "UTC" or pd.api.types.is_datetime64_dtype(moments):
        return moments
    text = read_text(moments)
    says_so = text.notna() if "%z" in (dates or "") else text.str.contains(_OFFSET, na=False)
    read = pd.to_datetime(text[says_so], format=dates or "ISO8601", utc=True, errors="coerce")
    # From here on the clock's time passes for UTC, which is what the contract reads.
    clock = read.dropna().dt.tz_convert(zone).dt.tz_localize(None).dt.tz_localize("UTC")
    shown = clock.dt.strftime(dates or "%Y-%m-%dT%H:%M:%S.%f")
    return text.where(~text.index.isin(shown.index), shown.reindex(text.index))
