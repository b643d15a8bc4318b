"""How long `icp up` takes until both pages answer, and how much memory it holds.

    python -m benchmarks.up

On a new store and on the same store again. Memory is the proportional share (PSS) of all its
processes ten seconds after the schedules are served; Linux only. Results:
benchmarks/results/up.csv.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results" / "up.csv"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "company"
        subprocess.run([sys.executable, "-m", "icploop.cli", "init", str(home)], check=True)
        rows = [{"store": store, **_measured(home)} for store in ("new", "existing", "existing")]
    print(pd.DataFrame(rows).to_string(index=False))
    pd.DataFrame(rows).to_csv(RESULTS, index=False, float_format="%.1f")


def _measured(home: Path) -> dict[str, float]:
    ports = ("--mlflow-port", "5711", "--prefect-port", "4711")
    command = [sys.executable, "-m", "icploop.cli", "up", "--home", str(home), *ports]
    before = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pages = 0
    answering = 0.0
    for line in process.stdout or ():
        pages += "http" in line
        if pages == 2 and not answering:
            answering = time.perf_counter() - before
        if line.startswith("Logs"):
            break
    time.sleep(10)
    memory = sum(map(_pss, _family(process.pid)))
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    return {"seconds_until_both_pages_answer": answering, "megabytes": memory}


def _family(pid: int) -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    family = {pid}
    while more := {p for p, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family)


def _pss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    main()
