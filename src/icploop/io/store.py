"""MLflow's embedded store: made, and brought to a newer layout, aside; it appears when it is whole.

MLflow makes its tables one after the other in the file that everybody uses. A process that dies in
between leaves a file that no later one can go on with, and two that begin at once disturb each
other. Here one does it, in a file of its own, which then gets the name.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from icploop.errors import UnavailableError
from icploop.io.home import Home
from icploop.io.lock import one_at_a_time
from icploop.io.whole_file import private_folder

# Making it takes seconds, migrating a large one minutes.
_PATIENCE_SECONDS = 300.0


def store_of(home: Home) -> Path:
    """The SQLite file of the embedded store. Raises UsageError as `Home.store` does."""
    return Path(home.store.removeprefix("sqlite:///"))


def make_ready(home: Home) -> None:
    """See that the embedded store is there, whole, in the layout of the installed MLflow.

    What an earlier release of MLflow left is migrated, and kept beside it (`mlflow.db.REVISION`).
    Raises UnavailableError where that cannot be done; then nothing was changed.
    """
    path = store_of(home)
    try:
        private_folder(home.mlruns)
        if _is_ready(path):
            return
        with one_at_a_time(home, "mlflow-store", _PATIENCE_SECONDS):
            if not _is_ready(path):
                _renew(home, path)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(
            f"{path} cannot be read or written: {error}; make its folder writable, make room on "
            "the disk, or put a sound copy there"
        ) from error


def _is_ready(path: Path) -> bool:
    return path.exists() and _revision(path) == _newest()


@lru_cache(maxsize=1)
def _newest() -> str:
    """The layout of the installed MLflow, as MLflow names it."""
    return str(_mlflow("store.db.utils")._get_latest_schema_revision())


def _renew(home: Home, path: Path) -> None:
    """Put a whole store where there was none, or one that is half made or of another layout."""
    fresh = path.with_name(f".{path.name}.new")
    for left in fresh.parent.glob(f"{fresh.name}*"):
        left.unlink()
    if not path.exists() or _holds_nothing(path):
        _made(home, fresh)
    else:
        _migrated(path, fresh)
        path.with_name(f"{path.name}.{_revision(path)}").unlink(missing_ok=True)
        os.link(path, path.with_name(f"{path.name}.{_revision(path)}"))
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.chmod(0o600)
    fresh.replace(path)


def _made(home: Home, fresh: Path) -> None:
    """A new store with what MLflow expects in one, its first experiment too."""
    artifacts = (home.mlruns / "artifacts").resolve().as_uri()
    tracking = _mlflow("store.tracking.sqlalchemy_store")
    tracking.SqlAlchemyStore(f"sqlite:///{fresh}", artifacts).engine.dispose()


def _migrated(path: Path, fresh: Path) -> None:
    """A copy of a store in the newest layout; nobody writes to the store meanwhile."""
    from alembic.util import CommandError  # noqa: PLC0415 - only where it is needed

    utils = _mlflow("store.db.utils")
    with closing(sqlite3.connect(path)) as held, closing(sqlite3.connect(path)) as store:
        held.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(fresh)) as copy:
            store.backup(copy)
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{fresh}")
        try:
            utils._upgrade_db(engine)
        except CommandError as error:
            raise UnavailableError(
                f"{path} has the layout {_revision(path)}, which the installed MLflow does not "
                f"know ({error}); install the MLflow that wrote it, or put back a copy of before"
            ) from error
        finally:
            engine.dispose()


def _holds_nothing(path: Path) -> bool:
    """Whether a store was never finished: MLflow makes its first experiment last of all."""
    with closing(_read(path)) as db:
        try:
            return not db.execute("SELECT count(*) FROM experiments").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return True
            raise


def _revision(path: Path) -> str | None:
    """The layout of a store; None where it has none yet."""
    with closing(_read(path)) as db:
        try:
            found = db.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
    return str(found[0]) if found else None


def _mlflow(module: str) -> Any:
    """A module of MLflow that has no types; importing it starts MLflow."""
    return import_module(f"mlflow.{module}")


def _read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60)
