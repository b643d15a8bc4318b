"""People decide: approve, reject, roll back; and settle what a decision left to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from icploop.cli.on_record import pipeline_or_flow
from icploop.cli.options import (
    HERE,
    AsJson,
    Day,
    DecidedBy,
    FormerVersion,
    HomeFolder,
    Motion,
    PendingVersion,
    Reason,
    as_of,
)
from icploop.cli.text import answer

if TYPE_CHECKING:
    from icploop.pipelines.decide import (
        PromotionReport,
        RejectionReport,
        RollbackReport,
        SettledReport,
    )

app = typer.Typer()


@app.command(epilog='Example: icp approve 3 --by "Ada Ops" --reason "beats v2, reviewed"')
def approve(
    version: PendingVersion,
    by: DecidedBy,
    reason: Reason,
    home: HomeFolder = HERE,
    motion: Motion = None,
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Approve a pending version and put it in force."""
    at = as_of(home, motion, day)
    run = pipeline_or_flow("icploop.pipelines.decide:approve", "flows.promote:promote")
    report = run(at, version, who=by, reason=reason)
    answer(as_json, report.as_dict(), lambda: approve_text(report))


def approve_text(report: PromotionReport) -> str:
    """What is in force now."""
    if report.already_done:
        return (
            f"That was already done: version {report.version} of {report.motion} is in force, "
            f"approved by {report.approved_by} ({report.reason})."
        )
    replaced = f"; version {report.replaced} is the previous one" if report.replaced else ""
    return (
        f"Version {report.version} of {report.motion} is in force, approved by "
        f"{report.approved_by}{replaced}.\nIts scores and target list: {report.published}"
    )


@app.command(epilog='Example: icp reject 3 --by "Ada Ops" --reason "the list misses our segment"')
def reject(
    version: PendingVersion,
    by: DecidedBy,
    reason: Reason,
    home: HomeFolder = HERE,
    motion: Motion = None,
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Reject a pending version: it does not come into force."""
    from icploop.pipelines.decide import reject as run

    report = run(as_of(home, motion, day), version, who=by, reason=reason)
    answer(as_json, report.as_dict(), lambda: reject_text(report))


def reject_text(report: RejectionReport) -> str:
    """What does not wait any more."""
    if report.already_done:
        return (
            f"That was already done: version {report.version} of {report.motion} was rejected by "
            f"{report.rejected_by} ({report.reason})."
        )
    return f"Version {report.version} of {report.motion} was rejected by {report.rejected_by}."


@app.command(epilog='Example: icp rollback --by "Ada Ops" --reason "sales cannot use the list"')
def rollback(
    by: DecidedBy,
    reason: Reason,
    version: FormerVersion = None,
    home: HomeFolder = HERE,
    motion: Motion = None,
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Put a former version back in force, with the scores and the list that it last published."""
    from icploop.pipelines.decide import rollback as run

    report = run(as_of(home, motion, day), version, who=by, reason=reason)
    answer(as_json, report.as_dict(), lambda: rollback_text(report))


def rollback_text(report: RollbackReport) -> str:
    """What is in force again."""
    if report.already_done:
        return (
            f"That was already done: version {report.version} of {report.motion} is in force "
            f"again, instead of version {report.left}, by {report.who} ({report.reason}). To go "
            "further back, name the version, or give another reason."
        )
    return (
        f"Version {report.version} of {report.motion} is in force again, instead of version "
        f"{report.left}.\nIts scores and target list, as they were: {report.published}"
    )


@app.command(epilog="Example: icp settle")
def settle(
    home: HomeFolder = HERE, motion: Motion = None, day: Day = None, as_json: AsJson = False
) -> None:
    """Finish what was left half done, and carry out decisions made in MLflow."""
    at = as_of(home, motion, day)
    run = pipeline_or_flow("icploop.pipelines.decide:settle", "flows.promote:settle")
    report = run(at)
    answer(as_json, report.as_dict(), lambda: settle_text(report))


def settle_text(report: SettledReport) -> str:
    """What was found to do."""
    return "\n".join(report.done) or f"Nothing was to do for {report.motion}."
