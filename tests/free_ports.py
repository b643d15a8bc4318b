"""Ports of 127.0.0.1 that nobody listens on."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports(many: int) -> list[str]:
    """So many different ports, all held at once until all are known."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(many)]
        for probe in held:
            probe.bind(("127.0.0.1", 0))
        return [str(probe.getsockname()[1]) for probe in held]
