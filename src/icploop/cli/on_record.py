"""A use case runs as a plain pipeline; where a Prefect server is named, as its flow there."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icploop.io.home import Home
    from icploop.pipelines.as_of import AsOf


def pipeline_or_flow(pipeline: str, flow: str) -> Callable[..., Any]:
    """The pipeline; or, where PREFECT_API_URL names a server, its flow, on record there.

    Both are named as `module:function`. A flow takes what Prefect can put on record: the home as a
    folder, the motion, the day. Raises UsageError where a secret for Prefect cannot be one.
    """
    from icploop.io.home import Home

    on_record = bool(os.environ.get("PREFECT_API_URL"))
    if on_record:
        from icploop.io.secrets import passwords, stated

        stated(["PREFECT_API_KEY"], "Prefect")
        passwords(["PREFECT_API_AUTH_STRING"], "Prefect")
    module, _, name = (flow if on_record else pipeline).partition(":")
    # Prefect would print the traceback of a user's mistake; the run's own log on the server has it.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    run: Callable[..., Any] = getattr(import_module(module), name)

    def recorded(of: Home | AsOf, *args: Any, **kwargs: Any) -> Any:
        if isinstance(of, Home):
            return run(of.root, *args, **kwargs)
        return run(of.home.root, of.motion, *args, as_of=of.day, **kwargs)

    return recorded if on_record else run
