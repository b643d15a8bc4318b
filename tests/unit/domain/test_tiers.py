import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.tiers import percentile_against, tier_of
from icploop.settings import Tiers

SHARES = Tiers(A=0.05, B=0.20, C=0.35, min_coverage=0.3)


def tiers_of(
    scores: list[float],
    coverage: float = 1.0,
    *,
    anti: bool = False,
    meets: bool = True,
    tiers: Tiers = SHARES,
) -> list[str]:
    fit_score = pd.Series(scores, index=[f"a{i}" for i in range(len(scores))])
    known, is_anti, met = (
        pd.Series(value, index=fit_score.index) for value in (coverage, anti, meets)
    )
    return tier_of(fit_score, known, is_anti=is_anti, meets=met, tiers=tiers).tolist()


def test_who_does_not_meet_a_non_negotiable_line_is_never_a() -> None:
    assert tiers_of([99, 90, 50, 1], meets=False) == ["B", "B", "C", "D"]
    assert tiers_of([99], meets=False, anti=True) == ["anti"]


@pytest.mark.parametrize(
    ("values", "percentiles"),
    [
        ([0.5], [0]),
        ([1, 2, 3, 4], [12.5, 37.5, 62.5, 87.5]),
        ([2.5], [50]),
        ([9], [100]),
    ],
)
def test_a_percentile_says_how_much_of_the_reference_is_below(
    values: list[float], percentiles: list[float]
) -> None:
    reference = np.array([1.0, 2, 3, 4])
    assert percentile_against(reference, np.array(values)).tolist() == percentiles


def test_ties_stand_in_the_middle_of_their_ranks() -> None:
    reference = np.array([1.0, 2, 2, 2, 5])
    assert percentile_against(reference, np.array([2.0])).tolist() == [50]
    assert percentile_against(np.full(9, 3.0), np.array([3.0])).tolist() == [50]


def test_without_a_reference_everything_stands_at_the_bottom() -> None:
    assert percentile_against(np.array([]), np.array([1.0])).tolist() == [0]


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=60), st.lists(st.integers(-25, 25)))
def test_percentiles_keep_the_order_and_stay_within_bounds(
    reference: list[int], values: list[int]
) -> None:
    sorted_values = np.array(sorted(values), dtype=float)
    found = percentile_against(np.array(sorted(reference), dtype=float), sorted_values)
    assert ((found >= 0) & (found <= 100)).all()
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize(
    ("score", "tier"),
    [(100, "A"), (95, "A"), (94.9, "B"), (75, "B"), (74.9, "C"), (41, "C"), (39, "D"), (0, "D")],
)
def test_a_tier_is_the_best_share_that_the_score_reaches(score: float, tier: str) -> None:
    assert tiers_of([score]) == [tier]


@given(
    n=st.integers(20, 400),
    a=st.floats(0.01, 0.3),
    b=st.floats(0.01, 0.3),
    c=st.floats(0.01, 0.3),
)
def test_tier_sizes_follow_the_shares_of_the_reference(
    n: int, a: float, b: float, c: float
) -> None:
    reference = np.arange(n, dtype=float)
    tiers = tiers_of(percentile_against(reference, reference).tolist(), tiers=Tiers(A=a, B=b, C=c))
    for name, share in zip("ABC", (a, b, c), strict=True):
        assert abs(tiers.count(name) - share * n) <= 1


def test_an_account_of_which_too_little_is_known_has_no_tier() -> None:
    assert tiers_of([99], coverage=0.29) == ["unknown"]
    assert tiers_of([99], coverage=0.3) == ["A"]


def test_the_anti_icp_comes_before_everything_else() -> None:
    assert tiers_of([99], anti=True) == ["anti"]
    assert tiers_of([99], coverage=0.0, anti=True) == ["anti"]


def test_every_account_has_one_of_the_tiers_of_the_contract() -> None:
    assert set(tiers_of(list(range(101)))) == {"A", "B", "C", "D"}
    assert tiers_of([]) == []
