import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.modeling.learning.targets import Growth, churn_of, churn_rates, growth_of


def seen(months: list[float], churned: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"months_at_risk": months, "churned": churned})


def grown(log_growth: list[float], months: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"log_growth": log_growth, "growth_months": months})


def learned(
    log_growth: list[float], months: list[float], weight: float = 1.0, horizon: int = 12
) -> Growth:
    found = growth_of(grown(log_growth, months), np.full(len(months), weight), horizon)
    assert found is not None
    return found


def scattered(n: int, seed: int = 0) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    months = rng.integers(3, 37, n).astype("float64")
    a_year = rng.normal(0.1, np.sqrt(0.04 + 0.02 * 12 / months))
    return list(a_year * months / 12), list(months)


def test_the_rates_are_those_of_kaplan_and_meier() -> None:
    at_risk, churned = np.array([1, 2, 2, 3, 4]), np.array([1.0, 1, 0, 0, 1])
    found = churn_rates(at_risk, churned, np.ones(5), until=5)
    # One of five leaves in month 1, one of four in month 2, none of two, one of one; half a
    # customer more over the twelve months at risk. Nobody is ever quite certain to leave.
    rates = np.array([1 / 5, 1 / 4, 0, 1, 0]) + 0.5 / 12
    assert found == pytest.approx(np.minimum(rates, 0.99))


def test_a_weight_of_two_counts_an_account_twice() -> None:
    at_risk, churned = np.array([1, 2, 3]), np.array([1.0, 0, 1])
    twice = churn_rates(at_risk, churned, np.array([2.0, 1, 1]), 3)
    repeated = churn_rates(np.array([1, 1, 2, 3]), np.array([1.0, 1, 0, 1]), np.ones(4), 3)
    assert twice == pytest.approx(repeated)


histories = st.lists(
    st.tuples(st.integers(1, 36), st.booleans(), st.floats(0.01, 3)), min_size=1, max_size=30
)


@given(histories, st.integers(1, 36))
def test_rates_are_shares_and_never_none(
    histories: list[tuple[int, bool, float]], until: int
) -> None:
    at_risk, churned, weight = (np.array(part) for part in zip(*histories, strict=True))
    found = churn_rates(at_risk, churned.astype("float64"), weight, until)
    assert len(found) == until
    assert ((found > 0) & (found < 1)).all()


@given(histories, st.integers(0, 29))
def test_an_account_more_that_leaves_never_lowers_a_rate(
    histories: list[tuple[int, bool, float]], which: int
) -> None:
    at_risk, churned, weight = (np.array(part) for part in zip(*histories, strict=True))
    leaves = churned.astype("float64")
    before = churn_rates(at_risk, leaves, weight, 36)
    leaves[which % len(leaves)] = 1
    assert (churn_rates(at_risk, leaves, weight, 36) >= before - 1e-12).all()


@given(st.lists(st.tuples(st.integers(1, 36), st.booleans()), min_size=5, max_size=60))
def test_exposures_add_up_to_events_but_for_the_half_that_was_added(
    histories: list[tuple[int, bool]],
) -> None:
    months, churned = zip(*[*histories, (36, False)], strict=True)
    found = churn_of(seen(list(months), list(churned)), np.ones(len(months)), months=12).task
    assert found.weight.sum() == pytest.approx(sum(churned) + 0.5, abs=0.5)


def test_where_nobody_left_half_a_customer_is_let_go_over_all_months_at_risk() -> None:
    found = churn_of(seen([12] * 10, [0] * 10), np.ones(10), months=12)
    assert found.at_horizon == pytest.approx(-12 * np.log(1 - 0.5 / 120))
    assert (found.task.target == 0).all()


def test_where_half_of_the_customers_never_pay_the_average_chance_to_stay_is_a_half() -> None:
    found = churn_of(seen([1] * 500 + [12] * 500, [1] * 500 + [0] * 500), np.ones(1000), months=12)
    assert np.exp(-found.at_horizon) == pytest.approx(0.5, abs=0.001)
    assert np.average(found.task.target, weights=found.task.weight) == pytest.approx(1, abs=0.002)


def test_a_target_of_one_is_leaving_as_fast_as_the_average() -> None:
    rng = np.random.default_rng(1)
    lifetime = rng.geometric(0.05, 2000)
    customers = seen(list(np.minimum(lifetime, 24)), list((lifetime <= 24).astype("float64")))
    found = churn_of(customers, np.ones(2000), months=12)
    task = found.task
    assert np.average(task.target, weights=task.weight) == pytest.approx(1, abs=0.01)
    assert (task.target * task.weight) == pytest.approx(customers["churned"].to_numpy())
    assert np.exp(-found.at_horizon) == pytest.approx(0.95**12, abs=0.03)


def test_churn_is_learned_from_every_customer_by_its_weight() -> None:
    weight = np.array([1.0, 0.5, 0.2])
    found = churn_of(seen([3, 12, 7], [1, 0, 1]), weight, months=12)
    assert found.task.rows.tolist() == [0, 1, 2]
    assert (found.task.target * found.task.weight).tolist() == pytest.approx([1, 0, 0.2])
    # The one that stayed for the whole horizon was exposed to all of it.
    assert found.task.weight[1] == pytest.approx(0.5 * found.at_horizon)


def test_a_horizon_that_nobody_has_reached_yet_has_a_hazard() -> None:
    found = churn_of(seen([2, 3, 3], [0, 1, 0]), np.ones(3), months=24)
    # One of two left in month 3. Else goes on half a customer in eight months at risk.
    rates = np.full(24, 0.5 / 8)
    rates[2] += 0.5
    assert found.at_horizon == pytest.approx(-np.log(1 - rates).sum())


def test_longer_exposure_weighs_more() -> None:
    task = churn_of(seen([1, 6, 12, 24], [0, 1, 0, 0]), np.ones(4), months=12).task
    assert (np.diff(task.weight) > 0).all()


def test_growth_is_taken_to_a_year() -> None:
    found = learned([0.1, 0.2, 0.3], [6, 12, 36])
    assert found.task.target == pytest.approx([0.2, 0.2, 0.1])


@pytest.mark.parametrize(("log_growth", "target"), [(3.0, 1.2), (-3.0, -1.2), (0.5, 0.5)])
def test_no_growth_counts_for_more_than_tripling(log_growth: float, target: float) -> None:
    assert learned([0.0, log_growth], [12, 12]).task.target[1] == pytest.approx(target)


def test_fewer_than_three_months_of_growth_are_not_learned_from() -> None:
    found = learned([0.1, 0.2, np.nan, 0.4, np.nan], [2, 3, np.nan, 12, 12])
    assert found.task.rows.tolist() == [1, 3]


@pytest.mark.parametrize("months", [[1.0, 2.0], [np.nan, np.nan], []])
def test_without_anybody_seen_for_three_months_there_is_no_growth_to_learn(
    months: list[float],
) -> None:
    customers = grown([0.1] * len(months), months)
    assert growth_of(customers, np.ones(len(months)), 12) is None


@pytest.mark.parametrize("seed", range(4))
def test_growth_seen_for_longer_weighs_more(seed: int) -> None:
    log_growth, months = scattered(300, seed)
    task = learned(log_growth, months).task
    by_months = pd.Series(task.weight).groupby(months).first()
    assert (np.diff(by_months) > 0).all()
    assert task.weight.mean() == pytest.approx(1)


def test_growth_weighs_by_what_the_customer_counts() -> None:
    weight = np.where(np.arange(50) < 25, 1.0, 0.25)
    found = growth_of(grown(scattered(50)[0], [12.0] * 50), weight, 12)
    assert found is not None
    assert found.task.weight[0] == pytest.approx(4 * found.task.weight[-1])


def test_the_variance_over_the_horizon_is_what_growth_was_drawn_with() -> None:
    found = [learned(*scattered(2000, seed)).variance for seed in range(5)]
    assert np.mean(found) == pytest.approx(0.06, rel=0.2)


def test_growth_scatters_more_over_a_longer_horizon() -> None:
    log_growth, months = scattered(500)
    half, one, two = (learned(log_growth, months, horizon=n).variance for n in (6, 12, 24))
    assert half < one < two


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(3, 36)), min_size=1, max_size=20),
    st.floats(0.1, 3),
)
def test_whatever_was_grown_targets_are_bounded_and_weights_are_positive(
    seen: list[tuple[float, int]], weight: float
) -> None:
    log_growth, months = map(list, zip(*seen, strict=True))
    found = learned(log_growth, months, weight)
    assert np.abs(found.task.target).max() <= 1.2
    assert (found.task.weight > 0).all()
    assert found.variance > 0
