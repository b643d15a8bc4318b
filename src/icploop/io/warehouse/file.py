"""The file of the warehouse: many who read at a time, or one who writes, as long as an act takes.

DuckDB refuses whoever comes at the wrong moment. Our own processes queue instead: whoever wants the
file takes its turn first, so those who read wait for one who writes and for nobody else, and one
who writes only for those who were there before. A process that dies leaves its place.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import duckdb

from icploop.errors import RefusedError, UnavailableError
from icploop.io.warehouse import schema
from icploop.io.whole_file import private_folder

# How long we wait for one another, a large ingest included, and for tools that know of no turns.
TURN_SECONDS = 120.0
PATIENCE_SECONDS = 10.0
# What DuckDB may hold in memory; more of a large table waits on disk, beside the warehouse.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "768MB", "threads": 2}


@contextmanager
def connection(
    path: Path, patience_seconds: float | None = None, *, writes: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file with all its tables, made where it is not there yet.

    Without `writes` it is opened read-only, beside others who read. Raises RefusedError when
    another process holds it longer than `patience_seconds` (None: TURN_SECONDS where it is one of
    ours, else PATIENCE_SECONDS), UnavailableError when it cannot be read or written.
    """
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    turn = TURN_SECONDS if patience_seconds is None else patience_seconds
    try:
        private_folder(path.parent)
        if not writes and path.stat().st_size:
            with _held(path, turn, writes=False), _opened(path, patience, writes=False) as db:
                if schema.is_complete(db):
                    yield db
                    return
        # Who only reads what an earlier release left has to give it the tables it lacks.
        with _held(path, turn, writes=True), _opened(path, patience, writes=True) as db:
            schema.create(db)
            yield db
    except (duckdb.OperationalError, OSError) as error:
        raise UnavailableError(
            f"{path} cannot be read or written: {error}; make its folder writable, make "
            "room on the disk, or put a sound copy there"
        ) from error


@contextmanager
def transaction(db: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All that the block writes or nothing; all that it reads is of one moment.

    After an error the connection closes without a commit, and nothing was written.
    """
    db.execute("BEGIN")
    yield
    db.execute("COMMIT")


def _opened(path: Path, patience: float, *, writes: bool) -> duckdb.DuckDBPyConnection:
    until = time.monotonic() + patience
    while True:
        try:
            return duckdb.connect(str(path), read_only=not writes, config=_CONFIG)
        except duckdb.OperationalError as error:
            if "Could not set lock" not in str(error):
                raise
            if time.monotonic() > until:
                raise _locked(path) from error
        time.sleep(0.05)


@contextmanager
def _held(path: Path, seconds: float, *, writes: bool) -> Iterator[None]:
    """Hold the file among our own processes: alone in order to write, with others to read.

    Whoever may not even make the files of the queue, since the disk is read-only, need not queue.
    """
    until = time.monotonic() + seconds
    with ExitStack() as held:
        try:
            turn, use = (held.enter_context(file.open("a")) for file in _queue(path))
        except OSError:
            if writes:
                raise
            yield
            return
        _wait(path, turn, fcntl.LOCK_EX, until)
        _wait(path, use, fcntl.LOCK_EX if writes else fcntl.LOCK_SH, until)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield


def _queue(path: Path) -> tuple[Path, Path]:
    """What is locked to have a turn, and to use the file of the warehouse."""
    return path.with_name(f".{path.name}.turn"), path.with_name(f".{path.name}.use")


def _wait(path: Path, file: IO[str], how: int, until: float) -> None:
    while True:
        try:
            return fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise _locked(path) from error
        time.sleep(0.02)


def _locked(path: Path) -> RefusedError:
    return RefusedError(
        f"{path} is locked by another process; wait until it has finished and try again"
    )
