"""Files of accounts in and scores out, part by part, so that memory is bounded.

Text cells that a spreadsheet would run as a formula are written behind an apostrophe. A file
appears under its name only when it is whole (`icploop.io.whole_file`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from icploop.errors import DataError, UsageError
from icploop.io.whole_file import whole_file

# Rows that are read at a time, and that make a row group of what is written.
_ROWS, _GROUP = 65_536, 131_072
_BUFFER = 1 << 20
# A spreadsheet takes these for the start of a formula (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\n")
_FORMULA = r"^[=+\-@\t\n]"


def read_in_parts(path: Path) -> Iterator[pd.DataFrame]:
    """Like `batches_of`, as frames."""
    for batch in batches_of(path):
        yield batch.to_pandas()


def batches_of(
    path: Path, wanted: Collection[str] | None = None, group: int | None = None
) -> Generator[pa.RecordBatch, None, None]:
    """The rows of a CSV (all text) or Parquet file in parts, with the `wanted` columns at least.

    `group` reads one row group of a Parquet file only. Raises DataError if the file is unreadable,
    be it by one line, which may turn out at its end.
    """
    from icploop.io.sources import files  # noqa: PLC0415 - who only writes needs no sources

    if path.suffix.lower() == ".parquet":
        files.require_file(path)
        yield from _batches_of_parquet(path, wanted, group)
        return
    with duckdb.connect() as db, files.Shelf(db) as shelf:
        try:
            yield from db.execute(f"FROM {shelf.scan(path)}").to_arrow_reader(_ROWS)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise files.unreadable(path, error) from error
        for line in files.rejects(db).itertuples():
            raise DataError(
                f"{path}: row {line.row} ({line.value!r}) breaks the rule “{line.rule}”; mend it "
                "or take it out"
            )


def columns_of(path: Path, first: pa.RecordBatch) -> list[str]:
    """All columns of a file, of which a first part was read."""
    if path.suffix.lower() == ".parquet":
        return list(pq.read_schema(path).names)
    return list(first.schema.names)


def row_groups(path: Path) -> int:
    """How many row groups a Parquet file has. Raises DataError where it is none."""
    from icploop.io.sources import files  # noqa: PLC0415 - who only writes needs no sources

    files.require_file(path)
    try:
        return int(pq.ParquetFile(path).metadata.num_row_groups)
    except (pa.ArrowException, OSError) as error:
        raise files.unreadable(path, error) from error


def _batches_of_parquet(
    path: Path, wanted: Collection[str] | None, group: int | None
) -> Iterator[pa.RecordBatch]:
    from icploop.io.sources import files  # noqa: PLC0415 - who only writes needs no sources

    try:
        # Neither read ahead nor hold whole columns: a row group may be as large as the file.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            names = file.schema_arrow.names
            # Without any wanted column the first tells what is there instead.
            columns = names if wanted is None else [n for n in names if n in wanted] or names[:1]
            for batch in file.iter_batches(
                _ROWS,
                row_groups=None if group is None else [group],
                columns=columns,
                use_threads=False,
            ):
                yield _readable(batch, path)
    except (pa.ArrowException, OSError) as error:
        raise files.unreadable(path, error) from error


def _readable(batch: pa.RecordBatch, path: Path) -> pa.RecordBatch:
    """The batch with bytes as text. Raises DataError for what is no text, and for structures."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        kind, fault = column.type, ""
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            try:
                columns.append(pc.cast(column, pa.string()))
                continue
            except pa.ArrowInvalid:
                fault = "bytes that are no text"
        inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
        if pa.types.is_nested(inner):
            fault = "structures"
        if fault:
            raise DataError(
                f"{path}: column `{name}` holds {fault}; export what is meant as text of its own"
            )
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


@contextmanager
def writer_to(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that appends frames to a CSV, Parquet or JSON file; it appears when all are in.

    JSON is one list of records, which is held in memory until then.
    """
    makers = {".csv": _to_csv, ".parquet": _to_parquet, ".json": _to_json}
    with _unfinished(path, tuple(makers)) as place, makers[path.suffix.lower()](place) as write:
        yield write


@contextmanager
def batches_to(path: Path) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Like `writer_to`, for batches. The file is the same however its rows were cut into batches.

    Numbers in a CSV have six digits that count.
    """
    with _unfinished(path, (".csv", ".parquet")) as place, ExitStack() as files:
        waiting: list[pa.RecordBatch] = []
        writers: list[pq.ParquetWriter | arrow_csv.CSVWriter] = []

        def pour(least: int) -> None:
            table = pa.Table.from_batches(waiting)
            waiting.clear()
            while table.num_rows >= least and table.num_rows:
                group = table.slice(0, _GROUP).combine_chunks()
                table = table.slice(_GROUP)
                if path.suffix.lower() == ".csv":
                    group = _for_csv(group)
                if not writers:
                    writers.append(files.enter_context(_opened(place, path, group.schema)))
                writers[0].write_table(group)
            waiting.extend(table.to_batches())

        def write(batch: pa.RecordBatch) -> None:
            waiting.append(batch)
            if sum(map(len, waiting)) >= _GROUP:
                pour(_GROUP)

        yield write
        if waiting:
            pour(1)


def _opened(place: Path, path: Path, schema: pa.Schema) -> pq.ParquetWriter | arrow_csv.CSVWriter:
    if path.suffix.lower() == ".csv":
        return arrow_csv.CSVWriter(place, schema)
    return pq.ParquetWriter(place, schema)


@contextmanager
def _unfinished(path: Path, kinds: tuple[str, ...]) -> Iterator[Path]:
    """A place for a file that moves to `path` when the block ends without a fault."""
    if path.suffix.lower() not in kinds:
        raise UsageError(f"{path}: the output must end in {' or '.join(kinds)}")
    with whole_file(path) as place:
        yield place
        if not place.stat().st_size:
            raise DataError(f"{path}: there were no rows to write")


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


def _for_csv(table: pa.Table) -> pa.Table:
    """The table as a CSV holds it: harmless text, and numbers with six digits that count."""
    columns = []
    for column in table.columns:
        if pa.types.is_floating(column.type):
            columns.append(pa.array(_six_digits(column.to_numpy()), from_pandas=True))
        elif pa.types.is_string(column.type):
            lines = pc.replace_substring(column, "\r\n", "\n")
            lines = pc.replace_substring(lines, "\r", "\n")
            formula = pc.match_substring_regex(lines, _FORMULA)
            behind = pc.binary_join_element_wise("'", lines, "")
            columns.append(pc.if_else(formula, behind, lines))
        else:
            columns.append(column)
    return pa.table(columns, names=table.column_names)


def _six_digits(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        places = 5 - np.floor(np.log10(np.abs(values)))
        larger, smaller = 10.0 ** np.clip(places, 0, 300), 10.0 ** np.clip(-places, 0, 300)
        # Powers of ten below one are not exact, so it is divided by whole ones.
        rounded = np.rint(values * larger / smaller) * smaller / larger
    return np.where(np.isfinite(rounded), rounded, values)


@contextmanager
def _to_csv(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    def write(frame: pd.DataFrame) -> None:
        first = not path.stat().st_size
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


@contextmanager
def _to_json(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    frames: list[pd.DataFrame] = []
    yield frames.append
    if frames:
        pd.concat(frames).to_json(
            path, orient="records", date_format="iso", indent=1, force_ascii=False
        )
