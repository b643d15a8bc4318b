"""Ingest: pull every source, check it against the contract, quarantine, store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from icploop.domain.history import HistoryReach, reach
from icploop.domain.identity import Matches
from icploop.domain.tables import CheckedTable, check_table, unknown_accounts
from icploop.errors import DataError, UsageError
from icploop.io.home import Home
from icploop.io.sources import Landing, RawTable, pull
from icploop.io.sources.files import of_folder
from icploop.io.warehouse import QUARANTINE_COLUMNS, Batch, Snapshot, Warehouse
from icploop.pipelines.identity import matches_of, under_its_accounts, who_is_who
from icploop.pipelines.privacy import company_data_only
from icploop.settings import Settings, digest


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


def ingest(home: Home, folder: Path | None = None, as_of: date | None = None) -> IngestReport:
    """Bring the warehouse to what the sources say (or a folder of canonical files).

    `as_of` is the day on which accounts without `observed_at` are what they are: what differs from
    an earlier day is kept as their history. Without a day they are overwritten.

    All or nothing, and idempotent: killed anywhere and repeated, it gives the same tables. Raises
    DataError, with nothing changed, for an unreadable file, a missing required column, or more than
    `ingest.max_bad_share` of a table in quarantine. What was read page by page from a server stays
    in the landing even then: the next run goes on there.
    """
    settings = home.settings()
    warehouse = Warehouse(home.warehouse_file)
    raw: list[tuple[str, RawTable]] = []
    mappings = {"folder": ""}
    if folder is not None:
        landing = Landing(warehouse, "folder")
        tables = pull(of_folder(folder), home.root, str(folder), landing)
        raw += [("folder", table) for table in tables]
    else:
        for name, source in home.sources().items():
            place = f"conf/sources/{name}.yaml"
            mappings[name] = digest(source.model_dump(mode="json"))
            tables = pull(source, home.root, place, Landing(warehouse, name))
            raw += [(name, table) for table in tables]
    if not raw:
        raise UsageError("conf/sources names no table; add one under `tables` of a source")
    raw, personal = company_data_only(raw, settings)
    known = set(warehouse.account_ids())
    # Accounts first: rows of the other tables must belong to one.
    raw.sort(key=lambda named: named[1].table != "accounts")
    batches: list[Batch] = []
    found: Matches | None = None
    for name, given in raw:
        table = given
        if table.table == "revenue":
            found = found or matches_of(raw, warehouse, batches, settings)
            table = under_its_accounts(table, found)
        checked = _checked(table, settings, f"{name} ({table.origin})", known)
        if table.table == "accounts":
            known |= set(checked.rows["account_id"])
        batch = _batch(name, table, checked, settings.ingest.max_bad_share)
        snapshot = Snapshot(as_of, mappings[name]) if as_of and table.table == "accounts" else None
        batches.append(replace(batch, snapshot=snapshot))
    forgotten = sum(
        warehouse.forgotten_by(b.source, b.snapshot.mapping) for b in batches if b.snapshot
    )
    stored = warehouse.store(batches)
    return _report(
        batches,
        stored,
        reach(*warehouse.observations()),
        personal=tuple(personal),
        forgotten=forgotten,
        identity=who_is_who(found, batches, warehouse) if found else None,
    )


def _checked(table: RawTable, settings: Settings, place: str, known: Iterable[str]) -> CheckedTable:
    checked = check_table(
        table.table,
        table.rows,
        max_money=settings.ingest.max_money,
        dates=table.dates,
        attributes=settings.attributes if table.table == "accounts" else (),
        place=place,
    )
    if table.table == "accounts":
        return checked
    strangers = unknown_accounts(checked.rows, known)
    rows = checked.rows[~checked.rows.index.isin(strangers["row"])]
    return CheckedTable(rows, pd.concat([checked.faults, strangers]), checked.emptied)


def _batch(name: str, table: RawTable, checked: CheckedTable, max_bad_share: float) -> Batch:
    source = f"{name}:{table.origin}"
    _stop_if_too_bad(f"{name} ({table.origin})", table, checked, max_bad_share)
    lines = _quarantine_lines(table, checked).assign(table_name=table.table, source=source)
    return Batch(table.table, source, checked.rows, lines.reindex(columns=QUARANTINE_COLUMNS))


def _stop_if_too_bad(
    place: str, table: RawTable, checked: CheckedTable, max_bad_share: float
) -> None:
    total = len(table.rows) + len(table.unreadable)
    bad = checked.bad_rows + len(table.unreadable)
    if not total or bad / total <= max_bad_share:
        return
    worst = pd.concat([checked.faults["rule"], table.unreadable["rule"]]).value_counts()
    examples = checked.faults[checked.faults["rule"] == worst.index[0]].head(1)
    example = "".join(
        f", such as {value!r} in row {row}"
        for row, value in zip(examples["row"], examples["value"], strict=True)
    )
    raise DataError(
        f"{place}: {bad} of {total} rows of `{table.table}` are bad "
        f"({bad / total:.0%}, more than ingest.max_bad_share {max_bad_share:.0%}); most break "
        f"the rule “{worst.index[0]}” ({worst.iloc[0]} rows{example}). Nothing was changed. "
        "Mend the export or its mapping, or raise the share in conf/icp.yaml"
    )


def _quarantine_lines(table: RawTable, checked: CheckedTable) -> pd.DataFrame:
    """A line for each broken rule with the source row as JSON; `kept` where only a cell was bad."""
    refused, emptied = checked.faults.assign(kept=False), checked.emptied.assign(kept=True)
    lines = pd.concat([refused, emptied], ignore_index=True).rename(
        columns={"column": "column_name"}
    )
    records = table.rows.loc[lines["row"].unique()].astype("object")
    as_json = {
        row: json.dumps(dict(record.dropna()), default=str, ensure_ascii=False)
        for row, record in records.iterrows()
    }
    lines["record"] = lines["row"].map(as_json)
    unreadable = table.unreadable.assign(kept=False, record=table.unreadable["value"])
    return pd.concat([lines, unreadable], ignore_index=True)


def _report(
    batches: list[Batch],
    stored: dict[str, dict[str, int]],
    history: HistoryReach,
    personal: tuple[str, ...],
    forgotten: int,
    identity: dict[str, Any] | None,
) -> IngestReport:
    lines = pd.concat([batch.quarantine for batch in batches], ignore_index=True)
    for name, counts in stored.items():
        own = lines[(lines["table_name"] == name) & (lines["kept"] == False)]  # noqa: E712
        counts["quarantined"] = len(own[["source", "row"]].drop_duplicates())
    refused, emptied = lines[lines["kept"] == False], lines[lines["kept"] == True]  # noqa: E712
    return IngestReport(
        stored, _by_rule(refused), _by_rule(emptied), history, personal, identity, forgotten
    )


def _by_rule(lines: pd.DataFrame) -> dict[str, int]:
    counts = (lines["table_name"] + ": " + lines["rule"]).value_counts()
    return {str(rule): int(count) for rule, count in counts.items()}
