from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.ledger import Event, LedgerRow
from icploop.domain.looks import Looks, looks_of, required_probability
from icploop.modeling.judging.advantage import probability_better
from icploop.settings import GatePolicy

STRICT, BALANCED = GatePolicy(preset="strict"), GatePolicy()


def row(event: Event, **details: Any) -> LedgerRow:
    return LedgerRow(event, "default", date(2024, 1, 1), details=details)


def test_looks_are_counted_by_account_and_a_promotion_starts_a_new_series() -> None:
    looks = Looks().after(["a", "b"], promoted=False).after(["b", "c"], promoted=False)
    assert (looks.rounds, looks.by_account) == (2, {"a": 1, "b": 2, "c": 1})
    assert looks.after(["a"], promoted=True) == Looks(0, {"a": 2, "b": 2, "c": 1})


def test_the_ledger_knows_the_looks() -> None:
    ledger = [
        row("trigger"),
        row("verdict", holdout=["a", "b"]),
        row("approval"),
        row("promotion"),
        row("verdict", holdout=["b"]),
        # A round without enough matured customers looked at nobody.
        row("verdict", holdout=[]),
        row("verdict", holdout=["b", "c"]),
    ]
    assert looks_of(ledger) == Looks(2, {"a": 1, "b": 3, "c": 1})
    assert looks_of([]) == Looks()


def test_without_a_total_error_every_round_asks_for_the_same() -> None:
    assert {required_probability(BALANCED, Looks(n)) for n in range(50)} == {0.65}


def test_a_hundred_rounds_of_a_strict_policy_stay_inside_its_budget() -> None:
    asked = [required_probability(STRICT, Looks(n)) for n in range(100)]
    assert asked == sorted(asked)
    # The chance that any of them lets an equal challenger pass is at most the sum.
    assert sum(1 - p for p in asked) <= STRICT.total_error
    assert sum(1 - p for p in asked) > 0.75 * STRICT.total_error


@given(st.floats(0.001, 0.99), st.floats(0.5, 0.99), st.integers(0, 10_000))
def test_a_round_never_asks_for_less_than_the_policy(
    error: float, probability: float, rounds: int
) -> None:
    policy = GatePolicy(probability_better=probability, total_error=error)
    assert probability <= required_probability(policy, Looks(rounds)) < 1


@pytest.mark.parametrize(("times", "alarmed"), [(2, False), (3, True)])
def test_a_holdout_that_decided_too_often_is_used_up(times: int, alarmed: bool) -> None:
    policy = GatePolicy(looks=3)
    looks = Looks(0, {"a": times, "b": times, "c": 0})
    said = looks.used_up(["a", "b", "c"], policy)
    assert (said is not None) == alarmed
    if said:
        assert "3 holdout customers have decided 3 rounds" in said.message
    assert looks.used_up(["new"], policy) is None
    assert looks.used_up([], policy) is None


def test_a_hundred_null_rounds_in_a_row_promote_within_the_budget() -> None:
    """Rounds of an equal challenger, each on customers of its own: the worst case for looking."""
    rng = np.random.default_rng(11)
    series = 1500
    promoted = np.zeros(series, dtype=bool)
    naive = promoted.copy()
    for number in range(100):
        asked = required_probability(STRICT, Looks(number))
        together = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=series)
        sure = np.array([probability_better(d, z, 0.6) for d, z in together])
        promoted |= (together[:, 0] > 0) & (sure >= asked)
        naive |= (together[:, 0] > 0) & (sure >= STRICT.probability_better)
    within = STRICT.total_error + 3 * np.sqrt(STRICT.total_error * 0.9 / series)
    assert promoted.mean() <= within
    # A level that never rises lets nearly every series pass at some time.
    assert naive.mean() > 0.99
