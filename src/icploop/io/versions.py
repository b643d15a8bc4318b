"""The versions that are registered, read without starting MLflow where that can be.

MLflow takes longer to start than to tell a version from another, and most acts only ask for the one
in force. The embedded store is one SQLite file, and a version's pieces are files in a folder: both
are read here as they are. What is not as expected in any way (a server, another layout of the file,
a version that is not there or was altered) is left to MLflow, which says what is the matter.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from icploop.errors import DataError
from icploop.io.home import Home

if TYPE_CHECKING:
    from icploop.modeling.scoring.version import IcpVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
# In the order in which they are set: whoever serves by `champion` changes when all else is ready.
ALIASES = (PREVIOUS, CHALLENGER, CHAMPION)
# The folder of a version's pieces, in its model's.
PARTS = "parts"
# No version has a number with more digits, and no database could look for one.
LONGEST_NUMBER = 9
# The layout of MLflow's SQLite file that is known here, as MLflow itself names it.
LAYOUT = "dc11669786a5"


@dataclass(frozen=True)
class Registered:
    """A version as the registry knows it."""

    number: str
    run_id: str
    tags: Mapping[str, str]
    description: str


def model_name(lineage: str) -> str:
    """The registered model of a lineage, which is a motion, or a motion under another objective."""
    return f"icp-{lineage}"


def describe(home: Home, lineage: str, number: str) -> Registered:
    """The version with a number. Raises UsageError without one."""
    if found := _embedded(home, lineage, number):
        return found[0]
    from icploop.io import registry  # noqa: PLC0415 - it starts MLflow

    return registry.describe(home, lineage, number)


def load(home: Home, lineage: str, number: str, content: str | None = None) -> IcpVersion:
    """The version with a number.

    Raises RefusedError when its pieces are not those that were registered, or not those with the
    hash `content`, where one is asked for.
    """
    if found := _embedded(home, lineage, number):
        registered, folder = found
        if version := _whole(folder, content or registered.tags.get("content_hash")):
            return version
    from icploop.io import registry  # noqa: PLC0415 - it starts MLflow

    return registry.load(home, lineage, number, content)


def _whole(folder: Path, content: str | None) -> IcpVersion | None:
    """The version whose pieces are in a model's folder, if they are those with a hash."""
    # Who only wants to know of a version needs no boosters.
    from icploop.io.serving import read_parts  # noqa: PLC0415
    from icploop.modeling.scoring.version import IcpVersion, content_hash  # noqa: PLC0415

    try:
        parts = read_parts(folder / "data" / PARTS)
    except DataError:
        return None
    return IcpVersion.from_parts(parts) if content_hash(parts) == content else None


def _embedded(home: Home, lineage: str, number: str) -> tuple[Registered, Path] | None:
    """A version of the embedded store and the folder of its model; None where MLflow is to say."""
    store, number = home.mlruns / "mlflow.db", number.removeprefix("v")
    is_number = number.isdecimal() and len(number) <= LONGEST_NUMBER
    if os.environ.get("MLFLOW_TRACKING_URI") or not is_number or not store.exists():
        return None
    which = (model_name(lineage), int(number))
    try:
        with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as db:
            if db.execute("SELECT version_num FROM alembic_version").fetchall() != [(LAYOUT,)]:
                return None
            rows = db.execute(
                "SELECT version, run_id, description, storage_location FROM model_versions "
                "WHERE name = ? AND version = ? AND status = 'READY' AND workspace = 'default' "
                "AND current_stage <> 'Deleted_Internal'",
                which,
            ).fetchall()
            tags = db.execute(
                "SELECT key, value FROM model_version_tags "
                "WHERE name = ? AND version = ? AND workspace = 'default'",
                which,
            ).fetchall()
    except sqlite3.Error:
        return None
    if len(rows) != 1:
        return None
    version, run_id, description, place = rows[0]
    parts = urlsplit(place or "")
    if parts.scheme != "file":
        return None
    return Registered(str(version), run_id or "", dict(tags), description or ""), Path(
        unquote(parts.path)
    )
