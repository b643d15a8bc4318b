"""The file of the warehouse: one process at a time, for as long as one act takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from icploop.errors import RefusedError, UnavailableError
from icploop.io.warehouse import schema
from icploop.io.whole_file import private_folder

# Other processes hold the file for moments only.
PATIENCE_SECONDS = 10.0
# What DuckDB may hold in memory; more of a large table waits on disk, beside the warehouse.
_MEMORY = "768MB"


@contextmanager
def connection(
    path: Path, patience_seconds: float | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file with all its tables, made where it is not there yet.

    Raises RefusedError when another process holds it longer than `patience_seconds` (None:
    PATIENCE_SECONDS), UnavailableError when it cannot be read or written.
    """
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    try:
        private_folder(path.parent)
        with _opened(path, patience) as db:
            db.execute(f"SET memory_limit = '{_MEMORY}'; SET threads = 2")
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


def _opened(path: Path, patience: float) -> duckdb.DuckDBPyConnection:
    until = time.monotonic() + patience
    while True:
        try:
            return duckdb.connect(str(path))
        except duckdb.OperationalError as error:
            if "Could not set lock" not in str(error):
                raise
            if time.monotonic() > until:
                raise RefusedError(
                    f"{path} is locked by another process; wait until it has finished and try again"
                ) from error
        time.sleep(0.05)
