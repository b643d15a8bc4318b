"""A tiny company in files, the command line in this process, and a warehouse as plain values."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pandas as pd
import pytest
import yaml

from icploop.cli import main
from icploop.io.home import Home
from icploop.io.sources import Landing
from icploop.io.warehouse import Warehouse
from icploop.settings import TABLES

# For sources that keep nothing.
NOWHERE = Landing(Warehouse(Path("no warehouse")), "none")

SETTINGS: dict[str, Any] = {
    "company": "Tiny",
    "motions": ["default", "upsell"],
    "dimensions": {
        "firmographic": {"employees": "number", "industry": "category"},
        "technographic": {"tech": "set"},
        "decision_authority": {"has_sponsor": "flag"},
        "trigger_event": {"funded_on": "date"},
    },
}


def tiny() -> dict[str, pd.DataFrame]:
    """Ten good rows of each table, every cell as the text that a CSV would hold."""
    ids = [f"a{i}" for i in range(1, 11)]
    accounts = pd.DataFrame(
        {
            "account_id": ids,
            "name": [f"Name {i}" for i in ids],
            "employees": [str(10 * i) for i in range(1, 11)],
            "industry": ["health", "retail"] * 5,
            "tech": ["crm|erp", "erp"] * 5,
            "has_sponsor": ["yes", "no"] * 5,
            "funded_on": ["2020-02-29"] * 10,
        }
    )
    deals = pd.DataFrame(
        {
            "deal_id": [f"d{i}" for i in range(1, 11)],
            "account_id": ids,
            "created_at": [f"2024-01-{i:02}" for i in range(1, 11)],
            "outcome": ["won", "lost", "open", "won", "won"] * 2,
            "closed_at": ["2024-02-01", "2024-02-02", "", "2024-02-03", "2024-02-04"] * 2,
            "acv": ["1200"] * 10,
        }
    )
    revenue = pd.DataFrame(
        {
            "account_id": ["a1", "a4"] * 5,
            "month": [f"2024-{month:02}-01" for month in (3, 4, 5, 6, 7) for _ in range(2)],
            "mrr": ["100.5"] * 10,
        }
    )
    signals = pd.DataFrame(
        {
            "account_id": ["a1"] * 10,
            "at": ["2024-04-01T10:00:00Z"] * 2 + [f"2024-05-{i:02}" for i in range(1, 9)],
            "kind": ["ticket"] * 10,
            "value": ["1"] * 10,
        }
    )
    return {"accounts": accounts, "deals": deals, "revenue": revenue, "signals": signals}


def write_csv(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Each table as `<name>.csv` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        frame.to_csv(folder / f"{name}.csv", index=False)


def files_source(folder: str = "data/inbox", **tables: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a source of files; by default the four canonical CSV files."""
    plain = {name: {"file": f"{name}.csv"} for name in TABLES}
    return {"kind": "files", "folder": folder, "tables": tables or plain}


def new_home(
    root: Path, settings: Mapping[str, Any] = SETTINGS, **sources: Mapping[str, Any]
) -> Home:
    """A home folder with settings and sources; by default one of canonical files in data/inbox."""
    folder = root / "conf" / "sources"
    folder.mkdir(parents=True)
    (root / "conf" / "icp.yaml").write_text(yaml.safe_dump(dict(settings), sort_keys=False))
    for name, source in (sources or {"files": files_source()}).items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(dict(source), sort_keys=False))
    return Home(root)


def tiny_home(root: Path, **sources: Mapping[str, Any]) -> Home:
    """A home whose inbox holds the tiny company; nothing is ingested yet."""
    home = new_home(root, **sources)
    write_csv(inbox(home), tiny())
    return home


def inbox(home: Home) -> Path:
    """Where the default source of a home looks."""
    return home.root / "data" / "inbox"


def contents(home: Home) -> dict[str, list[str]]:
    """Everything that a warehouse holds, whatever the order in which it was stored."""
    if not home.warehouse_file.exists():
        return {}
    with duckdb.connect(str(home.warehouse_file)) as db:
        names = [name for (name,) in db.execute("SHOW TABLES").fetchall()]
        found = {}
        for name in sorted(names):
            answer = db.execute(f"FROM {name}")
            columns = [column for column, *_ in answer.description]
            rows = (zip(columns, row, strict=True) for row in answer.fetchall())
            found[name] = sorted(str(sorted(row)) for row in rows)
    return found


@dataclass(frozen=True)
class CommandResult:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; fails where there is anything else."""
        answer = json.loads(self.out)
        assert isinstance(answer, dict)
        return answer


def icp(
    *words: object, home: Home | None = None, env: Mapping[str, str] | None = None
) -> CommandResult:
    """Run the command line in this process, as `icp WORDS --home HOME`."""
    arguments = [str(word) for word in words]
    if home is not None:
        arguments += ["--home", str(home.root)]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["icp", *arguments]),
        mock.patch.dict(os.environ, dict(env or {})),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert "Traceback" not in err.getvalue()
    return CommandResult(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def nothing_changes(home: Home) -> Iterator[None]:
    """Fails where the block changes anything in the home's warehouse."""
    before = contents(home)
    yield
    assert contents(home) == before


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Let another process hold a warehouse as long as the block lasts."""
    code = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.communicate()


def require(what: str, found: object) -> None:
    """Skip a test whose tool is not installed, except where CI promises that it is."""
    if found:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed, and CI promises that it is")
    pytest.skip(f"{what} is not installed")


def last_read(file: Path, source: str, thing: str, when: str) -> None:
    """Let the warehouse in a file say that something was last read from a source at a moment."""
    warehouse = Warehouse(file)
    position = warehouse.position(source, thing)
    assert position is not None
    assert position.where is not None
    known = position.where | {"read_at": when}
    warehouse.land(source, thing, {}, type(position)(position.asked, known))
