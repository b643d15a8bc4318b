"""Decisions and promotion on record in Prefect."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from prefect import flow, suspend_flow_run
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.day import on_day
from flows.forms import ask, invite, withdraw
from icploop.pipelines import decide as pipeline
from icploop.report.markdown import plain

_A_DAY = 86_400


@flow(
    name="promote", flow_run_name="{motion} version {version}", description=pipeline.approve.__doc__
)
def promote(
    home: Path, motion: str, version: str, who: str, reason: str, as_of: date | None = None
) -> pipeline.PromotionReport:
    """Approve a pending version and put it in force; its page becomes an artifact."""
    at = on_day(home, motion, as_of)
    report = pipeline.approve(at, version, who=who, reason=reason)
    create_markdown_artifact(
        at.page(report.version),
        key="icp-in-force",
        description=f"ICP version {report.version}, approved by {plain(who)}: {plain(reason)}",
    )
    return report


@flow(name="decide", flow_run_name="{motion} version {version}")
def decide(home: Path, motion: str, version: str = "challenger", note: str = "") -> State[str]:
    """Wait, suspended, until ops fill in the form: approve or reject a version that waits.

    What is refused is asked again, in another run, with the reason on the form.
    """
    at = on_day(home, motion, None)
    waits = at.describe(version, at.standing_now())
    form = invite(waits, at.page(waits.number), note)
    expires = at.settings.policy.expires_days * _A_DAY
    said = suspend_flow_run(wait_for_input=form, timeout=expires)
    answer = pipeline.decide(
        on_day(home, motion, None),
        version,
        approves=said.decision == "approve",
        who=said.who,
        reason=said.reason,
    )
    if answer.refused:
        ask(home, motion, version, f"**Refused.** {plain(answer.said)}")
    return Completed(name="Refused" if answer.refused else "Decided", message=answer.said)


@flow(name="settle", flow_run_name="{motion}", description=pipeline.settle.__doc__)
def settle(home: Path, motion: str, as_of: date | None = None) -> pipeline.SettledReport:
    """Finish what was left half done, and carry out decisions made in MLflow."""
    at = on_day(home, motion, as_of)
    report = pipeline.settle(at)
    pending = at.standing_now().pending
    withdraw(home, motion, pending.version if pending else None)
    return report
