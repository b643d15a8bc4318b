import pandas as pd
import pytest

from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.learning.importance import importances
from tests.companies import KINDS, market

KNOWN = market(200, seed=6)


@pytest.fixture(scope="module")
def model() -> FitModel:
    return FitModel(KINDS).fit(KNOWN.features, KNOWN.outcomes)


@pytest.fixture(scope="module")
def table(model: FitModel) -> pd.DataFrame:
    return importances(model, KNOWN.features, KNOWN.outcomes, seed=0)


def test_there_is_one_row_for_each_attribute_the_most_important_first(table: pd.DataFrame) -> None:
    assert list(table.columns) == ["attribute", "gain", "permutation", "shap"]
    assert sorted(table["attribute"]) == sorted(KINDS)
    assert table["shap"].is_monotonic_decreasing
    assert table["gain"].sum() == pytest.approx(1)


@pytest.mark.parametrize("way", ["gain", "permutation", "shap"])
def test_each_way_of_asking_finds_what_was_planted_and_not_what_was_not(
    table: pd.DataFrame, way: str
) -> None:
    found = table.set_index("attribute")[way]
    assert found.idxmax() == "industry"
    assert found["industry"] > 3 * abs(found["has_sponsor"])


def test_what_has_no_effect_costs_nothing_when_it_is_shuffled(table: pd.DataFrame) -> None:
    found = table.set_index("attribute")["permutation"]
    assert abs(found["has_sponsor"]) < 0.05
    assert found["industry"] > 0.1


def test_the_same_seed_gives_the_same_numbers_in_any_order_of_rows(
    model: FitModel, table: pd.DataFrame
) -> None:
    rows = KNOWN.features.sample(frac=1, random_state=1)
    again = importances(model, rows, KNOWN.outcomes, seed=0)
    pd.testing.assert_frame_equal(again, table, rtol=1e-6)


def test_of_many_accounts_some_are_enough(model: FitModel, table: pd.DataFrame) -> None:
    some = importances(model, KNOWN.features, KNOWN.outcomes, seed=0, among=60)
    shap, whole = (found.set_index("attribute")["shap"] for found in (some, table))
    assert not some.equals(table)
    assert shap.idxmax() == "industry"
    assert shap["industry"] == pytest.approx(whole["industry"], rel=0.25)
    again = importances(model, KNOWN.features.iloc[::-1], KNOWN.outcomes, seed=0, among=60)
    pd.testing.assert_frame_equal(again, some, rtol=1e-6)
