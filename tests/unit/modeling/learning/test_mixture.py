from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from icploop.modeling.learning.mixture import Mixture, Quantity, margins, mix
from icploop.modeling.learning.partial_pooling import Task, pooled_lines

N = 150
FOLD = np.arange(N) % 5


@dataclass(frozen=True)
class Drawn:
    """Accounts with a truth that is linear in one column and has a kink in another."""

    columns: np.ndarray
    truth: np.ndarray
    task: Task


Made = Callable[[], tuple[Drawn, Mixture, np.ndarray]]


def growing(seed: int, effect: float = 1.0) -> Drawn:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(N, 6))
    truth = effect * (0.3 * columns[:, 0] + 0.6 * (np.abs(columns[:, 1]) > 0.7))
    task = Task(np.arange(N), truth + rng.normal(0, 0.3, N), np.ones(N))
    return Drawn(columns, truth, task)


def leaving(seed: int, effect: float = 1.0) -> Drawn:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(N, 6))
    truth = effect * (0.7 * columns[:, 0] + 0.8 * (np.abs(columns[:, 1]) > 0.7))
    exposure = rng.uniform(0.2, 1.5, N)
    events = rng.poisson(np.exp(truth) * exposure)
    return Drawn(columns, truth, Task(np.arange(N), events / exposure, exposure, noise=1.0))


def mixed(
    quantity: Quantity, drawn: Drawn, seed: int = 0, task: Task | None = None
) -> tuple[Mixture, np.ndarray]:
    task = task or drawn.task
    group = np.arange(6)
    pooled = pooled_lines(drawn.columns, group, [task], FOLD)
    line, unseen = pooled.lines[0], pooled.out_of_fold[0]
    said = np.where(np.isnan(unseen), line.predict(drawn.columns), unseen)
    tree = drawn.columns.astype("float32")
    return mix(quantity, task, line, said, tree, np.ones(6), FOLD, seed)


@cache
def grown() -> tuple[Drawn, Mixture, np.ndarray]:
    data = growing(0)
    return (data, *mixed("growth", data))


@cache
def left() -> tuple[Drawn, Mixture, np.ndarray]:
    data = leaving(0)
    return (data, *mixed("hazard", data))


@pytest.mark.parametrize("made", [grown, left])
def test_a_mixture_is_its_line_and_its_share_of_the_mean_booster(made: Made) -> None:
    data, mixture, _ = made()
    tree = data.columns.astype("float32")
    boosters = margins(mixture.boosters, tree).mean(axis=0)
    expected = (
        mixture.line.intercept + data.columns @ mixture.line.weights + mixture.boosted * boosters
    )
    assert mixture.boosted > 0
    assert mixture.predict(data.columns, tree) == pytest.approx(expected)


@pytest.mark.parametrize("made", [grown, left])
def test_contributions_add_up_to_the_prediction_but_for_one_number(made: Made) -> None:
    data, mixture, _ = made()
    tree = data.columns.astype("float32")
    straight, boosted = mixture.contributions(data.columns, tree)
    rest = mixture.predict(data.columns, tree) - straight.sum(axis=1) - boosted.sum(axis=1)
    assert np.ptp(rest) < 1e-5
    assert boosted.std() > 0.01


@pytest.mark.parametrize("made", [grown, left])
def test_the_gain_is_greatest_in_the_columns_that_matter(made: Made) -> None:
    _, mixture, _ = made()
    gain = mixture.gain(6)
    assert gain.shape == (6,)
    assert gain[:2].mean() > 1.2 * gain[2:].max() > 0


@pytest.mark.parametrize("made", [grown, left])
def test_what_parts_say_that_did_not_see_an_account_goes_with_the_truth(made: Made) -> None:
    data, _, unseen = made()
    assert np.corrcoef(unseen, data.truth)[0, 1] > 0.4


@pytest.mark.parametrize("made", [grown, left])
def test_a_booster_is_trained_for_each_fold_without_it(made: Made) -> None:
    data, mixture, unseen = made()
    assert len(mixture.boosters) == 5
    assert len({bytes(b.save_raw("ubj")) for b in mixture.boosters}) == 5
    tree = data.columns.astype("float32")
    own = data.task.target - data.truth
    known = mixture.predict(data.columns, tree)
    assert np.corrcoef(known, own)[0, 1] > np.corrcoef(unseen, own)[0, 1] + 0.1


def test_the_noise_of_an_own_target_is_not_in_what_was_said_without_it() -> None:
    found = [
        np.corrcoef(unseen, data.task.target)[0, 1]
        for data in (growing(seed, effect=0) for seed in range(6))
        for unseen in [mixed("growth", data)[1]]
    ]
    assert np.mean(found) < 0.1


@pytest.mark.parametrize(("quantity", "draw"), [("growth", growing), ("hazard", leaving)])
def test_shares_are_never_negative_even_where_line_and_boosters_are_wrong(
    quantity: Quantity, draw: Callable[[int], Drawn]
) -> None:
    data = draw(3)
    group = np.arange(6)
    line = pooled_lines(data.columns, group, [data.task], FOLD).lines[0]
    wrong = -5 * line.predict(data.columns)
    tree = data.columns.astype("float32")
    mixture, unseen = mix(quantity, data.task, line, wrong, tree, np.ones(6), FOLD, 0)
    assert (mixture.line.weights == 0).all()
    assert mixture.boosted >= 0
    assert np.corrcoef(unseen, data.truth)[0, 1] > 0


def test_predictions_are_on_the_level_of_what_was_learned() -> None:
    data, mixture, unseen = grown()
    assert unseen.mean() == pytest.approx(data.task.target.mean(), abs=0.02)
    tree = data.columns.astype("float32")
    predicted = mixture.predict(data.columns, tree)
    assert predicted.mean() == pytest.approx(data.task.target.mean(), abs=0.05)


def test_hazards_expect_as_many_events_as_there_were() -> None:
    data, _, unseen = left()
    events = (data.task.target * data.task.weight).sum()
    assert (np.exp(unseen) * data.task.weight).sum() == pytest.approx(events, rel=0.05)


def test_where_nobody_has_left_a_hazard_is_small_and_finite() -> None:
    data = leaving(1)
    calm = Task(data.task.rows, np.zeros(N), data.task.weight, noise=1.0)
    mixture, unseen = mixed("hazard", data, task=calm)
    predicted = mixture.predict(data.columns, data.columns.astype("float32"))
    assert np.isfinite(predicted).all()
    assert np.isfinite(unseen).all()
    assert np.exp(unseen).max() < 0.1


def test_accounts_that_the_task_does_not_have_get_what_all_parts_say() -> None:
    data = growing(2)
    some = data.task.among(np.arange(N) < 100)
    mixture, unseen = mixed("growth", data, task=some)
    predicted = mixture.predict(data.columns, data.columns.astype("float32"))
    assert unseen[100:] == pytest.approx(predicted[100:], abs=1e-6)
    assert np.abs(unseen[:100] - predicted[:100]).max() > 0.01


def test_a_task_that_one_fold_has_alone_is_learned_all_the_same() -> None:
    data = growing(4)
    alone = data.task.among(FOLD == 2)
    mixture, unseen = mixed("growth", data, task=alone)
    assert len(mixture.boosters) == 5
    assert np.isfinite(unseen).all()
    assert np.corrcoef(unseen, data.truth)[0, 1] > 0


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones() -> None:
    def raw(seed: int) -> list[bytes]:
        found, _ = mixed("growth", growing(0), seed)
        return [bytes(b.save_raw("ubj")) for b in found.boosters]

    one, again, other = raw(7), raw(7), raw(8000)
    assert one == again
    assert one != other


def test_a_constant_says_the_same_of_everybody_and_gives_no_reasons() -> None:
    flat = Mixture.constant(0.25, columns=3)
    linear = np.random.default_rng(0).normal(size=(4, 3))
    tree = np.ones((4, 2), dtype="float32")
    assert flat.predict(linear, tree).tolist() == [0.25] * 4
    straight, boosted = flat.contributions(linear, tree)
    assert (straight == 0).all()
    assert boosted.shape == (4, 2)
    assert (boosted == 0).all()
    assert flat.gain(2).tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore:.*Empty dataset")
def test_nobody_is_predicted_and_explained_as_nobody() -> None:
    _, mixture, _ = grown()
    linear, tree = np.empty((0, 6)), np.empty((0, 6), dtype="float32")
    assert mixture.predict(linear, tree).shape == (0,)
    assert [part.shape for part in mixture.contributions(linear, tree)] == [(0, 6), (0, 6)]
