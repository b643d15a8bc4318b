"""Each benchmark runs, small: what is measured once a month must not rot in between."""

import pytest

from benchmarks import fit, gate, revenue, score
from tests.companies import market


def test_the_fit_benchmark_measures_every_peer(monkeypatch) -> None:
    monkeypatch.setitem(fit.SCENARIOS, "small", fit.Scenario((60,), fit.FEW, {"prospects": 300}))
    shares, _ = fit.measure(1, ["small"])
    assert set(shares["peer"]) == set(fit.FEW)
    assert shares["mean"].between(-1.5, 1).all()
    truth = shares.set_index("peer")["mean"]["ranking by the true retention"]
    assert truth > 0


def test_rules_of_the_gate_benchmark_answer_on_a_pair_of_models() -> None:
    known = market(150, seed=1)
    customers = known.outcomes.assign(account_id=known.outcomes.index)
    look = gate.Look(customers, customers, known.truth, -known.truth, 0.0, gate.Looks())
    backwards = gate.Look(customers, customers, -known.truth, known.truth, 9.0, gate.Looks())
    promoted = {name: rule(look) for name, rule in gate.RULES.items()}
    refused = {name: rule(backwards) for name, rule in gate.RULES.items()}
    assert all(promoted.values())
    assert [name for name, passed in refused.items() if passed] == ["always promote (calendar)"]


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
