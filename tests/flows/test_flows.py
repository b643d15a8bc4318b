"""The flows are thin, deployable, and leave artifacts worth looking at."""

import ast
from datetime import date
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LONGEST_BODY = 20


def _flow_functions() -> dict[str, ast.FunctionDef]:
    found = {}
    for path in sorted((ROOT / "flows").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(d, ast.Call) and getattr(d.func, "id", "") == "flow"
                for d in node.decorator_list
            ):
                found[f"flows/{path.name}:{node.name}"] = node
    return found


def test_every_flow_has_a_deployment_and_every_deployment_a_flow():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert sorted(d["entrypoint"] for d in deployments) == sorted(_flow_functions())


def test_deployments_pass_only_parameters_that_their_flow_has():
    flows = _flow_functions()
    for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        taken = {argument.arg for argument in flows[deployment["entrypoint"]].args.args}
        assert set(deployment["parameters"]) <= taken, deployment["name"]


@pytest.mark.parametrize("name", _flow_functions())
def test_a_flow_is_a_thin_wrap_without_branches_of_its_own(name):
    node = _flow_functions()[name]
    loops = [n for n in ast.walk(node) if isinstance(n, ast.For | ast.While | ast.Try)]
    assert node.end_lineno - node.body[0].lineno < LONGEST_BODY
    assert not loops


@pytest.fixture(scope="module")
def prefect_server():
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # Without a heartbeat a flow run costs a tenth of a second instead of one.
    with (
        prefect_test_harness(server_startup_timeout=90),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    from icploop.pipelines.demo import found_company

    return found_company(tmp_path_factory.mktemp("flows") / "company", seed=3, wins=200)


def _artifact(key: str):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        )[-1]


def test_the_loop_runs_as_flows_from_ingest_to_target_list(prefect_server, company):
    from flows.ingest import ingest
    from flows.promote import promote
    from flows.score import target_list
    from flows.watch import watch
    from icploop.io import registry

    root, motion, day = company.home.root, "new-business", date(2025, 12, 31)
    ingested = ingest(root)
    assert ingested.tables["accounts"]["quarantined"] == 0
    assert '"deals"' in _artifact("ingest").data

    watched = watch(root, motion, day)
    judged = watched.retrain
    assert judged is not None
    assert judged.round.decision.verdict in _artifact("verdict").data
    assert "# ICP of" in _artifact("icp").data
    assert _artifact("retrain-progress").data == 100.0

    if judged.round.decision.verdict != "PROMOTE":
        registry.tag_version(company.home, motion, judged.version, {"verdict": "PROMOTE"})
        registry.set_aliases(company.home, motion, {registry.CHALLENGER: judged.version})
    promoted = promote(root, motion, judged.version, "demo ops", "reviewed", day)
    assert registry.aliases(company.home, motion)["champion"] == promoted.version

    listed = target_list(root, motion, root / "targets.csv", day)
    assert listed.listed > 0
    assert "fit_score" in _artifact("target-list").data


def test_watch_says_what_is_missing_when_no_round_is_due(prefect_server, company):
    from flows.watch import watch

    report = watch(company.home.root, "new-business", date(2022, 1, 31))
    assert report.retrain is None
    assert report.due.missing > 0
