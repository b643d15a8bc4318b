"""The four tables as sources brought them, and the quarantine of what was not good enough."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from icploop.domain.identity import MERGED_INTO
from icploop.domain.tables import CONTRACTS, Tables, read_text
from icploop.io.warehouse.file import transaction
from icploop.io.warehouse.history import AccountHistory, SourceReading
from icploop.io.warehouse.schema import (
    ALIKE,
    DOUBT,
    QUARANTINE_COLUMNS,
    ROW_IN_SOURCE,
    columns_of,
    quoted,
    row_count,
    the_number,
)
from icploop.settings import TABLES, TableName

# What says where a line of the quarantine comes from and which rule it broke.
LINES = ("table_name", "source", "row", "column_name", "rule", "kept")
# What says who an account is.
NAMES = ("account_id", "parent_id", "domain", "name")


@dataclass(frozen=True)
class Batch:
    """What one source brought for one table: good rows, and quarantine lines.

    With a `reading`, accounts without `observed_at` keep what they were before: what differs from
    it is stored as of the end of that day. Without one they are overwritten.
    """

    table: TableName
    source: str
    rows: pd.DataFrame
    quarantine: pd.DataFrame
    reading: SourceReading | None = None


@dataclass(frozen=True)
class BatchInParts:
    """As `Batch`, for a table that is not held in memory: it waits in a DuckDB file.

    There `name` is followed by `_good` (rows, by ROW_IN_SOURCE), `_refused` (positions of those
    that are not to be stored) and `_lines` (for the quarantine).
    """

    table: TableName
    source: str
    file: Path
    name: str


@dataclass(frozen=True)
class StoredTables:
    """The four tables and their quarantine."""

    db: duckdb.DuckDBPyConnection

    def store(self, batches: Sequence[Batch | BatchInParts]) -> dict[str, dict[str, int]]:
        """Bring the tables to what the batches say, all or nothing; rows and stored by table."""
        for file in {batch.file for batch in batches if isinstance(batch, BatchInParts)}:
            path = str(file).replace("'", "''")
            self.db.execute(f"ATTACH '{path}' AS waiting (READ_ONLY)")
        with transaction(self.db):
            read = dict.fromkeys(TABLES, 0)
            for batch in batches:
                read[batch.table] += self._merge(batch)
        return {
            batch.table: {"rows": read[batch.table], "stored": row_count(self.db, batch.table)}
            for batch in batches
        }

    def account_ids(self) -> pd.Series:
        """The accounts that are stored already."""
        return self.db.execute("SELECT DISTINCT account_id FROM accounts").df()["account_id"]

    def account_names(self) -> pd.DataFrame:
        """NAMES of every stored account row, oldest first, and MERGED_INTO where it is known."""
        known = MERGED_INTO in columns_of(self.db, "accounts")
        columns = [*NAMES, MERGED_INTO] if known else NAMES
        found = self.db.execute(
            f"SELECT {', '.join(columns)} FROM accounts "
            "ORDER BY account_id, observed_at NULLS FIRST"
        ).df()
        return found.astype("str")

    def all(self) -> Tables:
        """All that is stored; of revenue, which is long, account_id as a category in order."""
        frames = {name: self._stored(name) for name in TABLES}
        return Tables(frames["accounts"], frames["deals"], frames["revenue"], frames["signals"])

    def moments(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """When deals were created (account_id, created_at) and accounts observed (observed_at)."""
        deals = self.db.execute("SELECT account_id, created_at FROM deals").df()
        return deals, self.db.execute("SELECT account_id, observed_at FROM accounts").df()

    def quarantine(self) -> pd.DataFrame:
        """The rows and cells in quarantine, with the rule that they broke and their source row."""
        return self.db.execute("FROM quarantine ORDER BY ALL").df()

    def quarantine_lines(self) -> pd.DataFrame:
        """The quarantine without values and records: LINES."""
        return self.db.execute(f"SELECT {', '.join(LINES)} FROM quarantine ORDER BY ALL").df()

    def _merge(self, batch: Batch | BatchInParts) -> int:
        """Bring one table to what a batch says; the number of good rows that came."""
        with self._offered(batch):
            self._widen(batch.table)
            if isinstance(batch, Batch) and batch.reading:
                self._offer_as_history(batch, batch.reading)
            came = (
                self._replace(batch.table) if CONTRACTS[batch.table].key else self._add(batch.table)
            )
            self.db.execute(
                "DELETE FROM quarantine WHERE table_name = ? AND source = ?",
                [batch.table, batch.source],
            )
            self.db.execute("INSERT INTO quarantine BY NAME SELECT * FROM refused")
        return came

    @contextmanager
    def _offered(self, batch: Batch | BatchInParts) -> Iterator[None]:
        """Let SQL see a batch: its good rows as `incoming`, its quarantine lines as `refused`."""
        if isinstance(batch, BatchInParts):
            good, refused = (f"waiting.{batch.name}_{what}" for what in ("good", "refused"))
            self.db.execute(
                f"CREATE TEMP VIEW incoming AS SELECT * EXCLUDE ({ROW_IN_SOURCE}, {DOUBT}, {ALIKE})"
                f" FROM {good} ANTI JOIN {refused} ON {ROW_IN_SOURCE} = {refused}.position"
            )
            self.db.execute(f"CREATE TEMP VIEW refused AS FROM waiting.{batch.name}_lines")
            yield
            self.db.execute("DROP VIEW incoming; DROP VIEW refused")
            return
        lines = batch.quarantine.reindex(columns=QUARANTINE_COLUMNS)
        self.db.register("incoming", _for_storage(batch.rows, batch.table))
        self.db.register("refused", lines.astype({"row": "int64", "kept": "bool"}))
        yield
        self.db.unregister("incoming")
        self.db.unregister("refused")

    def _offer_as_history(self, batch: Batch, reading: SourceReading) -> None:
        if batch.rows["observed_at"].isna().any():
            rows = _for_storage(batch.rows, batch.table)
            dated = AccountHistory(self.db).dated(batch.source, reading, rows)
            self.db.register("incoming", dated)

    def _replace(self, table: TableName) -> int:
        """Rows with a key: what came replaces what is stored under the same."""
        same = " AND ".join(f"t.{c} IS NOT DISTINCT FROM i.{c}" for c in CONTRACTS[table].key)
        if row_count(self.db, table):
            self.db.execute(f"DELETE FROM {table} t USING incoming i WHERE {same}")
        return the_number(self.db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming"))

    def _add(self, table: TableName) -> int:
        """Rows without a key: store each as often as the larger of what is stored and what came.

        Rows are the same when their canonical columns are; a column that is new does not make them
        new.
        """
        came = row_count(self.db, "incoming")
        canonical = ", ".join(f'"{c}"' for c in CONTRACTS[table].columns)
        columns = ", ".join(quoted(c) for c in columns_of(self.db, "incoming"))
        # Names that no source would give to a column of its own.
        numbered = f"row_number() OVER (PARTITION BY {canonical}) AS _nth_alike"
        self.db.execute(
            f"INSERT INTO {table} BY NAME "
            f"SELECT {columns} FROM (SELECT *, {numbered} FROM incoming) "
            f"LEFT JOIN (SELECT {canonical}, count(*) AS _stored_alike FROM {table} GROUP BY ALL) "
            f"USING ({canonical}) WHERE _nth_alike > coalesce(_stored_alike, 0)"
        )
        return came

    def _widen(self, table: TableName) -> None:
        """Give the table the columns that are new, and text where a column changed its type.

        DuckDB's names know no case; of two spellings the newest is kept.
        """
        stored = {column.lower(): (column, t) for column, t in columns_of(self.db, table).items()}
        for column, sql_type in columns_of(self.db, "incoming").items():
            name, stored_type = stored.get(column.lower(), (None, sql_type))
            new = quoted(column)
            if name is None:
                self.db.execute(f"ALTER TABLE {table} ADD COLUMN {new} {sql_type}")
            elif name != column:
                self.db.execute(f"ALTER TABLE {table} RENAME COLUMN {quoted(name)} TO {new}")
            if stored_type not in (sql_type, "VARCHAR"):
                self.db.execute(f"ALTER TABLE {table} ALTER {new} TYPE VARCHAR")

    def _stored(self, table: TableName) -> pd.DataFrame:
        if table == "revenue":
            self.db.execute(
                "CREATE TEMP TYPE billed AS ENUM (SELECT DISTINCT account_id FROM revenue "
                "WHERE account_id IS NOT NULL ORDER BY account_id)"
            )
            return self.db.execute(
                "SELECT * REPLACE (account_id::billed AS account_id) FROM revenue"
            ).df()
        found = self.db.execute(f"FROM {table}").df()
        return found.astype(dict.fromkeys(CONTRACTS[table].texts, "str"))


def storable(values: pd.Series) -> pd.Series:
    """The values, as text where they are of no plain type."""
    return read_text(values.map(_as_plain, "ignore")) if values.dtype == object else values


def _as_plain(value: Any) -> Any:
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value


def _for_storage(rows: pd.DataFrame, table: TableName) -> pd.DataFrame:
    """Canonical columns as they are typed; anything else that is not a plain type becomes text."""
    # Canonical ones first: of two names that differ in case only, DuckDB renames the later one.
    canonical = CONTRACTS[table].columns
    plain = rows[canonical + [c for c in rows.columns if c not in canonical]].copy()
    for column in plain.columns:
        plain[column] = storable(plain[column])
    for column in CONTRACTS[table].texts:
        plain[column] = plain[column].astype("str")
    return plain
