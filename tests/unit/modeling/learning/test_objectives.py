from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.errors import UsageError
from icploop.modeling.learning.objectives import ValueTerms, objective_score
from icploop.settings import Objective, Value

TERMS = ValueTerms(gross_margin=0.5, cost_of_pursuit=300.0, nrr_floor=0.8, mean_acv=1000.0)
DEALS = pd.DataFrame(
    {
        "gross_margin": [0.6, None, 0.8],
        "acquisition_cost": [100.0, 300.0, None],
        "acv": [None, 1000.0, 3000.0],
    }
)


def predicted(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=[f"a{i}" for i in range(len(columns["expected_nrr"]))])


def realised(**cells: Any) -> float:
    """The realised value of one deal."""
    nothing = dict.fromkeys(
        ["won", "nrr", "acv", "start_mrr", "gross_margin", "acquisition_cost"], np.nan
    )
    return float(TERMS.realised(pd.DataFrame([nothing | cells], dtype="float64")).iloc[0])


def test_the_expected_value_is_what_two_years_earn_less_what_the_pursuit_costs() -> None:
    found = TERMS.expected(
        predicted(p_win=[0.2, 0.5, 0], expected_acv=[1e4, 2e3, 1e6], expected_nrr=[1.1, 0.4, 2])
    )
    # 0.2 x 10000 x 0.5 x 2.1 - 300, 0.5 x 2000 x 0.5 x 1.4 - 300, and nothing but the cost.
    assert found.tolist() == pytest.approx([1800, 400, -300])


def test_accounts_at_the_floor_or_above_are_ranked_by_their_expected_value() -> None:
    asked = predicted(p_win=[0.2, 0.9], expected_acv=[1e4, 500], expected_nrr=[0.8, 1.5])
    pd.testing.assert_series_equal(TERMS.score(asked), TERMS.expected(asked))


def test_accounts_below_the_floor_come_last_however_much_they_would_earn() -> None:
    score = TERMS.score(
        predicted(
            p_win=[1, 0, 1, 0.5], expected_acv=[1e9, 10, 1e6, 1e3], expected_nrr=[0.79, 0.8, 0.1, 3]
        )
    )
    assert score.sort_values(ascending=False).index.tolist() == ["a3", "a1", "a0", "a2"]


rows = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1e7), st.floats(0, 3)), min_size=1, max_size=20
)


@given(rows, st.floats(0, 1), st.floats(0, 1e5), st.floats(0, 2))
def test_no_account_below_the_floor_ranks_above_one_that_is_not(
    rows: list[tuple[float, float, float]], margin: float, cost: float, floor: float
) -> None:
    p_win, acv, nrr = map(list, zip(*rows, strict=True))
    asked = predicted(p_win=p_win, expected_acv=acv, expected_nrr=nrr)
    score = ValueTerms(margin, cost, floor, 1.0).score(asked)
    below = asked["expected_nrr"] < floor
    assert score.notna().all()
    if below.any() and not below.all():
        assert score[below].max() <= score[~below].min()
    worst_first = asked.loc[below, "expected_nrr"].sort_values(kind="stable").index
    assert score[worst_first].is_monotonic_increasing


def test_the_realised_value_of_a_won_deal_is_what_it_earned_in_average_acvs() -> None:
    told = {"won": 1, "nrr": 1.2, "acv": 5000, "gross_margin": 0.8, "acquisition_cost": 800}
    assert realised(**told) == pytest.approx((5000 * 0.8 * 2.2 - 800) / 1000)


def test_what_a_deal_does_not_say_is_taken_from_the_terms() -> None:
    assert realised(won=1, nrr=1, acv=2000) == pytest.approx((2000 * 0.5 * 2 - 300) / 1000)


def test_a_missing_acv_is_taken_from_the_first_bills() -> None:
    found = realised(won=1, nrr=0.5, start_mrr=100)
    assert found == pytest.approx((1200 * 0.5 * 1.5 - 300) / 1000)
    assert realised(won=1, nrr=0.5, start_mrr=100, acv=0) == pytest.approx(-0.3)
    assert realised(won=1, nrr=0.5) == pytest.approx(-0.3)


@pytest.mark.parametrize("acv", [9000.0, np.nan])
def test_a_lost_deal_only_costs(acv: float) -> None:
    assert realised(won=0, acv=acv, start_mrr=0) == pytest.approx(-0.3)
    assert realised(won=0, acv=acv, start_mrr=0, acquisition_cost=50) == pytest.approx(-0.05)


def test_realised_values_stay_with_their_deals() -> None:
    judged = pd.DataFrame(
        {
            "won": [1.0, 0.0],
            "nrr": [1.0, None],
            "acv": [1000.0, None],
            "start_mrr": [90.0, 0.0],
            "gross_margin": [None, None],
            "acquisition_cost": [None, 500.0],
        },
        index=["z", "a"],
    ).astype("float64")
    assert TERMS.realised(judged).to_dict() == {"z": 0.7, "a": -0.5}


def test_terms_that_are_not_stated_are_the_mean_of_the_deals_that_say() -> None:
    found = ValueTerms.of(Value(nrr_floor=0.9), DEALS)
    assert found.gross_margin == pytest.approx(0.7)
    assert (found.cost_of_pursuit, found.nrr_floor, found.mean_acv) == (200, 0.9, 2000)


def test_stated_terms_count_more_than_what_deals_say_even_when_they_are_zero() -> None:
    found = ValueTerms.of(Value(gross_margin=0.25, cost_of_pursuit=0), DEALS)
    assert (found.gross_margin, found.cost_of_pursuit) == (0.25, 0)


@pytest.mark.parametrize(
    ("column", "remedy"),
    [
        ("gross_margin", "state value.gross_margin in conf/icp.yaml, or map `gross_margin`"),
        ("acquisition_cost", "state value.cost_of_pursuit in conf/icp.yaml, or map `acqui"),
        ("acv", "; map `acv` of deals"),
    ],
)
def test_a_term_that_nobody_knows_is_asked_for_by_its_name(column: str, remedy: str) -> None:
    silent = DEALS.assign(**{column: np.nan})
    with pytest.raises(UsageError) as caught:
        ValueTerms.of(Value(), silent)
    assert f"needs `{column}`" in str(caught.value)
    assert remedy in str(caught.value)


def test_a_stated_term_needs_no_deal_that_says_it() -> None:
    silent = DEALS.assign(gross_margin=np.nan, acquisition_cost=np.nan)
    assert ValueTerms.of(Value(gross_margin=0.5, cost_of_pursuit=9), silent).mean_acv == 2000


EXPECTED = predicted(
    expected_nrr=[1.0, 2, 0.5],
    expected_grr=[0.9, 0.2, 0.7],
    p_retained=[0.1, 0.8, 0.9],
    p_win=[0.5, 0.5, 0.5],
    expected_acv=[1e3, 1e3, 1e3],
)


@pytest.mark.parametrize(
    ("objective", "column"),
    [("nrr", "expected_nrr"), ("grr", "expected_grr"), ("retention", "p_retained")],
)
def test_a_plain_objective_ranks_by_its_expectation(objective: Objective, column: str) -> None:
    for terms in (None, TERMS):
        found = objective_score(EXPECTED, objective, terms)
        pd.testing.assert_series_equal(found, EXPECTED[column], check_exact=True)


def test_the_objective_value_ranks_by_the_score_of_its_terms() -> None:
    found = objective_score(EXPECTED, "value", TERMS)
    pd.testing.assert_series_equal(found, TERMS.score(EXPECTED), check_exact=True)


def test_the_objective_value_needs_its_terms() -> None:
    with pytest.raises(ValueError, match="needs its terms"):
        objective_score(EXPECTED, "value", None)
