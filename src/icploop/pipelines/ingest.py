"""Ingest: pull every source, check it against the contract, quarantine, store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from icploop.domain.calendar import end_of, seen_in_any_order
from icploop.domain.cells import read_key, read_moment
from icploop.domain.findings import Finding, of_code
from icploop.domain.history import HistoryReach, reach
from icploop.domain.identity import Matches, customers_as_one
from icploop.domain.outcomes import LeftOut, left_out
from icploop.domain.tables import (
    CONTRACTS,
    CURRENCY,
    FAULT_COLUMNS,
    SEVERAL_ROWS,
    CheckedTable,
    Tables,
    check_cells,
    check_table,
    currency_codes,
    is_one_of,
    keys_folded,
    require_certain_numbers,
    require_one_reading,
)
from icploop.domain.understood import (
    Sums,
    many_left_out,
    of_remarks,
    spellings,
    understood,
    unmatched_money,
)
from icploop.errors import DataError, UsageError
from icploop.io.home import Home
from icploop.io.sources import GivenTable, Landing, RawTable, TableInParts, pull
from icploop.io.sources.files import of_folder
from icploop.io.warehouse import (
    QUARANTINE_COLUMNS,
    AnyBatch,
    Batch,
    Changes,
    Left,
    Warehouse,
    storable,
)
from icploop.io.warehouse.staging import Judged, PartSizes, Staging
from icploop.pipelines.identity import matches_of, under_its_accounts, who_is_who
from icploop.pipelines.privacy import company_data_only
from icploop.settings import (
    FilesSource,
    Mode,
    SameMonth,
    Settings,
    Source,
    SqlSource,
    TableName,
    mode_of,
    reading_digest,
)
from icploop.settings.formats import AS_IT_IS, TableFormat

# Fewer than so many rows that leave are never too many: a small company changes by shares.
_FEW: dict[TableName, int] = {"accounts": 10, "deals": 10, "revenue": 50, "signals": 50}
# More of the deals than this are younger than the day on which they are said to be exported.
_YOUNGER = 0.01
_NOUNS: dict[TableName, tuple[str, str]] = {
    "accounts": ("account", "accounts"),
    "deals": ("deal", "deals"),
    "revenue": ("revenue row", "revenue rows"),
    "signals": ("signal", "signals"),
}
FOLDER = "folder"


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did and understood.

    By table: rows `read`, good (`rows`), `quarantined`, `repeated` (said twice in every cell),
    `new`, `changed`, `left` (no longer given) and `stored`. By rule: bad rows and emptied cells.
    `stages` counts deals by an outcome that is not mapped. `sums` can be held against a dashboard,
    `left_out` says by motion who does not count, and `findings` what looks wrong. `history` says
    since when the warehouse knows what accounts looked like. `personal` says of each column that
    looks like a person's, and was not stored, why. `identity` is the match of billing with the
    accounts, where there was billing. `forgotten` counts the snapshots of accounts that another
    mapping made void.
    """

    tables: dict[str, dict[str, int]]
    rules: dict[str, int]
    emptied: dict[str, int]
    history: HistoryReach
    sums: Sums
    left_out: Mapping[str, LeftOut]
    findings: tuple[Finding, ...] = ()
    stages: dict[str, int] = field(default_factory=dict)
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
            "unmapped_stages": self.stages,
            "refused_columns": list(self.personal),
            "identity": self.identity,
            "history": asdict(self.history) | {"since": since, "forgotten": self.forgotten},
            "sums": self.sums.as_dict(),
            "left_out": {motion: asdict(found) for motion, found in self.left_out.items()},
            "findings": [found.as_dict() for found in self.findings],
        }


@dataclass(frozen=True)
class Faults:
    """What was found in a table: bad rows, broken rules of bad rows and of emptied cells, by rule.

    `examples` has a value and its row of each rule that a bad row broke, `stages` how often each
    outcome came that is none, `keys` those of the bad rows. `remarks`
    are those of `CheckedTable`.
    """

    bad: int
    refused: Counter[str]
    emptied: Counter[str]
    examples: dict[str, tuple[str, int]]
    stages: Counter[str]
    keys: pd.DataFrame
    remarks: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def of(
        cls,
        raw: pd.DataFrame,
        checked: CheckedTable,
        unreadable: pd.DataFrame,
        formats: TableFormat = AS_IT_IS,
    ) -> Faults:
        """The faults of rows that were checked together, and of lines that are no rows."""
        first = checked.faults.drop_duplicates("rule")
        examples = zip(first["value"], first["row"], strict=True)
        stages = checked.faults.loc[checked.faults["column"] == "outcome", "value"].dropna()
        return cls(
            checked.bad_rows + len(unreadable),
            Counter(checked.faults["rule"]) + Counter(unreadable["rule"]),
            Counter(checked.emptied["rule"]),
            dict(zip(first["rule"], examples, strict=True)),
            Counter(stages),
            _keys_of(raw.loc[checked.faults["row"].unique()], formats),
            checked.remarks,
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
            self.stages + other.stages,
            pd.concat([self.keys, other.keys], ignore_index=True),
            self.remarks + other.remarks,
        )


def _keys_of(bad: pd.DataFrame, formats: TableFormat) -> pd.DataFrame:
    """By what bad rows can be told, as far as that can be read."""
    keys = {c: read_key(bad[c], formats.of(c)) for c in ("account_id", "deal_id") if c in bad}
    if "month" in bad:
        keys["month"] = read_moment(bad["month"], formats.of("month"))
    return pd.DataFrame(keys)


def ingest(
    home: Home,
    folder: Path | None = None,
    as_of: date | None = None,
    sizes: PartSizes | None = None,
    *,
    mode: Mode | None = None,
    shrink_is_meant: bool = False,
) -> IngestReport:
    """Bring the warehouse to what the sources say (or a folder of canonical files).

    A source is a state: what a whole export no longer has is gone as of `as_of`, and still seen as
    of an earlier day; accounts without `observed_at` that differ get a history. Without a day
    everything is overwritten. `mode` says how much of the tables a folder is (whole by default).

    All or nothing, and idempotent: killed anywhere and repeated, it gives the same tables. Revenue
    and signals of large files are read in parts (`sizes`), with the same result. Raises DataError,
    with nothing changed, for an unreadable file, a missing required column, more than
    `ingest.max_bad_share` of a table in quarantine, an export that shrank by more than
    `ingest.max_shrink` unless `shrink_is_meant`, and a finding that `ingest.refuse_on` names;
    RefusedError while another ingest of large files runs. What was read page by page from a server
    stays in the landing even then: the next run goes on there.
    """
    if mode and folder is None:
        raise UsageError("--mode is for --from; for sources say it in conf/sources/*.yaml: `mode`")
    with Staging(home, sizes) as staging:
        return _ingest(home, folder, as_of, staging, mode, shrink_is_meant=shrink_is_meant)


def _ingest(
    home: Home,
    folder: Path | None,
    as_of: date | None,
    staging: Staging,
    mode: Mode | None,
    *,
    shrink_is_meant: bool,
) -> IngestReport:
    settings = home.settings()
    warehouse = Warehouse(home.warehouse_file)
    if folder is not None:
        sources: dict[str, Source] = {
            FOLDER: of_folder(folder).model_copy(update={"mode": mode or "full"})
        }
    else:
        sources = home.sources()
    raw: list[tuple[str, GivenTable]] = []
    for name, source in sources.items():
        place = f"conf/sources/{name}.yaml" if folder is None else str(folder)
        tables = pull(source, home.root, place, Landing(warehouse, name), staging)
        raw += [(name, table) for table in tables]
    if not raw:
        raise UsageError("conf/sources names no table; add one under `tables` of a source")
    for name, table in raw:
        _stop_if_too_wide(name, table, settings.ingest.max_columns)
    raw, personal = company_data_only(raw, settings)
    # Accounts first: rows of the other tables must belong to one.
    raw.sort(key=lambda named: named[1].table != "accounts")
    whole = [
        n
        for n, t in raw
        if t.table == "accounts" and mode_of(sources[n], "accounts") != "increment"
    ]
    # What a source had before, and gives no more, is nobody's account any more.
    stored = warehouse.account_names(but_of=whole)
    known = set(stored["account_id"])
    batches: list[AnyBatch] = []
    found: list[Found] = []
    matches: Matches | None = None
    for name, given in raw:
        table = given
        if table.table == "revenue":
            matches = matches or matches_of(raw, stored, batches, settings)
            table = under_its_accounts(table, matches)
        same_month = _same_month(sources[name])
        check = _Check(settings, f"{name} ({table.origin})", known, same_month, as_of)
        batch: AnyBatch
        if isinstance(table, RawTable):
            batch, faults = _at_once(check, table, name)
        else:
            batch, faults = _in_parts(check, table, name, staging)
        _stop_if_months_repeat(check.place, table, faults)
        found.append(Found(check.place, table, faults))
        if table.table == "accounts" and isinstance(batch, Batch):
            _stop_if_too_bad(found[-1], settings.ingest.max_bad_share)
            known |= set(batch.rows["account_id"])
        batches.append(
            replace(
                batch,
                origin=table.origin,
                mode=mode_of(sources[name], table.table),
                mapping=_reading(sources[name], table.table, folder),
                refused=faults.keys,
            )
        )
    staging.close()
    judge = _Judge(settings, as_of, matches, found, shrink_is_meant)
    changes = warehouse.store(
        batches,
        as_of,
        is_of_the_day=as_of is not None and _is_of(as_of, batches),
        retired=partial(_retired, batches) if folder is None else None,
        agree=judge,
    )
    return IngestReport(
        _by_table(found, changes),
        judge.rules("refused"),
        judge.rules("emptied"),
        reach(judge.deals, judge.accounts, changes.kept_since),
        judge.sums,
        judge.left_out,
        tuple(judge.findings),
        dict(judge.stages.most_common()),
        tuple(personal),
        who_is_who(matches, batches, judge.accounts, settings.identity) if matches else None,
        changes.forgotten,
    )


@dataclass(frozen=True)
class Found:
    """What came of one table of a source: what was there, and its faults."""

    place: str
    given: GivenTable
    faults: Faults

    @property
    def table(self) -> TableName:
        """Which one."""
        return self.given.table

    @property
    def read(self) -> int:
        """How many rows and lines there were."""
        return len(self.given) + len(self.given.unreadable)


def _same_month(source: Source) -> SameMonth:
    """What several rows of an account and month are in billing's files and queries."""
    if isinstance(source, FilesSource | SqlSource) and "revenue" in source.tables:
        return source.tables["revenue"].same_month
    return "refuse"


def _reading(source: Source, table: TableName, folder: Path | None) -> str:
    # A folder that is given by hand is always read alike, wherever it lies.
    return reading_digest(source, table) if folder is None else ""


def _retired(
    batches: Sequence[AnyBatch], so_far: Mapping[tuple[str, TableName], Mode]
) -> list[tuple[str, TableName]]:
    """Tables that the settings named once and name no more; an increment's rows stay.

    What a folder brought that was given by hand is over where a source has the whole table.
    """
    given = {(batch.source, batch.table) for batch in batches}
    whole = {batch.table for batch in batches if batch.mode != "increment"}
    return [
        (source, table)
        for (source, table), mode in so_far.items()
        if (source, table) not in given
        and mode != "increment"
        and (source != FOLDER or table in whole)
    ]


def _is_of(day: date, batches: Sequence[AnyBatch]) -> bool:
    """Whether exports can have been made on a day: nearly nothing in them is younger."""
    limit = end_of(day)
    younger = total = 0
    for batch in batches:
        column = {"deals": "created_at", "accounts": "observed_at", "signals": "at"}
        if isinstance(batch, Batch) and batch.table in column:
            moments = batch.rows[column[batch.table]].dropna()
            younger += int((moments >= limit).sum())
            total += len(moments)
    return younger <= _YOUNGER * total


class _Judge:
    """Looks at what would be stored before it is: the sums, what looks wrong, and what refuses.

    Of what is stored then it keeps the `accounts`, oldest first, and when `deals` were created.
    """

    def __init__(
        self,
        settings: Settings,
        day: date | None,
        matches: Matches | None,
        found: Sequence[Found],
        shrink_is_meant: bool,
    ) -> None:
        self.settings, self.day, self.matches, self.found = settings, day, matches, found
        self.shrink_is_meant = shrink_is_meant
        self.sums = Sums(None, None, "", None, None, None, None)
        self.left_out: dict[str, LeftOut] = {}
        self.accounts = self.deals = pd.DataFrame()
        self.findings: list[Finding] = []
        self.stages: Counter[str] = sum((one.faults.stages for one in found), Counter())

    def rules(self, kind: Literal["refused", "emptied"]) -> dict[str, int]:
        """How often each rule was broken, by table."""
        total: Counter[str] = Counter()
        for one in self.found:
            times: Counter[str] = getattr(one.faults, kind)
            total.update({f"{one.table}: {rule}": count for rule, count in times.items()})
        return dict(total.most_common())

    def __call__(self, changes: Changes, tables: Callable[[], Tables]) -> None:
        """Raise DataError for what must not be stored."""
        self.findings = [*self._of_changes(changes), *self._of_rows()]
        stored = tables()
        oldest_first = ["account_id", "observed_at"]
        self.accounts = stored.accounts.sort_values(oldest_first, na_position="first")
        self.deals = stored.deals[["account_id", "created_at"]]
        day = self.day or _last_day(stored)
        if day is not None:
            seen = seen_in_any_order(stored, day)
            known = understood(seen, day, self.settings.freshness)
            self.sums = known.sums
            self.findings += known.findings
            self.findings += spellings(seen.accounts, self.settings.attributes)
            customers = customers_as_one(seen, self.settings.identity)
            for motion in self.settings.motions:
                counted = left_out(customers, motion, self.settings.outcome)
                self.left_out[motion] = counted
                self.findings += many_left_out(motion, counted)
        refusing = of_code(self.findings, self.settings.ingest.refuse_on)
        if refusing:
            told = "; ".join(f"{found.code}: {found.message}" for found in refusing)
            raise DataError(f"{told} Nothing was changed, because ingest.refuse_on names it")

    def _of_changes(self, changes: Changes) -> Iterator[Finding]:
        if told := _who_left(changes):
            yield Finding("rows_left", "note", told)
        # Rows of accounts that are missing would be called bad before it is said why.
        yield from self._shrunk(left for left in changes.left if left.table == "accounts")
        for one in self.found:
            _stop_if_too_bad(one, self.settings.ingest.max_bad_share)
        yield from self._shrunk(left for left in changes.left if left.table != "accounts")
        for left in changes.left:
            if left.earlier and left.earlier == left.gone:
                yield Finding(
                    "export_begins_later",
                    "warning",
                    f"All {_counted(left.table, left.gone)} that left `{left.source}` are older "
                    "than the first row of its export now. If it reaches back only so far, say "
                    "`mode: window` in its settings: what was before stays then.",
                )
        refused = [left for left in changes.left if left.refused]
        if refused:
            told = ", ".join(_counted(left.table, left.refused) for left in refused)
            yield Finding(
                "stored_then_refused",
                "warning",
                f"{told}: refused today, so that what was stored of them no longer counts; see "
                "`icp quarantine`.",
            )

    def _shrunk(self, what_left: Iterable[Left]) -> Iterator[Finding]:
        limit = self.settings.ingest.max_shrink
        for left in what_left:
            share = left.gone / left.stored
            if share <= limit:
                continue
            message = (
                f"{_counted(left.table, left.gone)} of {left.stored:,} ({share:.0%}, more than "
                f"ingest.max_shrink {limit:.0%}) are no longer in the export of "
                f"`{left.source or 'an earlier release'}`"
            )
            if left.gone > _FEW[left.table] and not self.shrink_is_meant:
                raise DataError(
                    f"{message}. Nothing was changed. If the export is cut off, export it again; "
                    "if it has only what is new, say `mode: increment` in its settings (docs/"
                    "your-data.md); if it is meant, say --shrink-is-meant"
                )
            yield Finding("export_shrank", "warning", f"{message}.")

    def _of_rows(self) -> Iterator[Finding]:
        if self.stages:
            told = ", ".join(f"{stage} ({count})" for stage, count in self.stages.most_common())
            yield Finding(
                "unmapped_stages",
                "warning",
                f"{_counted('deals', sum(self.stages.values()))} in stages that are not mapped: "
                f"{told}. Map each to won, lost or open under `values: {{outcome: ...}}` of the "
                "source.",
            )
        for one in self.found:
            yield from (Finding("dialect_assumed", "warning", told) for told in one.given.told)
            yield from of_remarks(one.table, one.faults.remarks, self.settings.currency)
        if self.matches is not None:
            of_billing = self.matches.as_dict()
            yield from unmatched_money(of_billing["money_matched"], of_billing["money_unmatched"])


def _who_left(changes: Changes) -> str:
    """`2 accounts, 1 deal left the source files. ...`, and whose account they had."""
    by_source: dict[str, list[str]] = {}
    for left in changes.left:
        name = left.source or "of an earlier release"
        by_source.setdefault(name, []).append(_counted(left.table, left.gone))
    told = [f"{', '.join(what)} left the source {name}." for name, what in by_source.items()]
    if changes.orphans:
        what = ", ".join(_counted(table, gone) for table, gone in changes.orphans.items())
        told.append(f"{what} went with their accounts.")
    return " ".join(told)


def _counted(table: TableName, count: int) -> str:
    one, many = _NOUNS[table]
    return f"{count:,} {one if count == 1 else many}"


def _last_day(stored: Tables) -> date | None:
    """The end of the newest month that is billed, or the day of the newest deal."""
    moments = [stored.revenue["month"].max(), stored.deals["created_at"].max()]
    known = [moment + pd.offsets.MonthEnd(0) for moment in moments if not pd.isna(moment)]
    return max(known).date() if known else None


def _by_table(found: Sequence[Found], changes: Changes) -> dict[str, dict[str, int]]:
    tables: dict[str, dict[str, int]] = {}
    for name, change in changes.tables.items():
        of_table = [one for one in found if one.table == name]
        read, bad = sum(one.read for one in of_table), sum(one.faults.bad for one in of_table)
        tables[name] = {
            "read": read,
            "rows": change.rows,
            "quarantined": bad,
            # Bills become more rows than they were.
            "repeated": max(0, read - bad - change.rows),
            "new": change.came,
            "changed": change.changed,
            "left": sum(left.gone for left in changes.left if left.table == name)
            + changes.orphans.get(name, 0),
            "stored": change.stored,
        }
    return tables


@dataclass(frozen=True)
class _Check:
    """Rows held against the contract and against the accounts that are known."""

    settings: Settings
    place: str
    known: set[str]
    same_month: SameMonth
    day: date | None

    def table(self, table: TableName, raw: pd.DataFrame, formats: TableFormat) -> CheckedTable:
        """All rows that could be alike, together."""
        return check_table(
            table,
            raw,
            max_money=self.settings.ingest.max_money,
            formats=formats,
            rates=self.settings.rates,
            attributes=self.settings.attributes if table == "accounts" else (),
            same_month=self.same_month,
            known=None if table == "accounts" else self.known,
            day=self.day,
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
        cells, how = table.cells(column), table.formats.of(column)
        if column in CONTRACTS[table.table].numbers:
            require_one_reading(table.table, column, cells, how, self.place)
        values, bad = check_cells(
            table.table,
            column,
            cells,
            max_money=self.settings.ingest.max_money,
            how=how,
            rate=self._worth_of_mrr(table) if column == "mrr" else 1.0,
        )
        if column == "account_id":
            bad |= ~is_one_of(values, self.known)
        return Judged(column, own, pd.DataFrame({"value": values, "doubt": bad}))

    def remarks(self, table: TableInParts, judged: Sequence[Judged]) -> Counter[tuple[str, str]]:
        """What was made of good cells of a large table, as `CheckedTable.remarks`."""
        found: Counter[tuple[str, str]] = Counter()
        for column in judged:
            if column.target in CONTRACTS[table.table].ids and column.cells is not None:
                given = table.cells(column.target)
                found["keys_folded", column.target] = keys_folded(given, column.cells["value"])
        if self._rate_of(table) != 1:
            found["money_converted", CURRENCY] = len(table)
        return +found

    def _worth_of_mrr(self, table: TableInParts) -> float:
        """What one of an amount's units is in MRR of the company's currency."""
        return self._rate_of(table) / (12 if table.formats.mrr_per == "year" else 1)

    def _rate_of(self, table: TableInParts) -> float:
        """The rate of the one currency of a large table. Raises DataError for several."""
        if CURRENCY not in table.columns or table.columns[CURRENCY] not in table.coded.columns:
            return 1.0
        codes = currency_codes(table.cells(CURRENCY)).fillna(self.settings.currency.upper())
        rates = [self.settings.rates.get(code) for code in codes.unique()]
        if len(rates) == 1 and rates[0] is not None:
            return rates[0]
        raise DataError(
            f"{self.place}: `{table.table}` is large and has money in "
            f"{', '.join(sorted(codes.unique()))}. Nothing was changed. Convert it by a `query` "
            "that leaves the column `currency` out, and state no `currency` for it"
        )


def _at_once(check: _Check, table: RawTable, source: str) -> tuple[AnyBatch, Faults]:
    attributes = check.settings.attributes if table.table == "accounts" else ()
    require_certain_numbers(table.table, table.rows, table.formats, attributes, check.place)
    checked = check.table(table.table, table.rows, table.formats)
    lines = _quarantine_lines(table.rows, checked, table.unreadable)
    lines = lines.assign(table_name=table.table, source=f"{source}:{table.origin}")
    batch = Batch(table.table, source, checked.rows, lines.reindex(columns=QUARANTINE_COLUMNS))
    return batch, Faults.of(table.rows, checked, table.unreadable, table.formats)


def _in_parts(
    check: _Check, table: TableInParts, source: str, staging: Staging
) -> tuple[AnyBatch, Faults]:
    """As `_at_once`: every distinct cell, then the rows with bad ones, and those that are alike."""
    given = table.change(pd.DataFrame(columns=list(table.coded.kept.columns), dtype="str"))
    check.table(table.table, given, table.formats)
    canonical = CONTRACTS[table.table].columns
    columns = [*canonical, *(c for c in given.columns if c not in canonical)]
    judged = [check.column(table, column) for column in columns]
    sifted = staging.sift(table.table, source, table.coded, judged)
    nothing = CheckedTable(*(pd.DataFrame(columns=FAULT_COLUMNS),) * 3)
    faults = Faults.of(given, nothing, table.unreadable)
    faults = replace(faults, remarks=check.remarks(table, judged))
    lines = _quarantine_lines(given, nothing, table.unreadable)
    place = {"table_name": table.table, "source": f"{source}:{table.origin}"}
    sifted.refuse(np.array([]), lines.assign(**place))
    for positions in sifted.suspects():
        raw = table.at(positions)
        checked = check.table(table.table, raw, table.formats)
        lines = _quarantine_lines(raw, checked, table.unreadable[:0])
        is_kept = raw.index.isin(checked.rows.index)
        sifted.refuse(positions[~is_kept], lines.assign(**place))
        if table.table == "revenue":
            sifted.add_up(positions[is_kept], checked.rows["mrr"])
        of_part = Faults.of(raw, checked, table.unreadable[:0], table.formats)
        faults += replace(of_part, remarks=Counter())
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


def _stop_if_too_wide(source: str, given: GivenTable, most: int) -> None:
    columns = given.columns if isinstance(given, TableInParts) else given.rows.columns
    if len(columns) > most:
        raise DataError(
            f"{source}: {given.origin} has {len(columns):,} columns, more than ingest.max_columns "
            f"({most:,}); leave out those that nobody declared, by a `query` that selects, or "
            "raise ingest.max_columns: each takes about a megabyte of memory"
        )


def _stop_if_too_bad(found: Found, max_bad_share: float) -> None:
    faults, total = found.faults, found.read
    if not total or faults.bad / total <= max_bad_share:
        return
    [(worst, times)] = faults.refused.most_common(1)
    example = ""
    if worst in faults.examples:
        value, row = faults.examples[worst]
        example = f", such as {value!r} in row {row}"
    raise DataError(
        f"{found.place}: {faults.bad} of {total} rows of `{found.table}` are bad "
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
