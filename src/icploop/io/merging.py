"""Bring the warehouse's tables to what the sources say today, and keep what they said before.

A source is a state. Each stored row belongs to the source that gave it last (`_source`) and has the
day on which it came as it is (`_came_on`). What a source no longer gives leaves the table; what it
gives otherwise is replaced; and the row as it was goes to the table of former rows, with the days
on which it held, so that an earlier as-of day still sees it. What came and went on one day was a
mistake, and leaves nothing behind. Another mapping, or an ingest without a day, begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from icploop.domain.calendar import last_moment
from icploop.domain.tables import CONTRACTS, Known, Tables, read_text
from icploop.settings import TABLES, Mode, TableName

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
SYSTEM_COLUMNS = {"_source": "VARCHAR", "_came_on": "DATE"}
_TYPES = {"texts": "VARCHAR", "moments": "TIMESTAMP", "numbers": "DOUBLE"}
# When a row of a table happened: a window of an export says nothing of what was earlier.
_WHEN: dict[TableName, str] = {
    "accounts": '"observed_at"',
    "deals": '"created_at"',
    "revenue": '"month"',
    "signals": '"at"',
}
_ALWAYS = "TIMESTAMP '0001-01-01'"


def _no_keys() -> pd.DataFrame:
    return pd.DataFrame()


@dataclass(frozen=True)
class Batch:
    """What one source brought for one table: good rows, and quarantine lines.

    `source` is its name, `origin` the file or query. By its `mode` an export is the whole table,
    the table since its first row, or an increment. `mapping` is a digest of the settings by which
    it was read. `refused` has the keys of rows that were refused: what was stored of them no longer
    counts. Accounts without `observed_at` keep what they were before where a day is given: what
    differs is stored as of the end of that day.
    """

    table: TableName
    source: str
    rows: pd.DataFrame
    quarantine: pd.DataFrame
    origin: str = ""
    mode: Mode = "full"
    mapping: str = ""
    refused: pd.DataFrame = field(default_factory=_no_keys)


@dataclass(frozen=True)
class BatchInParts:
    """As `Batch`, for a table that is not held in memory: it waits in a DuckDB file.

    There `name` is followed by `_good` (rows, by ROW_IN_SOURCE), `_refused` (positions of those
    that are not to be stored) and `_lines` (for the quarantine). `count` rows are to be stored.
    """

    table: TableName
    source: str
    file: Path
    name: str
    count: int
    origin: str = ""
    mode: Mode = "full"
    mapping: str = ""
    refused: pd.DataFrame = field(default_factory=_no_keys)


AnyBatch = Batch | BatchInParts


@dataclass(frozen=True)
class Left:
    """What left a table with one source: rows `gone` of the `stored` ones (accounts: companies).

    `refused` of them are still in the export, but were refused there; `earlier` of them were before
    the first row that it has now.
    """

    table: TableName
    source: str
    gone: int
    stored: int
    refused: int = 0
    earlier: int = 0


@dataclass(frozen=True)
class TableChange:
    """What an ingest did to one table.

    `rows` good rows were in the exports, of which `came` were new and `changed` were different;
    `stored` rows are in the table now.
    """

    rows: int
    stored: int
    came: int
    changed: int


@dataclass(frozen=True)
class Changes:
    """What an ingest did to the tables, before it is made final.

    `left` is by table and source; `orphans` counts, by table, rows that left because their account
    did. `forgotten` counts the earlier states of undated accounts that another mapping makes void.
    """

    tables: Mapping[TableName, TableChange]
    left: Sequence[Left]
    orphans: Mapping[TableName, int]
    forgotten: int


def create_states(db: duckdb.DuckDBPyConnection) -> None:
    """The canonical tables, their former rows, and when each source was read."""
    # What is made last is there only where all of it is.
    if number(db.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reads'")):
        return
    for name, contract in CONTRACTS.items():
        columns = [
            f'"{column}" {sql_type}'
            for group, sql_type in _TYPES.items()
            for column in getattr(contract, group)
        ]
        own = [f"{column} {sql_type}" for column, sql_type in SYSTEM_COLUMNS.items()]
        db.execute(f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns + own)})")
        # Rows that an earlier release stored belong to no source yet.
        for column in own:
            db.execute(f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {column}")
        db.execute(
            f"CREATE TABLE IF NOT EXISTS former_{name} "
            f"({', '.join(columns)}, _source VARCHAR, since DATE, until DATE)"
        )
    db.execute(
        "CREATE TABLE IF NOT EXISTS states (source VARCHAR, table_name VARCHAR, mapping VARCHAR, "
        "mode VARCHAR, day DATE, PRIMARY KEY (source, table_name))"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS snapshots (source VARCHAR, account_id VARCHAR, "
        "observed_at TIMESTAMP, PRIMARY KEY (source, account_id, observed_at))"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS reads (source VARCHAR, table_name VARCHAR, day DATE, "
        "PRIMARY KEY (source, table_name, day))"
    )


def merge(
    db: duckdb.DuckDBPyConnection,
    batches: Sequence[AnyBatch],
    day: date | None,
    *,
    is_of_the_day: bool,
    retired: Sequence[tuple[str, TableName]] = (),
) -> Changes:
    """Bring all tables to what the batches say, in the transaction that is open.

    `is_of_the_day` says whether the exports were really made on `day`: then they say nothing of
    months that end later, and rows of such months were known ahead. `retired` are the tables of
    sources that the settings no longer name.
    """
    found: dict[TableName, TableChange] = {}
    left: list[Left] = []
    forgotten = sum(_forgotten_by(db, batch) for batch in batches if batch.table == "accounts")
    for table in TABLES:
        of_table = [batch for batch in batches if batch.table == table]
        gone = [source for source, name in retired if name == table]
        if of_table or gone:
            change, rows_left = _merge_table(db, table, of_table, gone, day)
            left += rows_left
            if of_table:
                found[table] = change
    accounts_left = any(one.table == "accounts" and one.gone for one in left)
    orphans = _leave_with_their_accounts(db, day) if accounts_left else {}
    for batch in batches:
        _quarantine(db, batch)
        if day is not None and is_of_the_day:
            db.execute("INSERT OR IGNORE INTO reads VALUES (?, ?, ?)", _of(batch, day))
    for source, name in retired:
        for kept in ("states", "reads"):
            db.execute(f"DELETE FROM {kept} WHERE source = ? AND table_name = ?", [source, name])
        _empty_quarantine(db, source, name)
    final = {
        name: TableChange(change.rows, count(db, name), change.came, change.changed)
        for name, change in found.items()
    }
    return Changes(final, left, orphans, forgotten)


def _of(batch: AnyBatch, *more: Any) -> list[Any]:
    return [batch.source, batch.table, *more]


def _merge_table(
    db: duckdb.DuckDBPyConnection,
    table: TableName,
    batches: Sequence[AnyBatch],
    retired: Sequence[str],
    day: date | None,
) -> tuple[TableChange, list[Left]]:
    anew = [batch.source for batch in batches if _begins_anew(db, batch, day)]
    for source in anew:
        db.execute(f"DELETE FROM former_{table} WHERE _source = ?", [source])
    with _coming(db, table, batches, anew, day):
        widen(db, table, "incoming")
        _compare(db, table, batches, retired)
        left = _who_left(db, table)
        if day is not None:
            _keep_former(db, table, day, anew)
        changed = number(db.execute("SELECT count(*) FROM news WHERE news = 'changed'"))
        came = _replace(db, table, day)
        db.execute("DROP TABLE news")
    for batch in batches:
        known = _state(db, batch)
        began = day if known is None or batch.source in anew else known[1]
        db.execute(
            "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?)",
            _of(batch, batch.mapping, batch.mode, began),
        )
    rows = sum(b.count if isinstance(b, BatchInParts) else len(b.rows) for b in batches)
    return TableChange(rows, 0, came - changed, changed), left


def _state(db: duckdb.DuckDBPyConnection, batch: AnyBatch) -> tuple[str, date | None] | None:
    """By which settings a table of a source was read so far, and since when."""
    found = db.execute(
        "SELECT mapping, day FROM states WHERE source = ? AND table_name = ?", _of(batch)
    ).fetchone()
    return (str(found[0]), found[1]) if found else None


def _begins_anew(db: duckdb.DuckDBPyConnection, batch: AnyBatch, day: date | None) -> bool:
    """Whether what was stored of a source cannot be told from a mistake.

    So it is without a day, before the source was ever read, and when it was read otherwise.
    """
    known = _state(db, batch)
    return day is None or known is None or known[0] != batch.mapping or known[1] is None


@contextmanager
def _coming(
    db: duckdb.DuckDBPyConnection,
    table: TableName,
    batches: Sequence[AnyBatch],
    anew: Sequence[str],
    day: date | None,
) -> Iterator[None]:
    """Let SQL see what comes.

    `incoming` are the rows to store (of one key the last), `given` the keys of accounts that the
    sources have, `refused` the keys that they have no more.
    """
    with ExitStack() as seen:
        for i, batch in enumerate(batches):
            seen.enter_context(_rows_of(db, f"coming_{i}", batch, anew, day))
        nth = _nth(table)
        more = f", {nth} AS _nth" if nth else ""
        # No batch: all that the table has is of sources that are no longer named.
        whole = (
            " UNION ALL BY NAME ".join(
                f"SELECT *, '{_text(batch.source)}' AS _source, {i} AS _batch{more} FROM coming_{i}"
                for i, batch in enumerate(batches)
            )
            or f"SELECT * EXCLUDE (_came_on), 0 AS _batch{more} FROM {table} LIMIT 0"
        )
        if len(batches) > 1:
            key = ", ".join(map(quoted, _key(table)))
            whole = (
                f"SELECT * FROM ({whole}) "
                f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY _batch DESC) = 1"
            )
        db.execute(f"CREATE TEMP VIEW incoming AS SELECT * EXCLUDE (_batch) FROM ({whole})")
        seen.callback(db.execute, "DROP VIEW incoming")
        seen.enter_context(_refused_keys(db, table, batches))
        yield


@contextmanager
def _rows_of(
    db: duckdb.DuckDBPyConnection, name: str, batch: AnyBatch, anew: Sequence[str], day: date | None
) -> Iterator[None]:
    """The rows of one batch under a name; of accounts also `given`, and what differs as history."""
    if isinstance(batch, BatchInParts):
        waiting, out = (f"waiting.{batch.name}_{what}" for what in ("good", "refused"))
        db.execute(
            f"CREATE TEMP VIEW {name} AS SELECT * EXCLUDE ({ROW_IN_SOURCE}, {DOUBT}, {ALIKE}) "
            f"FROM {waiting} ANTI JOIN {out} ON {ROW_IN_SOURCE} = {out}.position"
        )
        yield
        db.execute(f"DROP VIEW {name}")
        return
    rows = _for_storage(batch.rows, batch.table)
    if batch.table == "accounts" and day is not None:
        known = _state(db, batch)
        if batch.source in anew or (known and known[1] == day):
            _forget_snapshots(db, batch.source)
        else:
            rows = _as_history(db, batch.source, day, rows)
    db.register(name, rows)
    yield
    db.unregister(name)


@contextmanager
def _refused_keys(
    db: duckdb.DuckDBPyConnection, table: TableName, batches: Sequence[AnyBatch]
) -> Iterator[None]:
    """`refused`, the keys of refused rows, and for accounts `given`, those of good ones."""
    columns = [*_IDENTITY[table], "_source"]
    types = {c: "datetime64[us]" if c == "month" else "str" for c in columns}
    parts = [batch.refused.assign(_source=batch.source) for batch in batches]
    whole = pd.concat(parts) if parts else pd.DataFrame()
    frames = {"refused": whole.reindex(columns=columns).astype(types).drop_duplicates()}
    if table == "accounts":
        given = [
            batch.rows[["account_id", "observed_at"]].assign(_source=batch.source)
            for batch in batches
            if isinstance(batch, Batch)
        ]
        nobody = pd.DataFrame({"account_id": [], "observed_at": [], "_source": []}).astype(
            {"account_id": "str", "observed_at": "datetime64[us]", "_source": "str"}
        )
        frames["given"] = pd.concat([nobody, *given], ignore_index=True)
    for name, frame in frames.items():
        db.register(name, frame)
    yield
    for name in frames:
        db.unregister(name)


# By what a row of a table can be told that was refused.
_IDENTITY: dict[TableName, tuple[str, ...]] = {
    "accounts": ("account_id",),
    "deals": ("deal_id",),
    "revenue": ("account_id", "month"),
    "signals": (),
}


def _key(table: TableName) -> list[str]:
    """What tells rows apart; those of a table without a key by all that they say, and a number."""
    contract = CONTRACTS[table]
    return list(contract.key) or [*contract.columns, "_nth"]


def _nth(table: TableName) -> str:
    """In SQL the number of a row among those that are alike; empty where rows have a key."""
    if CONTRACTS[table].key:
        return ""
    alike = ", ".join(map(quoted, CONTRACTS[table].columns))
    return f"row_number() OVER (PARTITION BY {alike})"


def _same(one: str, other: str, columns: Sequence[str]) -> str:
    """In SQL that two rows have the same key, of which `observed_at` may be empty."""

    def value(row: str, column: str) -> str:
        name = f"{row}.{quoted(column)}"
        return f"coalesce({name}, {_ALWAYS})" if column == "observed_at" else name

    return " AND ".join(f"{value(one, c)} = {value(other, c)}" for c in columns)


def _compare(
    db: duckdb.DuckDBPyConnection,
    table: TableName,
    batches: Sequence[AnyBatch],
    retired: Sequence[str],
) -> None:
    """What is new in `incoming`, as the table `news`.

    `old` is the stored row (missing for one that came), `news` came, changed, moved (the same, by
    another source) or left; then the key and the source of the incoming one.
    """
    key = _key(table)
    keys = ", ".join(f"i.{quoted(c)} AS {quoted(c)}" for c in key)
    if not count(db, table):
        db.execute(
            f"CREATE TEMP TABLE news AS SELECT NULL::BIGINT AS old, '' AS news, {keys}, "
            "i._source AS _source, false AS was_refused FROM incoming i LIMIT 0"
        )
        return
    states = {batch.source: batch.mode for batch in batches}
    whole = [source for source, mode in states.items() if mode != "increment"] + list(retired)
    # What an earlier release stored belongs to the source, where there is but one.
    claim = " OR m._source IS NULL" if len(batches) == 1 and whole else ""
    stored, coming = _columns_of(db, table), _columns_of(db, "incoming")
    values = [c for c in stored if c not in (*key, *SYSTEM_COLUMNS)] if CONTRACTS[table].key else []
    differs = " OR ".join(
        f"m.{quoted(c)} IS DISTINCT FROM i.{quoted(c)}::{stored[c]}"
        if c in coming
        else f"m.{quoted(c)} IS NOT NULL"
        for c in values
    )
    nth = f", {_nth(table)} AS _nth" if not CONTRACTS[table].key else ""
    db.execute(
        f"CREATE TEMP TABLE news AS SELECT m._old AS old, "
        "CASE WHEN m._old IS NULL THEN 'came' WHEN i._source IS NULL THEN 'left' "
        f"WHEN {differs or 'false'} THEN 'changed' ELSE 'moved' END AS news, {keys}, "
        "i._source AS _source, false AS was_refused "
        f"FROM (SELECT rowid AS _old, *{nth} FROM {table}) m "
        f"FULL OUTER JOIN incoming i ON {_same('m', 'i', key)} "
        f"WHERE m._old IS NULL OR (i._source IS NULL AND (m._source IN (SELECT unnest(?)){claim})) "
        f"OR (i._source IS NOT NULL AND (m._source IS DISTINCT FROM i._source "
        f"OR {differs or 'false'}))",
        [whole],
    )
    for source, mode in states.items():
        if mode == "window":
            _stay_before_the_window(db, table, source)
    if table == "accounts":
        _stay_as_history(db)
    _refused_today(db, table)


def _stay_before_the_window(db: duckdb.DuckDBPyConnection, table: TableName, source: str) -> None:
    """An export says nothing of what was before its first row (accounts: before their own)."""
    when = _WHEN[table]
    if table == "accounts":
        begins = (
            "SELECT account_id, min(observed_at) AS begins FROM given WHERE _source = ? GROUP BY 1"
        )
        on = "b.account_id = m.account_id"
    else:
        begins = f"SELECT min({when}) AS begins FROM incoming WHERE _source = ?"
        on = "true"
    db.execute(
        "DELETE FROM news WHERE news = 'left' AND old IN ("
        f"SELECT m.rowid FROM {table} m JOIN ({begins}) b ON {on} "
        f"WHERE m._source = ? AND m.{when} < b.begins)",
        [source, source],
    )


def _stay_as_history(db: duckdb.DuckDBPyConnection) -> None:
    """Of an account that is still there, what it was before its source overwrote it stays."""
    db.execute(
        "DELETE FROM news WHERE news = 'left' AND old IN ("
        "SELECT a.rowid FROM accounts a JOIN given g "
        "ON g.account_id = a.account_id AND g.observed_at IS NULL "
        "WHERE a.observed_at IS NULL OR (a.account_id, a.observed_at) IN "
        "(SELECT (account_id, observed_at) FROM snapshots))"
    )


def _refused_today(db: duckdb.DuckDBPyConnection, table: TableName) -> None:
    """What is stored of a row that is refused today leaves, whatever the mode of its source."""
    columns = _IDENTITY[table]
    if not columns or not count(db, "refused"):
        return
    same = _same("m", "r", columns)
    there = "given" if table == "accounts" else "incoming"
    db.execute(
        f"CREATE TEMP TABLE of_refused AS SELECT m.rowid AS old FROM {table} m "
        f"SEMI JOIN refused r ON {same} AND coalesce(m._source, r._source) = r._source "
        f"ANTI JOIN {there} i ON {_same('m', 'i', columns)}"
    )
    db.execute("UPDATE news SET was_refused = true WHERE old IN (FROM of_refused)")
    db.execute(
        "INSERT INTO news BY NAME SELECT old, 'left' AS news, true AS was_refused FROM of_refused "
        "WHERE old NOT IN (SELECT old FROM news WHERE old IS NOT NULL)"
    )
    db.execute("DROP TABLE of_refused")


def _who_left(db: duckdb.DuckDBPyConnection, table: TableName) -> list[Left]:
    """What left the table, by source; of accounts the companies, not the rows of their history."""
    what = "DISTINCT m.account_id" if table == "accounts" else "*"
    stays = " ANTI JOIN given g ON g.account_id = m.account_id" if table == "accounts" else ""
    one = "DISTINCT m.account_id" if table == "accounts" else "m.rowid"
    earlier = (
        "0"
        if table == "accounts"
        else f"count(*) FILTER (m.{_WHEN[table]} < (SELECT min({_WHEN[table]}) FROM incoming))"
    )
    found = db.execute(
        f"SELECT coalesce(m._source, ''), count({what}), "
        f"count({one}) FILTER (n.was_refused), {earlier} FROM {table} m "
        f"JOIN news n ON n.old = m.rowid AND n.news = 'left'{stays} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if not found:
        return []
    stored = dict(
        db.execute(
            f"SELECT coalesce(m._source, ''), count({what}) FROM {table} m GROUP BY 1"
        ).fetchall()
    )
    return [Left(table, source, gone, stored[source], *more) for source, gone, *more in found]


def _keep_former(
    db: duckdb.DuckDBPyConnection, table: TableName, day: date, anew: Sequence[str]
) -> None:
    """Keep rows that are replaced or leave, as they held until `day`.

    They held since always, or since they came in the place of another one. What came that day, or
    was read otherwise, was a mistake.
    """
    former = f"former_{table}"
    widen(db, former, table)
    since = "NULL::DATE"
    if key := CONTRACTS[table].key:
        since = (
            f"CASE WHEN EXISTS (SELECT 1 FROM {former} f WHERE {_same('f', 'm', key)}) "
            "THEN m._came_on END"
        )
    db.execute(
        f"INSERT INTO {former} BY NAME SELECT m.* EXCLUDE (_came_on), {since} AS since, "
        f"?::DATE AS until FROM {table} m JOIN news n ON n.old = m.rowid "
        "WHERE n.news IN ('changed', 'left') AND m._came_on < ? "
        "AND m._source NOT IN (SELECT unnest(?))",
        [day, day, list(anew)],
    )


def _replace(db: duckdb.DuckDBPyConnection, table: TableName, day: date | None) -> int:
    """Bring the table to what `news` says; how many rows were written."""
    was_empty = not count(db, table)
    nth = "" if CONTRACTS[table].key else "_nth"
    if not was_empty:
        db.execute(
            f"UPDATE {table} SET _source = n._source FROM news n "
            f"WHERE n.old = {table}.rowid AND n.news = 'moved'"
        )
        db.execute(
            f"DELETE FROM {table} WHERE rowid IN "
            "(SELECT old FROM news WHERE news IN ('changed', 'left'))"
        )
    here = "" if was_empty else f" SEMI JOIN news n ON {_same('i', 'n', _key(table))}"
    only = f" EXCLUDE ({nth})" if nth else ""
    return number(
        db.execute(
            f"INSERT INTO {table} BY NAME SELECT i.*{only}, ?::DATE AS _came_on "
            f"FROM incoming i{here}" + ("" if was_empty else " AND n.news IN ('came', 'changed')"),
            [day],
        )
    )


def _leave_with_their_accounts(
    db: duckdb.DuckDBPyConnection, day: date | None
) -> dict[TableName, int]:
    """Rows whose account has left, and which their own source did not take back."""
    found: dict[TableName, int] = {}
    for table in TABLES:
        if table == "accounts":
            continue
        db.execute(
            f"CREATE TEMP TABLE news AS SELECT rowid AS old, 'left' AS news FROM {table} "
            "ANTI JOIN accounts USING (account_id)"
        )
        if gone := count(db, "news"):
            found[table] = gone
            if day is not None:
                _keep_former(db, table, day, [])
            db.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT old FROM news)")
        db.execute("DROP TABLE news")
    return found


def _quarantine(db: duckdb.DuckDBPyConnection, batch: AnyBatch) -> None:
    """Replace what is in quarantine of one table of a source, whatever it was read from."""
    _empty_quarantine(db, batch.source, batch.table)
    if isinstance(batch, BatchInParts):
        db.execute(f"INSERT INTO quarantine BY NAME FROM waiting.{batch.name}_lines")
        return
    lines = batch.quarantine.reindex(columns=QUARANTINE_COLUMNS)
    db.register("lines", lines.astype({"row": "int64", "kept": "bool"}))
    db.execute("INSERT INTO quarantine BY NAME SELECT * FROM lines")
    db.unregister("lines")


def _empty_quarantine(db: duckdb.DuckDBPyConnection, source: str, table: TableName) -> None:
    db.execute(
        "DELETE FROM quarantine WHERE (source = ? OR starts_with(source, ? || ':')) "
        "AND table_name = ?",
        [source, source, table],
    )


def _forgotten_by(db: duckdb.DuckDBPyConnection, batch: AnyBatch) -> int:
    """How many earlier states of undated accounts a changed mapping makes void."""
    known = _state(db, batch)
    if known and known[0] == batch.mapping:
        return 0
    found = f"SELECT count(*) FROM snapshots WHERE {_OF_SOURCE}"
    return number(db.execute(found, [batch.source, batch.source]))


# Earlier releases named the file or query too.
_OF_SOURCE = "(source = ? OR starts_with(source, ? || ':'))"


def _forget_snapshots(db: duckdb.DuckDBPyConnection, source: str) -> None:
    db.execute(
        "DELETE FROM accounts a USING (SELECT account_id, observed_at FROM snapshots "
        f"WHERE {_OF_SOURCE}) s WHERE a.account_id = s.account_id "
        "AND a.observed_at = s.observed_at",
        [source, source],
    )
    db.execute(f"DELETE FROM snapshots WHERE {_OF_SOURCE}", [source, source])


def _as_history(
    db: duckdb.DuckDBPyConnection, source: str, day: date, rows: pd.DataFrame
) -> pd.DataFrame:
    """Undated rows of accounts as history: what differs from what is known is dated.

    What a source brings first, or on the same day, or under another mapping, counts as known
    always: until then nothing was learned from it, or it was read wrongly.
    """
    undated, account = rows["observed_at"].isna(), rows["account_id"]
    if not undated.any():
        return rows
    db.register("arriving", rows)
    fresh, changed = _fresh_and_changed(db)
    db.unregister("arriving")
    dated = rows[undated & account.isin(changed)].assign(observed_at=last_moment(day))
    db.register("dated", dated)
    db.execute(
        "INSERT OR IGNORE INTO snapshots SELECT ?, account_id, observed_at FROM dated", [source]
    )
    db.unregister("dated")
    return pd.concat([rows[~undated | account.isin(fresh)], dated])


def _fresh_and_changed(db: duckdb.DuckDBPyConnection) -> tuple[set[str], set[str]]:
    """Accounts of undated arriving rows that are not stored, and those that are and differ.

    An empty cell says nothing, as everywhere among the rows of an account.
    """
    widen(db, "accounts", "arriving")
    names = [c for c in _columns_of(db, "arriving") if c not in ("account_id", "observed_at")]
    columns = [quoted(name) for name in names]
    moment = f"coalesce(observed_at, {_ALWAYS})"
    latest = ", ".join(f"arg_max({c}, {moment}) AS {c}" for c in columns)
    differs = " OR ".join(
        f"(i.{c} IS NOT NULL AND i.{c}::VARCHAR IS DISTINCT FROM s.{c}::VARCHAR)" for c in columns
    )
    found = db.execute(
        f"WITH s AS (SELECT account_id, {latest} FROM accounts GROUP BY account_id) "
        f"SELECT i.account_id, s.account_id IS NULL, {differs or 'false'} "
        "FROM arriving i LEFT JOIN s USING (account_id) WHERE i.observed_at IS NULL"
    ).fetchall()
    fresh = {account for account, is_new, _ in found if is_new}
    return fresh, {account for account, is_new, other in found if other and not is_new}


def widen(db: duckdb.DuckDBPyConnection, table: str, by: str) -> None:
    """Give a table the columns that are new in `by`, and text where a column changed its type.

    DuckDB's names know no case; of two spellings the newest is kept.
    """
    ours = {*SYSTEM_COLUMNS, "_nth"}
    stored = {column.lower(): (column, t) for column, t in _columns_of(db, table).items()}
    for column, sql_type in _columns_of(db, by).items():
        if column in ours:
            continue
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


def _text(value: str) -> str:
    return value.replace("'", "''")


def count(db: duckdb.DuckDBPyConnection, table: str) -> int:
    """How many rows a table has."""
    return number(db.execute(f"SELECT count(*) FROM {table}"))


def number(answer: duckdb.DuckDBPyConnection) -> int:
    """The one number of an answer."""
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


def stored_tables(db: duckdb.DuckDBPyConnection) -> Tables:
    """All that is stored, with what is known of it; of revenue account_id is a category."""
    db.execute(
        "CREATE OR REPLACE TEMP TYPE billed AS ENUM (SELECT DISTINCT account_id FROM "
        "(SELECT account_id FROM revenue UNION ALL SELECT account_id FROM former_revenue) "
        "WHERE account_id IS NOT NULL ORDER BY account_id)"
    )
    frames = {name: _stored(db, name, f"FROM {name}") for name in TABLES}
    former = {name: _former(db, name) for name in TABLES}
    ahead = db.execute(
        "SELECT account_id, _came_on::TIMESTAMP AS came_on, min(number) AS first, "
        "max(number) AS last FROM (SELECT account_id, _came_on, "
        "year(month) * 12 + month(month) - 1 AS number FROM revenue WHERE month > _came_on "
        "AND _came_on IN (SELECT day FROM reads WHERE table_name = 'revenue')) "
        # Who is billed some days before a month begins has not paid ahead.
        "WHERE number >= year(_came_on) * 12 + month(_came_on) + 1 GROUP BY ALL ORDER BY ALL"
    ).df()
    known = Known(
        {name: rows for name, rows in former.items() if len(rows)},
        ahead if len(ahead) else None,
    )
    return Tables(
        frames["accounts"], frames["deals"], frames["revenue"], frames["signals"], known=known
    )


def _stored(db: duckdb.DuckDBPyConnection, table: TableName, rows: str) -> pd.DataFrame:
    kept = "account_id::billed AS account_id" if table == "revenue" else ""
    found = db.execute(
        f"SELECT * EXCLUDE (_source, _came_on) {f'REPLACE ({kept})' if kept else ''} FROM ({rows})"
    ).df()
    texts = [column for column in CONTRACTS[table].texts if not (kept and column == "account_id")]
    return found.astype(dict.fromkeys(texts, "str"))


def _former(db: duckdb.DuckDBPyConnection, table: TableName) -> pd.DataFrame:
    """The former rows of a table, with the day on which another one took their place."""
    key = CONTRACTS[table].key
    now = f"LEFT JOIN {table} m ON {_same('f', 'm', key)}" if key else ""
    found = _stored(
        db,
        table,
        f"SELECT f.*, {'m._came_on' if key else 'NULL::DATE'} AS replaced_on, "
        f"NULL AS _came_on FROM former_{table} f {now} ORDER BY ALL",
    )
    return found.astype(dict.fromkeys(("since", "until", "replaced_on"), "datetime64[us]"))
