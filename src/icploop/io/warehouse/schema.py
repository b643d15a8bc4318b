"""What lies in the warehouse: its tables and their columns, and how SQL names and counts them."""

from __future__ import annotations

import duckdb

from icploop.domain.tables import CONTRACTS
from icploop.settings import TableName

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
# Whose a stored row is, and the day on which it came as it is.
SYSTEM_COLUMNS = {"_source": "VARCHAR", "_came_on": "DATE"}
# Names that no source would give to a column of its own.
ROW_IN_SOURCE, DOUBT, ALIKE = "_row_in_source", "_in_doubt", "_alike"

_TYPES = {"texts": "VARCHAR", "moments": "TIMESTAMP", "numbers": "DOUBLE"}
_BESIDE = {
    "quarantine": QUARANTINE_TYPES,
    # By which settings a table of a source is read, and since when.
    "states": (
        "source VARCHAR, table_name VARCHAR, mapping VARCHAR, mode VARCHAR, day DATE, "
        "PRIMARY KEY (source, table_name)"
    ),
    # The days on which exports of these days were read.
    "reads": (
        "source VARCHAR, table_name VARCHAR, day DATE, PRIMARY KEY (source, table_name, day)"
    ),
    # The rows of undated accounts that changes made.
    "snapshots": (
        "source VARCHAR, account_id VARCHAR, observed_at TIMESTAMP, "
        "PRIMARY KEY (source, account_id, observed_at)"
    ),
    "ledger": (
        "number BIGINT PRIMARY KEY, written_at VARCHAR, event VARCHAR, motion VARCHAR, as_of DATE, "
        "version VARCHAR, who VARCHAR, reason VARCHAR, details VARCHAR, seal VARCHAR"
    ),
    "counted_deals": "lineage VARCHAR, deal_id VARCHAR, PRIMARY KEY (lineage, deal_id)",
    "notices": "lineage VARCHAR, key VARCHAR, PRIMARY KEY (lineage, key)",
    "listings": (
        "lineage VARCHAR, version VARCHAR, as_of DATE, account_id VARCHAR, propensity DOUBLE, "
        "listed BOOLEAN"
    ),
    "landing": "source VARCHAR, thing VARCHAR, id VARCHAR, record VARCHAR",
    "cursors": "source VARCHAR, thing VARCHAR, asked VARCHAR, position VARCHAR",
}
# Made last, so where it is all of this layout is. A change of the layout gives it a new name.
_LAYOUT = "layout_2"
# Lists that were logged before these were kept do not have them.
_LATER_IN_LISTINGS = ("chosen_by VARCHAR", "tier VARCHAR", "expected_nrr DOUBLE")


def is_complete(db: duckdb.DuckDBPyConnection) -> bool:
    """Whether all that a warehouse holds is there, as this release lays it out."""
    found = db.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = ?", [_LAYOUT])
    return bool(the_number(found))


def create(db: duckdb.DuckDBPyConnection) -> None:
    """Make what is not there yet of all that a warehouse holds."""
    if is_complete(db):
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
            f"CREATE TABLE IF NOT EXISTS {former(name)} "
            f"({', '.join(columns)}, _source VARCHAR, _since DATE, _until DATE)"
        )
        _rename_days(db, former(name))
    for beside, declared in _BESIDE.items():
        db.execute(f"CREATE TABLE IF NOT EXISTS {beside} ({declared})")
    for later in _LATER_IN_LISTINGS:
        db.execute(f"ALTER TABLE listings ADD COLUMN IF NOT EXISTS {later}")
    # What earlier releases kept in their place.
    for replaced in ("baselines", "complete"):
        db.execute(f"DROP TABLE IF EXISTS {replaced}")
    db.execute(f"CREATE TABLE IF NOT EXISTS {_LAYOUT} (yes BOOLEAN)")


def _rename_days(db: duckdb.DuckDBPyConnection, table: str) -> None:
    """The days of a former row had names that a column of a source may bear."""
    if "_since" in columns_of(db, table):
        return
    for day in ("since", "until"):
        db.execute(f"ALTER TABLE {table} RENAME COLUMN {day} TO _{day}")


def former(table: TableName) -> str:
    """The table of the rows that a table had before."""
    return f"former_{table}"


def quoted(column: str) -> str:
    """A column's name as SQL takes any."""
    return '"' + column.replace('"', '""') + '"'


def columns_of(db: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """The columns of a table or view, with their SQL types."""
    described = db.execute(f"DESCRIBE {table}").fetchall()
    return {column: sql_type for column, sql_type, *_ in described}


def row_count(db: duckdb.DuckDBPyConnection, table: str) -> int:
    """How many rows a table or view has."""
    return the_number(db.execute(f"SELECT count(*) FROM {table}"))


def the_number(answer: duckdb.DuckDBPyConnection) -> int:
    """The one number that was asked for; 0 where there is none."""
    found = answer.fetchone()
    return int(found[0]) if found else 0
