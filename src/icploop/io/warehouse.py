"""The warehouse: one DuckDB file with the four tables, the quarantine, the ledger and the landing.

The landing is where pages of sources that are read over HTTP wait, with how far each was read.

DuckDB lets one process write to a file, so a connection is held only as long as one act takes, and
who comes meanwhile waits a little.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from icploop.domain.calendar import last_moment
from icploop.domain.identity import MERGED_INTO
from icploop.domain.ledger import GENESIS, LedgerRow, Sealed, seal_of
from icploop.domain.tables import CONTRACTS, Tables, read_text
from icploop.errors import DataError, RefusedError, UnavailableError
from icploop.settings import TABLES, TableName

QUARANTINE_COLUMNS = [
    "table_name",
    "source",
    "row",
    "column_name",
    "rule",
    "value",
    "kept",
    "record",
]

QUARANTINE_TYPES = (
    "table_name VARCHAR, source VARCHAR, row BIGINT, column_name VARCHAR, rule VARCHAR, "
    "value VARCHAR, kept BOOLEAN, record VARCHAR"
)
# Names that no source would give to a column of its own.
ROW_IN_SOURCE, DOUBT, ALIKE = "_row_in_source", "_in_doubt", "_alike"

# What DuckDB may hold in memory; more of a large table waits on disk, beside the warehouse.
_MEMORY = "768MB"
# Other processes hold the file for moments only.
_PATIENCE_SECONDS = 10.0
# What is kept of an account that could stand on a list, besides the list's day.
LISTING = ("account_id", "propensity", "listed", "chosen_by", "tier", "expected_nrr")
# What says where a line of the quarantine comes from and which rule it broke.
_LINES = ("table_name", "source", "row", "column_name", "rule", "kept")
_TYPES = {"texts": "VARCHAR", "moments": "TIMESTAMP", "numbers": "DOUBLE"}


@dataclass(frozen=True)
class Snapshot:
    """The day on which a source was read whose accounts have no `observed_at`, and its settings."""

    day: date
    mapping: str


@dataclass(frozen=True)
class Batch:
    """What one source brought for one table: good rows, and quarantine lines.

    With a `snapshot`, accounts without `observed_at` keep what they were before: what differs from
    it is stored as of the end of that day. Without one they are overwritten.
    """

    table: TableName
    source: str
    rows: pd.DataFrame
    quarantine: pd.DataFrame
    snapshot: Snapshot | None = None


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


Record = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """How far one thing of a source has been read.

    `asked` names what was asked for (which columns, of whom): when it changes, all is read again.
    `where` is the source's own account of it, as JSON-like values; None before the first page.
    """

    asked: str
    where: dict[str, Any] | None
    fresh: bool = False


@dataclass(frozen=True)
class State:
    """What a warehouse held for a lineage at one moment; what is written later is not in it.

    `ledger` is that of all lineages. `counted` are the closed deals that judged rounds of the
    lineage have used up, `quarantine` the lines there without the records, `listings` the logged
    lists of the lineage where they were asked for.
    """

    path: Path
    stored: Tables | None
    ledger: tuple[Sealed, ...]
    counted: frozenset[str]
    quarantine: pd.DataFrame
    listings: pd.DataFrame

    @property
    def tables(self) -> Tables:
        """All that is stored. Raises DataError before the first ingest."""
        if self.stored is None:
            raise DataError(f"{self.path} does not exist; run `icp ingest` first")
        return self.stored

    def rows_of(self, lineage: str) -> list[LedgerRow]:
        """The ledger of a lineage, oldest first."""
        return [sealed.row for sealed in self.ledger if sealed.row.motion == lineage]


@dataclass(frozen=True)
class Warehouse:
    """The warehouse at `path`; it is created by the first ingest."""

    path: Path

    def store(self, batches: Sequence[Batch | BatchInParts]) -> dict[str, dict[str, int]]:
        """Bring the tables to what the batches say, all or nothing, and count by table.

        A row replaces the row with the same key; signals, which have no key, are added as often as
        the batch has them beyond what is stored. The same batches twice give the same tables. The
        quarantine of each source is replaced. Counts: rows (in the batch), stored (in the table).
        """
        waiting = {batch.file for batch in batches if isinstance(batch, BatchInParts)}
        with self._connection() as db:
            for file in waiting:
                db.execute(
                    f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS waiting (READ_ONLY)"
                )
            db.execute("BEGIN")
            _create(db)
            read = dict.fromkeys(TABLES, 0)
            for batch in batches:
                read[batch.table] += _merge(db, batch)
            db.execute("COMMIT")
            return {
                batch.table: {"rows": read[batch.table], "stored": _count(db, batch.table)}
                for batch in batches
            }

    def forgotten_by(self, source: str, mapping: str) -> int:
        """How many snapshots of a source another mapping would make forgotten."""
        if not self.path.exists():
            return 0
        with self._connection() as db:
            _create(db)
            found = db.execute(
                "SELECT count(*) FROM snapshots JOIN baselines USING (source) "
                "WHERE source = ? AND mapping <> ?",
                [source, mapping],
            ).fetchone()
        return int(found[0]) if found else 0

    def account_ids(self) -> pd.Series:
        """The accounts that are stored already."""
        if not self.path.exists():
            return pd.Series([], dtype="str")
        with self._connection() as db:
            _create(db)
            return db.execute("SELECT DISTINCT account_id FROM accounts").df()["account_id"]

    def account_names(self) -> pd.DataFrame:
        """What says who every stored account row is, oldest first."""
        columns = ["account_id", "parent_id", "domain", "name"]
        if not self.path.exists():
            return pd.DataFrame(columns=columns, dtype="str")
        with self._connection() as db:
            _create(db)
            columns += [MERGED_INTO] if MERGED_INTO in _columns_of(db, "accounts") else []
            found = db.execute(
                f"SELECT {', '.join(columns)} FROM accounts "
                "ORDER BY account_id, observed_at NULLS FIRST"
            ).df()
        return found.astype("str")

    def state(self, lineage: str, *, with_lists: bool = False) -> State:
        """All that there is of a lineage, read at one moment."""
        lists, lines = pd.DataFrame(columns=["as_of", *LISTING]), pd.DataFrame(columns=list(_LINES))
        if not self.path.exists():
            return State(self.path, None, (), frozenset(), lines, lists)
        with self._connection() as db:
            _create(db)
            # Others of this process may write meanwhile.
            db.execute("BEGIN")
            found = State(
                self.path,
                _tables(db),
                tuple(_sealed(db)),
                _counted(db, lineage),
                db.execute(f"SELECT {', '.join(_LINES)} FROM quarantine ORDER BY ALL").df(),
                _lists(db, lineage) if with_lists else lists,
            )
            db.execute("COMMIT")
        return found

    def tables(self) -> Tables:
        """All that is stored; of revenue, which is long, account_id as a category in order.

        Raises DataError before the first ingest.
        """
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist; run `icp ingest` first")
        with self._connection() as db:
            _create(db)
            return _tables(db)

    def observations(self) -> tuple[pd.DataFrame, pd.DataFrame, date | None]:
        """When deals were created and accounts observed, and nothing else of either.

        Deals: account_id, created_at. Accounts: account_id, observed_at. And the day since which
        changes of undated accounts are kept; None where they are not.
        """
        with self._connection() as db:
            _create(db)
            deals = db.execute("SELECT account_id, created_at FROM deals").df()
            accounts = db.execute("SELECT account_id, observed_at FROM accounts").df()
            since = db.execute("SELECT max(day) FROM baselines").fetchone()
        return deals, accounts, since[0] if since else None

    def quarantine(self) -> pd.DataFrame:
        """The rows and cells in quarantine, with the rule that they broke and their source row."""
        with self._connection() as db:
            _create(db)
            return db.execute("FROM quarantine ORDER BY ALL").df()

    def append(self, *rows: LedgerRow, counted: Iterable[str] = ()) -> None:
        """Add rows to the ledger, all or none; nothing is ever changed or removed there.

        `counted` are the closed deals that a verdict among them uses up for the trigger: they never
        count again for its lineage.
        """
        with self._connection() as db:
            _create(db)
            db.execute("BEGIN")
            for row in rows:
                _seal(db, row)
            deals = pd.DataFrame({"deal_id": pd.Series(sorted(counted), dtype="str")})
            if len(deals):
                db.register("incoming", deals.assign(lineage=rows[-1].motion))
                db.execute("INSERT OR IGNORE INTO counted_deals BY NAME SELECT * FROM incoming")
                db.unregister("incoming")
            db.execute("COMMIT")

    def ledger(self, motion: str) -> list[LedgerRow]:
        """The ledger of a lineage, oldest first."""
        return [sealed.row for sealed in self.sealed_ledger() if sealed.row.motion == motion]

    def sealed_ledger(self) -> list[Sealed]:
        """The whole ledger with its seals, oldest first."""
        if not self.path.exists():
            return []
        with self._connection() as db:
            _create(db)
            return _sealed(db)

    def counted_deals(self, lineage: str) -> frozenset[str]:
        """The closed deals that judged rounds of a lineage have used up."""
        if not self.path.exists():
            return frozenset()
        with self._connection() as db:
            _create(db)
            return _counted(db, lineage)

    def told(self, lineage: str) -> frozenset[str]:
        """The keys of the notices of a lineage that were delivered."""
        if not self.path.exists():
            return frozenset()
        with self._connection() as db:
            _create(db)
            found = db.execute("SELECT key FROM notices WHERE lineage = ?", [lineage])
            return frozenset(key for (key,) in found.fetchall())

    def note_told(self, lineage: str, key: str) -> None:
        """Keep that a notice was delivered."""
        with self._connection() as db:
            _create(db)
            db.execute("INSERT OR IGNORE INTO notices VALUES (?, ?)", [lineage, key])

    def log_list(self, lineage: str, version: str, as_of: date, listing: pd.DataFrame) -> None:
        """Keep who could stand on a target list, with what chance, who did, and what was expected.

        `listing` has the columns of LISTING. A list of the same day is replaced: it is the last one
        that sales got.
        """
        with self._connection() as db:
            _create(db)
            rows = listing.reindex(columns=list(LISTING))
            db.register("incoming", rows.assign(lineage=lineage, version=version, as_of=as_of))
            db.execute("BEGIN")
            db.execute("DELETE FROM listings WHERE lineage = ? AND as_of = ?", [lineage, as_of])
            db.execute("INSERT INTO listings BY NAME SELECT * FROM incoming")
            db.execute("COMMIT")
            db.unregister("incoming")

    def listings(self, lineage: str) -> pd.DataFrame:
        """Every logged list of a lineage: as_of and the columns of LISTING."""
        if not self.path.exists():
            return pd.DataFrame(columns=["as_of", *LISTING])
        with self._connection() as db:
            _create(db)
            return _lists(db, lineage)

    def land(
        self, source: str, thing: str, records: Mapping[str, Record], position: Position
    ) -> None:
        """Keep a source's records of one thing by their id, and how far that thing has been read.

        Both or neither: after a kill, reading goes on where it stopped. A record replaces the one
        with the same id. A position that starts anew (`fresh`) empties the landing of the thing.
        """
        with self._connection() as db:
            _create(db)
            db.execute("BEGIN")
            if position.fresh:
                db.execute("DELETE FROM landing WHERE source = ? AND thing = ?", [source, thing])
            if records:
                texts = [json.dumps(record, separators=(",", ":")) for record in records.values()]
                db.register("landed", pd.DataFrame({"id": list(records), "record": texts}))
                db.execute(
                    "DELETE FROM landing l USING landed n "
                    "WHERE l.source = ? AND l.thing = ? AND l.id = n.id",
                    [source, thing],
                )
                db.execute(
                    "INSERT INTO landing SELECT ?, ?, id, record FROM landed", [source, thing]
                )
                db.unregister("landed")
            db.execute("DELETE FROM cursors WHERE source = ? AND thing = ?", [source, thing])
            where = json.dumps(position.where)
            db.execute(
                "INSERT INTO cursors VALUES (?, ?, ?, ?)", [source, thing, position.asked, where]
            )
            db.execute("COMMIT")

    def position(self, source: str, thing: str) -> Position | None:
        """How far a thing of a source has been read; None before its first page."""
        if not self.path.exists():
            return None
        with self._connection() as db:
            _create(db)
            found = db.execute(
                "SELECT asked, position FROM cursors WHERE source = ? AND thing = ?",
                [source, thing],
            ).fetchone()
        return Position(found[0], json.loads(found[1])) if found else None

    def landed(self, source: str, thing: str) -> list[Record]:
        """The records of a thing that wait, in the order of their ids."""
        if not self.path.exists():
            return []
        with self._connection() as db:
            _create(db)
            found = db.execute(
                "SELECT record FROM landing WHERE source = ? AND thing = ? ORDER BY id",
                [source, thing],
            ).fetchall()
        return [json.loads(record) for (record,) in found]

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._opened() as db:
                db.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = 2")
                yield db
        except (duckdb.OperationalError, OSError) as error:
            raise UnavailableError(
                f"{self.path} cannot be read or written: {error}; make its folder writable, make "
                "room on the disk, or put a sound copy there"
            ) from error

    def _opened(self) -> duckdb.DuckDBPyConnection:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return duckdb.connect(str(self.path))
            except duckdb.OperationalError as error:
                if "Could not set lock" not in str(error):
                    raise
                if time.monotonic() > until:
                    raise RefusedError(
                        f"{self.path} is locked by another process; wait until it has finished and "
                        "try again"
                    ) from error
            time.sleep(0.05)


def _create(db: duckdb.DuckDBPyConnection) -> None:
    for name, contract in CONTRACTS.items():
        columns = [
            f'"{column}" {sql_type}'
            for group, sql_type in _TYPES.items()
            for column in getattr(contract, group)
        ]
        db.execute(f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)})")
    db.execute(f"CREATE TABLE IF NOT EXISTS quarantine ({QUARANTINE_TYPES})")
    db.execute(
        "CREATE TABLE IF NOT EXISTS ledger (number BIGINT PRIMARY KEY, written_at VARCHAR, "
        "event VARCHAR, motion VARCHAR, as_of DATE, version VARCHAR, who VARCHAR, reason VARCHAR, "
        "details VARCHAR, seal VARCHAR)"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS counted_deals (lineage VARCHAR, deal_id VARCHAR, "
        "PRIMARY KEY (lineage, deal_id))"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS notices (lineage VARCHAR, key VARCHAR, "
        "PRIMARY KEY (lineage, key))"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS listings (lineage VARCHAR, version VARCHAR, as_of DATE, "
        "account_id VARCHAR, propensity DOUBLE, listed BOOLEAN)"
    )
    # Lists that were logged before these were kept do not have them.
    for later in ("chosen_by VARCHAR", "tier VARCHAR", "expected_nrr DOUBLE"):
        db.execute(f"ALTER TABLE listings ADD COLUMN IF NOT EXISTS {later}")
    db.execute(
        "CREATE TABLE IF NOT EXISTS landing (source VARCHAR, thing VARCHAR, id VARCHAR, "
        "record VARCHAR)"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS baselines (source VARCHAR PRIMARY KEY, mapping VARCHAR, "
        "day DATE)"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS snapshots (source VARCHAR, account_id VARCHAR, "
        "observed_at TIMESTAMP, PRIMARY KEY (source, account_id, observed_at))"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS cursors (source VARCHAR, thing VARCHAR, asked VARCHAR, "
        "position VARCHAR)"
    )


def _seal(db: duckdb.DuckDBPyConnection, row: LedgerRow) -> None:
    last = db.execute("SELECT number, seal FROM ledger ORDER BY number DESC LIMIT 1").fetchone()
    number, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    db.execute(
        "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            number,
            at,
            row.event,
            row.motion,
            row.as_of,
            row.version,
            row.who,
            row.reason,
            json.dumps(row.details, sort_keys=True),
            seal_of(previous, number, at, row),
        ],
    )


def _merge(db: duckdb.DuckDBPyConnection, batch: Batch | BatchInParts) -> int:
    """Bring one table to what a batch says; the number of good rows that came."""
    with _offered(db, batch):
        _widen(db, batch.table)
        if isinstance(batch, Batch) and batch.snapshot and batch.rows["observed_at"].isna().any():
            history = _as_history(
                db, batch.source, batch.snapshot, _for_storage(batch.rows, batch.table)
            )
            db.register("incoming", history)
        if key := CONTRACTS[batch.table].key:
            same = " AND ".join(f"t.{c} IS NOT DISTINCT FROM i.{c}" for c in key)
            if _count(db, batch.table):
                db.execute(f"DELETE FROM {batch.table} t USING incoming i WHERE {same}")
            inserted = db.execute(f"INSERT INTO {batch.table} BY NAME SELECT * FROM incoming")
            came = _number(inserted)
        else:
            came = _count(db, "incoming")
            _add_missing_repeats(db, batch.table)
        db.execute(
            "DELETE FROM quarantine WHERE table_name = ? AND source = ?",
            [batch.table, batch.source],
        )
        db.execute("INSERT INTO quarantine BY NAME SELECT * FROM refused")
    return came


@contextmanager
def _offered(db: duckdb.DuckDBPyConnection, batch: Batch | BatchInParts) -> Iterator[None]:
    """Let SQL see a batch: its good rows as `incoming`, lines for the quarantine as `refused`."""
    if isinstance(batch, BatchInParts):
        good, refused = (f"waiting.{batch.name}_{what}" for what in ("good", "refused"))
        db.execute(
            f"CREATE TEMP VIEW incoming AS SELECT * EXCLUDE ({ROW_IN_SOURCE}, {DOUBT}, {ALIKE}) "
            f"FROM {good} ANTI JOIN {refused} ON {ROW_IN_SOURCE} = {refused}.position"
        )
        db.execute(f"CREATE TEMP VIEW refused AS FROM waiting.{batch.name}_lines")
        yield
        db.execute("DROP VIEW incoming; DROP VIEW refused")
        return
    lines = batch.quarantine.reindex(columns=QUARANTINE_COLUMNS)
    db.register("incoming", _for_storage(batch.rows, batch.table))
    db.register("refused", lines.astype({"row": "int64", "kept": "bool"}))
    yield
    db.unregister("incoming")
    db.unregister("refused")


def _as_history(
    db: duckdb.DuckDBPyConnection, source: str, snapshot: Snapshot, incoming: pd.DataFrame
) -> pd.DataFrame:
    """Undated rows of accounts as history: what differs from what is known is dated.

    What a source brings first, or on the same day, or under another mapping, counts as known
    always: until then nothing was learned from it, or it was read wrongly.
    """
    known = db.execute("SELECT mapping, day FROM baselines WHERE source = ?", [source]).fetchone()
    if known is None or known[0] != snapshot.mapping or known[1] == snapshot.day:
        db.execute(
            "DELETE FROM accounts a USING snapshots s WHERE s.source = ? "
            "AND a.account_id = s.account_id AND a.observed_at = s.observed_at",
            [source],
        )
        db.execute("DELETE FROM snapshots WHERE source = ?", [source])
        values = [source, snapshot.mapping, snapshot.day]
        db.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?)", values)
        return incoming
    fresh, changed = _fresh_and_changed(db)
    undated, account = incoming["observed_at"].isna(), incoming["account_id"]
    dated = incoming[undated & account.isin(changed)].assign(observed_at=last_moment(snapshot.day))
    db.register("dated", dated)
    db.execute(
        "INSERT OR IGNORE INTO snapshots SELECT ?, account_id, observed_at FROM dated", [source]
    )
    db.unregister("dated")
    return pd.concat([incoming[~undated | account.isin(fresh)], dated])


def _fresh_and_changed(db: duckdb.DuckDBPyConnection) -> tuple[set[str], set[str]]:
    """Accounts of undated incoming rows that are not stored, and those that are and differ.

    An empty cell says nothing, as everywhere among the rows of an account.
    """
    names = [c for c in _columns_of(db, "incoming") if c not in ("account_id", "observed_at")]
    columns = [quoted(name) for name in names]
    moment = "coalesce(observed_at, TIMESTAMP '0001-01-01')"
    latest = ", ".join(f"arg_max({c}, {moment}) AS {c}" for c in columns)
    differs = " OR ".join(
        f"(i.{c} IS NOT NULL AND i.{c}::VARCHAR IS DISTINCT FROM s.{c}::VARCHAR)" for c in columns
    )
    found = db.execute(
        f"WITH s AS (SELECT account_id, {latest} FROM accounts GROUP BY account_id) "
        f"SELECT i.account_id, s.account_id IS NULL, {differs or 'false'} "
        "FROM incoming i LEFT JOIN s USING (account_id) WHERE i.observed_at IS NULL"
    ).fetchall()
    fresh = {account for account, is_new, _ in found if is_new}
    return fresh, {account for account, is_new, other in found if other and not is_new}


def _add_missing_repeats(db: duckdb.DuckDBPyConnection, table: TableName) -> None:
    """Rows without a key: store each as often as the larger of what is stored and what came.

    Rows are the same when their canonical columns are; a column that is new does not make them new.
    """
    canonical = ", ".join(f'"{c}"' for c in CONTRACTS[table].columns)
    columns = ", ".join(quoted(c) for c in _columns_of(db, "incoming"))
    # Names that no source would give to a column of its own.
    numbered = f"row_number() OVER (PARTITION BY {canonical}) AS _nth_alike"
    db.execute(
        f"INSERT INTO {table} BY NAME SELECT {columns} FROM (SELECT *, {numbered} FROM incoming) "
        f"LEFT JOIN (SELECT {canonical}, count(*) AS _stored_alike FROM {table} GROUP BY ALL) "
        f"USING ({canonical}) WHERE _nth_alike > coalesce(_stored_alike, 0)"
    )


def _widen(db: duckdb.DuckDBPyConnection, table: str) -> None:
    """Give the table the columns that are new, and text where a column changed its type.

    DuckDB's names know no case; of two spellings the newest is kept.
    """
    stored = {column.lower(): (column, t) for column, t in _columns_of(db, table).items()}
    for column, sql_type in _columns_of(db, "incoming").items():
        name, stored_type = stored.get(column.lower(), (None, sql_type))
        if name is None:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(column)} {sql_type}")
        elif name != column:
            db.execute(f"ALTER TABLE {table} RENAME COLUMN {quoted(name)} TO {quoted(column)}")
        if stored_type not in (sql_type, "VARCHAR"):
            db.execute(f"ALTER TABLE {table} ALTER {quoted(column)} TYPE VARCHAR")


def _columns_of(db: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    described = db.execute(f"DESCRIBE {table}").fetchall()
    return {column: sql_type for column, sql_type, *_ in described}


def quoted(column: str) -> str:
    """A column's name as SQL takes any."""
    return '"' + column.replace('"', '""') + '"'


def _count(db: duckdb.DuckDBPyConnection, table: str) -> int:
    return _number(db.execute(f"SELECT count(*) FROM {table}"))


def _number(answer: duckdb.DuckDBPyConnection) -> int:
    found = answer.fetchone()
    return int(found[0]) if found else 0


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


def storable(values: pd.Series) -> pd.Series:
    """The values, as text where they are of no plain type."""
    return read_text(values.map(_as_plain, "ignore")) if values.dtype == object else values


def _as_plain(value: Any) -> Any:
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value


def _sealed(db: duckdb.DuckDBPyConnection) -> list[Sealed]:
    found = db.execute(
        "SELECT number, written_at, event, motion, as_of, version, who, reason, details, seal "
        "FROM ledger ORDER BY number"
    ).fetchall()
    return [
        Sealed(
            number,
            at,
            LedgerRow(event, motion, day, version, who, reason, json.loads(details)),
            seal,
        )
        for number, at, event, motion, day, version, who, reason, details, seal in found
    ]


def _counted(db: duckdb.DuckDBPyConnection, lineage: str) -> frozenset[str]:
    found = db.execute("SELECT deal_id FROM counted_deals WHERE lineage = ?", [lineage])
    return frozenset(deal for (deal,) in found.fetchall())


def _lists(db: duckdb.DuckDBPyConnection, lineage: str) -> pd.DataFrame:
    found = db.execute(
        f"SELECT as_of, {', '.join(LISTING)} FROM listings WHERE lineage = ? "
        "ORDER BY as_of, account_id",
        [lineage],
    ).df()
    return found.astype({"as_of": "datetime64[us]", "account_id": "str"})


def _tables(db: duckdb.DuckDBPyConnection) -> Tables:
    frames = {name: _stored(db, name) for name in TABLES}
    return Tables(frames["accounts"], frames["deals"], frames["revenue"], frames["signals"])


def _stored(db: duckdb.DuckDBPyConnection, table: TableName) -> pd.DataFrame:
    if table == "revenue":
        db.execute(
            "CREATE TEMP TYPE billed AS ENUM (SELECT DISTINCT account_id FROM revenue "
            "WHERE account_id IS NOT NULL ORDER BY account_id)"
        )
        return db.execute("SELECT * REPLACE (account_id::billed AS account_id) FROM revenue").df()
    found = db.execute(f"FROM {table}").df()
    return found.astype(dict.fromkeys(CONTRACTS[table].texts, "str"))
