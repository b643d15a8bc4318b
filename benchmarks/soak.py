"""A random year of acts, killed and starved at random, beside an undisturbed twin.

Run as `python -m benchmarks.soak [--minutes 60] [--seed 1] [--servers]`. Two homes get the same
acts on the same days. In one of them processes are killed after a random write, several at a time
start the same act, the disk is full, and with `--servers` MLflow is a server that is killed too;
then the act is repeated until it answers. After each act ledger, aliases, versions, releases, lists
and published files of both are compared. It ends with what was done, or with the first difference.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from urllib.request import urlopen

from icploop.io.home import Home
from icploop.io.store import make_ready
from icploop.io.tracking import connect
from tests.end_state import end_state
from tests.unit import planted
from tests.unit.conftest import copied
from tests.unit.io_fixtures import inbox, new_home, write_csv
from tests.unit.registered import register_a_challenger
from tests.zygote import Ended, Zygote

_KILLED = -signal.SIGKILL
_LONGEST_STEP = timedelta(days=12)
_DISK = "3g"
# How often each act is drawn. A round is costly, so most versions are registered without one.
_ACTS = {
    "challenge": 5,
    "approve": 4,
    "reject": 2,
    "rollback": 3,
    "publish": 4,
    "settle": 3,
    "tag": 2,
    "ingest": 2,
    "watch": 2,
    "retrain": 1,
}


@dataclass
class Soak:
    """The two homes, and what has happened to them."""

    calm: Home
    stormy: Home
    zygote: Zygote
    chance: random.Random
    servers: tuple[Server, Server] | None
    done: Counter[str] = field(default_factory=Counter)
    day: date = planted.LAST_DAY
    number: int = 0

    def go_on(self) -> None:
        """One more act on a later day, in both homes; they have to be the same afterwards."""
        self.number += 1
        self.day += timedelta(days=self.chance.randint(0, _LONGEST_STEP.days))
        act = self.chance.choices(list(_ACTS), list(_ACTS.values()))[0]
        self.done[act] += 1
        if act in ("challenge", "tag"):
            self._by_hand(act)
        else:
            self._act(act)
        calm, stormy = (
            self._state(home, number) for number, home in enumerate((self.calm, self.stormy))
        )
        different = [name for name in calm if calm[name] != stormy[name]]
        if different:
            raise SystemExit(
                f"act {self.number}, {act} on {self.day}: {', '.join(different)} differ; the homes "
                f"are {self.calm.root} and {self.stormy.root}"
            )

    def _act(self, act: str) -> None:
        words = self._words(act)
        calm = self._run(0, words)
        before = self._disturb(words, calm.steps)
        ended = self._run(1, words)
        if ended.status not in (calm.status, 0):
            raise SystemExit(
                f"act {self.number}, {' '.join(words)}: {ended.status} after {before}, "
                f"{calm.status} undisturbed\n{ended.err}"
            )

    def _disturb(self, words: list[str], steps: int) -> list[str]:
        """What befalls an act before it is done at last: nothing, or some of all that can."""
        befallen = []
        kinds = [
            "kill",
            "kill",
            "kill",
            "crowd",
            "full disk",
            *(["server"] if self.servers else []),
        ]
        for _ in range(self.chance.choice((0, 1, 1, 2, 3))):
            kind = self.chance.choice(kinds)
            at = self.chance.randint(1, max(steps, 1))
            befallen.append(f"{kind} at {at}")
            self.done[kind] += 1
            if kind == "kill":
                self._run(1, words, kill_at=at)
            elif kind == "crowd":
                started = [self._start(1, words) for _ in range(3)]
                for child in started:
                    self.zygote.wait(child)
            elif kind == "full disk":
                with _full(self.stormy.root.parent, self.chance.choice((0, 4096, 65_536, 600_000))):
                    self._run(1, words)
            elif self.servers:
                server = self.servers[1]
                self._run(1, words, kill_at=at, victim=server.process.pid)
                server.start_again()
        return befallen

    def _by_hand(self, act: str) -> None:
        for number, home in enumerate((self.calm, self.stormy)):
            with self._tracking(number):
                stands = planted.at(home, self.day).standing_now()
                if act == "challenge":
                    current = stands.in_force.version if stands.in_force else None
                    register_a_challenger(home, champion=current)
                elif stands.pending:
                    client, version = connect(home), stands.pending.version
                    said = f"Ada: in MLflow, act {self.number}"
                    client.set_model_version_tag(f"icp-{planted.MOTION}", version, "approve", said)

    def _words(self, act: str) -> list[str]:
        which = ["challenger"] if act in ("approve", "reject") else []
        who = ["--by", "Ada", "--reason", f"act {self.number}"]
        forced = ["--force", "--by", "Trainer"] if act == "retrain" else []
        on = [] if act == "ingest" else ["--as-of", self.day.isoformat()]
        return [act, *which, *(who if act in ("approve", "reject", "rollback") else forced), *on]

    def _run(self, number: int, words: list[str], *, kill_at: int = 0, victim: int = 0) -> Ended:
        return self.zygote.wait(self._start(number, words, kill_at=kill_at, victim=victim))

    def _start(
        self, number: int, words: list[str], *, kill_at: int = 0, victim: int = 0
    ) -> tuple[int, Path]:
        home = (self.calm, self.stormy)[number]
        return self.zygote.start(
            *words,
            "--home",
            home.root,
            kill_at=kill_at,
            victim=victim,
            only_writes=True,
            environment=self._environment(number),
        )

    def _environment(self, number: int) -> dict[str, str]:
        if not self.servers:
            return {}
        return {
            "MLFLOW_TRACKING_URI": self.servers[number].address,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        }

    @contextlib.contextmanager
    def _tracking(self, number: int) -> Iterator[None]:
        """This process uses the store of one of the homes."""
        with contextlib.ExitStack() as stack:
            for name, value in self._environment(number).items():
                os.environ[name] = value
                stack.callback(os.environ.pop, name, None)
            yield

    def _state(self, home: Home, number: int) -> dict[str, object]:
        with self._tracking(number):
            return end_state(home, with_failures=False)


@dataclass
class Server:
    """An MLflow server over a store of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @classmethod
    def of(cls, folder: Path) -> Server:
        """Start one; its store lies in a folder."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        make_ready(Home(folder))
        return cls(folder, port, cls._started(folder, port))

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start_again(self) -> None:
        """It was killed, or is now; then it answers again."""
        self.end()
        self.process = self._started(self.folder, self.port)

    def end(self) -> None:
        """Kill it with its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @staticmethod
    def _started(folder: Path, port: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
        command += ["--backend-store-uri", Home(folder).store, "--host", "127.0.0.1"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        process = subprocess.Popen(
            command,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 180
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health"):
                return process
            time.sleep(0.2)
        raise SystemExit("the MLflow server did not start")


@contextlib.contextmanager
def _full(disk: Path, left: int) -> Iterator[None]:
    """Leave so many bytes on a small disk while the block runs."""
    used = shutil.disk_usage(disk).used
    _mount("-o", f"remount,size={used + left}", disk)
    try:
        yield
    finally:
        _mount("-o", f"remount,size={_DISK}", disk)


@contextlib.contextmanager
def _small_disk(root: Path) -> Iterator[Path]:
    """A file system of its own for the home that is disturbed; it takes the right to mount one."""
    root.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={_DISK}", "none", root)
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def main() -> None:
    """Go on until the time is over, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--servers", action="store_true")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    with contextlib.ExitStack() as stack:
        zygote = Zygote(root)
        stack.callback(zygote.close)
        disk = stack.enter_context(_small_disk(root / "disk"))
        first = new_home(root / "calm", planted.SETTINGS)
        write_csv(inbox(first), planted.company())
        servers = None
        if asked.servers:
            servers = Server.of(root / "server-0"), Server.of(root / "server-1")
            for server in servers:
                stack.callback(server.end)
        soak = Soak(first, Home(disk / "home"), zygote, random.Random(asked.seed), servers)
        if servers:
            shutil.copytree(first.root, soak.stormy.root, symlinks=True)
        words = (["ingest"], ["watch", "--as-of", str(soak.day)], soak._words("approve"))
        for number in (0, 1) if servers else (0,):
            for act in words:
                ended = soak._run(number, act)
                if ended.status:
                    raise SystemExit(ended.err)
        if not servers:
            copied(first, soak.stormy.root)
        began = time.monotonic()
        while time.monotonic() < until:
            soak.go_on()
        minutes = (time.monotonic() - began) / 60
        years = (soak.day - planted.LAST_DAY).days / 365
        print(
            json.dumps(
                {
                    "seed": asked.seed,
                    "minutes": round(minutes, 1),
                    "years": round(years, 1),
                    "acts": soak.number,
                    "done": dict(sorted(soak.done.items())),
                    "different": 0,
                }
            )
        )
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
