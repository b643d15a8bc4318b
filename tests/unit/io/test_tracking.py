import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow.entities import Run

from icploop.errors import DataError, UsageError
from icploop.io.home import Home
from icploop.io.tracking import Dataset, RunRecord, connect, log_run, tag_run


@pytest.fixture
def home(migrated: Path, tmp_path: Path) -> Home:
    """A home with an empty MLflow store."""
    (tmp_path / "mlruns").mkdir()
    shutil.copyfile(migrated, tmp_path / "mlruns" / "mlflow.db")
    return Home(tmp_path)


def logged(home: Home, record: RunRecord) -> Run:
    return connect(home).get_run(log_run(record, "icp-default", home))


def artifact(home: Home, run: Run, path: str) -> bytes:
    local = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path)
    return Path(local).read_bytes()


def test_the_embedded_store_lies_in_the_home_folder(home: Home):
    run = logged(home, RunRecord("round", texts={"icp.md": "# Größe"}))
    artifacts = home.mlruns / "artifacts"
    assert run.info.artifact_uri.startswith(artifacts.as_uri())
    assert [path.name for path in artifacts.rglob("*.md")] == ["icp.md"]
    assert artifact(home, run, "icp.md").decode() == "# Größe"


def test_params_metrics_and_tags_are_logged_and_missing_metrics_left_out(home: Home):
    run = logged(
        home,
        RunRecord(
            "round 2024",
            params={"seed": 7, "policy.min_matured": 60},
            metrics={"holdout.nrr": 1.25, "uplift.nrr": float("nan")},
            tags={"verdict": "KEEP"},
        ),
    )
    assert run.data.params == {"seed": "7", "policy.min_matured": "60"}
    assert run.data.metrics == {"holdout.nrr": 1.25}
    assert run.data.tags["verdict"] == "KEEP"
    assert (run.info.run_name, run.info.status) == ("round 2024", "FINISHED")


def test_every_rival_is_a_child_of_the_round(home: Home):
    rivals = tuple(RunRecord(n, metrics={"holdout.nrr": i}) for i, n in enumerate(("us", "them")))
    run = logged(home, RunRecord("round", children=rivals))
    children = connect(home).search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    )
    assert {c.info.run_name: c.data.metrics["holdout.nrr"] for c in children} == {
        "us": 0,
        "them": 1,
    }


def test_the_data_are_a_dataset_with_the_start_of_their_hash(home: Home):
    frame = pd.DataFrame({"industry": ["health", None], "nrr": [1.1, np.nan]})
    run = logged(home, RunRecord("round", dataset=Dataset(frame, "matured accounts", "ab" * 32)))
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("matured accounts", "ab" * 18)
    assert json.loads(used.dataset.profile)["num_rows"] == 2


def test_tables_and_figures_are_artifacts(home: Home):
    figure = Figure()
    figure.subplots().plot([1, 2])
    run = logged(
        home,
        RunRecord(
            "round",
            tables={"importances.csv": pd.DataFrame({"attribute": ["x"], "gain": [0.123456789]})},
            figures={"deciles.png": figure},
        ),
    )
    assert artifact(home, run, "importances.csv") == b"attribute,gain\nx,0.123457\n"
    assert artifact(home, run, "deciles.png").startswith(b"\x89PNG")


def test_runs_of_one_motion_share_an_experiment(home: Home):
    first, second = (logged(home, RunRecord(name)) for name in ("a", "b"))
    assert first.info.experiment_id == second.info.experiment_id
    assert connect(home).get_experiment(first.info.experiment_id).name == "icp-default"


def test_a_run_that_has_ended_can_still_be_tagged(home: Home):
    run_id = log_run(RunRecord("round"), "icp-default", home)
    tag_run(home, run_id, {"version": "3"})
    assert connect(home).get_run(run_id).data.tags["version"] == "3"


def test_another_store_can_be_named_in_the_environment(
    home: Home, migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "other.db"
    shutil.copyfile(migrated, other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    monkeypatch.chdir(tmp_path)
    run_id = log_run(RunRecord("round"), "icp-default", home)
    assert connect(home).get_run(run_id)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert connect(home).get_experiment_by_name("icp-default") is None


def test_every_home_has_a_store_of_its_own(home: Home, migrated: Path, tmp_path: Path):
    other = Home(tmp_path / "other")
    other.mlruns.mkdir(parents=True)
    shutil.copyfile(migrated, other.mlruns / "mlflow.db")
    run = logged(home, RunRecord("round"))
    assert connect(other).get_experiment_by_name("icp-default") is None
    assert connect(home).get_run(run.info.run_id)


def test_a_server_that_does_not_answer_is_named_without_its_password(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:s3cr3t@127.0.0.1:1")
    with pytest.raises(
        DataError, match=r"at http://127\.0\.0\.1:1.*unset MLFLOW_TRACKING_URI"
    ) as told:
        connect(home)
    assert "s3cr3t" not in str(told.value)


def test_a_damaged_store_is_refused(home: Home):
    (home.mlruns / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="cannot be read or written: file is not a database"):
        connect(home)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MLFLOW_TRACKING_TOKEN", "s3cr3t\nt0ken"),
        ("MLFLOW_TRACKING_TOKEN", "s3cr3t-t0kén"),
        ("MLFLOW_TRACKING_PASSWORD", "s3cr3t\n"),
        ("MLFLOW_TRACKING_USERNAME", "s3cr3t "),
        ("MLFLOW_TRACKING_URI", "http://ada:s3cr3t t0ken@127.0.0.1:1"),
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:1\n"),
    ],
)
def test_credentials_that_cannot_be_ones_are_told_and_not_sent(
    home: Home, monkeypatch: pytest.MonkeyPatch, name: str, text: str
):
    monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=f"MLflow: the environment variable {name} has") as told:
        connect(home)
    assert "s3cr3t" not in str(told.value)
    assert "t0k" not in str(told.value)
