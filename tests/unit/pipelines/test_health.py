from pathlib import Path

import pytest

from icploop.io.home import Home
from icploop.io.tracking import connect
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp, tiny_home

DAY = planted.LAST_DAY


def test_a_round_leaves_its_health_in_mlflow(trained: Trained):
    run_id = trained.watched.json["round"]["run_id"]
    client = connect(trained.home)
    assert {"health.md", "health.html"} <= {a.path for a in client.list_artifacts(run_id)}
    metrics = client.get_run(run_id).data.metrics
    assert {"health.psi.industry", "health.fill.tech", "health.days_late.deals"} <= set(metrics)


def test_the_command_answers_with_numbers_and_writes_the_page(own: Home, tmp_path: Path):
    out = tmp_path / "health.html"
    answer = icp("health", "--as-of", DAY, "--out", out, "--json", home=own)
    assert answer.status == 0
    told = answer.json
    assert told["customers"] > 0
    names = {"industry", "employees", "tech", "has_sponsor", "funded_on"}
    assert {row["attribute"] for row in told["drift"]} == names
    cost = {row["attribute"]: row for row in told["cost"]}
    assert cost["industry"]["empty"] >= 1
    page = out.read_text()
    assert "Customers against prospects" in page
    assert "What empty fields cost" in page
    assert "<script" not in page


def test_it_is_read_as_text_and_before_any_version_too(tmp_path: Path):
    home = tiny_home(tmp_path / "home")
    assert icp("ingest", home=home).status == 0
    answer = icp("health", "--as-of", "2024-12-31", home=home)
    assert answer.status == 0
    assert "Not known: no version to ask" in answer.out
    assert "## In quarantine\n\nNothing." in answer.out


@pytest.mark.parametrize("name", ["health.pdf", "health"])
def test_another_ending_is_wrong_usage(own: Home, tmp_path: Path, name: str):
    answer = icp("health", "--as-of", DAY, "--out", tmp_path / name, home=own)
    assert answer.status == 2
    assert "end it in .md or .html" in answer.err
