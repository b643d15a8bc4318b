"""A folder of CSV or Parquet files.

CSV cells are read as text, so that a type is never guessed from rows that come later and `00123`
keeps its zeros. A query sees every file of the folder, and every subfolder of one kind of files,
as a table of that name; in a query over CSV files numbers need a CAST.
"""

from __future__ import annotations

import codecs
from itertools import groupby
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from icploop.errors import DataError
from icploop.io.sources.raw import RawTable, mapped
from icploop.settings import TABLES, FilesSource, TableName, TableSource

_KINDS = (".csv", ".parquet")
_REJECT_RULE = "the line has as many cells as the header"


def pull(source: FilesSource, home: Path, place: str) -> list[RawTable]:
    """The tables of a folder. Raises DataError for a missing or unreadable file or a bad query."""
    folder = (home / source.folder).resolve()
    if not folder.is_dir():
        raise DataError(f"{place}: folder {source.folder!r} does not exist (looked for {folder})")
    return [
        _from_query(name, table, folder, place)
        if table.query is not None
        else _from_file(name, table, folder, place)
        for name, table in source.tables.items()
    ]


def of_folder(folder: Path) -> FilesSource:
    """The source that a folder of files with canonical names and columns amounts to."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; `icp ingest --from` wants one with CSV or Parquet"
        )
    found: dict[TableName, TableSource] = {}
    for name in TABLES:
        paths = [folder / f"{name}{kind}" for kind in _KINDS if (folder / f"{name}{kind}").exists()]
        if len(paths) > 1:
            raise DataError(f"{folder} has both {paths[0].name} and {paths[1].name}; keep one")
        if paths:
            found[name] = TableSource(file=paths[0].name)
    if not found:
        raise DataError(
            f"{folder} has none of {', '.join(f'{name}.csv' for name in TABLES)} (or .parquet); "
            "rename the files, or map them in conf/sources/files.yaml"
        )
    return FilesSource(kind="files", folder=str(folder), tables=found)


def _from_file(name: TableName, table: TableSource, folder: Path, place: str) -> RawTable:
    path = folder / str(table.file)
    with duckdb.connect() as db:
        rows, unreadable = _read(db, path)
    # Lines that could not be read have their numbers too, and leave gaps.
    numbers = np.arange(1, len(rows) + len(unreadable) + 1)
    rows.index = np.setdiff1d(numbers, unreadable["row"].to_numpy(dtype="int64"))[: len(rows)]
    return RawTable(
        name, str(table.file), mapped(rows, name, table, place), table.dates, unreadable
    )


def _from_query(name: TableName, table: TableSource, folder: Path, place: str) -> RawTable:
    unreadable = ""
    with duckdb.connect() as db:
        for path in sorted(folder.iterdir()):
            try:
                _offer(db, path)
            except (DataError, duckdb.Error) as error:
                # Only a query that needs the file fails.
                unreadable += f"; {path.name} cannot be read: {str(error).splitlines()[0]}"
        try:
            rows = db.execute(str(table.query)).df()
        except duckdb.Error as error:
            raise DataError(f"{place}: tables.{name}.query failed: {error}{unreadable}") from error
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    return RawTable(name, "query", mapped(rows, name, table, place), table.dates)


def _offer(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Let queries see a file, or a folder of files of one kind, under its name."""
    for kind in _KINDS:
        members = sorted(path.glob(f"*{kind}")) if path.is_dir() else [path]
        if not members or members[0].suffix.lower() != kind:
            continue
        for member in members:
            _refuse_empty(member)
        # Files that were exported at different times may differ in their encoding.
        if kind == ".parquet":
            rows = f"FROM {_parquet(members)}"
        else:
            by_encoding = groupby(sorted(members, key=_encoding), _encoding)
            rows = " UNION ALL BY NAME ".join(f"FROM {_csv([*g], e)}" for e, g in by_encoding)
        db.execute(f'CREATE OR REPLACE VIEW "{_text(path.stem, chr(34))}" AS {rows}')
        return


def scan(path: Path, *, store_rejects: bool = False) -> str:
    """What DuckDB calls to read one file. Raises DataError for a file that it cannot be."""
    _refuse_empty(path)
    if path.suffix.lower() == ".parquet":
        return _parquet([path])
    if path.suffix.lower() == ".csv":
        return _csv([path], _encoding(path), store_rejects=store_rejects)
    raise DataError(f"{path} is neither .csv nor .parquet")


def _refuse_empty(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; it needs at least a header line")


def _read(db: duckdb.DuckDBPyConnection, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    try:
        rows = db.execute(f"FROM {scan(path, store_rejects=True)}").df()
        return rows, _rejects(db) if path.suffix.lower() == ".csv" else _no_rejects()
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0]
        how = " as UTF-8" if path.suffix.lower() == ".csv" else ""
        raise DataError(f"{path} cannot be read: {first_line}; export it again{how}") from error


def _encoding(path: Path) -> str:
    """UTF-8 (with or without a mark), UTF-16 by its mark, Latin-1 where the bytes are not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        stream.seek(0)
        try:
            while chunk := stream.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _csv(paths: list[Path], encoding: str, *, store_rejects: bool = False) -> str:
    # DuckDB keeps rejected lines of one file, and unites columns of several, but not both.
    option = "store_rejects = true" if store_rejects else "union_by_name = true"
    return (
        f"read_csv({_list(paths)}, all_varchar = true, header = true, "
        f"encoding = '{encoding}', {option})"
    )


def _parquet(paths: list[Path]) -> str:
    return f"read_parquet({_list(paths)}, union_by_name = true)"


def _list(paths: list[Path]) -> str:
    return "[" + ", ".join(f"'{_text(str(path), chr(39))}'" for path in paths) + "]"


def _text(text: str, quote: str) -> str:
    return text.replace(quote, quote * 2)


def _rejects(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    lines = db.execute(
        "SELECT DISTINCT line - 1 AS row, csv_line AS value FROM reject_errors ORDER BY line"
    ).df()
    return lines.assign(rule=_REJECT_RULE)[["row", "rule", "value"]]


def _no_rejects() -> pd.DataFrame:
    return pd.DataFrame(columns=["row", "rule", "value"])
