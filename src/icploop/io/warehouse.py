"""The warehouse: one DuckDB file with the four tables, the quarantine, the ledger and the landing.

The landing is where pages of sources that are read over HTTP wait, with how far each was read.

DuckDB lets one process write to a file, so a connection is held only as long as one act takes, and
who comes meanwhile waits a little.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from icploop.domain.ledger import GENESIS, LedgerRow, Sealed, seal_of
from icploop.domain.tables import Tables
from icploop.errors import DataError, RefusedError, UnavailableError
from icploop.io.merging import (
    QUARANTINE_TYPES,
    AnyBatch,
    BatchInParts,
    Changes,
    create_states,
    merge,
    stored_tables,
)
from icploop.settings import Mode, TableName

# What DuckDB may hold in memory; more of a large table waits on disk, beside the warehouse.
_MEMORY = "768MB"
# Other processes hold the file for moments only.
_PATIENCE_SECONDS = 10.0
# What is kept of an account that could stand on a list, besides the list's day.
LISTING = ("account_id", "propensity", "listed", "chosen_by", "tier", "expected_nrr")
# What says where a line of the quarantine comes from and which rule it broke.
_LINES = ("table_name", "source", "row", "column_name", "rule", "kept")

Record = dict[str, Any]
# Who is shown what would be stored, and the tables as they would be.
Agree = Callable[[Changes, Callable[[], Tables]], None]


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

    def store(
        self,
        batches: Sequence[AnyBatch],
        day: date | None = None,
        *,
        is_of_the_day: bool = False,
        retired: Sequence[tuple[str, TableName]] = (),
        agree: Agree = lambda _changes, _tables: None,
    ) -> Changes:
        """Bring the tables to what the sources say on `day` (`io/merging.py`), all or nothing.

        The same batches twice give the same tables. `is_of_the_day` says whether the exports were
        really made on `day`; `retired` are the tables of sources that the settings no longer name.
        `agree` is shown what would be stored, and may raise: then nothing was changed.
        """
        waiting = {batch.file for batch in batches if isinstance(batch, BatchInParts)}
        with self._connection() as db:
            for file in waiting:
                db.execute(
                    f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS waiting (READ_ONLY)"
                )
            db.execute("BEGIN")
            _create(db)
            changes = merge(db, batches, day, is_of_the_day=is_of_the_day, retired=retired)
            agree(changes, lambda: stored_tables(db))
            db.execute("COMMIT")
        return changes

    def sources(self) -> dict[tuple[str, TableName], Mode]:
        """The tables that each source has given so far, and in which mode."""
        if not self.path.exists():
            return {}
        with self._connection() as db:
            _create(db)
            found = db.execute("SELECT source, table_name, mode FROM states ORDER BY ALL")
            return {(source, table): mode for source, table, mode in found.fetchall()}

    def account_names(self, but_of: Collection[str] = ()) -> pd.DataFrame:
        """Parent, domain and name of every stored account row, oldest first.

        Rows of the sources `but_of` are left out: what these bring now is all that they have.
        """
        columns = ["account_id", "parent_id", "domain", "name"]
        if not self.path.exists():
            return pd.DataFrame(columns=columns, dtype="str")
        with self._connection() as db:
            _create(db)
            found = db.execute(
                f"SELECT {', '.join(columns)} FROM accounts "
                "WHERE coalesce(_source, '') NOT IN (SELECT unnest(?)) "
                "ORDER BY account_id, observed_at NULLS FIRST",
                [list(but_of)],
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
                stored_tables(db),
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
            return stored_tables(db)

    def observations(self) -> tuple[pd.DataFrame, pd.DataFrame, date | None]:
        """When deals were created and accounts observed, and nothing else of either.

        Deals: account_id, created_at. Accounts: account_id, observed_at. And the day since which
        changes of undated accounts are kept; None where they are not.
        """
        with self._connection() as db:
            _create(db)
            deals = db.execute("SELECT account_id, created_at FROM deals").df()
            accounts = db.execute("SELECT account_id, observed_at FROM accounts").df()
            since = db.execute(
                "SELECT max(day) FROM states WHERE table_name = 'accounts'"
            ).fetchone()
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
    create_states(db)
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
