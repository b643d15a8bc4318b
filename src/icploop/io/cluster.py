"""The same work on one machine's threads or on a Dask cluster, with results in order.

Only so much is under way at a time, so memory stays bounded whatever there is to do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from icploop.errors import UsageError

_AHEAD = 2
# How long a scheduler may take to answer.
_PATIENCE_SECONDS = 10.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def on_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """The function of each item, in their order, worked out side by side on threads."""
    with ThreadPoolExecutor(threads) as pool:
        yield from _in_order((pool.submit(function, item) for item in items), _AHEAD * threads)


@contextmanager
def dask_client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A client of the Dask scheduler at an address (`tcp://host:8786`), or of a cluster here.

    A cluster here has `workers` processes with one thread each, and listens on 127.0.0.1 only.
    Raises UsageError where Dask is not installed or nothing answers.
    """
    try:
        import distributed  # noqa: PLC0415 - an extra
        from dask import config  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "--engine dask needs Dask: install icploop with its extra `scale` "
            "(pip install 'icploop[scale]')"
        ) from error
    untyped: Any = distributed
    if scheduler:
        try:
            client = untyped.Client(scheduler, timeout=_PATIENCE_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--scheduler {scheduler!r}: no Dask scheduler answers there ({error}); start one "
                "with `dask scheduler`, and workers that see the same files"
            ) from error
        with client:
            yield client
        return
    with (
        config.set({"distributed.worker.memory.target": False}),
        untyped.LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        untyped.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def on_dask(
    client: Any, function: Callable[..., Result], items: Iterable[Item], shared: Any
) -> Iterator[Result]:
    """`function(item, shared)` of each item in their order; `shared` goes to each worker once."""
    everywhere = client.scatter(shared, broadcast=True, hash=False)
    asked = (client.submit(function, item, everywhere, pure=False) for item in items)
    yield from _in_order(asked, _AHEAD * max(sum(client.ncores().values()), 1))


def _in_order(asked: Iterable[Any], most: int) -> Iterator[Any]:
    """The results of futures, each asked for when there is room."""
    under_way: deque[Any] = deque()
    for future in asked:
        under_way.append(future)
        if len(under_way) >= most:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
