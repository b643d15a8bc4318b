"""Watch on record in Prefect: a round that is due runs as a subflow."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from prefect import flow

from flows.day import on_day
from flows.names import motion_and_day
from flows.retrain import retrain
from icploop.pipelines.retrain import SCHEDULE, WatchReport
from icploop.pipelines.watch import watch as check


@flow(name="watch", flow_run_name=motion_and_day, description=check.__doc__)
def watch(home: Path, motion: str, as_of: date | None = None, who: str = SCHEDULE) -> WatchReport:
    """Retrain if a round is due, else say how many closed deals are missing."""
    at = on_day(home, motion, as_of)
    due = check(at)
    return WatchReport(due, retrain(home, motion, at.day, who=who) if due.is_due else None)
