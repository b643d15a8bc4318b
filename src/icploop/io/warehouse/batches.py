"""What sources bring for the tables, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from icploop.domain.cells import as_text
from icploop.domain.tables import CONTRACTS
from icploop.settings import Mode, TableName


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
    did. `forgotten` counts the earlier states of undated accounts that another mapping makes void,
    and `kept_since` is the day since which such states are kept (None: they are not).
    """

    tables: Mapping[TableName, TableChange]
    left: Sequence[Left]
    orphans: Mapping[TableName, int]
    forgotten: int
    kept_since: date | None


# Of the tables that each source has given so far, with their modes, those that are over.
Retired = Callable[[Mapping[tuple[str, TableName], Mode]], Sequence[tuple[str, TableName]]]


def for_storage(rows: pd.DataFrame, table: TableName) -> pd.DataFrame:
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
    return as_text(values.map(_as_plain, "ignore")) if values.dtype == object else values


def _as_plain(value: Any) -> Any:
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value
