"""What lies in a folder that nobody has described yet, read as far as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd

from icploop.domain.guess.looks import Export
from icploop.errors import DataError
from icploop.io.sources.csv_text import readable
from icploop.io.sources.files import Shelf, kind_of, unreadable
from icploop.io.sources.workbook import read_sheets
from icploop.settings.formats import Dialect

# Enough rows to know a column by.
_MOST_ROWS = 300_000
_BYTES = 1 << 20


def read_exports(folder: Path) -> tuple[list[Export], dict[str, str]]:
    """The exports in a folder, and why other files in it are none.

    Each sheet of a workbook that has several is an export, `book.xlsx/Deals`. Subfolders are not
    looked into. Raises DataError for a folder without any file.
    """
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "~")))
    files = [path for path in paths if path.is_file()]
    if not files:
        raise DataError(
            f"{folder} holds no file; export accounts, deals and billing into it as CSV, Parquet, "
            "JSON or Excel files"
        )
    found: list[Export] = []
    others = {
        f"{path.name}/": "a folder, which is not looked into" for path in paths if path.is_dir()
    }
    for path in files:
        try:
            found += _exports_of(path)
        except DataError as error:
            others[path.name] = str(error)
    if not found:
        told = "; ".join(f"{name}: {why}" for name, why in others.items())
        raise DataError(f"{folder} holds no table that can be read: {told}")
    return found, others


def _exports_of(path: Path) -> Iterator[Export]:
    kind = kind_of(path)
    if kind is None:
        raise DataError("no CSV, Parquet, JSON or Excel file by its name")
    if kind == "sheet":
        sheets = read_sheets(path)
        for name, rows in sheets.items():
            own = path.name if len(sheets) == 1 else f"{path.name}/{name}"
            yield from _with_rows(Export(own, _trimmed(rows), len(rows)))
        return
    dialect, stated = _dialect_of(path) if kind == "csv" else (Dialect(), {})
    with duckdb.connect() as db, Shelf(db, lambda _: dialect) as shelf:
        scan = shelf.scan(path)
        try:
            frame = db.execute(f"FROM {scan} LIMIT {_MOST_ROWS}").df()
            count = len(frame)
            if count == _MOST_ROWS:
                [(count,)] = db.execute(f"SELECT count(*) FROM {scan}").fetchall()
        except duckdb.Error as error:
            raise unreadable(path, error) from error
    yield from _with_rows(Export(path.name, frame, count, stated))


def _with_rows(export: Export) -> Iterator[Export]:
    if not len(export.frame):
        raise DataError("has a header and no rows")
    yield export


def _trimmed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.head(_MOST_ROWS).reset_index(drop=True)


def _dialect_of(path: Path) -> tuple[Dialect, dict[str, str]]:
    """How a CSV file is written, and what of it the settings should state."""
    dialect = Dialect()
    with TemporaryDirectory(prefix="icp-") as shelf:
        try:
            file = readable(path, dialect, Path(shelf))
        except DataError:
            if (encoding := _encoding_of(path)) is None:
                raise
            dialect = Dialect(encoding=encoding)
            file = readable(path, dialect, Path(shelf))
    encoding = dialect.encoding or file.encoding
    stated = {"delimiter": file.delimiter} if file.delimiter != "," else {}
    if encoding not in ("utf-8", "utf-16", "utf-32"):
        stated = {"encoding": encoding, **stated}
    return dialect, stated


def _encoding_of(path: Path) -> str | None:
    """In which encoding a text that is neither UTF-8 nor Windows-1252 makes the most sense."""
    # Loaded where it is used: most exports are UTF-8.
    from charset_normalizer import from_bytes  # noqa: PLC0415

    with path.open("rb") as stream:
        best = from_bytes(stream.read(_BYTES)).best()
    return None if best is None else str(best.encoding)
