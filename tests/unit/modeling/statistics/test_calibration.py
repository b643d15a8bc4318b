from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from icploop.modeling.statistics.calibration import Calibration, calibration

SEEDS = range(30)


def drawn(
    seed: int, said: Callable[[np.ndarray], np.ndarray] = lambda p: p, n: int = 400
) -> Calibration:
    """Who stayed, with a chance that expectations state as `said` of it."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.2, 0.95, n)
    ids = [f"a{i}" for i in range(n)]
    stayed = (rng.random(n) < chance).astype("float64")
    return calibration(pd.Series(said(chance), ids), pd.Series(stayed, ids)[::-1])


def test_the_table_by_hand() -> None:
    expected = pd.Series({"a": 0.9, "b": 0.1, "c": 0.7, "d": 0.3})
    realised = pd.Series({"d": 0.0, "c": 1.0, "b": 0.4, "a": 0.5})
    found = calibration(expected, realised, groups=2)
    assert found.table["accounts"].tolist() == [2, 2]
    assert found.table["expected"].tolist() == pytest.approx([0.2, 0.8])
    assert found.table["realised"].tolist() == pytest.approx([0.2, 0.75])
    # Two accounts that differ by d have a mean with the standard error d / 2.
    reach = 1.645 * np.array([0.4, 0.5]) / 2
    assert found.table["low"].tolist() == pytest.approx(found.table["realised"] - reach)
    assert found.table["high"].tolist() == pytest.approx(found.table["realised"] + reach)
    assert found.error == pytest.approx(0.025)
    assert found.by_chance == pytest.approx(np.sqrt(2 / np.pi) * (0.2 + 0.25) / 2)
    about = np.array([0.4, -0.4, 0.2, -0.2])
    assert found.slope == pytest.approx(about @ [0.5, 0.4, 1, 0] / (about @ about))


def test_true_expectations_are_off_by_what_chance_explains() -> None:
    ratios = [found.error / found.by_chance for found in map(drawn, SEEDS)]
    assert np.mean(ratios) == pytest.approx(1, abs=0.15)


def test_true_expectations_have_a_slope_of_one_within_its_error() -> None:
    off = np.array([(found.slope - 1) / found.slope_error for found in map(drawn, SEEDS)])
    assert np.abs(off).max() < 3.5
    assert off.std() == pytest.approx(1, abs=0.4)


def test_the_realised_interval_covers_true_expectations_nine_times_in_ten() -> None:
    tables = [drawn(seed).table for seed in SEEDS]
    covered = [t["expected"].between(t["low"], t["high"]).mean() for t in tables]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.06)


def test_expectations_too_far_apart_have_a_slope_below_one() -> None:
    found = [drawn(seed, lambda p: np.clip(0.6 + 2 * (p - 0.6), 0, 1)) for seed in SEEDS]
    assert all(each.slope + 2 * each.slope_error < 1 for each in found)


def test_expectations_too_close_together_have_a_slope_above_one() -> None:
    found = [drawn(seed, lambda p: 0.6 + 0.3 * (p - 0.6)) for seed in SEEDS]
    assert all(each.slope - 2 * each.slope_error > 1 for each in found)


def test_expectations_that_are_too_high_throughout_are_off_by_as_much() -> None:
    found = [drawn(seed, lambda p: p + 0.3) for seed in SEEDS]
    assert np.mean([each.error for each in found]) == pytest.approx(0.3, abs=0.03)
    assert all(each.error > 3 * each.by_chance for each in found)
    assert np.mean([each.slope for each in found]) == pytest.approx(1, abs=0.1)


def test_expectations_that_tell_nothing_have_a_slope_about_zero() -> None:
    noise = np.random.default_rng(5).permutation
    found = [drawn(seed, noise) for seed in SEEDS]
    assert abs(np.mean([each.slope for each in found])) < 0.1


@pytest.mark.parametrize(("n", "groups"), [(400, 10), (19, 9), (7, 3), (1, 1)])
def test_a_group_has_two_accounts_or_more_where_there_are_two(n: int, groups: int) -> None:
    table = drawn(0, n=n).table
    assert len(table) == groups
    assert table["accounts"].sum() == n
    assert np.ptp(table["accounts"]) <= 1


def test_groups_are_in_the_order_of_expectations() -> None:
    table = drawn(1).table
    assert table["expected"].is_monotonic_increasing
    assert table["expected"].is_unique
    assert list(table.columns) == ["accounts", "expected", "realised", "low", "high"]


def test_one_account_alone_has_no_interval_and_no_error_by_chance() -> None:
    found = drawn(2, n=1)
    assert found.table[["low", "high"]].isna().all(axis=None)
    assert np.isnan(found.by_chance)


def test_where_everybody_is_expected_to_do_alike_there_is_no_slope() -> None:
    found = drawn(3, lambda p: np.full(len(p), 0.5))
    assert np.isnan([found.slope, found.slope_error]).all()
    assert found.error > 0


def test_the_slope_does_not_care_about_the_level_and_follows_the_unit() -> None:
    plain = drawn(4)
    moved = drawn(4, lambda p: 100 + 10 * p)
    assert moved.slope == pytest.approx(plain.slope / 10)
    assert moved.slope_error == pytest.approx(plain.slope_error / 10)
