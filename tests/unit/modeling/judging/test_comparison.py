import math
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import cache
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.findings import as_tags
from icploop.domain.gate import Comparison, Difference, decide
from icploop.domain.posterior import Belief, Gain, Refit, prior
from icploop.errors import DataError
from icploop.modeling.judging.comparison import Skill, compare
from icploop.modeling.statistics.bootstrap import kpi_interval
from icploop.modeling.statistics.capacity import at_capacity, pursued
from icploop.modeling.statistics.cross_fit import newest_matured, out_of_fold
from icploop.settings import GatePolicy
from tests.companies import Market, market


def series(**scores: float) -> pd.Series:
    return pd.Series(scores)


def compared(
    known: Market | pd.DataFrame, one: pd.Series, other: pd.Series, **more: Any
) -> Comparison:
    judged = known.outcomes if isinstance(known, Market) else known
    defaults = {"rival": "x", "capacity": 0.25, "interval": 0.9, "draws": 400, "seed": 0}
    return compare(judged, one, other, **(defaults | more))


class Spy:
    """A model that predicts how many accounts it learned from, and tells whom it saw."""

    seen: list[tuple[set[str], set[str]]]

    def __init__(self, seen: list[tuple[set[str], set[str]]]) -> None:
        self.seen = seen

    def fit(self, features: pd.DataFrame, outcomes: pd.DataFrame) -> Self:
        assert features.index.equals(outcomes.index)
        self.learned = set(features.index)
        return self

    def predict(self, features: pd.DataFrame) -> pd.Series:
        self.seen.append((self.learned, set(features.index)))
        return pd.Series(float(len(self.learned)), index=features.index)


@pytest.mark.parametrize(
    ("scores", "capacity", "shares"),
    [
        (series(a=4, b=3, c=2, d=1), 0.5, [1, 1, 0, 0]),
        (series(a=1, b=2, c=3, d=4), 0.25, [0, 0, 0, 1]),
        (series(a=4, b=3, c=2, d=1), 0.3, [1, 0.2, 0, 0]),
        # Ties at the edge share what is left of the capacity.
        (series(a=9, b=5, c=5, d=1), 0.5, [1, 0.5, 0.5, 0]),
        (series(a=5, b=5, c=5, d=1), 0.25, [1 / 3, 1 / 3, 1 / 3, 0]),
        (series(a=0, b=0, c=0, d=0), 0.25, [0.25] * 4),
        # An account without a score comes last.
        (series(a=float("nan"), b=-9, c=-8, d=float("nan")), 0.75, [0.5, 1, 1, 0.5]),
    ],
)
def test_the_best_scores_are_pursued_and_ties_share_the_capacity(
    scores: pd.Series, capacity: float, shares: list[float]
) -> None:
    assert pursued(scores, capacity).tolist() == pytest.approx(shares)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.floats(0.01, 0.99), st.randoms())
def test_capacity_is_used_up_best_first_whatever_the_order_of_rows(
    scores: list[int], capacity: float, random: Any
) -> None:
    named = pd.Series(scores, index=[f"a{i}" for i in range(len(scores))], dtype="float64")
    shares = pursued(named, capacity)
    assert shares.between(0, 1).all()
    assert shares.sum() == pytest.approx(capacity * len(named))
    by_score = shares.groupby(named).agg(["min", "max"])
    assert (by_score["max"] - by_score["min"]).max() < 1e-12
    assert by_score["min"].is_monotonic_increasing
    shuffled = named.sample(frac=1, random_state=random.randrange(1000))
    assert pursued(shuffled, capacity)[named.index].tolist() == pytest.approx(shares.tolist())
    assert pursued(np.exp(named), capacity).tolist() == shares.tolist()


JUDGED = pd.DataFrame(
    {
        "parent": list("abcd"),
        "start_mrr": [100.0, 200, 50, 0],
        "end_mrr": [150.0, 100, 0, 0],
        "retained": [1.0, 1, 0, 0],
    },
    index=list("abcd"),
)


@pytest.mark.parametrize(
    ("scores", "nrr", "grr", "retention"),
    [
        (series(a=4, b=3, c=2, d=1), 250 / 300, 200 / 300, 1),
        (series(a=1, b=2, c=3, d=4), 0, 0, 0),
        (series(a=3, b=2, c=2, d=1), 200 / 225, 150 / 225, 0.75),
        (series(a=0, b=0, c=0, d=0), 250 / 350, 200 / 350, 0.5),
    ],
)
def test_metrics_at_capacity_are_those_of_the_accounts_pursued(
    scores: pd.Series, nrr: float, grr: float, retention: float
) -> None:
    found = at_capacity(JUDGED, scores.sample(frac=1, random_state=1), 0.5)
    assert (found.nrr, found.grr, found.retention) == pytest.approx((nrr, grr, retention))
    assert found.accounts == 4


KNOWN = market(150)
GOOD = KNOWN.truth
POOR = pd.Series(np.random.default_rng(9).normal(size=150), index=KNOWN.truth.index)


@pytest.mark.parametrize(
    ("one", "other"),
    [(GOOD, GOOD), (GOOD, 10 * GOOD + 3), (GOOD, np.exp(GOOD)), (0 * POOR, 0 * POOR + 1)],
)
def test_scores_that_rank_alike_differ_by_exactly_nothing(one: pd.Series, other: pd.Series) -> None:
    found = compared(KNOWN, one, other)
    assert found.challenger == found.rival_kpis
    for difference in (found.nrr, found.grr, found.retention):
        assert difference == Difference(0, 0, 0, 0.5, 0)


def test_the_better_score_wins_by_what_it_wins_on_the_accounts() -> None:
    found = compared(KNOWN, GOOD, POOR)
    assert found.n_holdout == 150
    assert found.nrr.estimate == found.challenger.nrr - found.rival_kpis.nrr
    assert found.challenger == at_capacity(KNOWN.outcomes, GOOD, 0.25)
    assert found.nrr.low < found.nrr.estimate < found.nrr.high
    assert found.nrr.low > 0
    assert found.nrr.ahead > 0.95


def test_changing_sides_changes_the_sign() -> None:
    one, other = compared(KNOWN, GOOD, POOR), compared(KNOWN, POOR, GOOD)
    for metric in ("nrr", "grr", "retention"):
        ours, theirs = getattr(one, metric), getattr(other, metric)
        assert theirs.estimate == pytest.approx(-ours.estimate)
        assert (theirs.low, theirs.high) == pytest.approx((-ours.high, -ours.low))
        assert theirs.ahead == pytest.approx(1 - ours.ahead)
        assert theirs.standard_error == pytest.approx(ours.standard_error)


def test_the_same_seed_gives_the_same_numbers_in_any_order_of_scores() -> None:
    shuffled = GOOD.sample(frac=1, random_state=2)
    assert compared(KNOWN, shuffled, POOR) == compared(KNOWN, GOOD, POOR)
    assert compared(KNOWN, GOOD, POOR, seed=1).nrr.low != compared(KNOWN, GOOD, POOR).nrr.low


def test_a_surer_interval_is_wider() -> None:
    narrow, wide = (compared(KNOWN, GOOD, POOR, interval=level).nrr for level in (0.8, 0.95))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_siblings_are_one_observation() -> None:
    """Each account twice tells nothing new if both have one parent, and much if they do not."""
    copies = KNOWN.outcomes.set_axis([f"{i}-copy" for i in KNOWN.outcomes.index])
    both = pd.concat([KNOWN.outcomes, copies])
    good, poor = (pd.concat([s, s.set_axis(copies.index)]) for s in (GOOD, POOR))
    once = compared(KNOWN, GOOD, POOR).nrr.standard_error
    as_siblings = compared(both, good, poor).nrr.standard_error
    as_strangers = compared(both.assign(parent=both.index), good, poor).nrr.standard_error
    assert as_siblings == pytest.approx(once, rel=0.05)
    assert as_strangers == pytest.approx(once / math.sqrt(2), rel=0.15)


def test_the_interval_covers_the_planted_difference_at_about_its_level() -> None:
    rng = np.random.default_rng(4)

    def drawn(n: int, seed: int) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
        known = market(n, seed=seed)
        noise = rng.normal(0, 0.3, n)
        return known.outcomes, known.truth + noise, pd.Series(rng.normal(size=n), known.truth.index)

    judged, good, poor = drawn(20_000, seed=1)
    truth = at_capacity(judged, good, 0.25).nrr - at_capacity(judged, poor, 0.25).nrr
    found = [compared(*drawn(120, seed=seed), draws=200).nrr for seed in range(100, 200)]
    covered = np.mean([d.low <= truth <= d.high for d in found])
    assert truth > 0.1
    assert 0.82 <= covered <= 0.96


def test_a_holdout_without_money_gives_missing_numbers_which_the_gate_refuses() -> None:
    found = compared(KNOWN.outcomes.assign(start_mrr=0.0, end_mrr=0.0), GOOD, POOR)
    assert all(math.isnan(number) for number in astuple(found.nrr))
    known = Belief.of(Refit(0.1, 341, 3.0, 300), Gain(1, 1), Gain(1, 1), 60)
    assert decide(replace(found, belief=known), GatePolicy()).verdict == "INVALID"


def test_an_interval_of_nrr_lies_around_it() -> None:
    low, high = kpi_interval(KNOWN.outcomes, 0.9, 400, seed=0)
    nrr = KNOWN.outcomes["end_mrr"].sum() / KNOWN.outcomes["start_mrr"].sum()
    assert nrr - 0.1 < low < nrr < high < nrr + 0.1
    unbilled = KNOWN.outcomes.assign(start_mrr=0.0)
    assert all(math.isnan(end) for end in kpi_interval(unbilled, 0.9, 100, seed=0))


@pytest.mark.parametrize("siblings", [1, 4])
@pytest.mark.parametrize("n", [150, 8, 5])
def test_no_account_is_judged_by_a_model_that_saw_it_or_a_sibling(n: int, siblings: int) -> None:
    known = market(n, siblings=siblings)
    seen: list[tuple[set[str], set[str]]] = []
    scores = out_of_fold(lambda: Spy(seen), known.features, known.outcomes, seed=3)
    assert scores.index.equals(known.features.index)
    parent = known.outcomes["parent"]
    for learned, judged in seen:
        assert not {parent[a] for a in learned} & {parent[a] for a in judged}
        assert learned | judged == set(known.features.index)
    assert len(seen) == min(5, parent.nunique())


@pytest.mark.parametrize("n", [3, 60])
def test_accounts_that_all_have_one_parent_cannot_be_judged(n: int) -> None:
    known = market(n, siblings=n)
    with pytest.raises(DataError, match="parent_id"):
        out_of_fold(lambda: Spy([]), known.features, known.outcomes, seed=0)


@pytest.mark.parametrize("order", [lambda f: f[::-1], lambda f: f.sample(frac=1, random_state=8)])
def test_the_order_of_rows_does_not_change_who_is_in_which_fold(
    order: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    def folds(known: pd.DataFrame) -> set[frozenset[str]]:
        seen: list[tuple[set[str], set[str]]] = []
        out_of_fold(lambda: Spy(seen), known, KNOWN.outcomes, seed=3)
        return {frozenset(judged) for _, judged in seen}

    assert folds(order(KNOWN.features)) == folds(KNOWN.features)


def test_the_holdout_is_the_newest_accounts_by_the_start_of_the_sale() -> None:
    at = pd.to_datetime(["2024-01-05", "2024-01-01", "2024-01-09", "2024-01-05"])
    matured = pd.DataFrame({"account_id": list("dabc"), "at": at}, index=list("dabc"))
    assert newest_matured(matured, 2).index.tolist() == ["d", "b"]
    assert newest_matured(matured, 3).index.tolist() == ["c", "d", "b"]
    assert newest_matured(matured[::-1], 3).index.tolist() == ["c", "d", "b"]
    assert sorted(newest_matured(matured, 99).index) == list("abcd")


@cache
def once() -> Comparison:
    return compared(KNOWN.outcomes, GOOD, POOR)


@given(st.floats(-0.3, 0.3), st.floats(0.02, 0.2), st.floats(-8, 8), st.floats(0.5, 6))
def test_no_sentence_contradicts_another(
    correlation: float, error: float, did: float, spread: float
) -> None:
    """The verdict, its reasons, what is said of skill, and the tags, whatever was found."""
    skill = Skill(correlation, correlation - 1.645 * error, correlation + 1.645 * error, 300)
    refit = Refit(0.1, 341, skill.z, 300)
    belief = Belief.of(refit, prior(refit), Gain(did, spread), 200)
    found = replace(once(), belief=belief)
    ruling = decide(found, GatePolicy())
    notes = [] if skill.is_shown else [skill.finding]
    said = " ".join(f.message for f in (*ruling.findings, *notes))
    tags = as_tags([*ruling.findings, *notes])
    assert len(notes) <= 1
    if ruling.verdict == "PROMOTE":
        assert "No better" not in said
        assert "Nothing shows" not in said
        assert "worse" not in said
        assert {"finding.no_skill", "finding.worse", "finding.too_close"}.isdisjoint(tags)
    if "No better" in said:
        assert ruling.verdict != "PROMOTE"
    assert ("probably worse" in said) == ("finding.worse" in tags)
    assert ("finding.better" in tags) == (ruling.verdict == "PROMOTE")
    # One probability, wherever it is told.
    assert said.count("Probability better") == 1
    assert f"Probability better {belief.probability_better:.0%}" in said
