from dataclasses import replace

import pandas as pd
import pytest

from icploop.modeling.scoring.learned import ChangedOutcomes, Learned, Recipe
from icploop.settings import Learning, Settings
from tests.companies import DECLARED, SETTINGS

OUTCOMES = pd.Series({"a": 1.0, "b": 0.0, "c": 1.25, "d": 0.9})
LEARNED = Learned(Recipe.of(SETTINGS), 7, OUTCOMES)


def test_it_is_written_and_read_again() -> None:
    again = Learned.from_bytes(LEARNED.as_bytes())
    assert again.recipe == LEARNED.recipe
    assert again.customers == 7
    assert again.outcomes.to_dict() == OUTCOMES.to_dict()
    assert again.as_bytes() == LEARNED.as_bytes()


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ({}, ()),
        ({"learning": {"half_life_months": 12}}, ("learning",)),
        ({"outcome": {"horizon_months": 6}}, ("outcome",)),
        (
            {"hypothesis": [{"attribute": "industry", "any_of": ["retail"], "points": 2}]},
            ("hypothesis",),
        ),
        ({"dimensions": {"firmographic": {"industry": "category"}}}, ("attributes",)),
        # Who approves, and what is asked of a version, is no recipe.
        ({"policy": {"preset": "strict"}, "capacity": {"share": 0.1}}, ()),
    ],
)
def test_a_recipe_names_what_has_changed(more: dict, changed: tuple[str, ...]) -> None:
    known = Recipe.of(Settings(**DECLARED))
    assert Recipe.of(Settings(**(DECLARED | more))).changed_since(known) == changed


def test_other_code_is_another_recipe() -> None:
    recipe = LEARNED.recipe
    assert recipe.changed_since(replace(recipe, revision=0)) == ("the fit model's code",)
    assert replace(recipe, learning=Learning(half_life_months=9)) != recipe


def test_outcomes_that_read_differently_are_counted_with_their_size() -> None:
    now = pd.Series({"a": 1.0, "b": 0.4, "c": 1.2501, "e": 2.0})
    found = LEARNED.changed_outcomes(now)
    assert found == ChangedOutcomes(known=3, changed=1, gone=1, typical=40.0, mean=40.0)
    assert found.share == pytest.approx(1 / 3)
    assert "1 (33%) read differently now, by 40 points" in str(found)
    assert "1 are no longer there" in str(found)


def test_nothing_that_is_known_again_has_not_changed() -> None:
    assert LEARNED.changed_outcomes(pd.Series(dtype="float64")).share == 0
