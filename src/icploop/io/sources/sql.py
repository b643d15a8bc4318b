"""Any SQL database, by one query for each table, through SQLAlchemy.

The URL comes from the environment, because it carries a password, and never appears in a message.
"""

from __future__ import annotations

import pandas as pd
from pandas.errors import DatabaseError
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from icploop.errors import DataError, UsageError
from icploop.io.secrets import Secret, address
from icploop.io.sources.raw import RawTable, mapped
from icploop.settings import SqlSource


def pull(source: SqlSource, place: str) -> list[RawTable]:
    """The result of each query. Raises UsageError without a URL, DataError for a failed query."""
    use = "the database's SQLAlchemy URL, such as postgresql+psycopg://user:password@host/database"
    url = address(source.url_env, f"{place}: url_env", use)
    engine = _engine(url, place)
    tables = []
    for name, table in source.tables.items():
        try:
            with engine.connect() as connection:
                rows = pd.read_sql_query(text(str(table.query)), connection)
        except (SQLAlchemyError, DatabaseError) as error:
            # pandas wraps SQLAlchemy's error, which wraps the database's own.
            ours = error.__cause__ if isinstance(error, DatabaseError) else error
            trouble = str(getattr(ours, "orig", None) or ours)
        else:
            trouble = ""
        # Out of the block: a driver's error may hold the password.
        if trouble:
            raise DataError(f"{place}: tables.{name}.query failed: {url.hidden_in(trouble)}")
        rows.index = pd.RangeIndex(1, len(rows) + 1)
        tables.append(RawTable(name, "query", mapped(rows, name, table, place), table.dates))
    engine.dispose()
    return tables


def _engine(url: Secret, place: str) -> Engine:
    """The database of a URL; what cannot be one is not repeated, for it may hold the password."""
    try:
        engine = create_engine(url.reveal())
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError):
        engine = None
    # An @ that is left in the host is the tail of a password that was not escaped.
    if engine is None or "@" in (engine.url.host or ""):
        raise UsageError(
            f"{place}: {url.name} is not a URL that SQLAlchemy can open; it should look like "
            "sqlite:///file.db or postgresql+psycopg://user:password@host/database (in a password "
            "write @ as %40, / as %2F, : as %3A)"
        )
    return engine
