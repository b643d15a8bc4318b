"""A folder of CSV, Parquet, JSON or Excel files, compressed or not.

CSV and JSON cells are read as text, so that a type is never guessed from rows that come later and
`00123` keeps its zeros; a list in JSON is read as a set, `a|b`. A query sees every file of the
folder, and every subfolder of one kind of files, as a table of that name; in a query over CSV or
JSON files numbers need a CAST.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pandas as pd

from icploop.domain.tables import CONTRACTS, CURRENCY
from icploop.errors import DataError
from icploop.io.sources.csv_text import LONGEST_LINE, readable
from icploop.io.sources.objects import brought_here
from icploop.io.sources.raw import GivenTable, RawTable, TableInParts, mapped
from icploop.io.sources.workbook import KINDS, read_sheet, read_sheets
from icploop.io.warehouse.staging import KeptRows, Staging
from icploop.settings import TABLES, FilesSource, TableName, TableSource
from icploop.settings.formats import AS_MOST_FILES, Dialect

# Longer endings first: a.csv.gz ends in both.
_ENDINGS = {
    **dict.fromkeys((".csv", ".csv.gz", ".csv.zst", ".csv.bz2", ".tsv", ".tsv.gz"), "csv"),
    ".parquet": "parquet",
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz"), "json"),
    **dict.fromkeys(KINDS, "sheet"),
}
_LONGEST_SHOWN = 10_000
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
    with duckdb.connect() as memory:
        files = _Folder(folder, place, source.dialects, memory)
        for name, table in source.tables.items():
            one = [folder / str(table.file)]
            paths = one if table.query is None else sorted(folder.rglob("*"))
            is_large = staging is not None and staging.takes(name, filter(Path.is_file, paths))
            # Bills are spread over their months together, and are few.
            large = staging if is_large and table.spread is None else None
            read = _from_file if table.query is None else _from_query
            tables.append(read(name, table, files, large))
    return tables


@dataclass(frozen=True)
class _Folder:
    """A folder of files, where its settings stand, and how files are written, by their names.

    `memory` is a database that reads them.
    """

    path: Path
    place: str
    dialects: Mapping[str, Dialect]
    memory: duckdb.DuckDBPyConnection

    def dialect_of(self, file: Path) -> Dialect:
        """How a file is written: its own name counts more than a pattern."""
        name = file.relative_to(self.path).as_posix()
        stated = self.dialects.get(name)
        matching = (d for pattern, d in self.dialects.items() if fnmatch(name, pattern))
        return stated or next(matching, AS_MOST_FILES)

    def connected(self, large: Staging | None) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection for one table, with views and rejected lines of its own.

        The staging's stays open, for its rows are read later.
        """
        return nullcontext(large.connection()) if large else self.memory.cursor()


def _folder(source: FilesSource, home: Path, place: str) -> Path:
    if not source.is_remote:
        return (home / source.folder).resolve()
    target = home / "data" / "fetched" / Path(place).stem
    named = {str(PurePosixPath(str(table.file))) for table in source.tables.values()}
    # A query may read any file; what no table names stays where it is.
    asks_all = any(table.query is not None for table in source.tables.values())

    def is_wanted(path: str) -> bool:
        return kind_of(path) is not None if asks_all else path in named

    return brought_here(source.folder, target.resolve(), is_wanted, place)


def of_folder(folder: Path) -> FilesSource:
    """The source that a folder of files with canonical names and columns amounts to."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; `icp ingest --from` wants one with CSV, Parquet, JSON or "
            "Excel files"
        )
    found: dict[TableName, TableSource] = {}
    for name in TABLES:
        paths = [place for end in _ENDINGS if (place := folder / f"{name}{end}").exists()]
        if len(paths) > 1:
            raise DataError(f"{folder} has both {paths[0].name} and {paths[1].name}; keep one")
        if paths:
            found[name] = TableSource(file=paths[0].name)
    if not found:
        raise DataError(
            f"{folder} has none of {', '.join(f'{name}.csv' for name in TABLES)} (or "
            ".parquet, .json, .jsonl, .xlsx); rename the files, or let `icp init DIR --from "
            f"{folder}` map them"
        )
    return FilesSource(kind="files", folder=str(folder.resolve()), tables=found)


def _from_file(
    name: TableName, table: TableSource, source: _Folder, large: Staging | None
) -> GivenTable:
    path = source.path / str(table.file)
    with source.connected(large) as db, Shelf(db, source.dialect_of) as shelf:
        if kind_of(path) == "sheet":
            require_file(path)
            sheet = mapped(shelf.sheet(path, table.sheet), name, table, source.place)
            return RawTable(name, str(table.file), sheet, table.formats, told=tuple(shelf.told))
        query = f"FROM {shelf.scan(path)}"
        try:
            rows: KeptRows | pd.DataFrame = (
                large.keep(db, query) if large else db.execute(query).df()
            )
        except duckdb.Error as error:
            raise unreadable(path, error) from error
        lines = rejects(db)
    told = tuple(shelf.told)
    if isinstance(rows, KeptRows):
        return _in_parts(name, str(table.file), rows, table, source.place, lines, told)
    # Lines that could not be read have their numbers too, and leave gaps.
    numbers = np.arange(1, len(rows) + len(lines) + 1)
    rows.index = np.setdiff1d(numbers, lines["row"])[: len(rows)]
    rows = mapped(rows, name, table, source.place)
    return RawTable(name, str(table.file), rows, table.formats, lines, told)


def _from_query(
    name: TableName, table: TableSource, source: _Folder, large: Staging | None
) -> GivenTable:
    hidden = ""
    query, place = str(table.query), source.place
    with source.connected(large) as db, Shelf(db, source.dialect_of) as shelf:
        for path in sorted(source.path.iterdir()):
            try:
                _offer(db, shelf, path)
            except (DataError, duckdb.Error) as error:
                # Only a query that needs the file fails.
                hidden += f"; {path.name} cannot be read: {str(error).splitlines()[0]}"
        try:
            rows: KeptRows | pd.DataFrame = (
                large.keep(db, query) if large else _result(db, query, f"{place}: tables.{name}")
            )
        except duckdb.Error as error:
            raise DataError(f"{place}: tables.{name}.query failed: {error}{hidden}") from error
        lines = rejects(db)
    told = tuple(shelf.told)
    count = rows.count if isinstance(rows, KeptRows) else len(rows)
    # Their numbers are those of files, which say nothing among the rows of the result.
    where = lines["file"] + ", row " + lines["row"].astype("str") + ": "
    lines = lines.assign(row=count + 1 + np.arange(len(lines)), value=where + lines["value"])
    if isinstance(rows, KeptRows):
        return _in_parts(name, "query", rows, table, place, lines, told)
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    rows = mapped(rows, name, table, place)
    return RawTable(name, "query", rows, table.formats, lines, told)


def _result(db: duckdb.DuckDBPyConnection, query: str, place: str) -> pd.DataFrame:
    """The rows of a query. Raises DataError for two columns of one name: one would be lost."""
    answer = db.execute(query)
    names = [str(column[0]) for column in answer.description or ()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{place} has two columns `{twice[0]}`; select one, or rename one with AS")
    return answer.df()


def _in_parts(
    name: TableName,
    origin: str,
    rows: KeptRows,
    table: TableSource,
    place: str,
    lines: pd.DataFrame,
    told: tuple[str, ...],
) -> TableInParts:
    def change(part: pd.DataFrame) -> pd.DataFrame:
        return mapped(part, name, table, place)

    # What the settings get wrong is told before anything is read.
    given = change(pd.DataFrame(columns=list(rows.columns), dtype="str"))
    columns = {column: table.columns.get(column, column) for column in map(str, given)}
    wanted = {*CONTRACTS[name].columns, CURRENCY, *table.words}
    coded = rows.coded([own for to, own in columns.items() if to in wanted])
    return TableInParts(name, origin, coded, columns, change, table.formats, lines, told)


def _offer(db: duckdb.DuckDBPyConnection, shelf: Shelf, path: Path) -> None:
    """Let queries see a file, or a folder of files of one kind, under its name."""
    members = sorted(filter(kind_of, path.iterdir())) if path.is_dir() else [path]
    if not members or (kind := kind_of(members[0])) is None:
        return
    # One by one: files that were exported at different times may differ in their dialect.
    alike = [member for member in members if kind_of(member) == kind]
    rows = " UNION ALL BY NAME ".join(f"FROM {shelf.scan(member)}" for member in alike)
    views = {table_name(path): rows}
    if kind == "sheet" and path.is_file():
        each = shelf.each_sheet(path)
        views |= {f"{table_name(path)}/{sheet}": f"FROM {one}" for sheet, one in each.items()}
    for name, sql in views.items():
        db.execute(f'CREATE OR REPLACE TEMP VIEW "{_text(name, chr(34))}" AS {sql}')


def _as_most(_: Path) -> Dialect:
    return AS_MOST_FILES


class Shelf:
    """What DuckDB calls to read files, while a block runs: some are written again for it first.

    `told` collects what was made of files that nobody stated.
    """

    def __init__(
        self, db: duckdb.DuckDBPyConnection, dialects: Callable[[Path], Dialect] = _as_most
    ) -> None:
        self._db = db
        self._dialects = dialects
        self._folder = TemporaryDirectory(prefix="icp-")
        self.told: list[str] = []
        self._sheets = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def scan(self, path: Path) -> str:
        """What DuckDB calls to read one file. Raises DataError for a file that it cannot be.

        Lines of a CSV that cannot be split into cells are left out, and are found in `rejects`.
        """
        require_file(path)
        kind, name = kind_of(path), _text(str(path), chr(39))
        if kind == "parquet":
            return f"read_parquet('{name}')"
        if kind == "json":
            # One level deep: a cell is JSON, of which only lists and single values mean something.
            return (
                "(SELECT CASE json_type(COLUMNS(*)) "
                "WHEN 'ARRAY' THEN array_to_string(COLUMNS(*) ->> '$[*]', '|') "
                "ELSE COLUMNS(*) ->> '$' END "
                f"FROM read_json('{name}', maximum_depth = 1, sample_size = -1))"
            )
        if kind == "csv":
            file = readable(path, self._dialects(path), Path(self._folder.name))
            self.told += [file.told] if file.told else []
            return file.sql()
        return self._registered(self.sheet(path))

    def sheet(self, path: Path, name: str | None = None) -> pd.DataFrame:
        """The rows of a workbook's sheet: the one of this name, or the one that is stated."""
        frame, told = read_sheet(path, name or self._dialects(path).sheet)
        self.told += [told] if told else []
        return frame

    def each_sheet(self, path: Path) -> dict[str, str]:
        """What DuckDB calls each sheet of a workbook that holds anything."""
        return {name: self._registered(frame) for name, frame in read_sheets(path).items()}

    def _registered(self, frame: pd.DataFrame) -> str:
        self._sheets += 1
        mixed = [column for column in frame if frame[column].dtype == object]
        self._db.register(
            name := f"sheet_{self._sheets}", frame.astype(dict.fromkeys(mixed, "str"))
        )
        return name


def require_file(path: Path) -> None:
    """Raise DataError for what is no file of a kind that is read, or is empty."""
    if not path.is_file():
        raise DataError(f"{path} does not exist, or is no file")
    if kind_of(path) is None:
        raise DataError(f"{path} is neither {', '.join(_ENDINGS)}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; it needs at least a header line")


def kind_of(path: Path | str) -> str | None:
    """What a file is by its name: csv, parquet, json, sheet; None for anything else."""
    name = str(path).lower()
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)


def table_name(path: Path) -> str:
    """What a file or folder is called in a query: its name without the ending."""
    name = path.name
    ending = next((end for end in _ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)] if path.is_file() else name


def unreadable(path: Path, error: Exception) -> DataError:
    """The fault to raise when a file turned out to be broken while it was read."""
    how = " as UTF-8" if kind_of(path) in ("csv", "json") else ""
    return DataError(f"{path} cannot be read: {str(error).splitlines()[0]}; export it again{how}")


_REJECT_RULES = {
    "INVALID ENCODING": "the line is UTF-8 (if the file is not, state its `encoding`)",
    "UNQUOTED VALUE": "quotes in the line are closed, and doubled within a cell",
    "LINE SIZE OVER MAXIMUM": f"the line is no longer than {LONGEST_LINE >> 20} MB",
}


def rejects(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The lines of CSV files that were left out of all that `db` has read: file, row, rule, value.

    `row` counts from 1 after the header, and `value` is the line itself, as far as it is of use.
    """
    try:
        lines = db.execute(
            "SELECT DISTINCT parse_filename(file_path) AS file, line - 1 - skip_rows AS row, "
            f"left(csv_line, {_LONGEST_SHOWN}) AS value, error_type "
            "FROM reject_errors JOIN reject_scans USING (scan_id, file_id) ORDER BY ALL"
        ).df()
    except duckdb.CatalogException:  # no CSV was read
        lines = pd.DataFrame(columns=["file", "row", "value", "error_type"])
    rules = lines["error_type"].astype("str").map(_REJECT_RULES).fillna(_REJECT_RULE)
    one_a_line = lines.assign(rule=rules).drop(columns="error_type").astype({"row": "int64"})
    return one_a_line.drop_duplicates(["file", "row"], ignore_index=True)


def _text(text: str, quote: str) -> str:
    return text.replace(quote, quote * 2)
