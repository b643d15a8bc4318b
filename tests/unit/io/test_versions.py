"""What is read without MLflow is what MLflow says; whatever else is left to it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from icploop.errors import DataError, RefusedError, UsageError
from icploop.io import registry, versions
from icploop.io.home import Home
from icploop.modeling.scoring.version import content_hash
from tests.unit.conftest import Trained
from tests.unit.planted import MOTION


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What MLflow was asked for."""
    calls: list[str] = []
    for name in ("describe", "load"):
        act = getattr(registry, name)

        def noted(*words: object, name: str = name, act: object = act) -> object:
            calls.append(name)
            return act(*words)  # type: ignore[operator]

        monkeypatch.setattr(registry, name, noted)
    return calls


@pytest.fixture
def store(own: Home) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(own.mlruns / "mlflow.db")) as db:
        yield db


@pytest.mark.parametrize("number", ["1", "v1"])
def test_it_is_what_mlflow_says_and_mlflow_is_not_asked(
    trained: Trained, asked: list[str], number: str
) -> None:
    described = versions.describe(trained.home, MOTION, number)
    loaded = versions.load(trained.home, MOTION, number, described.tags["content_hash"])
    assert asked == []
    assert described == registry.describe(trained.home, MOTION, "1")
    of_mlflow = registry.load(trained.home, MOTION, "1")
    assert content_hash(loaded.parts()) == content_hash(of_mlflow.parts())


def test_the_layout_is_that_of_the_mlflow_that_is_installed(migrated: Path) -> None:
    with closing(sqlite3.connect(migrated)) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (versions.LAYOUT,)
        ]


@pytest.mark.parametrize("number", ["7", "abc"])
def test_of_a_version_that_is_not_there_mlflow_says_which_are(
    trained: Trained, asked: list[str], number: str
) -> None:
    with pytest.raises(UsageError, match=f"'{number}' is no version of icp-default; versions: 1"):
        versions.describe(trained.home, MOTION, number)
    assert asked == ["describe"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = 'later'",
        "UPDATE model_versions SET storage_location = 's3://somewhere/else'",
        "UPDATE model_versions SET storage_location = NULL",
        "UPDATE model_versions SET status = 'PENDING_REGISTRATION'",
        "ALTER TABLE model_version_tags RENAME TO other",
    ],
)
def test_what_is_not_as_expected_is_left_to_mlflow(
    own: Home, store: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    with store:
        store.execute(change)
    left: list[str] = []
    monkeypatch.setattr(registry, "describe", lambda *_: left.append("describe"))
    monkeypatch.setattr(registry, "load", lambda *_: left.append("load"))
    versions.describe(own, MOTION, "1")
    versions.load(own, MOTION, "1")
    assert left == ["describe", "load"]


def test_pieces_that_are_gone_or_were_altered_are_left_to_mlflow(
    own: Home, store: sqlite3.Connection, asked: list[str]
) -> None:
    with pytest.raises(RefusedError, match="was altered after its verdict"):
        versions.load(own, MOTION, "1", "0" * 64)
    [(place,)] = store.execute("SELECT storage_location FROM model_versions")
    shutil.rmtree(Path(place.removeprefix("file://")) / "data")
    with pytest.raises(DataError, match="does not hold an ICP version"):
        versions.load(own, MOTION, "1")
    assert asked == ["load", "load"]


def test_a_server_is_asked_where_one_is_named(
    trained: Trained, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = (trained.home.mlruns / "mlflow.db").resolve()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    assert versions.describe(trained.home, MOTION, "1").number == "1"
    assert asked == ["describe"]
