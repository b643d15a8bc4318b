"""Large tables on their way into the warehouse: in parts, in a file of their own beside it.

Such a table waits here twice: as its source has it, and with its good rows typed. The file lives as
long as one ingest; what a killed one left behind is removed by the next that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionDtype

from icploop.domain.tables import CONTRACTS
from icploop.errors import UnavailableError
from icploop.io.home import Home
from icploop.io.lock import one_at_a_time
from icploop.io.warehouse.schema import (
    ALIKE,
    DOUBT,
    QUARANTINE_COLUMNS,
    QUARANTINE_TYPES,
    ROW_IN_SOURCE,
    quoted,
    row_count,
)
from icploop.io.warehouse.tables import BatchInParts
from icploop.settings import TableName

# Accounts and deals are few beside what is told of them, and are needed as a whole.
_MAY_BE_LARGE: frozenset[TableName] = frozenset({"revenue", "signals"})
_MEMORY = "384MB"
# A name that no source would give, and a column's number.
_KEPT = "_kept_"


@dataclass(frozen=True)
class PartSizes:
    """A table whose files have `large_bytes` or more is read in parts of `rows` rows."""

    large_bytes: int = 1 << 24
    rows: int = 500_000


@dataclass(frozen=True)
class KeptRows:
    """All rows of a large table as its source has them, counted from 0 in the source's order."""

    db: duckdb.DuckDBPyConnection
    name: str
    columns: tuple[str, ...]
    types: dict[str, str | np.dtype | ExtensionDtype]
    count: int
    part: int

    def parts(self) -> Iterator[pd.DataFrame]:
        """Every row once, in order, by parts; one empty part where there are none."""
        for start in range(0, max(self.count, 1), self.part):
            end = min(start + self.part, self.count)
            yield self._read("rowid >= ? AND rowid < ?", [start, end], range(start, end))

    def every(self, step: int) -> pd.DataFrame:
        """Each `step`-th row, from the first on."""
        return self._read("rowid % ? = 0", [step], range(0, self.count, step))

    def at(self, positions: Iterable[int]) -> pd.DataFrame:
        """The rows at these positions, in order."""
        asked = pd.DataFrame({"position": sorted(positions)}, dtype="int64")
        self.db.register("asked", asked)
        try:
            return self._read("rowid IN (SELECT position FROM asked)", [], asked["position"])
        finally:
            self.db.unregister("asked")

    def coded(self, columns: Sequence[str]) -> CodedRows:
        """The same rows, with numbered cells in these columns and in all that are not text."""
        wanted = tuple(c for c in self.columns if c in columns or c in self.types)
        coded = CodedRows(self, f"{self.name}_codes", wanted)
        coded.make()
        return coded

    def sql(self, column: str) -> str:
        """What a column is called in SQL."""
        return f"{_KEPT}{self.columns.index(column)}"

    def _read(
        self, where: str, values: list[int], positions: Sequence[int] | pd.Series
    ) -> pd.DataFrame:
        found = self.db.execute(f"FROM {self.name} WHERE {where} ORDER BY rowid", values)
        # Through Arrow text is read four times as fast.
        rows = found.df() if self.types else found.to_arrow_table().to_pandas()
        rows.columns = pd.Index(self.columns)
        # A part may happen to have no missing cell; its types are those of the whole all the same.
        rows = rows.astype({c: t for c, t in self.types.items() if rows[c].dtype != t})
        rows.index = pd.Index(np.asarray(positions, dtype="int64"))
        return rows


@dataclass(frozen=True)
class CodedRows:
    """The columns of kept rows as numbers of their distinct cells, so that each is judged once.

    Revenue has few months and prices beside its rows, and each account many times.
    """

    kept: KeptRows
    name: str
    columns: tuple[str, ...]

    def cells(self, column: str) -> Iterator[pd.DataFrame]:
        """The distinct cells of a column, by parts, as rows in which all others are missing.

        The index is the cell's number.
        """
        name = self._cells(column)
        distinct = KeptRows(
            self.kept.db,
            name,
            ("cell",),
            {"cell": self.kept.types[column]} if column in self.kept.types else {},
            row_count(self.kept.db, name),
            self.kept.part,
        )
        for part in distinct.parts():
            others = pd.DataFrame(index=part.index, columns=list(self.kept.columns), dtype="str")
            yield others.assign(**{column: part["cell"]})

    def numbers(self, *columns: str) -> Iterator[list[np.ndarray]]:
        """The numbers of these columns' cells in every row, in order, by parts."""
        names = ", ".join(self.number(column) for column in columns)
        for start in range(0, self.kept.count, self.kept.part):
            found = self.kept.db.execute(
                f"SELECT {names} FROM {self.name} WHERE position >= ? AND position < ? "
                "ORDER BY position",
                [start, start + self.kept.part],
            ).fetchnumpy()
            yield [np.asarray(found[self.number(column)]) for column in columns]

    def make(self) -> None:
        """Number the cells; text columns that are not numbered are carried along."""
        for column in self.columns:
            self.kept.db.execute(
                f"CREATE TABLE {self._cells(column)} AS "
                f"SELECT DISTINCT {self.kept.sql(column)} AS {_KEPT}0 FROM {self.kept.name}"
            )
        numbered = [
            f"{self.number(c)}_cells.rowid::INTEGER AS {self.number(c)}" for c in self.columns
        ]
        carried = [f"r.{self.kept.sql(c)}" for c in self.kept.columns if c not in self.columns]
        joins = [
            f"JOIN {self._cells(c)} {self.number(c)}_cells "
            f"ON r.{self.kept.sql(c)} IS NOT DISTINCT FROM {self.number(c)}_cells.{_KEPT}0"
            for c in self.columns
        ]
        self.kept.db.execute(
            f"CREATE TABLE {self.name} AS "
            f"SELECT {', '.join(['r.rowid AS position', *numbered, *carried])} "
            f"FROM {self.kept.name} r {' '.join(joins)}"
        )

    def number(self, column: str) -> str:
        """What a column's numbers are called in SQL."""
        return f"number_{self.columns.index(column)}"

    def _cells(self, column: str) -> str:
        return f"{self.name}_{self.number(column)}"


@dataclass(frozen=True)
class Judged:
    """What becomes of the cells of one column of the source: a column of the warehouse.

    `cells` has a line for each distinct cell, by its number: value (as it is stored) and doubt
    (whether a row with it must be looked at). None: the column is text, and stored as it is.
    """

    target: str
    column: str
    cells: pd.DataFrame | None


class Staging:
    """Where the large tables of one ingest wait. The file is made when the first one comes."""

    def __init__(self, home: Home, sizes: PartSizes | None = None) -> None:
        self._home = home
        self._sizes = sizes or PartSizes()
        self._file = home.warehouse_file.with_name("large-tables.duckdb")
        self._db: duckdb.DuckDBPyConnection | None = None
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        self._names = 0
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._db is not None:
            self.close()
            self._remove()
        self._held.close()

    def takes(self, table: TableName, files: Iterable[Path]) -> bool:
        """Whether a table made of these files is read in parts."""
        if table not in _MAY_BE_LARGE:
            return False
        return sum(path.stat().st_size for path in files) >= self._sizes.large_bytes

    def connection(self) -> duckdb.DuckDBPyConnection:
        """A connection with views and rejected lines of its own.

        Raises RefusedError while another ingest of large tables runs here, UnavailableError where
        nothing can be written.
        """
        if self._db is None:
            self._held.enter_context(one_at_a_time(self._home, "large-tables"))
            self._remove()
            try:
                self._db = duckdb.connect(str(self._file))
            except duckdb.OperationalError as error:
                raise UnavailableError(
                    f"{self._file} cannot be written: {error}; make its folder writable, or make "
                    "room on the disk"
                ) from error
            # Nothing here must outlast a fault, so nothing waits for the disk.
            self._db.execute(
                f"SET memory_limit = '{_MEMORY}'; SET threads = 2; "
                "SET checkpoint_threshold = '1TB'; PRAGMA disable_checkpoint_on_shutdown"
            )
            self._db.execute("CREATE SCHEMA parts")
        self._cursors.append(self._db.cursor())
        return self._cursors[-1]

    def keep(self, db: duckdb.DuckDBPyConnection, query: str) -> KeptRows:
        """Keep what a query on `db` (a `connection` of this) gives. Raises duckdb.Error."""
        *before, last = duckdb.extract_statements(query)
        for statement in before:
            db.execute(statement)
        name = self._name("raw")
        db.execute(f"CREATE TABLE {name} AS {last.query}")
        described = db.execute(f"DESCRIBE {name}").fetchall()
        for i, (column, *_) in enumerate(described):
            # A column may have any name, such as one of ours.
            db.execute(f"ALTER TABLE {name} RENAME {quoted(column)} TO {_KEPT}{i}")
        return KeptRows(
            db,
            name,
            tuple(column for column, *_ in described),
            _types_of_the_whole(db, name, {column: t for column, t, *_ in described}),
            row_count(db, name),
            self._sizes.rows,
        )

    def sift(
        self, table: TableName, source: str, coded: CodedRows, judged: Sequence[Judged]
    ) -> Sifted:
        """The rows of a large table as its cells were judged."""
        db, name = coded.kept.db, self._name("sifted")
        values, doubts, joins = [], ["false"], []
        for i, one in enumerate(judged):
            if one.cells is None:
                values.append(f"r.{coded.kept.sql(one.column)} AS {quoted(one.target)}")
                continue
            with _registered(db, cells=one.cells.rename_axis("number").reset_index()):
                db.execute(f"CREATE TABLE {name}_cells_{i} AS FROM cells")
            value = f"c{i}.value"
            if (table, one.target) == ("revenue", "mrr"):
                value = f"coalesce(whole.mrr, {value})"
            values.append(f"{value} AS {quoted(one.target)}")
            doubts.append(f"c{i}.doubt")
            joins.append(
                f"JOIN {name}_cells_{i} c{i} ON c{i}.number = r.{coded.number(one.column)}"
            )
        # What is added up is known once the rows were looked at together.
        db.execute(f"CREATE TABLE {name}_whole (position BIGINT, mrr DOUBLE)")
        joins.append(f"LEFT JOIN {name}_whole whole ON whole.position = r.position")
        by_target = {one.target: f"c{i}.value" for i, one in enumerate(judged)}
        key = ", ".join(by_target[c] for c in CONTRACTS[table].key) or "r.position"
        db.execute(
            f"CREATE VIEW {name}_good AS SELECT {', '.join(values)}, "
            f"r.position AS {ROW_IN_SOURCE}, {' OR '.join(doubts)} AS {DOUBT}, "
            f"hash({key}) AS {ALIKE} FROM {coded.name} r {' '.join(joins)}"
        )
        db.execute(f"CREATE TABLE {name}_refused (position BIGINT)")
        db.execute(f"CREATE TABLE {name}_lines ({QUARANTINE_TYPES})")
        return Sifted(db, table, source, name, coded.kept.part)

    def close(self) -> None:
        """Let the warehouse read the file; nothing more can be added."""
        for cursor in self._cursors:
            cursor.close()
        self._cursors.clear()
        if self._db is not None:
            self._db.close()

    def batch(self, sifted: Sifted) -> BatchInParts:
        """What the warehouse is to store, once this is closed."""
        return BatchInParts(sifted.table, sifted.source, self._file, sifted.name)

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"parts.{kind}_{self._names}"

    def _remove(self) -> None:
        for leftover in self._file.parent.glob(f"{self._file.name}*"):
            if leftover.is_dir():
                for spilled in leftover.iterdir():
                    spilled.unlink()
                leftover.rmdir()
            else:
                leftover.unlink()


@dataclass(frozen=True)
class Sifted:
    """The rows of a large table with their cells typed, and what of them is not to be stored.

    A row that is bad, or whose key comes again, is looked at once more, together with all rows
    that could be like it.
    """

    db: duckdb.DuckDBPyConnection
    table: TableName
    source: str
    name: str
    part: int

    def suspects(self) -> Iterator[np.ndarray]:
        """The positions of all rows to look at once more, rows that could be alike together."""
        good, suspect = f"{self.name}_good", f"{self.name}_suspect"
        self.db.execute(
            f"CREATE TABLE {suspect} AS WITH again AS "
            f"(SELECT {ALIKE} FROM {good} GROUP BY ALL HAVING count(*) > 1) "
            f"SELECT {ROW_IN_SOURCE} AS position, {ALIKE} AS alike FROM {good} "
            f"WHERE {DOUBT} OR {ALIKE} IN (FROM again)"
        )
        pieces = row_count(self.db, suspect) // self.part + 1
        for piece in range(pieces):
            found = self.db.execute(
                f"SELECT position FROM {suspect} WHERE alike % ? = ? ORDER BY position",
                [pieces, piece],
            )
            if len(positions := found.df()["position"].to_numpy()):
                yield positions

    def add_up(self, positions: np.ndarray, mrr: pd.Series) -> None:
        """Let these rows stand for others of their account and month, with the MRR of all."""
        whole = pd.DataFrame({"position": positions, "mrr": mrr.to_numpy()})
        with _registered(self.db, whole=whole):
            self.db.execute(f"INSERT INTO {self.name}_whole FROM whole")

    def refuse(self, positions: np.ndarray, lines: pd.DataFrame) -> None:
        """Leave these rows out of what is stored, and keep lines for the quarantine."""
        refused = pd.DataFrame({"position": positions}, dtype="int64")
        told = lines.reindex(columns=QUARANTINE_COLUMNS).astype({"row": "int64", "kept": "bool"})
        with _registered(self.db, refused=refused, told=told):
            self.db.execute(f"INSERT INTO {self.name}_refused FROM refused")
            self.db.execute(f"INSERT INTO {self.name}_lines BY NAME FROM told")


@contextmanager
def _registered(db: duckdb.DuckDBPyConnection, **frames: pd.DataFrame) -> Iterator[None]:
    """Let SQL see frames by their names while a block runs."""
    for name, frame in frames.items():
        db.register(name, frame)
    yield
    for name in frames:
        db.unregister(name)


def _types_of_the_whole(
    db: duckdb.DuckDBPyConnection, name: str, sql_types: dict[str, str]
) -> dict[str, str | np.dtype | ExtensionDtype]:
    """The pandas types of columns that are no text: a missing cell anywhere may change one."""
    types: dict[str, str | np.dtype | ExtensionDtype] = {}
    for i, (column, sql_type) in enumerate(sql_types.items()):
        if sql_type != "VARCHAR":
            cells = f"SELECT {_KEPT}{i} FROM {name} WHERE {_KEPT}{i} IS"
            query = f"({cells} NULL LIMIT 1) UNION ALL ({cells} NOT NULL LIMIT 1)"
            types[column] = db.execute(query).df()[f"{_KEPT}{i}"].dtype
    return types
