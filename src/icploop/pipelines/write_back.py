"""Write a file of scores back into the CRM: what differs, once, and read back."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from icploop.domain.cells import as_text
from icploop.errors import DataError, UnfinishedError, UsageError
from icploop.io.crm import opened
from icploop.io.crm.journal import Journal
from icploop.io.crm.records import TIERS, Change, Crm, Record, Values, spelled
from icploop.io.crm.writing import Writing
from icploop.io.frames import read_in_parts, undefused
from icploop.io.home import Home
from icploop.io.http import Sleep
from icploop.settings import CrmField, CrmSettings, digest

Progress = Callable[[int, int], None]
# The column of the scores that each value comes from.
_COLUMNS: dict[CrmField, str] = {
    "score": "fit_score",
    "tier": "tier",
    "reasons_for": "reasons_for",
    "reasons_against": "reasons_against",
    "version": "icp_version",
    "scored_at": "scored_at",
}
_SHOWN = 10


@dataclass
class WriteBackReport:
    """What a write-back would change, or has changed.

    `changed` counts the accounts that would be written (dry run) or were and have been read back;
    `resumed` those that an earlier, unfinished run had already seen right. `unknown` accounts are
    not in the CRM, `ambiguous` ones there more than once, or the same company as an account before
    them in the file: they are not touched. `refused` says why by account. `by_property` counts
    values, `lacking` names properties that the CRM does not have, `calls` were made to the CRM.
    """

    crm: str
    source: str
    applied: bool
    accounts: int
    properties: dict[CrmField, str]
    lacking: tuple[str, ...] = ()
    changed: int = 0
    unchanged: int = 0
    resumed: int = 0
    unknown: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    by_property: Counter[str] = field(default_factory=Counter)
    examples: list[Change] = field(default_factory=list)
    calls: int = 0
    journal: str = ""

    def count(self, changes: list[Change]) -> None:
        """Add accounts that changed, or would."""
        self.changed += len(changes)
        for change in changes:
            self.by_property.update(self.properties[f] for f in change.after)
        self.examples += changes[: _SHOWN - len(self.examples)]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "crm": self.crm,
            "in": self.source,
            "applied": self.applied,
            "accounts": self.accounts,
            "properties": list(self.properties.values()),
            "lacking_properties": list(self.lacking),
            "changed": self.changed,
            "unchanged": self.unchanged,
            "resumed": self.resumed,
            "unknown": self.unknown,
            "ambiguous": self.ambiguous,
            "refused": self.refused,
            "changed_values": dict(self.by_property),
            "examples": [
                {"account_id": c.account_id, "before": c.before, "after": c.after}
                for c in self.examples
            ],
            "calls": self.calls,
            "journal": self.journal,
        }


def write_back(
    home: Home,
    scores: Path,
    *,
    apply: bool = False,
    create_properties: bool = False,
    progress: Progress = lambda _done, _total: None,
    sleep: Sleep = time.sleep,
) -> WriteBackReport:
    """Bring our properties of the CRM's companies to what a file of scores says.

    Without `apply` nothing is written, and the report says what would be. The file has the columns
    of `icp score` and `icp list`. Raises DataError for a file that cannot be read, UsageError for
    settings, a token or properties that do not do, and UnfinishedError when the CRM stopped us: the
    same call then goes on where it ended.
    """
    settings = home.crm()
    names = settings.properties.stated
    wanted = {
        account: {field: values[field] for field in names}
        for account, values in read_scores(scores).items()
    }
    with opened(settings, sleep) as (crm, client):
        report = WriteBackReport(crm.name, str(scores), apply, len(wanted), names)
        try:
            report.lacking = tuple(_lacking(crm, apply=apply, create=create_properties))
            if not apply:
                _compare(crm, wanted, report, progress)
            else:
                with Journal(home.crm_folder / _journal_name(settings, scores)) as journal:
                    writing = Writing(crm, journal, sleep)
                    report.refused = writing.refused
                    _write(writing, wanted, report, progress)
                    report.journal = str(journal.finish() or "")
        except UnfinishedError as error:
            done = report.resumed + report.changed + report.unchanged if apply else 0
            raise UnfinishedError(
                f"{error}. So far {done} of {len(wanted)} accounts are seen to be right"
            ) from error
        report.calls = client.made
    return report


def read_scores(path: Path) -> dict[str, Values]:
    """What the CRM is to hold by account, from a CSV or Parquet file of scores.

    Raises DataError for a missing column, an account without id or twice, a score outside 0 to 100,
    a tier that there is not, or a day that is none.
    """
    wanted: dict[str, Values] = {}
    row = 0
    for part in read_in_parts(path):
        needed = ["account_id", *_COLUMNS.values()]
        if absent := [name for name in needed if name not in part.columns]:
            raise DataError(
                f"{path} has no column `{absent[0]}` (found: {', '.join(part.columns)}); give a "
                "file that `icp score` or `icp list` wrote"
            )
        # Our own words: `unknown` is a tier here, and no word for nothing.
        cells = pd.DataFrame({name: as_text(part[name]) for name in needed})
        if path.suffix.lower() == ".csv":
            cells = cells.apply(undefused)
        for account_id, *texts in cells.astype("object").where(cells.notna(), None).to_numpy():
            row += 1
            values: Values = {f: spelled(f, t) for f, t in zip(_COLUMNS, texts, strict=True)}
            if fault := _fault(account_id, values, wanted):
                raise DataError(f"{path}: row {row}: {fault}; nothing was written")
            wanted[account_id] = values
    if not wanted:
        raise DataError(f"{path} has no rows; score some accounts first")
    return wanted


def _fault(account_id: str | None, values: Values, earlier: dict[str, Values]) -> str:
    """What is wrong with a row of scores; empty where nothing is."""
    if account_id is None:
        return "there is no account_id"
    if account_id in earlier:
        return f"account_id {account_id!r} stands there twice"
    if values["tier"] not in TIERS:
        return f"tier {values['tier']!r} is none of {', '.join(TIERS)}"
    score, day = values["score"], values["scored_at"]
    try:
        if score is not None and not 0 <= float(score) <= 100:
            return f"fit_score {score!r} is not between 0 and 100"
        if day is not None:
            date.fromisoformat(day)
    except ValueError:
        return f"fit_score {score!r} is no number, or scored_at {day!r} is no day"
    return ""


def _journal_name(settings: CrmSettings, scores: Path) -> str:
    """Other scores, or another place for them, have another journal."""
    with scores.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    place = settings.model_dump(mode="json", include={"base_url", "match", "properties"})
    return f"{settings.kind}-{digest([content, place])[:16]}.jsonl"


def _lacking(crm: Crm, *, apply: bool, create: bool) -> list[str]:
    """The properties that the CRM lacks; before anything is written there are none any more."""
    lacking = crm.lacking()
    if not (apply and lacking):
        return lacking
    if not create:
        raise UsageError(
            f"{crm.name} has no properties {', '.join(lacking)}; add them there, name others under "
            "`properties` in conf/crm.yaml, or (HubSpot) run it with --create-properties"
        )
    crm.create(lacking)
    if still := crm.lacking():
        raise UsageError(f"{crm.name} still has no properties {', '.join(still)} after creation")
    return []


def _compare(
    crm: Crm, wanted: dict[str, Values], report: WriteBackReport, progress: Progress
) -> None:
    """Put into the report what would change."""
    seen: dict[str, str] = {}
    for done, batch in _batches(list(wanted), crm.batch):
        found = _sorted_out(batch, crm.read(batch), report, seen)
        changes = _changes(found, wanted)
        report.unchanged += len(found) - len(changes)
        report.count(changes)
        progress(done, len(wanted))


def _write(
    writing: Writing, wanted: dict[str, Values], report: WriteBackReport, progress: Progress
) -> None:
    """Write what differs, batch by batch."""
    crm, journal = writing.crm, writing.journal
    seen = {record_id: account for account, record_id in journal.verified.items()}
    report.resumed = len(seen)
    open_ones = [account for account in wanted if account not in journal.verified]
    for done, batch in _batches(open_ones, crm.batch):
        found = _sorted_out(batch, crm.read(batch), report, seen)
        changes = _changes(found, wanted)
        right = found.keys() - {change.account_id for change in changes}
        # What is right already was so before, unless a killed run had sent it.
        finished = right & journal.sent
        report.changed += len(finished)
        report.unchanged += len(right) - len(finished)
        journal.found_right({account: found[account].id for account in found if account in right})
        report.count(writing.settle(changes))
        progress(report.resumed + done, len(wanted))


def _sorted_out(
    batch: list[str],
    found: dict[str, list[Record]],
    report: WriteBackReport,
    seen: dict[str, str],
) -> dict[str, Record]:
    """The accounts that are one company of the CRM each; the others go into the report."""
    single = {}
    for account_id in batch:
        records = found.get(account_id, [])
        if not records:
            report.unknown.append(account_id)
        elif len(records) > 1 or seen.setdefault(records[0].id, account_id) != account_id:
            report.ambiguous.append(account_id)
        else:
            single[account_id] = records[0]
    return single


def _changes(found: dict[str, Record], wanted: dict[str, Values]) -> list[Change]:
    changes = []
    for account_id, record in found.items():
        after = {f: v for f, v in wanted[account_id].items() if record.held.get(f) != v}
        if after:
            before = {f: record.held.get(f) for f in after}
            changes.append(Change(account_id, record.id, before, after))
    return changes


def _batches(account_ids: list[str], size: int) -> Iterator[tuple[int, list[str]]]:
    """Batches, each with how many accounts are done after it."""
    for start in range(0, len(account_ids), size):
        batch = account_ids[start : start + size]
        yield start + len(batch), batch
