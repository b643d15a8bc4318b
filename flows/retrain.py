"""Retrain on record in Prefect."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import flow
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.day import on_day
from flows.forms import ask
from flows.names import motion_and_day
from icploop.pipelines import retrain as pipeline
from icploop.report.markdown import plain

_STEPS = 3


@flow(name="retrain", flow_run_name=motion_and_day, description=pipeline.retrain.__doc__)
def retrain(
    home: Path,
    motion: str,
    as_of: date | None = None,
    force: bool = False,
    who: str = pipeline.SCHEDULE,
    allowed_leaks: dict[str, str] | None = None,
) -> pipeline.RetrainReport:
    """Train and judge a challenger; the verdict and the ICP become artifacts."""
    at = on_day(home, motion, as_of)
    progress = cast(UUID, create_progress_artifact(0.0, key="retrain-progress"))
    done: list[str] = []

    def say(step: str) -> None:
        update_progress_artifact(progress, 100 * len(done) / _STEPS, description=step)
        done.append(step)

    report = pipeline.retrain(at, force=force, who=who, allowed_leaks=allowed_leaks, say=say)
    update_progress_artifact(progress, 100.0, description="Done")
    _artifacts_of(report)
    if report.waits:
        ask(home, motion, str(report.version))
    return report


def _artifacts_of(report: pipeline.RetrainReport) -> None:
    create_table_artifact([_verdict(report)], key="verdict", description=plain(_sentence(report)))
    if report.page:
        title = f"ICP version {report.version}"
        create_markdown_artifact(report.page, key="icp", description=title)


def _verdict(report: pipeline.RetrainReport) -> dict[str, object]:
    answer = report.as_dict()
    return {
        "motion": answer["motion"],
        "as of": answer["as_of"],
        "version": answer["version"],
        "verdict": answer["verdict"],
        "matured": answer["n_matured"],
        **{f"uplift {name}": value for name, value in answer["uplift"].items()},
        "needed matured": answer["needed_matured"],
    }


def _sentence(report: pipeline.RetrainReport) -> str:
    return f"{report.round.ruling.verdict}: {' '.join(report.round.ruling.reasons)}"
