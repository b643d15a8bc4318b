"""Decisions and promotion on record in Prefect."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from icploop.io.home import Home
from icploop.pipelines import decide as pipeline
from icploop.pipelines.versions import describe_version


@flow(
    name="promote", flow_run_name="{motion} version {version}", description=pipeline.approve.__doc__
)
def promote(
    home: Path, motion: str, version: str, who: str, reason: str, as_of: date | None = None
) -> pipeline.PromotionReport:
    """Approve a pending version and put it in force; its page becomes an artifact."""
    day = as_of or datetime.now(UTC).date()
    report = pipeline.approve(Home(home), motion, version, who=who, reason=reason, as_of=day)
    create_markdown_artifact(
        describe_version(Home(home), motion, report.version).description,
        key="icp-in-force",
        description=f"ICP version {report.version}, approved by {who}: {reason}",
    )
    return report


@flow(name="settle", flow_run_name="{motion}", description=pipeline.settle.__doc__)
def settle(home: Path, motion: str, as_of: date | None = None) -> pipeline.SettledReport:
    """Finish what was left half done, and carry out decisions made in MLflow."""
    return pipeline.settle(Home(home), motion, as_of or datetime.now(UTC).date())
