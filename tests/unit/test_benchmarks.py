"""Each benchmark runs, small: what is measured once a month must not rot in between."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import fit, gate, revenue, rounds, score
from benchmarks.families import FAMILIES
from benchmarks.worlds import checked_tables, customers_seen
from icploop.demo.world import WorldSpec
from tests.companies import market


def test_the_fit_benchmark_measures_every_peer(monkeypatch) -> None:
    monkeypatch.setitem(fit.SCENARIOS, "small", fit.Scenario((60,), fit.FEW, {"prospects": 300}))
    shares, _ = fit.measure(1, ["small"])
    assert set(shares["peer"]) == set(fit.FEW)
    assert shares["mean"].between(-1.5, 1).all()
    truth = shares.set_index("peer")["mean"]["ranking by the true retention"]
    assert truth > 0


def archive() -> rounds.Archive:
    """Three rounds in which the clean challengers see the truth better and better."""
    known = market(150, seed=1)
    rng = np.random.default_rng(1)
    noise = known.truth.std() * pd.Series(rng.normal(size=150), known.truth.index)
    said = {
        f"{n} {way}": known.truth + worse * noise
        for n, clean in enumerate((3.0, 1.0, 0.0))
        for way, worse in ((rounds.CLEAN, clean), (rounds.CORRUPTED, 9.0), (rounds.POOR, 6.0))
    } | {f"{n} {rounds.AVERAGE}": noise for n in range(3)}
    customers = known.outcomes.assign(account_id=known.outcomes.index)
    customers = customers.join(customers[rounds.DEALT].add_prefix("mixed "))
    seen = pd.concat([customers.iloc[: 90 + 30 * n].assign(round=n) for n in range(3)])
    prospects = pd.DataFrame(said).assign(nrr=known.truth, acv=1.0)
    markets = pd.concat([prospects.assign(round=n) for n in range(3)])
    return rounds.Archive("ridge", "usage", 3, False, seen, pd.DataFrame(said), markets)


def test_rules_of_the_gate_benchmark_are_replayed_over_kept_rounds() -> None:
    lived, stated = gate.years([archive()])
    assert set(lived["rule"]) == set(gate.RULES)
    regret = lived[lived["scenario"] == "clean"].set_index("rule")["regret"]
    # Whoever takes every refit loses nothing where each is better, and whoever takes none all.
    assert regret["always"] == pytest.approx(0, abs=1e-9)
    assert regret["never"] > 0
    assert stated["stated"].between(0, 1).all()
    first = gate.firsts([archive()])
    assert (first["truth"] > 0).all()
    table = gate.summary(lived).set_index(["rule", "scenario"])
    assert table.loc[(gate.DEFAULT, "clean"), "against_default"] == 0


@pytest.mark.parametrize("family", ["usage", "segments"])
def test_a_family_is_a_company_whose_truth_its_customers_bear_out(family: str) -> None:
    world = FAMILIES[family](WorldSpec(seed=5, wins=900, prospects=200, shift_month=None))
    day = (world.spec.end - pd.Timedelta(days=1)).date()
    customers = customers_seen(checked_tables(world), day)
    ripe = customers[customers["matured"]]
    truth = world.truth_at(ripe["account_id"], day).set_index("account_id")
    assert len(ripe) > 400
    assert ripe["retained"].mean() == pytest.approx(truth["p_retained"].mean(), abs=0.04)
    best = truth["expected_nrr"].rank(pct=True) > 0.75
    good, others = ripe.loc[best[best].index, "nrr"], ripe.loc[best[~best].index, "nrr"]
    assert good.mean() > others.mean() + 0.1
    assert ripe["nrr"].mean() == pytest.approx(truth["expected_nrr"].mean(), abs=0.12)


def test_the_score_benchmark_scores_a_small_file(tmp_path) -> None:
    version, source = score.model(customers=80), tmp_path / "accounts.parquet"
    score.write_accounts(source, 500)
    for way in ("bare boosters, side by side", "icp score --no-reasons", "icp score"):
        rows, seconds = score.WAYS[way](version, source, 500)
        assert rows == 500
        assert seconds > 0


@pytest.mark.parametrize("kind", revenue.KINDS)
def test_the_revenue_benchmark_measures_a_small_company(tmp_path, kind: str) -> None:
    home = revenue.company(tmp_path, 3300, kind)
    stored = revenue.measure("ingest", home)["rows"]
    assert abs(stored - 3300) < 330
    found = revenue.measure("outcomes", home)
    assert (found["rows"], found["customers"], found["matured"]) == (stored, 99, 99)
