"""What a round costs beside its statistics, and what `icp up` needs: seconds and megabytes.

    python -m benchmarks.round [WINS ...]

For each size a simulated company is ingested, then `icp retrain --force` runs as a process of its
own on the embedded store. Start-up is from the start of the process to the start of the act, with
all imports, also those that happen later; learning is fitting, judging and measuring what goes on
the page; health is measuring how the data are; plotting is figures and pages; what is left is the
round's own overhead. Results: benchmarks/results/round.csv.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import _bootstrap
from pathlib import Path
from typing import Any

import pandas as pd

RESULTS = Path(__file__).parent / "results" / "round.csv"
SIZES = (400, 3_000, 20_000)


def main(sizes: tuple[int, ...]) -> None:
    rows = []
    for wins in sizes:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "company"
            _run("found", home, wins)
            _run("retrain", home, "2025-11-30")  # makes the store, as `icp up` does
            rows.append({"wins": wins, **_run("retrain", home, "2025-12-31")})
            print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(RESULTS, index=False, float_format="%.2f")


def _run(what: str, *words: object) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.round", "--child", what, *map(str, words)]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    environment["STARTED"] = repr(time.time())
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _child(what: str, *words: str) -> None:
    if what == "found":
        from icploop.pipelines.demo import found_company
        from icploop.pipelines.ingest import ingest

        ingest(found_company(Path(words[0]), seed=7, wins=int(words[1])).home)
        print("{}")
        return
    print(json.dumps(_timed_round(Path(words[0]), words[1])))


def _timed_round(root: Path, day: str) -> dict[str, float]:
    from datetime import date

    from icploop.io.home import Home
    from icploop.pipelines import retrain
    from icploop.pipelines.as_of import AsOf

    started = time.time() - float(os.environ["STARTED"])
    spent = {"learning": 0.0, "health": 0.0, "plotting": 0.0}

    def timed(act: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timing(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            try:
                return act(*args, **kwargs)
            finally:
                spent[part] += time.perf_counter() - before

        return timing

    for owner, name, part in (
        (retrain, "run_round", "learning"),
        (retrain, "importances", "learning"),
        (retrain, "insights_of", "learning"),
        (retrain, "with_health", "health"),
        (retrain, "page", "plotting"),
        (retrain, "html_page", "plotting"),
        (retrain, "pictures", "plotting"),
        (retrain, "kpi_card_page", "plotting"),
        (retrain.plots, "importance_figure", "plotting"),
        (retrain.plots, "decile_figure", "plotting"),
        (retrain.plots, "calibration_figure", "plotting"),
    ):
        setattr(owner, name, timed(getattr(owner, name), part))
    # Figures are drawn when they are saved, inside MLflow.
    import mlflow

    mlflow.log_figure = timed(mlflow.log_figure, "plotting")
    # Libraries import parts of themselves when they are first used.
    spent["late_imports"] = 0.0
    _bootstrap._find_and_load = _outermost(_bootstrap._find_and_load, timed)
    before = time.perf_counter()
    at = AsOf.of(Home(root), "new-business", date.fromisoformat(day))
    retrain.retrain(at, force=True)
    whole = time.perf_counter() - before
    overhead = whole - sum(spent.values())
    late = spent.pop("late_imports")
    return {
        "start_up": started + late,
        "whole": whole,
        **spent,
        "overhead": overhead,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _outermost(act: Any, timed: Any) -> Any:
    """Time imports once, not once more for each that an import makes."""
    depth = 0

    def loading(*args: Any) -> Any:
        nonlocal depth
        depth += 1
        try:
            return timed(act, "late_imports")(*args) if depth == 1 else act(*args)
        finally:
            depth -= 1

    return loading


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:])
    else:
        main(tuple(map(int, sys.argv[1:])) or SIZES)
