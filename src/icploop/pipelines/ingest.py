"""Ingest: pull every source, check it against the contract, quarantine, store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from icploop.domain.history import HistoryReach, reach
from icploop.domain.identity import Matches
from icploop.domain.tables import (
    CONTRACTS,
    FAULT_COLUMNS,
    SEVERAL_ROWS,
    CheckedTable,
    check_cells,
    check_table,
    is_one_of,
)
from icploop.errors import DataError, UsageError
from icploop.io.home import Home
from icploop.io.sources import GivenTable, Landing, RawTable, TableInParts, pull
from icploop.io.sources.files import of_folder
from icploop.io.warehouse import (
    QUARANTINE_COLUMNS,
    Batch,
    BatchInParts,
    SourceReading,
    Warehouse,
    storable,
)
from icploop.io.warehouse.staging import Judged, PartSizes, Staging
from icploop.pipelines.identity import matches_of, under_its_accounts, who_is_who
from icploop.pipelines.privacy import company_data_only
from icploop.settings import FilesSource, SameMonth, Settings, SqlSource, TableName, digest


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did: by table the rows read, stored and quarantined, and by rule how many.

    `history` says since when the warehouse knows what accounts looked like. `personal` says of each
    column that looks like a person's, and was not stored, why. `identity` is the match of billing
    with the accounts, where there was billing. `forgotten` counts the snapshots of accounts that
    another mapping made void.
    """

    tables: dict[str, dict[str, int]]
    rules: dict[str, int]
    emptied: dict[str, int]
    history: HistoryReach
    personal: tuple[str, ...] = ()
    identity: dict[str, Any] | None = None
    forgotten: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        since = self.history.since.isoformat() if self.history.since else None
        return {
            "tables": self.tables,
            "quarantine": self.rules,
            "emptied_cells": self.emptied,
            "refused_columns": list(self.personal),
            "identity": self.identity,
            "history": asdict(self.history) | {"since": since, "forgotten": self.forgotten},
        }


@dataclass(frozen=True)
class Faults:
    """What was found in a table: bad rows, broken rules of bad rows and of emptied cells, by rule.

    `examples` has a value and its row of each rule that a bad row broke.
    """

    bad: int
    refused: Counter[str]
    emptied: Counter[str]
    examples: dict[str, tuple[str, int]]

    @classmethod
    def of(cls, checked: CheckedTable, unreadable: pd.DataFrame) -> Faults:
        """The faults of rows that were checked together, and of lines that are no rows."""
        first = checked.faults.drop_duplicates("rule")
        examples = zip(first["value"], first["row"], strict=True)
        return cls(
            checked.bad_rows + len(unreadable),
            Counter(checked.faults["rule"]) + Counter(unreadable["rule"]),
            Counter(checked.emptied["rule"]),
            dict(zip(first["rule"], examples, strict=True)),
        )

    def __add__(self, other: Faults) -> Faults:
        """Those of both; of examples the one that comes first in the source."""
        examples = dict(self.examples)
        for rule, example in other.examples.items():
            examples[rule] = min(examples.get(rule, example), example, key=itemgetter(1))
        return Faults(
            self.bad + other.bad,
            self.refused + other.refused,
            self.emptied + other.emptied,
            examples,
        )


def ingest(
    home: Home,
    folder: Path | None = None,
    as_of: date | None = None,
    sizes: PartSizes | None = None,
) -> IngestReport:
    """Bring the warehouse to what the sources say (or a folder of canonical files).

    `as_of` is the day on which accounts without `observed_at` are what they are: what differs from
    an earlier day is kept as their history. Without a day they are overwritten.

    All or nothing, and idempotent: killed anywhere and repeated, it gives the same tables. Revenue
    and signals of large files are read in parts (`sizes`), with the same result. Raises DataError,
    with nothing changed, for an unreadable file, a missing required column, or more than
    `ingest.max_bad_share` of a table in quarantine; RefusedError while another ingest of large
    files runs. What was read page by page from a server stays in the landing even then: the next
    run goes on there.
    """
    with Staging(home, sizes) as staging:
        return _ingest(home, folder, as_of, staging)


def _ingest(home: Home, folder: Path | None, as_of: date | None, staging: Staging) -> IngestReport:
    settings = home.settings()
    warehouse = Warehouse(home.warehouse_file)
    raw: list[tuple[str, GivenTable]] = []
    mappings = {"folder": ""}
    same_month: dict[str, SameMonth] = {}
    if folder is not None:
        landing = Landing(warehouse, "folder")
        tables = pull(of_folder(folder), home.root, str(folder), landing, staging)
        raw += [("folder", table) for table in tables]
    else:
        for name, source in home.sources().items():
            place = f"conf/sources/{name}.yaml"
            mappings[name] = digest(source.model_dump(mode="json"))
            if isinstance(source, FilesSource | SqlSource) and "revenue" in source.tables:
                same_month[name] = source.tables["revenue"].same_month
            tables = pull(source, home.root, place, Landing(warehouse, name), staging)
            raw += [(name, table) for table in tables]
    if not raw:
        raise UsageError("conf/sources names no table; add one under `tables` of a source")
    raw, personal = company_data_only(raw, settings)
    known = set(warehouse.account_ids())
    # Accounts first: rows of the other tables must belong to one.
    raw.sort(key=lambda named: named[1].table != "accounts")
    batches: list[Batch | BatchInParts] = []
    found: list[tuple[TableName, Faults]] = []
    matches: Matches | None = None
    for name, given in raw:
        table = given
        if table.table == "revenue":
            matches = matches or matches_of(raw, warehouse, batches, settings)
            table = under_its_accounts(table, matches)
        rule = same_month.get(name, "refuse")
        check = _Check(settings, f"{name} ({table.origin})", known, rule)
        origin = f"{name}:{table.origin}"
        batch: Batch | BatchInParts
        if isinstance(table, RawTable):
            batch, faults = _at_once(check, table, origin)
        else:
            batch, faults = _in_parts(check, table, origin, staging)
        _stop_if_months_repeat(check.place, table, faults)
        _stop_if_too_bad(check.place, table, faults, settings.ingest.max_bad_share)
        if table.table == "accounts" and isinstance(batch, Batch):
            known |= set(batch.rows["account_id"])
            if as_of:
                batch = replace(batch, reading=SourceReading(as_of, mappings[name]))
        batches.append(batch)
        found.append((table.table, faults))
    staging.close()
    forgotten = sum(
        warehouse.forgotten_by(batch.source, batch.reading.mapping)
        for batch in batches
        if isinstance(batch, Batch) and batch.reading
    )
    stored = warehouse.store(batches)
    return _report(
        found,
        stored,
        reach(*warehouse.observations()),
        personal=tuple(personal),
        forgotten=forgotten,
        identity=who_is_who(matches, batches, warehouse, settings.identity) if matches else None,
    )


@dataclass(frozen=True)
class _Check:
    """Rows held against the contract and against the accounts that are known."""

    settings: Settings
    place: str
    known: set[str]
    same_month: SameMonth

    def table(self, table: TableName, raw: pd.DataFrame, dates: str | None) -> CheckedTable:
        """All rows that could be alike, together."""
        return check_table(
            table,
            raw,
            max_money=self.settings.ingest.max_money,
            dates=dates,
            attributes=self.settings.attributes if table == "accounts" else (),
            same_month=self.same_month,
            known=None if table == "accounts" else self.known,
            place=self.place,
        )

    def column(self, table: TableInParts, column: str) -> Judged:
        """Each distinct cell of a column, where no rule looks at several columns."""
        own = table.columns[column]
        if column not in CONTRACTS[table.table].columns:
            if own not in table.coded.columns:
                return Judged(column, own, None)
            values = storable(table.cells(column))
            return Judged(column, own, pd.DataFrame({"value": values, "doubt": False}))
        max_money = self.settings.ingest.max_money
        cells = table.cells(column)
        values, bad = check_cells(
            table.table, column, cells, max_money=max_money, dates=table.dates
        )
        if column == "account_id":
            bad |= ~is_one_of(values, self.known)
        return Judged(column, own, pd.DataFrame({"value": values, "doubt": bad}))


def _at_once(check: _Check, table: RawTable, source: str) -> tuple[Batch, Faults]:
    checked = check.table(table.table, table.rows, table.dates)
    lines = _quarantine_lines(table.rows, checked, table.unreadable)
    lines = lines.assign(table_name=table.table, source=source)
    batch = Batch(table.table, source, checked.rows, lines.reindex(columns=QUARANTINE_COLUMNS))
    return batch, Faults.of(checked, table.unreadable)


def _in_parts(
    check: _Check, table: TableInParts, source: str, staging: Staging
) -> tuple[BatchInParts, Faults]:
    """As `_at_once`: every distinct cell, then the rows with bad ones, and those that are alike."""
    given = table.change(pd.DataFrame(columns=list(table.coded.kept.columns), dtype="str"))
    check.table(table.table, given, table.dates)
    canonical = CONTRACTS[table.table].columns
    columns = [*canonical, *(c for c in given.columns if c not in canonical)]
    judged = [check.column(table, column) for column in columns]
    sifted = staging.sift(table.table, source, table.coded, judged)
    nothing = CheckedTable(*(pd.DataFrame(columns=FAULT_COLUMNS),) * 3)
    faults = Faults.of(nothing, table.unreadable)
    lines = _quarantine_lines(given, nothing, table.unreadable)
    sifted.refuse(np.array([]), lines.assign(table_name=table.table, source=source))
    for positions in sifted.suspects():
        raw = table.at(positions)
        checked = check.table(table.table, raw, table.dates)
        lines = _quarantine_lines(raw, checked, table.unreadable[:0])
        lines = lines.assign(table_name=table.table, source=source)
        is_kept = raw.index.isin(checked.rows.index)
        sifted.refuse(positions[~is_kept], lines)
        if table.table == "revenue":
            sifted.add_up(positions[is_kept], checked.rows["mrr"])
        faults += Faults.of(checked, table.unreadable[:0])
    return staging.batch(sifted), faults


def _stop_if_months_repeat(place: str, table: GivenTable, faults: Faults) -> None:
    """A month that is left out is lost revenue: here no row may wait in quarantine."""
    rows = faults.refused[SEVERAL_ROWS]
    if not rows:
        return
    value, row = faults.examples[SEVERAL_ROWS]
    raise DataError(
        f"{place}: {rows} of {len(table)} rows of `{table.table}` are of an account and month that "
        f"has several rows, such as {value} in row {row}. Nothing was changed. Say what they are "
        "under tables.revenue of the source: `same_month: sum` where they add up, as subscriptions "
        "do, or `same_month: first` where they are one"
    )


def _stop_if_too_bad(place: str, table: GivenTable, faults: Faults, max_bad_share: float) -> None:
    total = len(table) + len(table.unreadable)
    if not total or faults.bad / total <= max_bad_share:
        return
    [(worst, times)] = faults.refused.most_common(1)
    example = ""
    if worst in faults.examples:
        value, row = faults.examples[worst]
        example = f", such as {value!r} in row {row}"
    raise DataError(
        f"{place}: {faults.bad} of {total} rows of `{table.table}` are bad "
        f"({faults.bad / total:.0%}, more than ingest.max_bad_share {max_bad_share:.0%}); most "
        f"break the rule “{worst}” ({times} rows{example}). Nothing was changed. "
        "Mend the export or its mapping, or raise the share in conf/icp.yaml"
    )


def _quarantine_lines(
    raw: pd.DataFrame, checked: CheckedTable, unreadable: pd.DataFrame
) -> pd.DataFrame:
    """A line for each broken rule with the source row as JSON; `kept` where only a cell was bad."""
    refused, emptied = checked.faults.assign(kept=False), checked.emptied.assign(kept=True)
    lines = pd.concat([refused, emptied], ignore_index=True).rename(
        columns={"column": "column_name"}
    )
    records = raw.loc[lines["row"].unique()].astype("object")
    cells = zip(records.index, records.to_numpy(), records.notna().to_numpy(), strict=True)
    as_json = {
        row: json.dumps(dict(_given(raw.columns, *found)), default=str, ensure_ascii=False)
        for row, *found in cells
    }
    lines["record"] = lines["row"].map(as_json)
    whole = unreadable.assign(kept=False, record=unreadable["value"])
    return pd.concat([lines, whole], ignore_index=True)


def _given(columns: pd.Index, cells: np.ndarray, given: np.ndarray) -> Iterator[tuple[str, Any]]:
    return (
        (column, cell)
        for column, cell, is_given in zip(columns, cells, given, strict=True)
        if is_given
    )


def _report(
    found: Sequence[tuple[TableName, Faults]],
    stored: dict[str, dict[str, int]],
    history: HistoryReach,
    personal: tuple[str, ...],
    forgotten: int,
    identity: dict[str, Any] | None,
) -> IngestReport:
    refused: Counter[str] = Counter()
    emptied: Counter[str] = Counter()
    for name, faults in found:
        counts = stored[name]
        counts["quarantined"] = counts.get("quarantined", 0) + faults.bad
        refused.update({f"{name}: {rule}": times for rule, times in faults.refused.items()})
        emptied.update({f"{name}: {rule}": times for rule, times in faults.emptied.items()})
    return IngestReport(
        stored,
        dict(refused.most_common()),
        dict(emptied.most_common()),
        history,
        personal,
        identity,
        forgotten,
    )
