from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits

from icploop.modeling.learning.partial_pooling import (
    LinearPredictor,
    PooledLines,
    Task,
    pooled_lines,
)

GROUPS, WIDTH = 12, 4
MATTER = (2, 7)
SEEDS = range(8)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """As in a round: on matrices this small, threads only wait for each other."""
    with threadpool_limits(1):
        yield


@dataclass(frozen=True)
class Drawn:
    """Accounts whose target depends on two groups of columns out of twelve, and on chance."""

    columns: np.ndarray
    group: np.ndarray
    truth: np.ndarray
    target: np.ndarray


def drawn(seed: int, n: int = 120, effect: float = 0.5) -> Drawn:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), WIDTH)
    columns = rng.normal(size=(n, len(group)))
    weights = np.where(np.isin(group, MATTER), rng.choice([-effect, effect], len(group)), 0.0)
    truth = 1.0 + columns @ weights
    return Drawn(columns, group, truth, truth + rng.normal(size=n))


def task_of(target: np.ndarray, rows: int | None = None) -> Task:
    among = np.arange(len(target) if rows is None else rows)
    return Task(among, target[among], np.ones(len(among)))


def folds(n: int) -> np.ndarray:
    return np.arange(n) % 5


def learned(data: Drawn, *tasks: Task) -> PooledLines:
    return pooled_lines(data.columns, data.group, tasks, folds(len(data.columns)))


def line_on(data: Drawn, rows: int) -> PooledLines:
    """What the first `rows` accounts teach."""
    return pooled_lines(data.columns[:rows], data.group, [task_of(data.target, rows)], folds(rows))


@pytest.mark.parametrize("seed", SEEDS)
def test_attributes_that_matter_are_found_to_be_relevant(seed: int) -> None:
    data = drawn(seed)
    relevance = learned(data, task_of(data.target)).relevance[0]
    others = np.delete(relevance, MATTER)
    assert relevance[list(MATTER)].min() > 1.5 * others.max()


def test_unseen_accounts_are_predicted_better_than_by_a_ridge_that_shrinks_all_columns_alike() -> (
    None
):
    ratios = []
    for seed in SEEDS:
        data, n = drawn(seed, n=620), 120
        asked, truth = data.columns[n:], data.truth[n:]
        pooled = line_on(data, n).lines[0].predict(asked)
        ridge = RidgeCV(np.logspace(-1, 4, 30)).fit(data.columns[:n], data.target[:n])
        ratios.append(((pooled - truth) ** 2).mean() / ((ridge.predict(asked) - truth) ** 2).mean())
    assert np.mean(ratios) < 0.8
    assert np.mean(np.array(ratios) < 1) > 0.8


def test_out_of_fold_errors_are_those_on_unseen_accounts() -> None:
    inside, outside = [], []
    for seed in SEEDS:
        data, n = drawn(seed, n=520), 120
        found = line_on(data, n)
        inside.append(((found.out_of_fold[0] - data.target[:n]) ** 2).mean())
        outside.append(((found.lines[0].predict(data.columns[n:]) - data.target[n:]) ** 2).mean())
    assert np.mean(inside) == pytest.approx(np.mean(outside), rel=0.15)


def test_out_of_fold_predictions_do_not_know_the_noise_of_their_own_target() -> None:
    unseen, seen = [], []
    for seed in range(20):
        data = drawn(seed, n=60, effect=0)
        found = learned(data, task_of(data.target))
        unseen.append(np.corrcoef(found.out_of_fold[0], data.target)[0, 1])
        seen.append(np.corrcoef(found.lines[0].predict(data.columns), data.target)[0, 1])
    assert np.mean(seen) > 0.3
    assert np.mean(unseen) < 0.05


def test_an_own_target_gone_wild_moves_its_out_of_fold_prediction_far_less_than_the_line() -> None:
    data = drawn(0)
    wild = data.target.copy()
    wild[0] += 20
    before, after = (learned(data, task_of(target)) for target in (data.target, wild))
    unseen = abs(after.out_of_fold[0][0] - before.out_of_fold[0][0])
    seen = abs((after.lines[0].predict(data.columns) - before.lines[0].predict(data.columns))[0])
    assert seen > 1
    assert unseen < 0.3 * seen


def test_the_fold_of_an_account_is_predicted_by_all_other_folds() -> None:
    data = drawn(1)
    everyone = task_of(data.target)
    by_five = learned(data, everyone).out_of_fold[0]
    by_one = pooled_lines(data.columns, data.group, [everyone], np.zeros(120, dtype=int))
    assert np.isfinite(by_five).all()
    # Where all accounts share one fold, there is no other that could predict them.
    assert np.isnan(by_one.out_of_fold[0]).all()
    assert by_one.lines[0].weights == pytest.approx(learned(data, everyone).lines[0].weights)


def test_accounts_that_a_task_does_not_have_get_no_out_of_fold_prediction() -> None:
    data = drawn(2)
    found = learned(data, task_of(data.target), task_of(data.target, rows=70))
    assert np.isfinite(found.out_of_fold[0]).all()
    assert np.isfinite(found.out_of_fold[1]).tolist() == [True] * 70 + [False] * 50


def test_a_task_that_one_fold_has_alone_gets_a_line_but_nothing_out_of_fold() -> None:
    data = drawn(9)
    found = learned(data, task_of(data.target).among(folds(120) == 3))
    assert np.isnan(found.out_of_fold[0]).all()
    assert np.corrcoef(found.lines[0].predict(data.columns), data.truth)[0, 1] > 0


def test_a_task_of_few_accounts_gains_from_another_one_on_the_same_attributes() -> None:
    alone, beside = [], []
    for seed in range(10):
        data = drawn(seed, n=400)
        few = task_of(data.target, rows=40)
        much = task_of(2 * data.target + np.random.default_rng(seed).normal(size=400))
        for errors, tasks in ((alone, [few]), (beside, [few, much])):
            predicted = learned(data, *tasks).lines[0].predict(data.columns[40:])
            errors.append(((predicted - data.truth[40:]) ** 2).mean())
    assert np.mean(beside) < np.mean(alone)


def test_rows_of_a_task_are_positions_among_all_accounts() -> None:
    data = drawn(3)
    back = np.arange(120)[::-1]
    reversed_task = Task(back, data.target[back], np.ones(120))
    one, other = learned(data, task_of(data.target)), learned(data, reversed_task)
    assert other.lines[0].weights == pytest.approx(one.lines[0].weights)
    assert other.out_of_fold[0] == pytest.approx(one.out_of_fold[0])


def test_a_weight_of_zero_leaves_an_account_out_of_the_line() -> None:
    data = drawn(4)
    weight = np.ones(120)
    weight[:10] = 0
    wild = data.target.copy()
    wild[:10] = 1000
    one, other = (
        learned(data, Task(np.arange(120), target, weight)).lines[0]
        for target in (data.target, wild)
    )
    assert one.weights == pytest.approx(other.weights)
    assert one.intercept == pytest.approx(other.intercept)


def test_columns_that_never_vary_get_no_weight() -> None:
    data = drawn(5)
    still = [0, 9, 30]
    columns = data.columns.copy()
    columns[:, still] = [0.0, 3.0, -1e6]
    found = pooled_lines(columns, data.group, [task_of(data.target)], folds(120))
    weights = found.lines[0].weights
    assert (weights[still] == 0).all()
    assert np.count_nonzero(weights) == len(weights) - len(still)
    assert np.abs(found.lines[0].predict(columns)).max() < 20


def test_where_no_column_varies_everybody_gets_the_mean() -> None:
    target, weight = np.array([1.0, 2, 6]), np.array([1.0, 1, 2])
    found = pooled_lines(
        np.full((3, 4), 7.0),
        np.array([0, 0, 1, 1]),
        [Task(np.arange(3), target, weight)],
        np.arange(3),
    )
    assert found.lines[0].predict(np.full((2, 4), 9.0)) == pytest.approx([3.75, 3.75])
    assert (found.lines[0].weights == 0).all()


def test_a_target_that_never_varies_is_predicted_as_it_is() -> None:
    data = drawn(6)
    found = learned(data, task_of(np.full(120, 2.5)))
    assert found.lines[0].predict(data.columns) == pytest.approx(np.full(120, 2.5), abs=1e-6)
    assert found.out_of_fold[0] == pytest.approx(np.full(120, 2.5), abs=1e-6)


@pytest.mark.parametrize(("level", "unit"), [(-100.0, 0.5), (0.0, 1000.0), (7.5, 0.01)])
def test_the_line_follows_the_unit_and_the_level_of_the_target(level: float, unit: float) -> None:
    data = drawn(7, n=40)
    plain, moved = (learned(data, task_of(t)) for t in (data.target, level + unit * data.target))
    expected = level + unit * plain.lines[0].predict(data.columns)
    assert moved.lines[0].predict(data.columns) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_line_does_not_care_where_a_column_has_its_zero() -> None:
    data = drawn(8)
    moved = pooled_lines(data.columns + 50, data.group, [task_of(data.target)], folds(120))
    plain = learned(data, task_of(data.target))
    assert moved.lines[0].weights == pytest.approx(plain.lines[0].weights)
    assert moved.out_of_fold[0] == pytest.approx(plain.out_of_fold[0])


def test_columns_that_are_known_to_matter_are_shrunk_less() -> None:
    group, known = np.repeat(np.arange(20), 2), np.arange(40) == 0
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        columns = rng.normal(size=(30, 40))
        task = task_of(columns[:, 0] + rng.normal(0, 2, 30))
        lines = [pooled_lines(columns, group, [task], folds(30), f).lines[0] for f in (known, None)]
        found.append([line.weights[0] for line in lines])
    firm, shrunk = np.array(found).T
    assert firm.mean() > shrunk.mean() + 0.2
    assert np.mean(firm > shrunk) > 0.7
    assert np.abs(firm - 1).mean() < np.abs(shrunk - 1).mean()


def test_a_task_is_cut_to_chosen_accounts() -> None:
    whole = Task(np.array([0, 2, 3]), np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), 0.5, 2.0)
    cut = whole.among(np.array([True, True, False, True]))
    assert (cut.rows.tolist(), cut.target.tolist(), cut.weight.tolist()) == ([0, 3], [1, 3], [4, 6])
    assert (cut.noise, cut.firm) == (0.5, 2.0)


def test_a_line_adds_its_weights_to_its_intercept() -> None:
    line = LinearPredictor(1.0, np.array([2.0, -1.0]))
    assert line.predict(np.array([[0.0, 0], [1, 1], [2, 0]])).tolist() == [1, 2, 5]
