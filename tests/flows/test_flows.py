"""The flows are thin and deployable; that they run is seen in tests/e2e, on the demo company."""

import ast
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
