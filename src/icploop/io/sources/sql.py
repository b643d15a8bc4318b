"""Any SQL database, by one query for each table, through SQLAlchemy.

The URL comes from the environment, because it carries a password, and never appears in a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from icploop.errors import DataError, UsageError
from icploop.io.secrets import Secret, address
from icploop.io.sources.raw import RawTable, mapped
from icploop.settings import SqlSource

_EXACT_FLOATS = 2**53


def pull(source: SqlSource, place: str) -> list[RawTable]:
    """The result of each query. Raises UsageError without a URL, DataError for a failed query."""
    use = "the database's SQLAlchemy URL, such as postgresql+psycopg://user:password@host/database"
    url = address(source.url_env, f"{place}: url_env", use)
    engine = _engine(url, place)
    tables = []
    for name, table in source.tables.items():
        try:
            with engine.connect() as connection:
                found = connection.execute(text(str(table.query)))
                rows = _frame(list(found.keys()), found.all())
        except SQLAlchemyError as error:
            # It wraps the database's own error.
            trouble = str(getattr(error, "orig", None) or error)
        else:
            trouble = ""
        # Out of the block: a driver's error may hold the password.
        if trouble:
            raise DataError(f"{place}: tables.{name}.query failed: {url.hidden_in(trouble)}")
        rows.index = pd.RangeIndex(1, len(rows) + 1)
        tables.append(RawTable(name, "query", mapped(rows, name, table, place), table.formats))
    engine.dispose()
    return tables


def _frame(columns: list[str], rows: Sequence[Any]) -> pd.DataFrame:
    """The rows of a result; no whole number becomes a float, which keeps but 15 digits of an id."""
    cells = zip(*rows, strict=True) if rows else [()] * len(columns)
    frame = pd.concat(
        [_column(pd.Series(list(column), dtype="object")) for column in cells], axis=1
    )
    return frame.set_axis(columns, axis=1)


def _column(cells: pd.Series) -> pd.Series:
    kind = pd.api.types.infer_dtype(cells, skipna=True)
    if kind == "integer":
        fits = cells.dropna().between(-(2**63), 2**63 - 1).all()
        return cells.astype("Int64" if cells.hasnans else "int64") if fits else cells
    if kind == "decimal":
        # What a database calculates comes so, and so do ids that are longer than any float.
        return cells if (cells.dropna().abs() >= _EXACT_FLOATS).any() else cells.astype("float64")
    return cells.infer_objects()


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
