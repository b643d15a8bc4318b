"""How much revenue fits: rows from files into the warehouse and on to outcomes, seconds and memory.

    python -m benchmarks.revenue [ROWS ...]

A company is written as CSV and as Parquet (not measured): an account for every 33 rows, won once
and billed for 18 to 48 months from then on, and a third as many that were lost. Then processes of
their own ingest it, ingest it again, and compute all outcomes as of the last day. Seconds are by
the clock and of processors, without imports; `peak_megabytes` is the most that the process, or a
child of it, held in memory (resident, by getrusage). Results: benchmarks/results/revenue.csv.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd

from icploop.domain.calendar import seen_by
from icploop.domain.outcomes import outcomes
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import ingest
from tests.unit.io_fixtures import files_source, new_home

RESULTS = Path(__file__).parent / "results" / "revenue.csv"
SIZES = (1_000_000, 10_000_000)
KINDS = ("csv", "parquet")
LAST_DAY = date(2025, 12, 31)
SETTINGS = {
    "company": "Measured",
    "dimensions": {"firmographic": {"employees": "number", "industry": "category"}},
}
TABLES = ("accounts", "deals", "revenue")
# The year and month of the sale, how long it was billed, and how much: all by the account's number.
COMPANY = {
    "customers": """
        SELECT i, 'acc-' || lpad(i::VARCHAR, 7, '0') AS account_id,
               DATE '2020-01-15' + to_months((hash(i) % 24)::INT) AS created,
               18 + (hash(i + 1) % 31)::INT AS months, 100 + hash(i + 2) % 900_00 / 100 AS start,
               i % 4 = 0 AS lost
        FROM range((? * 4 / 99)::BIGINT) AS r(i)
    """,
    "accounts": """
        SELECT account_id, 'Company ' || i AS name, 10 + i % 990 AS employees,
               'industry ' || i % 12 AS industry
        FROM customers ORDER BY i
    """,
    "deals": """
        SELECT 'deal-' || i AS deal_id, account_id, created::DATE AS created_at,
               (created + INTERVAL 30 DAY)::DATE AS closed_at,
               CASE WHEN lost THEN 'lost' ELSE 'won' END AS outcome, round(12 * start, 2) AS acv
        FROM customers ORDER BY i
    """,
    "revenue": """
        SELECT account_id, date_trunc('month', created + to_months(n::INT + 1))::DATE AS month,
               round(start * (0.9 + hash(i + n) % 3000 / 10_000), 2) AS mrr
        FROM customers, range(months) AS r(n) WHERE NOT lost ORDER BY month, i
    """,
}


def main(sizes: tuple[int, ...]) -> None:
    measured = []
    for rows in sizes:
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                home = company(Path(folder), rows, kind)
                for act in ("ingest", "ingest again", "outcomes"):
                    found = in_a_child(act, home)
                    measured.append({"files": kind, "act": act, **found})
                    print(measured[-1], flush=True)
    pd.DataFrame(measured).to_csv(RESULTS, index=False, float_format="%.1f")


def company(root: Path, rows: int, kind: str) -> Home:
    """A home whose inbox holds about so many rows of revenue."""
    source = files_source(**{name: {"file": f"{name}.{kind}"} for name in TABLES})
    home = new_home(root / "company", SETTINGS, files=source)
    inbox = home.root / "data" / "inbox"
    inbox.mkdir(parents=True)
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE customers AS {COMPANY['customers']}", [rows])
        for name in TABLES:
            db.execute(f"COPY ({COMPANY[name]}) TO '{inbox / name}.{kind}'")
    return home


def in_a_child(act: str, home: Home) -> dict[str, float]:
    """What an act took in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.revenue", "--child", act, str(home.root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(act: str, home: Home) -> dict[str, float]:
    """Do an act in this process."""
    begun, used = time.perf_counter(), time.process_time()
    if act == "outcomes":
        seen = seen_by(Warehouse(home.warehouse_file).tables(), LAST_DAY)
        settings = home.settings()
        known = outcomes(seen, "default", settings.outcome)
        found = {"rows": len(seen.revenue), "customers": len(known)}
        found["matured"] = int(known["matured"].sum())
    else:
        found = {"rows": ingest(home).tables["revenue"]["stored"]}
    seconds = time.perf_counter() - begun
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        **found,
        "seconds": seconds,
        "processor_seconds": sum(one.ru_utime + one.ru_stime for one in usage) - used,
        "peak_megabytes": max(one.ru_maxrss for one in usage) / 1024,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(sys.argv[2], Home(Path(sys.argv[3])))))
    else:
        main(tuple(map(int, sys.argv[1:])) or SIZES)
