"""Files of accounts in and scores out, part by part, so that memory is bounded.

Text cells that a spreadsheet would run as a formula are written behind an apostrophe. A file
appears under its name only when it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from icploop.errors import DataError, UsageError
from icploop.io.sources.files import rejects, scan, unreadable

_ROWS = 100_000
# A spreadsheet takes these for the start of a formula (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n")


def read_in_parts(path: Path) -> Iterator[pd.DataFrame]:
    """The rows of a CSV (all text) or Parquet file in parts.

    Raises DataError if it is unreadable, be it by one line, which may turn out at its end.
    """
    with duckdb.connect() as db:
        try:
            stream = db.execute(f"FROM {scan(path)}").to_arrow_reader(_ROWS)
            for batch in stream:
                yield pa.Table.from_batches([batch]).to_pandas()
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise unreadable(path, error) from error
        for line in rejects(db).itertuples():
            raise DataError(
                f"{path}: row {line.row} ({line.value!r}) does not have as many cells as the "
                "header; mend it or take it out"
            )


@contextmanager
def writer_to(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that appends frames to a CSV or Parquet file; the file appears when all are in."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(f"{path}: the output must end in .csv or .parquet")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}; give another place") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written there; give another place")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    make = _to_csv if path.suffix.lower() == ".csv" else _to_parquet
    try:
        with make(unfinished) as write:
            yield write
        if not unfinished.exists():
            raise DataError(f"{path}: there were no rows to write")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def defused(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with text cells that no spreadsheet takes for a formula."""
    safe = frame.copy()
    for column in safe.columns:
        dtype = safe[column].dtype
        words = isinstance(dtype, pd.StringDtype | pd.CategoricalDtype)
        if words or pd.api.types.is_object_dtype(dtype):
            safe[column] = safe[column].astype("object").map(_harmless)
    return safe


def undefused(text: pd.Series) -> pd.Series:
    """The texts of a CSV that `writer_to` wrote, without the apostrophe before a formula."""
    armed = text.str.startswith(tuple(f"'{start}" for start in _FORMULA_STARTS), na=False)
    return text.mask(armed, text.str[1:])


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return value
    # The CSV writer puts a cell with a line feed into quotes, but not one with a return.
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{lines}" if lines.startswith(_FORMULA_STARTS) else lines


@contextmanager
def _to_csv(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    def write(frame: pd.DataFrame) -> None:
        first = not path.exists()
        defused(frame).to_csv(path, mode="a", header=first, index=False, float_format="%.6g")

    yield write


@contextmanager
def _to_parquet(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    writers: list[pq.ParquetWriter] = []

    def write(frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if not writers:
            writers.append(pq.ParquetWriter(path, table.schema))
        writers[0].write_table(table.cast(writers[0].schema))

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


def text_to(path: Path, text: str) -> None:
    """Write a text file. Raises UsageError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}; give another place") from error
