import numpy as np
import pandas as pd
import pytest

from icploop.modeling.judging.advantage import advantage
from icploop.modeling.statistics.capacity import at_capacity
from icploop.settings import REFITS, Objective, Outcome
from tests.companies import Market, market

KNOWN = market(300, seed=6)
SEEDS = range(12)


def noise(known: Market, seed: int) -> pd.Series:
    values = np.random.default_rng(seed).normal(size=len(known.truth))
    return pd.Series(values, index=known.truth.index)


def z(known: Market, ours: pd.Series, theirs: pd.Series, objective: Objective = "nrr") -> float:
    return advantage(known.outcomes, ours, theirs, objective, Outcome()).z


def young(known: Market, months: int) -> Market:
    """The same customers, seen for so many months only."""
    seen = known.outcomes.copy()
    later = seen["months_at_risk"] > months
    seen["churned"] = seen["churned"].mask(later, 0.0)
    seen["log_growth"] *= np.minimum(months / seen["growth_months"], 1)
    for column in ("months_at_risk", "growth_months"):
        seen[column] = seen[column].clip(upper=months)
    seen[["nrr", "grr", "retained"]] = np.nan
    return Market(known.features, seen, known.truth)


@pytest.mark.parametrize("objective", ["nrr", "grr", "retention"])
def test_who_knows_the_truth_has_the_advantage_over_who_does_not(objective: Objective) -> None:
    found = [
        z(
            market(300, seed=s),
            market(300, seed=s).truth,
            noise(KNOWN, s).set_axis(market(300, seed=s).truth.index),
            objective,
        )
        for s in SEEDS
    ]
    assert np.mean(found) > 2


def test_between_two_that_know_nothing_the_advantage_is_standard_normal() -> None:
    found = [z(KNOWN, noise(KNOWN, s), noise(KNOWN, 1000 + s)) for s in range(300)]
    assert abs(np.mean(found)) < 0.2
    assert 0.85 < np.std(found) < 1.15


def test_changing_sides_changes_the_sign_and_no_more() -> None:
    one, other = noise(KNOWN, 1), noise(KNOWN, 2)
    assert z(KNOWN, one, other) == pytest.approx(-z(KNOWN, other, one))
    assert z(KNOWN, 5 + 3 * one, other) == pytest.approx(z(KNOWN, one, other))
    assert z(KNOWN, one, one) == 0
    assert z(KNOWN, one * 0, other * 0) == 0


def test_customers_who_have_not_matured_tell_something() -> None:
    worlds = [market(300, seed=s) for s in SEEDS]
    assert np.mean([z(young(w, 6), w.truth, noise(w, 1)) for w in worlds]) > 2


def test_a_cohort_that_had_no_time_to_churn_flatters_nobody() -> None:
    # Half of the customers are three months old. A score that rates young ones higher predicts
    # nothing, but a naive look at who is still there takes it for a seer.
    fooled, ours = [], []
    for seed in range(40):
        known = market(300, seed=seed, effect=0)
        fresh = np.arange(300) % 2 == 0
        seen = known.outcomes.copy()
        seen.loc[fresh] = young(known, 3).outcomes.loc[fresh]
        rates_young = pd.Series(fresh.astype(float), index=seen.index) + 0.01 * noise(known, seed)
        still_there = 1 - seen["churned"]
        gap = rates_young - rates_young.mean()
        product = gap * (still_there - still_there.mean())
        fooled.append(product.mean() / product.std() * np.sqrt(300))
        ours.append(z(Market(known.features, seen, known.truth), rates_young, noise(known, 99)))
    assert np.mean(fooled) > 2
    assert abs(np.mean(ours)) < 0.5


def test_siblings_count_as_one_witness() -> None:
    alone = market(300, seed=3)
    together = alone.outcomes.assign(parent=[f"p{i // 30}" for i in range(300)])
    copied = pd.concat([alone.outcomes, alone.outcomes.rename("copy {}".format)])
    copied["parent"] = list(alone.outcomes["parent"]) * 2
    truth = pd.concat([alone.truth, alone.truth.rename("copy {}".format)])
    other = pd.concat([noise(alone, 1), noise(alone, 1).rename("copy {}".format)])
    twice = advantage(copied, truth, other, "nrr", Outcome())
    assert twice.z == pytest.approx(z(alone, alone.truth, noise(alone, 1)), rel=0.05)
    assert advantage(together, alone.truth, noise(alone, 1), "nrr", Outcome()).z != twice.z


@pytest.mark.parametrize("capacity", [0.1, 0.25, 0.5])
def test_the_gain_is_about_what_the_best_share_gains(capacity: float) -> None:
    """Planted truth: on many customers it is the difference of NRR that the two scores make."""
    known = market(6000, seed=2)
    other = noise(known, 1)
    found = advantage(known.outcomes, known.truth, other, "nrr", Outcome()).gain(capacity)
    ours, theirs = (at_capacity(known.outcomes, s, capacity).nrr for s in (known.truth, other))
    assert found.points == pytest.approx(100 * (ours - theirs), rel=0.35)
    assert found.probability > 0.99


def test_its_error_is_that_of_repeated_companies_and_some_more() -> None:
    drawn = [
        advantage(k.outcomes, noise(k, 1), noise(k, 2), "nrr", Outcome()).gain(0.25)
        for k in (market(300, seed=s) for s in range(60))
    ]
    scatter = float(np.std([g.points for g in drawn]))
    stated = float(np.mean([g.error for g in drawn]))
    assert stated == pytest.approx(REFITS.evidence_error * scatter, rel=0.25)


def test_scores_that_agree_say_nothing() -> None:
    known = market(300, seed=1)
    same = advantage(known.outcomes, known.truth, known.truth, "nrr", Outcome()).gain(0.25)
    assert (same.points, same.probability) == (0.0, 0.5)
