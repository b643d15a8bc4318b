"""MLflow's embedded store appears when it is whole, or not at all."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from icploop.errors import UnavailableError
from icploop.io import store
from icploop.io.home import Home
from icploop.io.store import make_ready, store_of
from icploop.io.tracking import connect


@pytest.fixture
def made(migrated: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where stores were made; making one takes MLflow seconds, so here it is copied."""
    places: list[Path] = []

    def copy(_: Home, fresh: Path) -> None:
        places.append(fresh)
        shutil.copyfile(migrated, fresh)

    monkeypatch.setattr(store, "_made", copy)
    return places


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {name for (name,) in db.execute("SELECT name FROM sqlite_master")}


def test_it_is_made_under_another_name_with_all_that_mlflow_expects(tmp_path: Path, migrated: Path):
    assert {"experiments", "registered_models", "secrets"} <= tables(migrated)
    assert [path.name for path in migrated.parent.iterdir()] == ["mlflow.db"]
    shutil.copytree(migrated.parent, tmp_path / "mlruns")
    names = [e.name for e in connect(Home(tmp_path)).search_experiments()]
    assert names == ["Default"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_who_dies_in_between_leaves_nothing_that_the_next_one_stumbles_over(
    tmp_path: Path, made: list[Path], step: str, monkeypatch: pytest.MonkeyPatch
):
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((store.os, step) if step == "fsync" else (Path, step)), dies)
        with pytest.raises(KeyboardInterrupt):
            make_ready(Home(tmp_path))
    assert not store_of(Home(tmp_path)).exists()
    make_ready(Home(tmp_path))
    assert [p.name for p in (tmp_path / "mlruns").iterdir()] == ["mlflow.db"]
    assert len(made) == 2


def test_of_many_first_commands_one_makes_it(tmp_path: Path, made: list[Path]):
    threads = [threading.Thread(target=make_ready, args=(Home(tmp_path),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert "runs" in tables(store_of(Home(tmp_path)))


def test_what_an_earlier_one_left_half_made_is_made_anew(tmp_path: Path, made: list[Path]):
    path = store_of(Home(tmp_path))
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE secrets (a); CREATE TABLE experiments (a)")
    make_ready(Home(tmp_path))
    assert len(made) == 1
    assert connect(Home(tmp_path)).search_experiments()


@pytest.fixture
def older(tmp_path: Path, migrated: Path) -> Path:
    """A store that an earlier release of MLflow wrote, with an experiment of the user's."""
    path = store_of(Home(tmp_path))
    path.parent.mkdir()
    shutil.copyfile(migrated, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE experiments SET name = 'mine'")
        db.execute("UPDATE alembic_version SET version_num = 'older'")
    return path


def test_an_older_layout_is_migrated_aside_and_what_was_before_is_kept(
    tmp_path: Path, older: Path, monkeypatch: pytest.MonkeyPatch
):
    utils = store._mlflow("store.db.utils")

    def fails(engine: object) -> None:
        raise KeyboardInterrupt

    def upgrades(engine: object) -> None:
        with engine.begin() as db:  # type: ignore[attr-defined]
            db.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{store._newest()}'")

    before = older.read_bytes()
    monkeypatch.setattr(utils, "_upgrade_db", fails)
    with pytest.raises(KeyboardInterrupt):
        make_ready(Home(tmp_path))
    assert older.read_bytes() == before
    monkeypatch.setattr(utils, "_upgrade_db", upgrades)
    assert [e.name for e in connect(Home(tmp_path)).search_experiments()] == ["mine"]
    assert older.with_name("mlflow.db.older").read_bytes() == before
    assert sorted(p.name for p in older.parent.iterdir()) == ["mlflow.db", "mlflow.db.older"]


def test_a_layout_that_mlflow_does_not_know_is_refused_with_the_remedy(tmp_path: Path, older: Path):
    before = older.read_bytes()
    with pytest.raises(UnavailableError, match="layout older, which the installed MLflow does not"):
        make_ready(Home(tmp_path))
    assert older.read_bytes() == before
