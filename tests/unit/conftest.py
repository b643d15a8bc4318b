"""One trained home for a session of tests; see `planted` for what is true of its company."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from icploop.io.home import Home
from icploop.io.tracking import connect
from tests.unit import planted
from tests.unit.io_fixtures import CommandResult, icp, inbox, new_home, write_csv
from tests.unit.registered import register_a_challenger


@dataclass(frozen=True)
class Trained:
    """A home with version 1 in force, and what the commands that led there answered."""

    home: Home
    ingested: CommandResult
    watched: CommandResult
    approved: CommandResult


@pytest.fixture(autouse=True, scope="session")
def _environment_says_nothing() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ICP_HOME", "ICP_DEBUG", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's SQLite file with its schema, which takes seconds to create and none to copy."""
    root = tmp_path_factory.mktemp("migrated")
    connect(Home(root))
    return root / "mlruns" / "mlflow.db"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Trained:
    """The planted company after its first round. Read only: a test that changes takes `own`."""
    home = new_home(tmp_path_factory.mktemp("trained") / "home", planted.SETTINGS)
    write_csv(inbox(home), planted.company())
    home.mlruns.mkdir()
    shutil.copyfile(migrated, home.mlruns / "mlflow.db")
    return Trained(
        home,
        icp("ingest", "--json", home=home),
        icp("watch", "--as-of", planted.LAST_DAY, "--json", home=home),
        icp(
            "approve",
            "challenger",
            "--by",
            "Ada",
            "--reason",
            "reviewed",
            "--json",
            "--as-of",
            planted.LAST_DAY,
            home=home,
        ),
    )


@pytest.fixture
def own(trained: Trained, tmp_path: Path) -> Home:
    """A copy of the trained home that a test may change."""
    return copied(trained.home, tmp_path / "own")


@pytest.fixture(scope="session")
def challenged(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = copied(trained.home, tmp_path_factory.mktemp("challenged") / "home")
    register_a_challenger(home)
    return home


@pytest.fixture
def waiting(challenged: Home, tmp_path: Path) -> Home:
    """A home that a test may change, in which version 1 is in force and version 2 waits."""
    return copied(challenged, tmp_path / "waiting")


def copied(home: Home, root: Path) -> Home:
    """A copy of a home at another place, with an MLflow store of its own."""
    shutil.copytree(home.root, root, symlinks=True)
    _move_artifacts(root / "mlruns" / "mlflow.db", str(home.root), str(root))
    return Home(root)


def _move_artifacts(store: Path, old: str, new: str) -> None:
    """MLflow's SQLite store keeps absolute paths: let them point into the copy."""
    with closing(sqlite3.connect(store)) as db, db:
        for (table,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            for column in [row[1] for row in db.execute(f"PRAGMA table_info({table})")]:
                db.execute(
                    f'UPDATE {table} SET "{column}" = replace("{column}", ?, ?) '
                    f'WHERE "{column}" LIKE ?',
                    (old, new, f"%{old}%"),
                )
