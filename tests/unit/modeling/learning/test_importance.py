import pandas as pd
import pytest

from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.learning.importance import importances
from tests.companies import KINDS, market

KNOWN = market(200, seed=6)
MODEL = FitModel(KINDS).fit(KNOWN.features, KNOWN.outcomes)
TABLE = importances(MODEL, KNOWN.features, KNOWN.outcomes, seed=0)


def test_there_is_one_row_for_each_attribute_the_most_important_first() -> None:
    assert list(TABLE.columns) == ["attribute", "gain", "permutation", "shap"]
    assert sorted(TABLE["attribute"]) == sorted(KINDS)
    assert TABLE["shap"].is_monotonic_decreasing
    assert TABLE["gain"].sum() == pytest.approx(1)


@pytest.mark.parametrize("way", ["gain", "permutation", "shap"])
def test_each_way_of_asking_finds_what_was_planted_and_not_what_was_not(way: str) -> None:
    found = TABLE.set_index("attribute")[way]
    assert found.idxmax() == "industry"
    assert found["industry"] > 3 * abs(found["has_sponsor"])


def test_what_has_no_effect_costs_nothing_when_it_is_shuffled() -> None:
    found = TABLE.set_index("attribute")["permutation"]
    assert abs(found["has_sponsor"]) < 0.05
    assert found["industry"] > 0.1


def test_the_same_seed_gives_the_same_numbers_in_any_order_of_rows() -> None:
    rows = KNOWN.features.sample(frac=1, random_state=1)
    again = importances(MODEL, rows, KNOWN.outcomes, seed=0)
    pd.testing.assert_frame_equal(again, TABLE, rtol=1e-6)


def test_of_many_accounts_some_are_enough() -> None:
    some = importances(MODEL, KNOWN.features, KNOWN.outcomes, seed=0, among=60)
    shap, whole = (table.set_index("attribute")["shap"] for table in (some, TABLE))
    assert not some.equals(TABLE)
    assert shap.idxmax() == "industry"
    assert shap["industry"] == pytest.approx(whole["industry"], rel=0.25)
    again = importances(MODEL, KNOWN.features.iloc[::-1], KNOWN.outcomes, seed=0, among=60)
    pd.testing.assert_frame_equal(again, some, rtol=1e-6)
