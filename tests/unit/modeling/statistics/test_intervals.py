import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from icploop.modeling.statistics.intervals import (
    Interval,
    auc,
    gap,
    rank_correlation,
    rank_correlation_given,
    share,
    z_among,
)

Z = float(norm.ppf(0.975))


def flags(hits: int, n: int) -> pd.Series:
    return pd.Series(np.arange(n) < hits)


def test_more_looks_widen_an_interval() -> None:
    assert z_among(1, 0.05) == pytest.approx(1.96, abs=0.001)
    assert z_among(100, 0.05) > z_among(10, 0.05) > z_among(1, 0.05)


@pytest.mark.parametrize(
    ("low", "high", "beyond"),
    [(0.3, 0.9, True), (-0.9, -0.3, True), (0.1, 0.9, False), (-0.9, 0.9, False)],
)
def test_an_interval_lies_beyond_a_limit_only_as_a_whole(
    low: float, high: float, beyond: bool
) -> None:
    assert Interval(0.5, low, high, 10).lies_beyond(0.25) == beyond


def test_the_share_and_the_gap_are_those_of_the_papers() -> None:
    # Newcombe (1998), table II, example (a): 56/70 and 48/80.
    assert share(81, 263, Z).low == pytest.approx(0.2553, abs=1e-4)
    assert share(81, 263, Z).high == pytest.approx(0.3662, abs=1e-4)
    found = gap(flags(56, 70), flags(48, 80), Z)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_nothing_is_known_of_an_empty_group() -> None:
    nothing = flags(0, 0)
    assert not gap(nothing, flags(3, 9), Z).lies_beyond(0.0)
    assert (share(0, 0, Z).low, share(0, 0, Z).high) == (0.0, 1.0)
    assert auc(pd.Series([1.0, 2.0]), pd.Series([True, True]), Z).low == 0.0
    assert rank_correlation(pd.Series([1.0] * 9), pd.Series(range(9)), Z).low == -1.0


def test_a_perfect_order_of_few_proves_less_than_one_of_many() -> None:
    few = auc(pd.Series(range(40)), flags(37, 40)[::-1].reset_index(drop=True), Z)
    many = auc(pd.Series(range(400)), flags(370, 400)[::-1].reset_index(drop=True), Z)
    assert few.estimate == many.estimate == 1.0
    assert few.low < 0.75 < many.low < 1


def test_an_order_is_as_sure_seen_from_its_other_side() -> None:
    scores, is_one = pd.Series(np.random.default_rng(1).normal(size=50)), flags(9, 50)
    one, other = auc(scores, is_one, Z), auc(-scores, is_one, Z)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


@pytest.mark.parametrize(("lost", "true_shift"), [(8, 0.6), (8, 1.5), (30, 0.6), (30, 1.5)])
def test_intervals_of_an_auc_hold_the_truth_as_often_as_they_say(
    lost: int, true_shift: float
) -> None:
    rng = np.random.default_rng(3)
    truth = float(norm.cdf(true_shift / np.sqrt(2)))
    is_one = pd.Series(np.arange(100) >= lost)
    inside = 0
    for _ in range(400):
        found = auc(pd.Series(rng.normal(size=100) + true_shift * is_one), is_one, Z)
        inside += found.low <= truth <= found.high
    assert inside / 400 > 0.92


def test_intervals_of_a_correlation_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(400):
        one = rng.normal(size=80)
        other = 0.7 * one + np.sqrt(1 - 0.49) * rng.normal(size=80)
        found = rank_correlation(pd.Series(one), pd.Series(other), Z)
        # Spearman's of a normal pair with correlation .7.
        inside += found.low <= 6 / np.pi * np.arcsin(0.35) <= found.high
    assert inside / 400 > 0.92


def test_what_a_third_number_explains_is_no_correlation() -> None:
    rng = np.random.default_rng(5)
    size = pd.Series(rng.normal(size=300))
    one, other = (size + 0.1 * rng.normal(size=300) for _ in range(2))
    assert rank_correlation(one, other, Z).low > 0.9
    assert abs(rank_correlation_given(one, other, size, Z).estimate) < 0.2
    assert rank_correlation_given(one, one, size, Z).estimate == pytest.approx(1.0)
