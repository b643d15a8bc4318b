"""A process that has imported everything and done nothing: it forks children that run `icp`.

A test that kills a command a hundred times cannot pay its imports a hundred times. Each line on
stdin is a request, each line on stdout its answer. A child can be made to end itself, or a server,
with SIGKILL at a step: just before or after the n-th act of the io floor. Where only writes count,
a step is what changed anything on disk or in MLflow, one alias or tag at a time.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status (negative: the signal), what it said, how many steps."""

    status: int
    out: str
    err: str
    steps: int


class Zygote:
    """The parent's end: it starts the process and sends it requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self._answer()

    def start(
        self,
        *words: object,
        kill_at: int = 0,
        victim: int = 0,
        only_writes: bool = False,
        environment: dict[str, str] | None = None,
    ) -> tuple[int, Path]:
        """Fork a child that runs `icp WORDS`; its process and the stem of what it writes."""
        self.number += 1
        stem = self.folder / f"child-{self.number}"
        request = {
            "words": [str(word) for word in words],
            "kill_at": kill_at,
            "victim": victim,
            "only_writes": only_writes,
            "environment": environment or {},
            "stem": str(stem),
        }
        return int(self._ask(request)["pid"]), stem

    def wait(self, started: tuple[int, Path]) -> Ended:
        """Wait for a child to end."""
        pid, stem = started
        status = int(self._ask({"wait": pid})["status"])
        texts = [Path(f"{stem}.{kind}").read_text() for kind in ("out", "err")]
        steps = Path(f"{stem}.steps")
        return Ended(status, *texts, int(steps.read_text() or 0) if steps.exists() else 0)

    def run(self, *words: object, **how: Any) -> Ended:
        """Run `icp WORDS` to its end, or to its death."""
        return self.wait(self.start(*words, **how))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


def _child(request: dict[str, Any]) -> None:
    stem = request["stem"]
    for number, kind in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{stem}.{kind}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    os.environ.update(request["environment"])
    steps = os.open(f"{stem}.steps", os.O_CREAT | os.O_RDWR)
    _count_steps(steps, request["kill_at"], request["victim"], only_writes=request["only_writes"])
    sys.argv = ["icp", *request["words"]]
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    from icploop.cli import main

    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# What changes a home, beside MLflow's own calls.
_WRITES = {"store", "append", "log_list", "note_told", "build", "point_to", "prune", "keep_end"}
_WRITES_OF_MLFLOW = ("set_", "create_", "delete_", "log_")


def _count_steps(file: int, kill_at: int, victim: int, *, only_writes: bool) -> None:
    """Let every act of the io floor count a step before and after it; the process dies at one."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        os.pwrite(file, str(taken).encode(), 0)
        if taken == kill_at:
            os.kill(-victim if victim else os.getpid(), signal.SIGKILL)

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(act)
        def stepping(*args: Any, **kwargs: Any) -> Any:
            if not only_writes:
                step()
            done = act(*args, **kwargs)
            step()
            return done

        return stepping

    for owner, name, act in _acts(only_writes=only_writes):
        fresh = counted(act)
        setattr(owner, name, fresh)
        _replace_everywhere(act, fresh)


def _acts(*, only_writes: bool) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """Whose the acts that count are, their names, and the acts themselves."""
    from mlflow import MlflowClient

    from icploop.io import frames, registry, tracking
    from icploop.io.releases import Releases
    from icploop.io.warehouse import Warehouse, head

    for owner in (Warehouse, Releases, head, registry, tracking, frames):
        for name, act in list(vars(owner).items()):
            here = inspect.isclass(owner) or getattr(act, "__module__", "") == owner.__name__
            counts = not name.startswith("_") and (name in _WRITES or not only_writes)
            if inspect.isfunction(act) and here and counts:
                yield owner, name, act
    for name, act in list(vars(MlflowClient).items()) if only_writes else ():
        if inspect.isfunction(act) and name.startswith(_WRITES_OF_MLFLOW):
            yield MlflowClient, name, act


def _replace_everywhere(act: Callable[..., Any], fresh: Callable[..., Any]) -> None:
    """Modules that imported the name hold the function itself."""
    for name, module in list(sys.modules.items()):
        if name.startswith("icploop"):
            for key, value in list(vars(module).items()):
                if value is act:
                    setattr(module, key, fresh)


def _main() -> None:
    # What children would import each for itself, a second of it MLflow's store alone.

    import icploop.cli
    import icploop.pipelines.decide
    import icploop.pipelines.diff
    import icploop.pipelines.ingest
    import icploop.pipelines.retrain
    import icploop.pipelines.show
    import icploop.pipelines.status  # noqa: F401

    said = os.dup(1)
    os.write(said, b"{}\n")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                _child(request)
            answer = {"pid": pid}
        os.write(said, (json.dumps(answer) + "\n").encode())


if __name__ == "__main__":
    _main()
