"""Serve the flows of a home folder on this machine: `python -m flows.schedules HOME`.

`icp up` runs it beside the servers; `prefect.yaml` carries the same deployments for a work pool.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from prefect import Flow, serve
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from flows.ingest import ingest
from flows.promote import decide, promote, settle
from flows.retrain import retrain
from flows.score import publish, score, target_list
from flows.watch import watch
from icploop.io.home import Home

# UTC: data come in first, then rounds, then the list that sales find in the morning.
DAILY = {"ingest": "0 4 * * *", "watch": "0 5 * * *", "publish": "0 6 * * *"}
SETTLE_EVERY = timedelta(minutes=5)
# One round at a time; a second one that starts meanwhile has nothing to add.
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy="CANCEL_NEW")


def deployments(root: Path) -> list[RunnerDeployment]:
    """The deployments of a home folder: those of each motion, and one that ingests for all."""
    found = [_deployment(ingest, "all", {"home": root}, cron=DAILY["ingest"])]
    for motion in Home(root).settings().motions:
        own = {"home": root, "motion": motion}
        found += [
            _deployment(watch, motion, own, cron=DAILY["watch"], concurrency_limit=ONE_AT_A_TIME),
            _deployment(publish, motion, own, cron=DAILY["publish"]),
            _deployment(
                settle, motion, own, interval=SETTLE_EVERY, concurrency_limit=ONE_AT_A_TIME
            ),
            _deployment(retrain, motion, own, concurrency_limit=ONE_AT_A_TIME),
            *(_deployment(one, motion, own) for one in (decide, promote, score, target_list)),
        ]
    return found


def forget_missed_runs() -> None:
    """Drop what was scheduled while nobody served: the next run does all of it."""
    missed = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=missed):
            if run.auto_scheduled:
                client.delete_flow_run(run.id)


def main(root: str) -> None:
    """Serve until the process is ended."""
    forget_missed_runs()
    serve(*deployments(Path(root).resolve()), print_starting_message=False)


def _deployment(
    flow: Flow[Any, Any], name: str, parameters: dict[str, Any], **how: Any
) -> RunnerDeployment:
    made = flow.to_deployment(
        name,
        parameters={key: str(value) for key, value in parameters.items()},
        entrypoint_type=EntrypointType.MODULE_PATH,
        **how,
    )
    return cast(RunnerDeployment, made)


if __name__ == "__main__":
    main(sys.argv[1])
