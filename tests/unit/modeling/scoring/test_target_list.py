import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.modeling.scoring.target_list import AT_RANDOM, BY_SCORE, HELD_BACK, draw_up
from icploop.settings import Targets


def candidates(n: int = 200) -> pd.DataFrame:
    return pd.DataFrame({"account_id": [f"a{i:04}" for i in range(n)]}, index=range(5, n + 5))


@given(
    n=st.integers(0, 120),
    size=st.integers(1, 80),
    explore=st.floats(0, 0.5),
    hold_back=st.floats(0, 0.5),
)
def test_the_list_is_the_best_and_some_at_random(
    n: int, size: int, explore: float, hold_back: float
) -> None:
    drawn = draw_up(candidates(n), size, Targets(explore=explore, hold_back=hold_back), [1])
    held = (drawn["chosen_by"] == HELD_BACK).sum()
    assert drawn["listed"].sum() + held == min(n, size)
    assert drawn["propensity"].between(0, 1).all()
    # The chances add up to as many as are listed.
    assert drawn["propensity"].sum() == pytest.approx(drawn["listed"].sum())
    by_score = np.flatnonzero(drawn["chosen_by"].isin([BY_SCORE, HELD_BACK]))
    assert by_score.tolist() == list(range(len(by_score)))
    assert drawn.loc[drawn["listed"], "propensity"].gt(0).all()


def test_over_many_lists_each_account_stands_there_as_often_as_its_propensity_says() -> None:
    targets = Targets(explore=0.2, hold_back=0.1)
    lists = [draw_up(candidates(), 50, targets, [day]) for day in range(400)]
    often = np.mean([drawn["listed"] for drawn in lists], axis=0)
    assert np.abs(often - lists[0]["propensity"].to_numpy()).max() < 0.08
    assert (lists[0]["chosen_by"] == AT_RANDOM).sum() == 10
    assert (lists[0]["chosen_by"] == HELD_BACK).sum() == 4


def test_the_same_list_is_drawn_in_the_same_way_whatever_the_order_of_the_rest() -> None:
    first = draw_up(candidates(), 50, Targets(), ["today"])
    assert draw_up(candidates(), 50, Targets(), ["today"]).equals(first)
    assert not draw_up(candidates(), 50, Targets(), ["tomorrow"]).equals(first)
    swapped = pd.concat([candidates().head(60), candidates().tail(140).iloc[::-1]])
    again = draw_up(swapped, 50, Targets(), ["today"])
    assert set(again.loc[again["listed"], "account_id"]) == set(
        first.loc[first["listed"], "account_id"]
    )
