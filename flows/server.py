"""Prefect's server behind a door: `python -m flows.server --host HOST --port PORT`.

Prefect asks for the password itself (PREFECT_SERVER_API_AUTH_STRING); the door hands it to its
page. ICP_PAGE names the page's address.
"""

from __future__ import annotations

import argparse
import os
from typing import cast

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings

from icploop.io.door import FOR_PREFECT, Application, Door, access_from


def behind_a_door() -> Door:
    """Prefect's application behind a door.

    Raises KeyError without ICP_PAGE, and without a password: whatever is not a browser would need
    none.
    """
    access = access_from(
        os.environ,
        is_page=lambda path: not path.startswith("/api"),
        password=os.environ["PREFECT_SERVER_API_AUTH_STRING"],
        hand_over=FOR_PREFECT,
    )
    return Door(cast(Application, create_app(final=True)), access)


def main() -> None:
    """Serve until the process is ended, as `prefect server start` would."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--host", required=True)
    asked.add_argument("--port", required=True, type=int)
    given = asked.parse_args()
    server = get_current_settings().server
    uvicorn.run(
        behind_a_door(),
        host=given.host,
        port=given.port,
        timeout_keep_alive=server.api.keepalive_timeout,
        ws_ping_interval=server.api.websocket_ping_interval,
        ws_ping_timeout=server.api.websocket_ping_timeout,
        # When it started and ended; not each request.
        log_level="info",
        access_log=False,
    )


if __name__ == "__main__":
    main()
