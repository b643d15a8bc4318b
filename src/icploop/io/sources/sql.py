"""Any SQL database, by one query for each table, through SQLAlchemy.

The URL comes from the environment, because it carries a password, and never appears in a message.
"""

from __future__ import annotations

import os

import pandas as pd
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from icploop.errors import DataError, UsageError
from icploop.io.sources.raw import RawTable, mapped
from icploop.settings import SqlSource


def pull(source: SqlSource, place: str) -> list[RawTable]:
    """The result of each query. Raises UsageError without a URL, DataError for a failed query."""
    url = os.environ.get(source.url_env)
    if not url:
        raise UsageError(
            f"{place}: url_env: the environment has no {source.url_env}; set it to the database's "
            "SQLAlchemy URL, such as postgresql+psycopg://user:password@host/database"
        )
    try:
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise UsageError(
            f"{place}: {source.url_env} is not a URL that SQLAlchemy can open; it should look like "
            "sqlite:///file.db or postgresql+psycopg://user:password@host/database"
        ) from error
    tables = []
    for name, table in source.tables.items():
        try:
            with engine.connect() as connection:
                rows = pd.read_sql_query(text(str(table.query)), connection)
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise DataError(f"{place}: tables.{name}.query failed: {cause}") from None
        rows.index = pd.RangeIndex(1, len(rows) + 1)
        tables.append(RawTable(name, "query", mapped(rows, name, table, place), table.dates))
    engine.dispose()
    return tables
