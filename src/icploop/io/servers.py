"""The MLflow UI and the Prefect server of a home folder, on this machine, until Ctrl-C.

Run as `python -m icploop.io.servers HOME`. Both listen on 127.0.0.1 only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from icploop.errors import IcpError, UsageError
from icploop.io.home import Home

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 60


def main(root: str, mlflow_port: int = 5000, prefect_port: int = 4200) -> None:
    """Start both servers, say where they are, and end them with their children on Ctrl-C."""
    home = Home(Path(root))
    if not (home.mlruns / "mlflow.db").exists():
        raise UsageError(f"{root} has no MLflow store yet; run `make demo` or `icp retrain` first")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pages = {
        f"http://{_HOST}:{mlflow_port}": (_mlflow(home, mlflow_port), "/health"),
        f"http://{_HOST}:{prefect_port}": (_prefect(home, prefect_port), "/api/health"),
    }
    try:
        for page, (process, health) in pages.items():
            _wait_for(page + health, process)
            print(f"ready: {page}", flush=True)  # noqa: T201
        print("Ctrl-C ends both.", flush=True)  # noqa: T201
        for process, _ in pages.values():
            process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for process, _ in pages.values():
            _end(process)


def _mlflow(home: Home, port: int) -> subprocess.Popen[bytes]:
    store, artifacts = (home.mlruns / "mlflow.db").resolve(), (home.mlruns / "artifacts").resolve()
    # Without the artifact proxy, what the server's clients write can be read by embedded ones.
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--no-serve-artifacts"),
        *("--host", _HOST, "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{store}"),
        *("--default-artifact-root", artifacts.as_uri()),
    ]
    return _start(command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})


def _prefect(home: Home, port: int) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "prefect", "server", "start"),
        *("--host", _HOST, "--port", str(port)),
    ]
    settings = {
        "PREFECT_HOME": str((home.root / ".prefect").resolve()),
        # The UI calls the port that this setting names, whatever --port says.
        "PREFECT_SERVER_API_PORT": str(port),
    }
    return _start(command, settings)


def _start(command: list[str], settings: dict[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own, so that the workers of a server can be ended with it.
    return subprocess.Popen(  # noqa: S603 - our own interpreter and constant words
        command,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise UsageError(f"The server for {url} ended at once; is its port taken already?")
        try:
            with urlopen(url, timeout=2):  # noqa: S310 - a constant http address
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise UsageError(f"{url} did not answer within {_PATIENCE_SECONDS} seconds")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except IcpError as error:
        sys.exit(f"icploop: {error}")
