"""The form of a suspended run, on which ops decide in the Prefect UI."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.input import RunInput
from prefect.states import Cancelled
from pydantic import Field

from icploop.io.versions import Registered
from icploop.report.markdown import plain

_DECIDE = FlowFilter(name=FlowFilterName(any_=["decide"]))


class Decision(RunInput):
    """What ops say of a version that waits. The pipeline checks it again, whoever sends it."""

    decision: Literal["approve", "reject"] = "approve"
    who: str = Field(description="Your name, as under owners.approvers in conf/icp.yaml")
    reason: str = Field(description="Why; it goes on record")


def invite(version: Registered, page: str, note: str) -> type[Decision]:
    """The form for a version that waits: what was answered last time, its verdict, its page."""
    tags = version.tags
    verdict = f"**{plain(tags.get('verdict', ''))}.** {plain(tags.get('reasons', ''))}"
    text = "\n\n".join(part for part in (note, verdict, page) if part)
    return Decision.with_initial_data(description=text)


def ask(home: Path, motion: str, version: str, note: str = "") -> str | None:
    """Open a form for a version that waits; its run's id, or None where nobody serves forms."""
    with get_client(sync_client=True) as client:
        deployment = _deployment(client, home, motion)
        if deployment is None:
            return None
        parameters: dict[str, Any] = {**deployment.parameters, "version": version, "note": note}
        run = client.create_flow_run_from_deployment(
            deployment.id, parameters=parameters, name=f"{motion} version {version}"
        )
        return str(run.id)


def withdraw(home: Path, motion: str, waiting: str | None) -> list[str]:
    """Close the forms of versions other than `waiting`, which were decided elsewhere."""
    with get_client(sync_client=True) as client:
        closed = [
            run
            for run in _open_forms(client)
            if _is_of(run.parameters, home, motion) and run.parameters.get("version") != waiting
        ]
        for run in closed:
            client.set_flow_run_state(run.id, Cancelled(message="Decided elsewhere"), force=True)
    return [str(run.id) for run in closed]


def _deployment(client: SyncPrefectClient, home: Path, motion: str) -> DeploymentResponse | None:
    known = client.read_deployments(
        flow_filter=_DECIDE, deployment_filter=DeploymentFilter(name=DeploymentFilterName())
    )
    return next((d for d in known if _is_of(d.parameters, home, motion)), None)


def _open_forms(client: SyncPrefectClient) -> list[FlowRun]:
    suspended = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Suspended"]))
    return client.read_flow_runs(
        flow_filter=_DECIDE, flow_run_filter=FlowRunFilter(state=suspended)
    )


def _is_of(parameters: dict[str, Any], home: Path, motion: str) -> bool:
    same_home = Path(str(parameters.get("home", ""))).resolve() == home.resolve()
    return same_home and parameters.get("motion") == motion
