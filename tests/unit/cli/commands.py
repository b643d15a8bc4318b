"""What the tests of the command line know of every command."""

import os
import subprocess
import sys
from pathlib import Path

from typer.main import get_command

from icploop.cli.main import app

_FOUND = get_command(app).commands  # type: ignore[attr-defined]
COMMANDS = list(_FOUND)


def taking(option: str) -> list[str]:
    """The commands that take an option."""
    return [n for n, c in _FOUND.items() if any(option in p.opts for p in c.params)]


# What each command needs beside its options.
_NEEDS: dict[str, list[str]] = {
    "approve": ["1", "--by", "Ada", "--reason", "r"],
    "reject": ["1", "--by", "Ada", "--reason", "r"],
    "rollback": ["--by", "Ada", "--reason", "r"],
    "write-back": ["--in", "scored.csv"],
    "score": ["--in", "leads.csv", "--out", "scored.csv"],
    "list": ["--out", "targets.csv"],
    "explain": ["a1"],
    "diff": ["1", "2"],
}


def words(command: str, *more: str) -> list[str]:
    """The command with what it needs."""
    return [command, *_NEEDS.get(command, []), *more]


def installed(*given: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the installed command in a process of its own."""
    ours = ("MLFLOW", "PREFECT", "ICP")
    return subprocess.run(
        [str(Path(sys.executable).with_name("icp")), *map(str, given)],
        check=False,
        capture_output=True,
        env={k: v for k, v in os.environ.items() if not k.startswith(ours)} | environment,
    )
