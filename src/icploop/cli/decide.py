"""People decide: approve, reject, roll back; and settle what a decision left to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from icploop.cli.on_a_day import Told, on_a_day
from icploop.cli.on_record import pipeline_or_flow
from icploop.cli.options import (
    DecidedBy,
    FormerVersion,
    PendingVersion,
    Reason,
)

if TYPE_CHECKING:
    from icploop.pipelines.as_of import AsOf
    from icploop.pipelines.decide import (
        PromotionReport,
        RejectionReport,
        RollbackReport,
        SettledReport,
    )

app = typer.Typer()


@on_a_day(app, 'icp approve 3 --by "Ada Ops" --reason "beats v2, reviewed"')
def approve(at: AsOf, version: PendingVersion, by: DecidedBy, reason: Reason) -> Told:
    """Approve a pending version and put it in force."""
    run = pipeline_or_flow("icploop.pipelines.decide:approve", "flows.promote:promote")
    return run(at, version, who=by, reason=reason), approve_text


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


@on_a_day(app, 'icp reject 3 --by "Ada Ops" --reason "the list misses our segment"')
def reject(at: AsOf, version: PendingVersion, by: DecidedBy, reason: Reason) -> Told:
    """Reject a pending version: it does not come into force."""
    from icploop.pipelines.decide import reject as run

    return run(at, version, who=by, reason=reason), reject_text


def reject_text(report: RejectionReport) -> str:
    """What does not wait any more."""
    if report.already_done:
        return (
            f"That was already done: version {report.version} of {report.motion} was rejected by "
            f"{report.rejected_by} ({report.reason})."
        )
    return f"Version {report.version} of {report.motion} was rejected by {report.rejected_by}."


@on_a_day(app, 'icp rollback --by "Ada Ops" --reason "sales cannot use the list"')
def rollback(at: AsOf, by: DecidedBy, reason: Reason, version: FormerVersion = None) -> Told:
    """Put a former version back in force, with the scores and the list that it last published."""
    from icploop.pipelines.decide import rollback as run

    return run(at, version, who=by, reason=reason), rollback_text


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


@on_a_day(app, "icp settle")
def settle(at: AsOf) -> Told:
    """Finish what was left half done, and carry out decisions made in MLflow."""
    run = pipeline_or_flow("icploop.pipelines.decide:settle", "flows.promote:settle")
    return run(at), settle_text


def settle_text(report: SettledReport) -> str:
    """What was found to do."""
    return "\n".join(report.done) or f"Nothing was to do for {report.motion}."
