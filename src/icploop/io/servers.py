"""The Prefect server, the MLflow server and the schedules of a home folder, on this machine.

All of it listens on 127.0.0.1 only, behind a door (`icploop.io.door`), sends nothing home, and is
started again when it dies.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from icploop.errors import UnavailableError, UsageError
from icploop.io.door import OPEN
from icploop.io.home import Home
from icploop.io.lock import one_at_a_time
from icploop.io.password import new_ticket, password_of
from icploop.io.store import make_ready
from icploop.io.whole_file import private_folder

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 180
_LOOK_EVERY_SECONDS = 5.0
# A process that dies again at once is told, not started for ever.
_MOST_STARTS = 5
_SILENCE = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

Say = Callable[[str], None]


@dataclass
class Service:
    """One process with its children: what it is, how it starts, where it says that it is well."""

    name: str
    command: list[str]
    settings: Mapping[str, str]
    log: Path
    page: str = ""
    health: str = ""
    ticket: str = ""
    starts: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it in a session of its own, so that its workers can be ended with it."""
        self.starts += 1
        private_folder(self.log.parent)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter, constant words
                self.command,
                env={**os.environ, **_SILENCE, **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Its database and what it unpacks are for its owner only.
                umask=0o077,
            )

    @property
    def address(self) -> str:
        """The address that opens its page, once without asking for the password."""
        return f"{self.page}{OPEN}#{self.ticket}"

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return self.process is None or self.process.poll() is not None

    @property
    def answers(self) -> bool:
        """Whether it says that it is well; a process without a page is well while it runs."""
        if not self.health:
            return not self.has_ended
        try:
            with urlopen(self.page + self.health, timeout=2):  # noqa: S310 - constant http address
                return True
        except (URLError, OSError):
            return False

    def end(self) -> None:
        """End it with its children."""
        if self.process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, how)
                self.process.wait(timeout=10)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue


def up(home: Home, mlflow_port: int, prefect_port: int, say: Say) -> None:
    """Start the servers and the schedules, show how they are, and end them on Ctrl-C or SIGTERM.

    Raises UsageError where a port is taken, RefusedError where the home is served already, and
    UnavailableError where a server does not start.
    """
    home.settings()
    with one_at_a_time(home, "icp-up"):
        _serve(home, mlflow_port, prefect_port, say)


def _serve(home: Home, mlflow_port: int, prefect_port: int, say: Say) -> None:
    for port, option in ((prefect_port, "--prefect-port"), (mlflow_port, "--mlflow-port")):
        _check_free(port, option)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    password = password_of(home)
    servers = [_prefect(home, prefect_port, password)]
    external = os.environ.get("MLFLOW_TRACKING_URI")
    if not external:
        make_ready(home)
        servers.append(_mlflow(home, mlflow_port, password))
    schedules = _schedules(home, prefect_port, password)
    services = [*servers, schedules]
    say("starting: the first time takes up to a minute")
    try:
        for server in servers:
            server.start()
        for server in servers:
            _wait_for(server)
            say(f"ready: {server.name:<9} {server.address}")
        if external:
            say("ready: MLflow    where MLFLOW_TRACKING_URI says; it was not started here")
        schedules.start()
        say(f"ready: schedules ingest, watch, settle, publish of {home.root}")
        say(
            "Each address opens its page once; the browser then knows the password, which stands "
            f"in {home.access_folder / 'password'}."
        )
        say(f"Logs: {schedules.log.parent}. Ctrl-C ends all of it.")
        _look_after(services, say)
    except KeyboardInterrupt:
        say("ending")
    finally:
        for service in reversed(services):
            service.end()
        for server in servers:
            home.ticket_file(server.name.lower()).unlink(missing_ok=True)


def _look_after(services: list[Service], say: Say) -> None:
    """Start again what has ended, and say so; forever."""
    while True:
        time.sleep(_LOOK_EVERY_SECONDS)
        for service in services:
            if not service.has_ended:
                continue
            if service.starts >= _MOST_STARTS:
                raise UnavailableError(
                    f"{service.name} has ended {service.starts} times; see {service.log}"
                )
            say(f"{service.name} has ended; it is started again (see {service.log})")
            service.end()
            service.start()


def _mlflow(home: Home, port: int, password: str) -> Service:
    artifacts = (home.mlruns / "artifacts").resolve()
    page = f"http://{_HOST}:{port}"
    # Without the artifact proxy, what the server's clients write can be read by embedded ones.
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--no-serve-artifacts"),
        *("--app-name", "icploop", "--host", _HOST, "--port", str(port)),
        *("--backend-store-uri", home.store),
        *("--default-artifact-root", artifacts.as_uri()),
    ]
    settings = {
        **_door(home, "mlflow", port),
        "ICP_PASSWORD": password,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    log, ticket = _logs(home) / "mlflow.log", new_ticket(home, "mlflow")
    return Service("MLflow", command, settings, log, page, "/health", ticket)


def _prefect(home: Home, port: int, password: str) -> Service:
    command = [sys.executable, "-m", "flows.server", "--host", _HOST, "--port", str(port)]
    settings = {
        **_door(home, "prefect", port),
        **_prefect_settings(home, port),
        "PREFECT_SERVER_API_AUTH_STRING": password,
        # The door asks more; this holds without it too.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{_HOST}:{port}",
        "PREFECT_SERVER_UI_API_URL": f"http://{_HOST}:{port}/api",
    }
    log, ticket = _logs(home) / "prefect.log", new_ticket(home, "prefect")
    return Service(
        "Prefect", command, settings, log, f"http://{_HOST}:{port}", "/api/health", ticket
    )


def _schedules(home: Home, prefect_port: int, password: str) -> Service:
    command = [sys.executable, "-m", "flows.schedules", str(home.root.resolve())]
    settings = {
        **_prefect_settings(home, prefect_port),
        "PREFECT_API_URL": f"http://{_HOST}:{prefect_port}/api",
        "PREFECT_API_AUTH_STRING": password,
        # It would answer on a port of its own, whoever asks.
        "PREFECT_RUNNER_SERVER_ENABLE": "false",
    }
    return Service("schedules", command, settings, _logs(home) / "schedules.log")


def _door(home: Home, server: str, port: int) -> dict[str, str]:
    return {
        "ICP_PAGE": f"http://{_HOST}:{port}",
        "ICP_ALSO": f"localhost:{port}",
        "ICP_TICKET": str(home.ticket_file(server).resolve()),
    }


def _prefect_settings(home: Home, port: int) -> dict[str, str]:
    folder = private_folder((home.root / ".prefect").resolve())
    return {
        "PREFECT_HOME": str(folder),
        # The UI calls the port that this setting names, whatever --port says.
        "PREFECT_SERVER_API_PORT": str(port),
        # Its first UI shows a form's fields beside the page that is decided on, not below it.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # A server that dies must not take the slots of its concurrency limits with it.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        # In small portions SQLite is never locked for long.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
    }


def _logs(home: Home) -> Path:
    return home.root / "data" / "logs"


def _check_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} is taken; end what uses it, or give another one with {option}"
            ) from error


def _wait_for(service: Service) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not service.answers:
        if service.has_ended:
            raise UnavailableError(f"{service.name} ended at once; see {service.log}")
        if time.monotonic() > until:
            raise UnavailableError(
                f"{service.page} did not answer within {_PATIENCE_SECONDS} seconds; see "
                f"{service.log}"
            )
        time.sleep(0.2)
