"""Ingest on record in Prefect."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.day import today
from icploop.io.home import Home
from icploop.pipelines import ingest as pipeline


@flow(name="ingest", flow_run_name="{home.name}", description=pipeline.ingest.__doc__)
def ingest(
    home: Path, folder: Path | None = None, as_of: date | None = None
) -> pipeline.IngestReport:
    """Pull every source, validate, quarantine, store; the counts become a table artifact."""
    report = pipeline.ingest(Home(home), folder, as_of or today())
    create_table_artifact(
        [{"table": name, **counts} for name, counts in report.tables.items()],
        key="ingest",
        description="Rows read, stored and quarantined by table",
    )
    return report
