"""One act at a time on a lineage: a lock that the system takes back from a dead process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

from icploop.errors import RefusedError, UnavailableError
from icploop.io.home import Home
from icploop.io.whole_file import private_folder


@contextmanager
def one_at_a_time(home: Home, lineage: str, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of a lineage, beside the warehouse, while the block runs.

    Raises RefusedError, naming who holds it, when it does not become free within
    `patience_seconds`. A process that dies, however it does, leaves no lock behind.
    """
    path = home.warehouse_file.with_name(f".{lineage}.lock")
    try:
        private_folder(path.parent)
        file = path.open("a+")
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error}; make its folder writable, or make room on the disk"
        ) from error
    with file:
        _take(file, lineage, time.monotonic() + patience_seconds)
        yield


def _take(file: IO[str], lineage: str, until: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                file.seek(0)
                raise RefusedError(
                    f"Another act on `{lineage}` is running ({file.read().strip() or 'unknown'}); "
                    "wait until it has finished. Nothing was changed"
                ) from error
            time.sleep(0.1)
        else:
            file.truncate(0)
            file.write(f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
            file.flush()
            return
