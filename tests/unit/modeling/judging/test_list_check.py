"""Deals are held against the last list before them, and NRR is told only where it can be."""

import numpy as np
import pandas as pd
import pytest

from icploop.modeling.judging.list_check import COLUMNS, what_came_of

DAY = pd.Timestamp("2024-01-10")


def listing(account: str, tier: str, as_of: pd.Timestamp = DAY, expected: float = 1.0) -> dict:
    return {
        "as_of": as_of,
        "account_id": account,
        "chosen_by": "fit score" if tier == "A" else "beyond capacity",
        "tier": tier,
        "expected_nrr": expected,
    }


def deal(account: str, won: int = 1, at: str = "2024-02-01") -> dict:
    known = {"deal_id": f"d-{account}", "account_id": account, "parent": account}
    return known | {"at": pd.Timestamp(at), "won": float(won)}


def outcome(account: str, end: float, matured: bool = True) -> dict:
    start = 100.0 if matured else np.nan
    return {"deal_id": f"d-{account}", "matured": matured, "start_mrr": start, "end_mrr": end}


def came_of(listings: list, deals: list, outcomes: list) -> pd.DataFrame:
    frames = [pd.DataFrame(rows) for rows in (listings, deals, outcomes)]
    return what_came_of(*frames, draws=200, seed=1)


def test_planted_tiers_come_out_with_what_they_kept_and_what_was_expected():
    good, bad = [f"g{i}" for i in range(20)], [f"b{i}" for i in range(20)]
    found = came_of(
        [listing(a, "A", expected=1.1) for a in good] + [listing(a, "C") for a in bad],
        [deal(a) for a in good + bad],
        [outcome(a, 110.0) for a in good]
        + [outcome(a, 0.0 if i % 2 else 100.0) for i, a in enumerate(bad)],
    ).set_index(["by", "group"])
    a, c = found.loc[("tier", "A")], found.loc[("tier", "C")]
    assert (a["deals"], a["won"], a["matured"]) == (20, 20, 20)
    assert a["nrr"] == a["low"] == a["high"] == pytest.approx(1.1)
    assert a["expected"] == pytest.approx(1.1)
    assert c["nrr"] == pytest.approx(0.5)
    assert 0.2 < c["low"] < 0.5 < c["high"] < 0.8
    assert found.loc[("chosen_by", "fit score"), "nrr"] == a["nrr"]


def test_the_last_list_before_the_deal_counts_and_none_of_its_day_or_later():
    later = pd.Timestamp("2024-03-01")
    lists = [listing("x", "C"), listing("x", "A", later), listing("y", "A", later)]
    deals = [deal("x", at="2024-03-01 12:00"), deal("y", at="2024-03-01 12:00")]
    found = came_of(lists, deals, [outcome("x", 1.0)])
    assert found.loc[found["by"] == "tier", ["group", "deals"]].to_numpy().tolist() == [["C", 1]]


def test_too_few_matured_customers_have_no_nrr():
    accounts = [f"a{i}" for i in range(6)]
    found = came_of(
        [listing(a, "A") for a in accounts],
        [deal(a, won=int(i > 0)) for i, a in enumerate(accounts)],
        [outcome(a, 100.0, matured=i < 4) for i, a in enumerate(accounts)],
    )
    tier = found.iloc[0]
    assert (tier["deals"], tier["won"], tier["matured"]) == (6, 5, 3)
    assert np.isnan(tier["nrr"])


def test_lists_without_a_tier_say_nothing():
    old = [{**listing("a", "A"), "tier": None}]
    found = came_of(old, [deal("a")], [outcome("a", 1.0)])
    assert (found.empty, list(found.columns)) == (True, COLUMNS)
