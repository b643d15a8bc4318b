"""A folder of CSV, Parquet or JSON files.

CSV and JSON cells are read as text, so that a type is never guessed from rows that come later and
`00123` keeps its zeros; a list in JSON is read as a set, `a|b`. A query sees every file of the
folder, and every subfolder of one kind of files, as a table of that name; in a query over CSV or
JSON files numbers need a CAST.
"""

from __future__ import annotations

import codecs
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath

import duckdb
import numpy as np
import pandas as pd

from icploop.domain.tables import CONTRACTS
from icploop.errors import DataError
from icploop.io.sources.objects import brought_here
from icploop.io.sources.raw import GivenTable, RawTable, TableInParts, mapped
from icploop.io.warehouse.staging import KeptRows, Staging
from icploop.settings import TABLES, FilesSource, TableName, TableSource

_KINDS = (".csv", ".parquet", ".json", ".jsonl")
_REJECT_RULE = "the line has as many cells as the header"


def pull(
    source: FilesSource, home: Path, place: str, staging: Staging | None = None
) -> list[GivenTable]:
    """The tables of a folder; large ones wait in `staging`, where there is one.

    A folder of an object store is brought into data/fetched first. Raises DataError for a missing
    or unreadable file or a bad query.
    """
    folder = _folder(source, home, place)
    if not folder.is_dir():
        raise DataError(f"{place}: folder {source.folder!r} does not exist (looked for {folder})")
    tables: list[GivenTable] = []
    for name, table in source.tables.items():
        one = [folder / str(table.file)]
        paths = one if table.query is None else sorted(folder.rglob("*"))
        large = staging if staging and staging.takes(name, filter(Path.is_file, paths)) else None
        read = _from_file if table.query is None else _from_query
        tables.append(read(name, table, folder, place, large))
    return tables


def _folder(source: FilesSource, home: Path, place: str) -> Path:
    if not source.is_remote:
        return (home / source.folder).resolve()
    target = home / "data" / "fetched" / Path(place).stem
    named = {str(PurePosixPath(str(table.file))) for table in source.tables.values()}
    # A query may read any file; what no table names stays where it is.
    asks_all = any(table.query is not None for table in source.tables.values())

    def is_wanted(path: str) -> bool:
        return path.lower().endswith(_KINDS) if asks_all else path in named

    return brought_here(source.folder, target.resolve(), is_wanted, place)


def of_folder(folder: Path) -> FilesSource:
    """The source that a folder of files with canonical names and columns amounts to."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; `icp ingest --from` wants one with CSV, Parquet or JSON"
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
            f"{folder} has none of {', '.join(f'{name}.csv' for name in TABLES)} (or "
            ".parquet, .json, .jsonl); rename the files, or map them in conf/sources/files.yaml"
        )
    return FilesSource(kind="files", folder=str(folder.resolve()), tables=found)


def _from_file(
    name: TableName, table: TableSource, folder: Path, place: str, large: Staging | None
) -> GivenTable:
    path = folder / str(table.file)
    query = f"FROM {scan(path)}"
    with _connected(large) as db:
        try:
            rows: KeptRows | pd.DataFrame = (
                large.keep(db, query) if large else db.execute(query).df()
            )
        except duckdb.Error as error:
            raise unreadable(path, error) from error
        lines = rejects(db)
    if isinstance(rows, KeptRows):
        return _in_parts(name, str(table.file), rows, table, place, lines)
    # Lines that could not be read have their numbers too, and leave gaps.
    numbers = np.arange(1, len(rows) + len(lines) + 1)
    rows.index = np.setdiff1d(numbers, lines["row"])[: len(rows)]
    return RawTable(name, str(table.file), mapped(rows, name, table, place), table.dates, lines)


def _from_query(
    name: TableName, table: TableSource, folder: Path, place: str, large: Staging | None
) -> GivenTable:
    hidden = ""
    query = str(table.query)
    with _connected(large) as db:
        for path in sorted(folder.iterdir()):
            try:
                _offer(db, path)
            except (DataError, duckdb.Error) as error:
                # Only a query that needs the file fails.
                hidden += f"; {path.name} cannot be read: {str(error).splitlines()[0]}"
        try:
            rows: KeptRows | pd.DataFrame = (
                large.keep(db, query) if large else db.execute(query).df()
            )
        except duckdb.Error as error:
            raise DataError(f"{place}: tables.{name}.query failed: {error}{hidden}") from error
        lines = rejects(db)
    count = rows.count if isinstance(rows, KeptRows) else len(rows)
    # Their numbers are those of files, which say nothing among the rows of the result.
    where = lines["file"] + ", row " + lines["row"].astype("str") + ": "
    lines = lines.assign(row=count + 1 + np.arange(len(lines)), value=where + lines["value"])
    if isinstance(rows, KeptRows):
        return _in_parts(name, "query", rows, table, place, lines)
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    return RawTable(name, "query", mapped(rows, name, table, place), table.dates, lines)


def _connected(large: Staging | None) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    """A connection for one table: the staging's stays open, for its rows are read later."""
    return nullcontext(large.connection()) if large else duckdb.connect()


def _in_parts(
    name: TableName,
    origin: str,
    rows: KeptRows,
    table: TableSource,
    place: str,
    lines: pd.DataFrame,
) -> TableInParts:
    def change(part: pd.DataFrame) -> pd.DataFrame:
        return mapped(part, name, table, place)

    # What the settings get wrong is told before anything is read.
    given = change(pd.DataFrame(columns=list(rows.columns), dtype="str"))
    columns = {column: table.columns.get(column, column) for column in map(str, given)}
    read = [own for to, own in columns.items() if to in {*CONTRACTS[name].columns, *table.words}]
    coded = rows.coded(read)
    return TableInParts(name, origin, coded, columns, change, table.dates, lines)


def _offer(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Let queries see a file, or a folder of files of one kind, under its name."""
    for kind in _KINDS:
        members = sorted(path.glob(f"*{kind}")) if path.is_dir() else [path]
        if not members or members[0].suffix.lower() != kind:
            continue
        # One by one: files that were exported at different times may differ in their encoding.
        rows = " UNION ALL BY NAME ".join(f"FROM {scan(member)}" for member in members)
        db.execute(f'CREATE OR REPLACE TEMP VIEW "{_text(path.stem, chr(34))}" AS {rows}')
        return


def scan(path: Path) -> str:
    """What DuckDB calls to read one file. Raises DataError for a file that it cannot be.

    Lines of a CSV that cannot be split into cells are left out, and are found in `rejects`.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist, or is no file")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; it needs at least a header line")
    name = _text(str(path), chr(39))
    if path.suffix.lower() == ".parquet":
        return f"read_parquet('{name}')"
    if path.suffix.lower() in (".json", ".jsonl"):
        # One level deep: a cell is JSON, of which only lists and single values mean something.
        return (
            "(SELECT CASE json_type(COLUMNS(*)) "
            "WHEN 'ARRAY' THEN array_to_string(COLUMNS(*) ->> '$[*]', '|') "
            "ELSE COLUMNS(*) ->> '$' END "
            f"FROM read_json('{name}', maximum_depth = 1, sample_size = -1))"
        )
    if path.suffix.lower() == ".csv":
        return (
            f"read_csv('{name}', all_varchar = true, header = true, "
            f"encoding = '{_encoding(path)}', store_rejects = true)"
        )
    raise DataError(f"{path} is neither .csv nor .parquet, .json or .jsonl")


def unreadable(path: Path, error: Exception) -> DataError:
    """The fault to raise when a file turned out to be broken while it was read."""
    how = "" if path.suffix.lower() == ".parquet" else " as UTF-8"
    return DataError(f"{path} cannot be read: {str(error).splitlines()[0]}; export it again{how}")


def rejects(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The lines of CSV files that were left out of all that `db` has read: file, row, rule, value.

    `row` counts from 1 after the header, and `value` is the line itself.
    """
    try:
        lines = db.execute(
            "SELECT DISTINCT parse_filename(file_path) AS file, line - 1 AS row, csv_line AS value "
            "FROM reject_errors JOIN reject_scans USING (scan_id, file_id) ORDER BY ALL"
        ).df()
    except duckdb.CatalogException:  # no CSV was read
        lines = pd.DataFrame(columns=["file", "row", "value"])
    return lines.astype({"row": "int64"}).assign(rule=_REJECT_RULE)


def _encoding(path: Path) -> str:
    """UTF-8 (with or without a mark), UTF-16 by its mark, Latin-1 where the bytes are not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        stream.seek(0)
        try:
            while chunk := stream.read(1 << 20):
                # Most of a large file is plain ASCII, which is told at once.
                if not chunk.isascii() or decoder.getstate()[0]:
                    decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _text(text: str, quote: str) -> str:
    return text.replace(quote, quote * 2)
