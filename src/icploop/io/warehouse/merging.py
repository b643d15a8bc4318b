"""Bring the warehouse's tables to what the sources say today, and keep what they said before.

A source is a state. Each stored row belongs to the source that gave it last (`_source`) and has the
day on which it came as it is (`_came_on`). What a source no longer gives leaves the table; what it
gives otherwise is replaced; and the row as it was goes to the table of former rows, with the days
on which it held, so that an earlier as-of day still sees it. What came and went on one day was a
mistake, and leaves nothing behind. Another mapping, or an ingest without a day, begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import Any

import duckdb
import pandas as pd

from icploop.domain.tables import CONTRACTS
from icploop.io.warehouse.batches import (
    AnyBatch,
    Batch,
    BatchInParts,
    Changes,
    Left,
    Retired,
    TableChange,
    for_storage,
)
from icploop.io.warehouse.history import AccountHistory
from icploop.io.warehouse.schema import (
    ALIKE,
    DOUBT,
    QUARANTINE_COLUMNS,
    ROW_IN_SOURCE,
    SYSTEM_COLUMNS,
    columns_of,
    former,
    quoted,
    row_count,
    the_number,
)
from icploop.settings import TABLES, Mode, TableName

# When a row of a table happened: a window of an export says nothing of what was earlier.
_WHEN: dict[TableName, str] = {
    "accounts": '"observed_at"',
    "deals": '"created_at"',
    "revenue": '"month"',
    "signals": '"at"',
}
_ALWAYS = "TIMESTAMP '0001-01-01'"


def merge(
    db: duckdb.DuckDBPyConnection,
    batches: Sequence[AnyBatch],
    day: date | None,
    *,
    is_of_the_day: bool,
    retired: Retired | None = None,
) -> Changes:
    """Bring all tables to what the batches say, in the transaction that is open.

    `is_of_the_day` says whether the exports were really made on `day`: then they say nothing of
    months that end later, and rows of such months were known ahead. `retired` says which of the
    tables that sources gave so far the settings no longer name.
    """
    over = retired(_sources(db)) if retired else []
    found: dict[TableName, TableChange] = {}
    left: list[Left] = []
    history = AccountHistory(db)
    forgotten = sum(
        history.forgotten_by(batch.source, batch.mapping)
        for batch in batches
        if batch.table == "accounts"
    )
    for table in TABLES:
        of_table = [batch for batch in batches if batch.table == table]
        gone = [source for source, name in over if name == table]
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
    for source, name in over:
        for kept in ("states", "reads"):
            db.execute(f"DELETE FROM {kept} WHERE source = ? AND table_name = ?", [source, name])
        _empty_quarantine(db, source, name)
    final = {
        name: TableChange(change.rows, row_count(db, name), change.came, change.changed)
        for name, change in found.items()
    }
    return Changes(final, left, orphans, forgotten, history.since())


def _sources(db: duckdb.DuckDBPyConnection) -> dict[tuple[str, TableName], Mode]:
    """The tables that each source has given so far, and in which mode."""
    found = db.execute("SELECT source, table_name, mode FROM states ORDER BY ALL")
    return {(source, table): mode for source, table, mode in found.fetchall()}


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
        db.execute(f"DELETE FROM {former(table)} WHERE _source = ?", [source])
    with _coming(db, table, batches, anew, day):
        widen(db, table, "incoming")
        _compare(db, table, batches, retired)
        left = _who_left(db, table)
        if day is not None:
            _keep_former(db, table, day, anew)
        changed = the_number(db.execute("SELECT count(*) FROM news WHERE news = 'changed'"))
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
    rows = for_storage(batch.rows, batch.table)
    if batch.table == "accounts" and day is not None:
        known = _state(db, batch)
        if batch.source in anew or (known and known[1] == day):
            AccountHistory(db).forget(batch.source)
        else:
            db.register(name, rows)
            widen(db, "accounts", name)
            db.unregister(name)
            rows = AccountHistory(db).dated(batch.source, day, rows)
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


def same_key(one: str, other: str, columns: Sequence[str]) -> str:
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
    if not row_count(db, table):
        db.execute(
            f"CREATE TEMP TABLE news AS SELECT NULL::BIGINT AS old, '' AS news, {keys}, "
            "i._source AS _source, false AS was_refused FROM incoming i LIMIT 0"
        )
        return
    states = {batch.source: batch.mode for batch in batches}
    whole = [source for source, mode in states.items() if mode != "increment"] + list(retired)
    # What an earlier release stored belongs to the source, where there is but one.
    claim = " OR m._source IS NULL" if len(batches) == 1 and whole else ""
    stored, coming = columns_of(db, table), columns_of(db, "incoming")
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
        f"FULL OUTER JOIN incoming i ON {same_key('m', 'i', key)} "
        f"WHERE m._old IS NULL OR (i._source IS NULL AND (m._source IN (SELECT unnest(?)){claim})) "
        f"OR (i._source IS NOT NULL AND (m._source IS DISTINCT FROM i._source "
        f"OR {differs or 'false'}))",
        [whole],
    )
    for source, mode in states.items():
        # What an account was on some day stays so, however far back its source remembers.
        if mode == "window" or table == "accounts":
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
    if not columns or not row_count(db, "refused"):
        return
    same = same_key("m", "r", columns)
    there = "given" if table == "accounts" else "incoming"
    db.execute(
        f"CREATE TEMP TABLE of_refused AS SELECT m.rowid AS old FROM {table} m "
        f"SEMI JOIN refused r ON {same} AND coalesce(m._source, r._source) = r._source "
        f"ANTI JOIN {there} i ON {same_key('m', 'i', columns)}"
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
    kept = former(table)
    widen(db, kept, table)
    since = "NULL::DATE"
    if key := CONTRACTS[table].key:
        since = (
            f"CASE WHEN EXISTS (SELECT 1 FROM {kept} f WHERE {same_key('f', 'm', key)}) "
            "THEN m._came_on END"
        )
    db.execute(
        f"INSERT INTO {kept} BY NAME SELECT m.* EXCLUDE (_came_on), {since} AS _since, "
        f"?::DATE AS _until FROM {table} m JOIN news n ON n.old = m.rowid "
        "WHERE n.news IN ('changed', 'left') AND m._came_on < ? "
        "AND m._source NOT IN (SELECT unnest(?))",
        [day, day, list(anew)],
    )


def _replace(db: duckdb.DuckDBPyConnection, table: TableName, day: date | None) -> int:
    """Bring the table to what `news` says; how many rows were written."""
    was_empty = not row_count(db, table)
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
    here = "" if was_empty else f" SEMI JOIN news n ON {same_key('i', 'n', _key(table))}"
    only = f" EXCLUDE ({nth})" if nth else ""
    return the_number(
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
        if gone := row_count(db, "news"):
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


def widen(db: duckdb.DuckDBPyConnection, table: str, by: str) -> None:
    """Give a table the columns that are new in `by`, and text where a column changed its type.

    DuckDB's names know no case; of two spellings the newest is kept.
    """
    ours = {*SYSTEM_COLUMNS, "_nth"}
    stored = {column.lower(): (column, t) for column, t in columns_of(db, table).items()}
    for column, sql_type in columns_of(db, by).items():
        if column in ours:
            continue
        name, stored_type = stored.get(column.lower(), (None, sql_type))
        if name is None:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(column)} {sql_type}")
        elif name != column:
            db.execute(f"ALTER TABLE {table} RENAME COLUMN {quoted(name)} TO {quoted(column)}")
        if stored_type not in (sql_type, "VARCHAR"):
            db.execute(f"ALTER TABLE {table} ALTER {quoted(column)} TYPE VARCHAR")


def _text(value: str) -> str:
    return value.replace("'", "''")
