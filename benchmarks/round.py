"""What a round costs, and `icp list` and `icp backtest`: CPU seconds and megabytes.

    python -m benchmarks.round [--against CHECKOUT] [--repeat N] [WINS ...]

For each size a simulated company is founded, and a first round makes its store, as `icp up` does.
Then `icp retrain --force` runs as a process of its own on the embedded store, without a server; on
the smallest company `icp list` and `icp backtest` too. With `--against` the code of another
checkout does the same on a company of its own, turn and turn about, so that both meet the same
machine. A process's CPU seconds are those of user and system, with its children's: what other
processes do at the time hardly changes them. Results: benchmarks/results/round.csv, with the median
of `--repeat` runs (3).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

RESULTS = Path(__file__).parent / "results" / "round.csv"
SIZES = (400, 3_000, 20_000)
HERE = Path(__file__).parents[1]
FIRST, SECOND, BACKTEST_FROM = "2025-11-30", "2025-12-31", "2024-01-31"
_FOUND = """
import sys
from pathlib import Path
from icploop.pipelines.demo import found_company
found_company(Path(sys.argv[1]), seed=7, wins=int(sys.argv[2]))
"""
_ICP = "import sys; from icploop.cli import main; sys.argv[0] = 'icp'; main()"


class Cost(NamedTuple):
    """What a process has used: CPU seconds, seconds on the clock, megabytes at its peak."""

    cpu_seconds: float
    seconds: float
    peak_megabytes: float


def main() -> None:
    """Measure this checkout, beside another one where there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wins", nargs="*", type=int)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    trees = {"before": given.against.resolve()} if given.against else {}
    trees["now"] = HERE
    sizes = given.wins or SIZES
    rows = []
    for wins in sizes:
        with tempfile.TemporaryDirectory() as folder:
            homes = {tree: Path(folder) / name for name, tree in trees.items()}
            for tree, home in homes.items():
                _python(tree, _FOUND, home, wins)
                _icp(tree, home, "ingest")
                _icp(tree, home, "retrain", "--force", "--as-of", FIRST)
            for act, words in _acts(wins == min(sizes), Path(folder)).items():
                found = _in_turn(homes, words, given.repeat)
                rows += [
                    {"act": act, "wins": wins, "tree": name, **_median(found[tree])}
                    for name, tree in trees.items()
                ]
                print(pd.DataFrame(rows[-len(trees) :]).to_string(index=False), flush=True)
    pd.DataFrame(rows).to_csv(RESULTS, index=False, float_format="%.2f")


def _acts(on_smallest: bool, folder: Path) -> dict[str, tuple[object, ...]]:
    """The commands that are measured, by name."""
    acts: dict[str, tuple[object, ...]] = {"retrain": ("retrain", "--force", "--as-of", SECOND)}
    if on_smallest:
        out = folder / "list.csv"
        acts["list"] = ("list", "--version", "1", "--out", out, "--as-of", SECOND)
        acts["backtest"] = ("backtest", "--from", BACKTEST_FROM, "--to", SECOND)
    return acts


def _in_turn(
    homes: dict[Path, Path], words: tuple[object, ...], repeat: int
) -> dict[Path, list[Cost]]:
    """What a command costs in each checkout, one run after the other of each."""
    found: dict[Path, list[Cost]] = {tree: [] for tree in homes}
    for turn in range(repeat):
        # Who goes first changes, lest one always finds the caches warm.
        for tree in sorted(homes, reverse=bool(turn % 2)):
            found[tree].append(_icp(tree, homes[tree], *words))
    return found


def _median(costs: list[Cost]) -> dict[str, float]:
    return {name: statistics.median(getattr(cost, name) for cost in costs) for name in Cost._fields}


def _icp(tree: Path, home: Path, *words: object) -> Cost:
    return _python(tree, _ICP, *words, "--json", "--home", home)


def _python(tree: Path, code: str, *words: object) -> Cost:
    """Run Python with the package of a checkout, and say what it cost."""
    drop = ("PREFECT_API_URL", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in drop}
    environment["PYTHONPATH"] = str(tree / "src")
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: status {process.returncode}")
    # Linux counts kilobytes, macOS bytes.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / unit)


if __name__ == "__main__":
    main()
