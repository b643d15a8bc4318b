import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.posterior import (
    UNKNOWN,
    Belief,
    Gain,
    Refit,
    first_prior,
    matured_needed,
    prior,
)
from icploop.settings import REFITS

points = st.floats(-30, 30)
errors = st.floats(0.05, 50)
turnovers = st.floats(0, 1)


def refit(turnover: float = 0.12, then: int | None = 300, now: int = 341, **given) -> Refit:
    return Refit(turnover, now, **{"skill_z": 3.0, "learned_then": then, **given})


@given(points, errors, points, errors)
def test_joining_two_estimates_lies_between_them_and_is_surer_than_either(
    one: float, its_error: float, other: float, other_error: float
) -> None:
    joined = Gain(one, its_error).joined(Gain(other, other_error))
    assert min(one, other) - 1e-9 <= joined.points <= max(one, other) + 1e-9
    assert joined.error <= min(its_error, other_error) + 1e-9
    assert joined.points == pytest.approx(
        Gain(other, other_error).joined(Gain(one, its_error)).points
    )


@given(points, errors)
def test_an_estimate_that_says_nothing_changes_nothing(value: float, error: float) -> None:
    assert Gain(value, error).joined(UNKNOWN) == Gain(value, error)
    assert UNKNOWN.joined(Gain(value, error)) == Gain(value, error)


@given(points, errors, points)
def test_evidence_for_a_challenger_never_makes_it_less_probable(
    said: float, error: float, more: float
) -> None:
    known = prior(refit())
    low, high = sorted((said, more))
    less, surer = (Belief.of(refit(), known, Gain(d, error), 200) for d in (low, high))
    assert less.probability_better <= surer.probability_better + 1e-12
    assert less.gain <= surer.gain + 1e-9


@given(turnovers, st.integers(30, 3000), st.integers(0, 2000), st.floats(-3, 8))
def test_the_prior_of_a_refit_is_what_the_rule_says(
    turnover: float, then: int, more: int, skill: float
) -> None:
    found = prior(refit(turnover, then, then + more, skill_z=skill))
    growth = math.log((then + more) / then)
    ordinary = min(0.42 * math.sqrt(growth), 1)
    counted = max(turnover, 0.02)
    assert found.error == pytest.approx(math.hypot(4 * counted, 12 * counted**2))
    if growth == 0 or turnover > max(2 * ordinary, 0.02):
        assert found.points == 0
    else:
        wanted = 3.2 * growth * min(counted / ordinary, 1.5) * min(max(skill, 0) / 1.645, 1)
        assert found.points == pytest.approx(wanted)


@pytest.mark.parametrize(
    "other",
    [
        refit(0.5),
        refit(changed=("attributes",)),
        refit(then=341),
        refit(then=500),
        refit(skill_z=0.0),
        refit(skill_z=-2.0),
    ],
)
def test_the_prior_promises_nothing_where_a_round_is_no_ordinary_refit(other: Refit) -> None:
    assert prior(refit()).points > 0
    assert prior(other).points == 0


@pytest.mark.parametrize("objective", ["grr", "retention", "value"])
def test_gains_that_were_measured_for_nrr_are_not_promised_of_another_objective(objective) -> None:
    assert prior(refit(), objective) == Gain(0.0, prior(refit()).error)
    assert first_prior(refit(then=None), objective).points == 0


def test_nothing_that_changes_is_not_unusual() -> None:
    assert not refit(0.0, 300, 300).is_unusual
    assert not refit(0.02, 300, 300).is_unusual
    assert refit(0.2, 300, 300).is_unusual


def test_what_the_rule_states_is_true_of_refits_drawn_from_its_prior() -> None:
    """Planted truth: gains drawn from the prior, evidence around them with its error."""
    rng = np.random.default_rng(3)
    stated, truth = [], []
    for _ in range(4000):
        kind = refit(float(rng.uniform(0.02, 0.2)), 300, int(rng.integers(310, 600)))
        before = prior(kind)
        true_gain = rng.normal(before.points, before.error)
        error = float(rng.uniform(0.5, 5))
        found = Belief.of(kind, before, Gain(rng.normal(true_gain, error), error), 200)
        stated.append(found.probability_better)
        truth.append(true_gain > 0)
    share = np.array(stated)
    for low in np.arange(0, 1, 0.1):
        inside = (share >= low) & (share < low + 0.1)
        if inside.sum() >= 100:
            assert np.mean(np.array(truth)[inside]) == pytest.approx(share[inside].mean(), abs=0.06)


def test_a_changed_recipe_is_two_steps_from_the_champion() -> None:
    step = Belief.of(refit(changed=("attributes",)), Gain(0.0, 2.0), Gain(-3.0, 1.0), n_matured=200)
    ordinary = Belief.of(refit(), Gain(1.0, 0.5), Gain(0.5, 2.0), n_matured=200)
    both = step.after(ordinary)
    assert both.gain == pytest.approx(step.gain + ordinary.gain)
    assert both.posterior.error == pytest.approx(
        math.hypot(step.posterior.error, ordinary.posterior.error)
    )
    assert both.change == step.posterior
    assert "Attributes changed since the champion" in str(both)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            refit(0.13),
            "Probability better 76%, expected gain +0.4 points. It changes 13% of the list; a "
            "refit with 41 more customers ordinarily changes 15%. Such refits gain +0.4 +- 0.6; "
            "what customers did says +0.9 +- 2.5.",
        ),
        (
            refit(0.46),
            "It changes 46% of the list where a refit with 41 more customers ordinarily changes "
            "15%: something other than customers has changed, and only what customers did counts: "
            "+0.9 +- 2.5. Probability better 61%.",
        ),
        (
            refit(0.13, changed=("attributes", "learning")),
            "Probability better 53%, expected gain +0.0 points. It changes 13% of the list. "
            "Attributes and learning changed since the champion, so what refits usually gain does "
            "not count; what customers did says +0.9 +- 2.5.",
        ),
    ],
)
def test_the_sentence_has_the_numbers_that_decided(kind: Refit, said: str) -> None:
    assert str(Belief.of(kind, prior(kind), Gain(0.9, 2.5), 200)) == said


def test_a_first_version_is_told_beside_what_first_versions_gain() -> None:
    kind = refit(0.0, then=None)
    found = str(Belief.of(kind, first_prior(kind), Gain(4.0, 3.0), 200))
    assert f"First versions gain {REFITS.first_gain:+.1f} +- {REFITS.first_spread:.1f}" in found
    kind = refit(0.0, then=None, skill_z=-1.0)
    found = str(Belief.of(kind, first_prior(kind), Gain(4.0, 3.0), 200))
    assert "What first versions gain does not count here" in found


@given(points, errors, st.floats(0.55, 0.95))
def test_so_many_more_customers_would_tell_a_difference_of_that_size(
    said: float, error: float, asked: float
) -> None:
    kind = refit()
    found = Belief.of(kind, prior(kind), Gain(said, error), 200)
    needed, size = matured_needed(found, asked)
    assert needed >= 1
    assert size >= 1
    told = Gain(math.copysign(size, said), error * math.sqrt(200 / (200 + needed)))
    sure = found.prior.joined(told).probability
    assert sure >= asked - 0.01 if said >= 0 else sure <= 1 - asked + 0.01


def test_a_difference_without_an_error_is_sure_and_none_is_a_coin() -> None:
    assert Gain(0.0, 0.0).probability == 0.5
    assert Gain(1.0, 0.0).probability == 1.0
    assert math.isnan(Gain(math.nan, 1.0).probability)


@pytest.mark.parametrize("error", [2.0, 5.0])
@pytest.mark.parametrize("tied", [0.5, 0.9])
def test_of_first_versions_of_pure_noise_no_more_pass_than_the_policy_lets(
    tied: float, error: float
) -> None:
    """Planted truth: skill and what customers did are chance, and tied to each other."""
    rng = np.random.default_rng(5)
    drawn = rng.multivariate_normal([0, 0], [[1, tied], [tied, 1]], size=4000)
    passed = 0
    for skill, did in drawn:
        kind = refit(0.0, then=None, skill_z=float(skill))
        evidence = Gain(error * float(did), REFITS.evidence_error * error)
        found = Belief.of(kind, first_prior(kind), evidence, 200)
        passed += skill > 0 and found.probability_better >= 0.65 and found.evidence.points > 0
    assert passed / len(drawn) <= 0.36
