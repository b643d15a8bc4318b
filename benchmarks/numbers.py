"""Every number of a few rounds, as text, so that two checkouts can be compared to the last digit.

    python -m benchmarks.numbers CHECKOUT OUT [--olist FOLDER]

Runs the commands of CHECKOUT, with its own environment, on a simulated company (a first round,
its approval, a second round against it, then all that reads, and a backtest) and on Olist, and
writes what they answer into OUT: `diff -r` of two such folders shows what has changed. What differs
between any two runs (ids of runs, clock times, folders) is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path
from typing import Any

FIRST, SECOND = "2024-12-24", "2025-12-31"
# Of these no two runs have the same.
_OF_ONE_RUN = re.compile(r"[0-9a-f]{32}|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
_FOUND = """
import sys
from pathlib import Path
from icploop.pipelines.demo import found_company
found_company(Path(sys.argv[1]), seed=int(sys.argv[2]), wins=int(sys.argv[3]))
"""


def main() -> None:
    """Dump the numbers of one checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--olist", type=Path)
    parser.add_argument("--wins", type=int, default=400)
    given = parser.parse_args()
    checkout = given.checkout.resolve()
    given.out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        _demo(Checkout(checkout, Path(folder) / "demo", given.out / "demo"), given.wins)
        if given.olist:
            olist = Checkout(checkout, Path(folder) / "olist", given.out / "olist")
            _olist(olist, given.olist.resolve())


class Checkout:
    """Commands of one checkout on one home, whose answers are kept in a folder."""

    def __init__(self, tree: Path, home: Path, out: Path):
        self.tree, self.home, self.out = tree, home, out
        out.mkdir()

    def python(self, code: str, *words: object) -> None:
        """Run Python code with the checkout's packages."""
        command = [self.tree / ".venv/bin/python", "-c", code, *map(str, words)]
        subprocess.run(command, check=True, env=self._environment())

    def icp(self, *words: object, name: str = "") -> dict[str, Any]:
        """Run a command; keep and give what it answers."""
        command = [self.tree / ".venv/bin/icp", *map(str, words), "--json", "--home", self.home]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=self._environment()
        )
        print(f"icp {' '.join(map(str, words))}: {done.returncode}", flush=True)
        if done.returncode:
            self.keep(name or str(words[0]), {"status": done.returncode, "said": done.stderr})
            return {}
        answer: dict[str, Any] = json.loads(done.stdout)
        self.keep(name or str(words[0]), answer)
        return answer

    def keep(self, name: str, answer: Any) -> None:
        """Write JSON-like values, without what differs between any two runs."""
        text = json.dumps(answer, indent=1, sort_keys=True, ensure_ascii=False, default=str)
        plain = _OF_ONE_RUN.sub("...", text.replace(str(self.home), "HOME"))
        (self.out / f"{name}.json").write_text(plain)

    def keep_files(self) -> None:
        """Keep the tables that commands wrote, and what MLflow has of runs and versions."""
        for path in sorted(self.home.glob("*.csv")):
            text = _OF_ONE_RUN.sub("...", path.read_text())
            (self.out / path.name).write_text(text)
        store = sqlite3.connect(self.home / "mlruns" / "mlflow.db")
        for name, query in _OF_MLFLOW.items():
            self.keep(f"mlflow-{name}", sorted(map(list, store.execute(query)), key=repr))

    def _environment(self) -> dict[str, str]:
        drop = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PREFECT_API_URL")
        return {name: value for name, value in os.environ.items() if name not in drop}


_OF_MLFLOW = {
    "metrics": "select r.name, m.key, m.value from metrics m join runs r using (run_uuid)",
    "params": "select r.name, p.key, p.value from params p join runs r using (run_uuid)",
    "versions": "select name, version, description from model_versions",
    "tags": "select name, version, key, value from model_version_tags",
}


def _demo(company: Checkout, wins: int) -> None:
    company.python(_FOUND, company.home, 7, wins)
    company.icp("ingest")
    company.icp("retrain", "--force", "--as-of", FIRST, name="retrain-1")
    company.icp("approve", "1", "--by", "demo ops", "--reason", "first", "--as-of", FIRST)
    company.icp("retrain", "--force", "--as-of", SECOND, name="retrain-2")
    company.icp("status", "--as-of", SECOND)
    company.icp("list", "--out", company.home / "list.csv", "--as-of", SECOND)
    accounts = company.home / "data" / "inbox" / "accounts.csv"
    company.icp("score", "--in", accounts, "--out", company.home / "scores.csv", "--as-of", SECOND)
    company.icp("check", "--as-of", SECOND)
    for version in ("1", "2"):
        company.icp("show", version, "--as-of", SECOND, name=f"show-{version}")
    company.icp("diff", "1", "2", "--as-of", SECOND)
    company.icp("lint", "2")
    company.icp("health", "--as-of", SECOND)
    for place, row in enumerate(accounts.read_text().splitlines()[1:400:100]):
        company.icp("explain", row.split(",")[0], "--as-of", SECOND, name=f"explain-{place}")
    company.icp("backtest", "--from", "2024-01-31", "--to", SECOND)
    company.keep_files()


def _olist(company: Checkout, data: Path) -> None:
    shutil.copytree(company.tree / "conf" / "examples" / "olist", company.home / "conf")
    source = company.home / "conf" / "sources" / "files.yaml"
    source.write_text(source.read_text().replace("../data/olist", str(data)))
    day = "2018-08-31"
    company.icp("ingest")
    company.icp("retrain", "--force", "--as-of", day)
    company.icp("list", "--out", company.home / "list.csv", "--as-of", day, "--version", "1")
    company.icp("show", "1", "--as-of", day)
    company.icp("backtest", "--as-of", day)
    company.keep_files()


if __name__ == "__main__":
    main()
