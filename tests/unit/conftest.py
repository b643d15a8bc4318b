"""One trained home for a session of tests; see `planted` for what is true of its company."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
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


# Makes a folder that all processes of a test run share, by its name: who comes first fills it.
MadeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder = shared / f"once-{name}"
        with (shared / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                folder.mkdir()
                try:
                    fill(folder)
                except BaseException:
                    shutil.rmtree(folder)
                    raise
        return folder

    return made


@pytest.fixture(scope="session")
def migrated(made_once: MadeOnce) -> Path:
    """MLflow's SQLite file with its schema, which takes seconds to create and none to copy."""

    def migrate(root: Path) -> None:
        connect(Home(root))

    return made_once("migrated", migrate) / "mlruns" / "mlflow.db"


@pytest.fixture(scope="session")
def trained(
    made_once: MadeOnce, migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """The planted company after its first round. Read only: a test that changes takes `own`."""

    def train(root: Path) -> None:
        home = new_home(root / "home", planted.SETTINGS)
        write_csv(inbox(home), planted.company())
        home.mlruns.mkdir()
        shutil.copyfile(migrated, home.mlruns / "mlflow.db")
        day = ("--as-of", planted.LAST_DAY, "--json")
        decided = ("approve", "challenger", "--by", "Ada", "--reason", "reviewed")
        answers = [
            icp("ingest", "--json", home=home),
            icp("watch", *day, home=home),
            icp(*decided, *day, home=home),
        ]
        (root / "answers.json").write_text(json.dumps([asdict(answer) for answer in answers]))

    made = made_once("trained", train)
    # Every process has its own: whoever reads a warehouse holds it.
    home = copied(Home(made / "home"), tmp_path_factory.mktemp("trained") / "home")
    told = (made / "answers.json").read_text().replace(str(made / "home"), str(home.root))
    return Trained(home, *(CommandResult(**answer) for answer in json.loads(told)))


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
    store = root / "mlruns" / "mlflow.db"
    # MLflow's SQLite store keeps absolute paths: let them point into the copy.
    with closing(sqlite3.connect(store)) as db, db:
        for table, column in _with_paths(db, str(home.root)):
            db.execute(
                f'UPDATE {table} SET "{column}" = replace("{column}", ?, ?)',
                (str(home.root), str(root)),
            )
    return Home(root)


def _with_paths(db: sqlite3.Connection, path: str) -> list[tuple[str, str]]:
    """The columns of a store that hold a path or what is below it."""
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [
        (table, column)
        for (table,) in tables
        if db.execute(f"SELECT 1 FROM {table}").fetchone()
        for _, column, *_ in db.execute(f"PRAGMA table_info({table})").fetchall()
        if db.execute(f'SELECT 1 FROM {table} WHERE instr("{column}", ?)', (path,)).fetchone()
    ]
