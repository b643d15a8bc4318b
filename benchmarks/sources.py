"""A whole company through the local servers: undisturbed, then failing and killed, then again.

Run from the root: python -m benchmarks.sources [ACCOUNTS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import duckdb

from icploop.io.home import Home
from icploop.pipelines.ingest import ingest
from tests.crm import HUBSPOT, STRIPE, company
from tests.servers import TOKEN, Faults
from tests.unit.io_fixtures import new_home

SETTINGS = {
    "company": "Measured",
    "dimensions": {"firmographic": {"employees": "number", "industry": "category"}},
}
MONTHS = 12


def main(accounts: int) -> None:
    os.environ |= {"HUBSPOT_TOKEN": TOKEN, "STRIPE_API_KEY": TOKEN}
    servers = company(accounts, MONTHS)
    with ExitStack() as stack:
        hubspot, stripe = (stack.enter_context(server.running()) for server in servers)
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        homes = [
            new_home(
                root / name,
                SETTINGS,
                hubspot=HUBSPOT | {"base_url": hubspot.url},
                stripe=STRIPE | {"base_url": stripe.url},
            )
            for name in ("sound", "killed")
        ]
        print(f"{accounts} accounts, {len(servers[1].things['invoices'])} invoices")
        timed("undisturbed", lambda: in_a_child(homes[0]))
        calls = [server.calls["all"] for server in servers]
        print("calls", *calls)
        for n, (which, share) in enumerate([(0, 0.2), (0, 0.4), (1, 0.2), (1, 0.2), (1, 0.2)]):
            for server in servers:
                server.calls.clear()
                server.faults = Faults(one_in=20, seed=n)
            faults = servers[which].faults
            faults.kill_at = int(calls[which] * share)
            timed(f"killed {n + 1}", partial(in_a_child, homes[1], faults))
        for server in servers:
            server.calls.clear()
            server.faults = Faults(one_in=20, seed=9)
        timed("to its end", lambda: in_a_child(homes[1]))
        print("calls", *(server.calls["all"] for server in servers))
        print("the same tables:", tables(homes[0]) == tables(homes[1]))
        for server in servers:
            server.calls.clear()
            server.faults = Faults()
        timed("second run", lambda: in_a_child(homes[1]))
        print("calls", *(server.calls["all"] for server in servers))


def timed(what: str, act: Callable[[], int]) -> None:
    begun = time.monotonic()
    status = act()
    print(f"{what}: {time.monotonic() - begun:.1f} s, status {status}", flush=True)


def in_a_child(home: Home, faults: Faults | None = None) -> int:
    """Ingest in a process of its own, which a server may kill; its memory is its own too."""
    child = os.fork()
    if child == 0:
        ingest(home)
        os._exit(0)
    if faults is not None:
        faults.victim = child
    return os.waitpid(child, 0)[1]


def tables(home: Home) -> list[tuple[object, ...]]:
    """How many rows each table has, and a number that depends on every cell of them."""
    names = ("accounts", "deals", "revenue", "signals", "quarantine", "landing")
    with duckdb.connect(str(home.warehouse_file)) as db:
        return [
            tuple(db.execute(f"SELECT count(*), bit_xor(hash(t)) FROM {name} t").fetchall())
            for name in names
        ]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
