"""What a source hands on: raw rows under canonical column names, before any rule is checked."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from icploop.domain.tables import read_text
from icploop.errors import DataError
from icploop.settings import MappedTable, TableName


@dataclass(frozen=True)
class RawTable:
    """Rows of one table as the source has them.

    The index is the row's number in the source, from 1. `unreadable` are lines that could not be
    split into cells: columns row, rule, value (the line itself).
    """

    table: TableName
    origin: str
    rows: pd.DataFrame
    dates: str | None = None
    unreadable: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["row", "rule", "value"])
    )


def mapped(rows: pd.DataFrame, table: TableName, source: MappedTable, place: str) -> pd.DataFrame:
    """Rename columns and values as the settings say.

    Raises DataError for a mapped column that is absent, or a name that stands for two columns.
    """
    if not rows.columns.is_unique:
        twice = rows.columns[rows.columns.duplicated()][0]
        raise DataError(
            f"{place}: tables.{table} has two columns `{twice}`; select one, or rename one with AS"
        )
    for canonical, own in source.columns.items():
        if own not in rows.columns:
            raise DataError(
                f"{place}: tables.{table}.columns maps `{canonical}` to `{own}`, which is not "
                f"there; columns found: {', '.join(map(str, rows.columns))}"
            )
    # A source column that already bears a canonical name gives way to the one that is mapped to it;
    # one source column may serve two canonical ones.
    spent = {*source.columns, *source.columns.values()}
    renamed = rows[[c for c in rows.columns if c not in spent]].assign(
        **{canonical: rows[own] for canonical, own in source.columns.items()}
    )
    for column, words in source.words.items():
        if column not in renamed.columns:
            raise DataError(
                f"{place}: tables.{table}.values names `{column}`, which is not a column after "
                f"mapping; columns there: {', '.join(map(str, renamed.columns))}"
            )
        text = read_text(renamed[column])
        renamed[column] = text.map(lambda word, words=words: words.get(word, word), "ignore")
    return renamed
