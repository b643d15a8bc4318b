"""Scoring and the target account list on record in Prefect."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.day import on_day
from flows.names import motion_and_day
from icploop.pipelines import promote as promotion
from icploop.pipelines import score as pipeline
from icploop.pipelines import target_list as listing


@flow(name="score", flow_run_name=motion_and_day, description=pipeline.score_file.__doc__)
def score(
    home: Path,
    motion: str,
    source: Path,
    target: Path,
    as_of: date | None = None,
    which: str = "champion",
    *,
    with_reasons: bool = True,
    engine: pipeline.Engine = "threads",
    scheduler: str | None = None,
) -> pipeline.ScoreReport:
    """Score the accounts of a file; the size of each tier becomes a table artifact."""
    report = pipeline.score_file(
        on_day(home, motion, as_of),
        source,
        target,
        which,
        with_reasons=with_reasons,
        engine=engine,
        scheduler=scheduler,
    )
    create_table_artifact(
        [{"tier": tier, "accounts": count} for tier, count in sorted(report.tiers.items())],
        key="tiers",
        description=f"{report.rows} accounts scored by version {report.version}",
    )
    return report


@flow(name="publish", flow_run_name="{motion}", description=promotion.publish.__doc__)
def publish(home: Path, motion: str, as_of: date | None = None) -> Path:
    """Publish the scores and the list of the version in force."""
    return promotion.publish(on_day(home, motion, as_of))


@flow(name="list", flow_run_name=motion_and_day, description=listing.target_list.__doc__)
def target_list(
    home: Path,
    motion: str,
    target: Path,
    as_of: date | None = None,
    which: str = "champion",
) -> listing.ListReport:
    """Draw up the target account list; its top and its exclusions become table artifacts."""
    report = listing.target_list(on_day(home, motion, as_of), target, which)
    shown = ["name", "account_id", "tier", "fit_score", "expected_nrr", "reasons_for"]
    create_table_artifact(
        [dict(zip(shown, row, strict=True)) for row in report.head[shown].to_numpy().tolist()],
        key="target-list",
        description=f"The first ten of {report.listed} accounts",
    )
    create_table_artifact(
        [{"excluded because": why, "accounts": n} for why, n in report.excluded.items()],
        key="target-list-exclusions",
    )
    return report
