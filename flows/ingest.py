"""Ingest on record in Prefect."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.day import today
from icploop.io.home import Home
from icploop.pipelines import ingest as pipeline
from icploop.settings import Mode


@flow(name="ingest", flow_run_name="{home.name}", description=pipeline.ingest.__doc__)
def ingest(
    home: Path,
    folder: Path | None = None,
    as_of: date | None = None,
    *,
    mode: Mode | None = None,
    shrink_is_meant: bool = False,
) -> pipeline.IngestReport:
    """Pull every source, validate, quarantine, store; counts and findings become artifacts."""
    report = pipeline.ingest(
        Home(home), folder, as_of or today(), mode=mode, shrink_is_meant=shrink_is_meant
    )
    create_table_artifact(
        [{"table": name, **counts} for name, counts in report.tables.items()],
        key="ingest",
        description="Rows read, stored and quarantined by table",
    )
    if report.findings:
        create_table_artifact(
            [found.as_dict() for found in report.findings],
            key="ingest-findings",
            description="What looks wrong in the exports, or is worth knowing",
        )
    return report
