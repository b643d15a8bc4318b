import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.modeling.statistics.folds import FOLDS, folds_by_parent

FIFTY = pd.Series([f"p{i}" for i in range(50)])
parents = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=40)


@given(parents, st.integers(0, 5), st.integers(2, 6))
def test_siblings_share_a_fold_and_no_fold_is_empty(
    names: list[str], seed: int, folds: int
) -> None:
    fold = pd.Series(folds_by_parent(pd.Series(names), seed, folds))
    assert fold.groupby(pd.Series(names)).nunique().eq(1).all()
    assert set(fold) == set(range(min(folds, len(set(names)))))


@given(parents, st.integers(0, 5))
def test_the_order_of_accounts_moves_none_to_another_fold(names: list[str], seed: int) -> None:
    plain, turned = (
        folds_by_parent(pd.Series(names), seed),
        folds_by_parent(pd.Series(names[::-1]), seed),
    )
    assert turned[::-1].tolist() == plain.tolist()


def test_folds_are_about_of_one_size() -> None:
    assert pd.Series(folds_by_parent(FIFTY, 0)).value_counts().tolist() == [10] * FOLDS


@pytest.mark.parametrize("accounts", [1, 20])
def test_one_parent_makes_one_fold(accounts: int) -> None:
    assert folds_by_parent(pd.Series(["p"] * accounts), 0).tolist() == [0] * accounts


def test_the_seed_draws_the_folds() -> None:
    one, again, other = (folds_by_parent(FIFTY, seed).tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other
