"""Use the ICP: scores and lists, published or written to a file, a CRM; and what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from icploop.cli.on_a_day import Told, on_a_day
from icploop.cli.on_record import pipeline_or_flow
from icploop.cli.options import (
    HERE,
    AccountsFile,
    Apply,
    AsJson,
    CreateProperties,
    Day,
    Engine,
    HomeFolder,
    Motion,
    OfVersion,
    Scheduler,
    ScoredFile,
    ScoredOn,
    TableOut,
    WithReasons,
    as_of,
    home_at,
)
from icploop.cli.text import answer, counter, cut, is_missing, table

if TYPE_CHECKING:
    import pandas as pd

    from icploop.pipelines.as_of import AsOf
    from icploop.pipelines.check import CheckReport
    from icploop.pipelines.score import ScoreReport
    from icploop.pipelines.target_list import ListReport
    from icploop.pipelines.write_back import WriteBackReport

app = typer.Typer()


@app.command(epilog="Example: icp publish")
def publish(
    home: HomeFolder = HERE, motion: Motion = None, day: Day = None, as_json: AsJson = False
) -> None:
    """Publish today's scores and target list of the version in force, in data/published/."""
    at = as_of(home, motion, day)
    run = pipeline_or_flow("icploop.pipelines.promote:publish", "flows.score:publish")
    folder = str(run(at))
    answer(as_json, {"published": folder}, lambda: f"Scores and target list: {folder}")


@on_a_day(app, "icp score --in leads.csv --out scored.csv")
def score(
    at: AsOf,
    source: AccountsFile,
    target: TableOut,
    version: OfVersion = "champion",
    reasons: WithReasons = True,
    engine: ScoredOn = Engine.THREADS,
    scheduler: Scheduler = None,
) -> Told:
    """Score the accounts of a file with the version in force."""
    run = pipeline_or_flow("icploop.pipelines.score:score_file", "flows.score:score")
    where = {"engine": engine.value, "scheduler": scheduler}
    return run(at, source, target, which=version, with_reasons=reasons, **where), score_text


def score_text(report: ScoreReport) -> str:
    """How many accounts fell into each tier."""
    tiers = ", ".join(f"{tier} {count}" for tier, count in sorted(report.tiers.items()))
    lines = [f"{report.rows} accounts scored by version {report.version}: {tiers}", report.out]
    if report.note:
        lines.insert(0, report.note)
    if report.absent:
        lines.append(f"Not in the file, so unknown: {', '.join(report.absent)}")
    lines += [
        f"{count} cells of {name} could not be read and count as unknown"
        for name, count in report.unreadable.items()
    ]
    return "\n".join(lines)


@on_a_day(app, "icp list --out targets.csv", "list")
def list_targets(at: AsOf, target: TableOut, version: OfVersion = "champion") -> Told:
    """Write the target account list: finite, ranked, with exclusions beside it."""
    run = pipeline_or_flow("icploop.pipelines.target_list:target_list", "flows.score:target_list")
    return run(at, target, which=version), target_list_text


def target_list_text(report: ListReport) -> str:
    """How long the list is, who was left out, and its first ten."""
    left_out = [f"  {count:>6}  {why}" for why, count in report.excluded.items()]
    return "\n".join(
        [
            *([report.note] if report.note else []),
            f"{report.listed} accounts in {report.out} (version {report.version})",
            "Left out:",
            *left_out,
            f"  listed in {report.excluded_out}",
            *report.warnings,
            "",
            first_targets_text(report.head),
        ]
    )


def first_targets_text(head: pd.DataFrame) -> str:
    """The first accounts of the target list, with the best reason for each."""
    rows = [
        (
            rank,
            str(row.account_id if is_missing(row.name) else row.name)[:24],
            row.tier,
            f"{row.fit_score:.0f}",
            "" if is_missing(row.expected_nrr) else f"{row.expected_nrr:.0%}",
            _short_reason(str(row.reasons_for)),
        )
        for rank, row in enumerate(head.itertuples(index=False), start=1)
    ]
    return table(("#", "account", "tier", "fit", "NRR", "best reason (points of NRR)"), rows)


def _short_reason(reasons: str, width: int = 38) -> str:
    """The first reason, its value cut so that the points are seen."""
    what, _, worth = reasons.split("; ", maxsplit=1)[0].rpartition(": ")
    room = width - len(worth) - 2
    return f"{what if len(what) <= room else what[: room - 1] + '…'}: {worth}" if what else ""


@on_a_day(app, "icp check")
def check(at: AsOf) -> Told:
    """Hold the target lists against today's scores and against what came of them."""
    from icploop.pipelines.check import check_lists

    return check_lists(at), check_text


def check_text(report: CheckReport) -> str:
    """Who is missing from the last list, who is doubtful on it, and what came of all lists."""
    lines = [f"The list of {report.list_of}, held against today's scores:"]
    for accounts, what in (
        (report.missing, "of tier A or B are not on it"),
        (report.doubtful, "on it should not be"),
    ):
        lines.append(f"{len(accounts):>6}  accounts {what}")
        lines += [
            f"          {row.account_id}  {row.name if isinstance(row.name, str) else ''}  "
            f"tier {row.tier}: {row.why}"
            for row in accounts.head(5).itertuples(index=False)
        ]
    if report.outcomes.empty:
        return "\n".join([*lines, "No deal that began under a list has been decided yet."])
    lines += ["", "What came of deals that began under a list, by its tiers:"]
    rows = report.outcomes.to_dict("records")
    lines += [_came(row) for row in rows if row["by"] == "tier"]
    lines += ["The same deals, by who chose their accounts:"]
    lines += [_came(row) for row in rows if row["by"] != "tier"]
    if not report.outcomes["matured"].any():
        lines.append("None of these customers has matured yet, so their NRR is not known.")
    return "\n".join(lines)


def _came(row: dict[Any, Any]) -> str:
    group = f"tier {row['group']}" if row["by"] == "tier" else row["group"]
    told = f"{group:<20} {row['deals']:>5} decided, {row['won']} won, {row['matured']} matured"
    if row["nrr"] != row["nrr"]:
        return told
    return told + (
        f": NRR {row['nrr']:.0%} ({row['low']:.0%} to {row['high']:.0%}), "
        f"expected {row['expected']:.0%}"
    )


@app.command("write-back", epilog="Example: icp write-back --in targets.csv")
def write_back(
    source: ScoredFile,
    apply: Apply = False,
    create: CreateProperties = False,
    home: HomeFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Write scores into the CRM of conf/crm.yaml; first say what would change."""
    from icploop.pipelines.write_back import write_back as run

    report = run(home_at(home), source, apply=apply, create_properties=create, progress=counter)
    answer(as_json, report.as_dict(), lambda: write_back_text(report))


def write_back_text(report: WriteBackReport) -> str:
    """What was written to the CRM, or would be, and what could not be."""
    r = report
    did = "changed and read back" if r.applied else "would change"
    facts = [
        (r.changed, did),
        (r.unchanged, "are right already"),
        (r.resumed, "were written and read back before the last run ended"),
        (len(r.unknown), f"are not in {r.crm}" + _such_as(r.unknown)),
        (len(r.ambiguous), f"are not one company in {r.crm}" + _such_as(r.ambiguous)),
        (len(r.refused), f"were refused by {r.crm}" + _such_as(r.refused)),
    ]
    lines = [f"{r.accounts} accounts of {r.source}; {r.calls} calls to {r.crm}"]
    lines += [f"{count:>8}  {what}" for count, what in facts if count or what == did]
    lines += [f"{count:>8}  values of {name}" for name, count in r.by_property.items()]
    for change in r.examples:
        cells = [
            f"{r.properties[f]} {_cell(change.before[f])} → {_cell(value)}"
            for f, value in change.after.items()
        ]
        lines += ["", f"  {change.account_id}", *(f"    {cell}" for cell in cells)]
    reasons = Counter(r.refused.values()).most_common(5)
    lines += [f"Refused ({count}): {why}" for why, count in reasons]
    if r.lacking:
        lines.append(f"{r.crm} does not have the properties {', '.join(r.lacking)} yet.")
    if not r.applied and r.changed:
        lines.append(f"Nothing was written. To write it: icp write-back --in {r.source} --apply")
    if r.journal:
        lines.append(f"What each company held before and after is in {r.journal}")
    return "\n".join(lines)


def _such_as(accounts: Iterable[str]) -> str:
    named = list(accounts)
    return f": {', '.join(named[:5])}{', ...' if len(named) > 5 else ''}"


def _cell(value: str | None) -> str:
    return "(empty)" if value is None else cut(value, 28)
