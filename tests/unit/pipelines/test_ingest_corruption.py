"""Twelve kinds of corruption, in any mixture: each under its own rule, clean rows untouched."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.tables import Tables
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import ingest
from icploop.settings import TABLES
from tests.unit.io_fixtures import SETTINGS, files_source, inbox, new_home, write_csv

_CLEAN = 12


class Corruption(NamedTuple):
    """A cell that goes wrong in a row of its own, and the rule that it breaks."""

    table: str
    cell: dict[str, str]
    rule: str


KINDS = {
    "a key is lost": Corruption("accounts", {"account_id": ""}, "account_id is given"),
    "a date is scrambled": Corruption(
        "deals",
        {"created_at": "13/25/2024"},
        "created_at is a date (ISO 8601, or the `dates` format of the source)",
    ),
    "a date lies in another age": Corruption(
        "accounts", {"observed_at": "0204-05-01"}, "observed_at is between 1970 and 2200"
    ),
    "a deal closes before it opens": Corruption(
        "deals", {"closed_at": "2019-01-01"}, "closed_at is not before created_at"
    ),
    "a decided deal has no close": Corruption(
        "deals", {"closed_at": ""}, "closed_at is given unless the deal is open"
    ),
    "an outcome is a stage": Corruption(
        "deals", {"outcome": "Negotiation"}, "outcome is won, lost or open"
    ),
    "money is text": Corruption("deals", {"acv": "12k"}, "acv is a number"),
    "money is negative": Corruption("revenue", {"mrr": "-50"}, "mrr >= 0"),
    "money is absurd": Corruption("revenue", {"mrr": "5e12"}, "mrr <= ingest.max_money (1e+09)"),
    "a month is a day": Corruption(
        "revenue", {"month": "2024-03-17"}, "month is the first day of a month"
    ),
    "nobody knows the account": Corruption(
        "signals", {"account_id": "ghost"}, "account_id is in accounts"
    ),
    "a key is taken": Corruption(
        "deals", {"deal_id": "d0"}, "the key is unique (the first row was kept)"
    ),
}


def clean_row(table: str, number: int) -> dict[str, str]:
    month = f"20{20 + number // 12}-{number % 12 + 1:02}-01"
    return {
        "accounts": {"account_id": f"a{number}", "observed_at": month, "industry": "health"},
        "deals": {
            "deal_id": f"d{number}",
            "account_id": "a0",
            "created_at": month,
            "outcome": "won",
            "closed_at": "2029-12-31",
            "acv": str(1000 + number),
        },
        "revenue": {"account_id": "a0", "month": month, "mrr": str(10 + number)},
        "signals": {"account_id": "a0", "at": month, "kind": "ticket", "value": str(number)},
    }[table]


def ingested(folder: Path, rows: dict[str, list[dict[str, str]]]) -> tuple[Counter[str], Warehouse]:
    home: Home = new_home(
        folder, SETTINGS | {"ingest": {"max_bad_share": 1.0}}, files=files_source()
    )
    write_csv(inbox(home), {name: pd.DataFrame(found) for name, found in rows.items()})
    return Counter(ingest(home).rules), Warehouse(home.warehouse_file)


CLEAN = {name: [clean_row(name, i) for i in range(_CLEAN)] for name in TABLES}


@cache
def alone() -> Tables:
    """What is stored of the clean rows where there are no others."""
    with tempfile.TemporaryDirectory() as temporary:
        return ingested(Path(temporary), CLEAN)[1].tables()


def hold(injected: list[str], order: random.Random) -> None:
    """Inject the kinds, and look at the quarantine and at what was stored."""
    bad: dict[str, list[dict[str, str]]] = {name: [] for name in TABLES}
    for number, kind in enumerate(injected, start=_CLEAN):
        table, cell, _ = KINDS[kind]
        bad[table].append(clean_row(table, number) | cell)
    mixed = {}
    for name in TABLES:
        # The first row stays first: of two rows with one key the first is kept.
        rest = CLEAN[name][1:] + bad[name]
        order.shuffle(rest)
        mixed[name] = [CLEAN[name][0], *rest]
    with tempfile.TemporaryDirectory() as temporary:
        rules, stored = ingested(Path(temporary), mixed)
        assert rules == Counter(f"{KINDS[k].table}: {KINDS[k].rule}" for k in injected)
        found = stored.tables()
        for name in TABLES:
            kept, expected = (
                getattr(tables, name).sort_values(list(CLEAN[name][0]), ignore_index=True)
                for tables in (found, alone())
            )
            pd.testing.assert_frame_equal(kept, expected)
        assert len(stored.quarantine()) == len(injected)


def test_all_twelve_kinds_at_once_land_under_their_own_rules() -> None:
    hold(sorted(KINDS), random.Random(0))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    injected=st.lists(st.sampled_from(sorted(KINDS)), max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_in_any_mixture_each_lands_under_its_own_rule(
    injected: list[str], order: random.Random
) -> None:
    hold(injected, order)


def test_there_are_twelve_kinds_and_no_table_is_spared() -> None:
    assert len(KINDS) == len({(k.table, k.rule) for k in KINDS.values()}) == 12
    assert {kind.table for kind in KINDS.values()} == set(TABLES)
