import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.modeling.accounts.encoding import RAREST_LEVEL, Encoding
from icploop.settings import Kind
from tests.companies import KINDS

N = 4 * RAREST_LEVEL


def train() -> pd.DataFrame:
    """Attribute frame of N accounts; `sso` and `mining` are carried by too few to be levels."""
    return pd.DataFrame(
        {
            "employees": np.arange(N, dtype="float64"),
            "industry": ["health", "retail"] * (N // 2 - 1) + ["mining", None],
            "tech": ["crm|erp", "crm"] * (N // 2 - 1) + ["sso", None],
            "funded_on": [np.nan, *np.linspace(1, 300, N - 1)],
            "has_sponsor": [1.0, 0.0, np.nan, 1.0] * (N // 4),
        },
        index=[f"a{i}" for i in range(N)],
    )


def one(**given: object) -> pd.DataFrame:
    """One account of which only `given` is known."""
    missing = {
        "employees": np.nan,
        "industry": pd.NA,
        "tech": pd.NA,
        "funded_on": np.nan,
        "has_sponsor": np.nan,
    }
    types = {"industry": "str", "tech": "str"}
    return pd.DataFrame({name: [value] for name, value in (missing | given).items()}).astype(types)


ENCODING = Encoding.learn(train(), KINDS)


def test_levels_are_those_that_enough_accounts_carry() -> None:
    assert ENCODING.levels == {"industry": ("health", "retail"), "tech": ("crm", "erp")}


def test_a_level_needs_exactly_as_many_accounts_as_it_says() -> None:
    values = ["x"] * RAREST_LEVEL + ["y"] * (RAREST_LEVEL - 1)
    assert Encoding.learn(pd.DataFrame({"c": values}), {"c": "category"}).levels == {"c": ("x",)}


def test_categories_and_sets_become_one_column_a_level() -> None:
    linear = ENCODING.linear(one(industry="retail", tech="crm|erp"))
    hot = {column for column in linear if linear[column].iloc[0] == 1 and "?" not in column}
    assert hot == {"industry=retail", "tech=crm", "tech=erp"}


@pytest.mark.parametrize("unseen", ["mining", "never seen", "crm|erp"])
def test_an_unseen_category_is_none_of_the_known_and_not_missing(unseen: str) -> None:
    row = ENCODING.linear(one(industry=unseen)).iloc[0]
    assert row[["industry=health", "industry=retail", "industry=?"]].tolist() == [0, 0, 0]


def test_missing_is_a_column_of_its_own_and_nothing_else() -> None:
    row = ENCODING.linear(one()).iloc[0]
    assert row[row != 0].to_dict() == {f"{name}=?": 1 for name in KINDS}


@pytest.mark.parametrize("features", [train(), one(), one(industry="new", employees=1e12)])
def test_no_cell_of_the_linear_matrix_is_missing(features: pd.DataFrame) -> None:
    linear = ENCODING.linear(features)
    assert np.isfinite(linear.to_numpy()).all()
    assert linear.index.equals(features.index)


def test_missing_values_stay_missing_for_the_trees() -> None:
    tree = ENCODING.tree(one())
    assert tree.isna().all(axis=None)
    assert ENCODING.tree(one(has_sponsor=0.0))["has_sponsor"].tolist() == [0]
    assert list(tree.columns) == ENCODING.tree_columns()


def test_numbers_are_brought_to_unit_scale_with_their_squares() -> None:
    linear = ENCODING.linear(train())
    assert linear["employees=scale"].mean() == pytest.approx(0, abs=1e-9)
    assert linear["employees=scale"].std(ddof=0) == pytest.approx(1)
    assert linear["employees=square"].tolist() == (linear["employees=scale"] ** 2).tolist()


def test_a_number_beyond_the_training_range_counts_as_its_end() -> None:
    beyond, end = (ENCODING.linear(one(employees=n)) for n in (1e9, N - 1.0))
    pd.testing.assert_frame_equal(beyond, end)


def test_a_skewed_number_is_logged_and_an_even_one_is_not() -> None:
    rng = np.random.default_rng(0)
    skewed = pd.DataFrame({"s": rng.lognormal(4, 1.5, 300), "e": rng.uniform(0, 100, 300)})
    scales = Encoding.learn(skewed, {"s": "number", "e": "number"}).scales
    assert scales["s"].logarithmic
    assert not scales["e"].logarithmic


@pytest.mark.parametrize("kind", ["number", "date", "flag", "category", "set"])
@pytest.mark.parametrize("constant", [True, False])
def test_a_column_that_says_nothing_is_encoded_without_trouble(kind: Kind, constant: bool) -> None:
    value = "x" if kind in ("category", "set") else 0.1
    dtype = "str" if kind in ("category", "set") else "float64"
    features = pd.DataFrame({"c": pd.Series([value if constant else None] * N, dtype=dtype)})
    encoding = Encoding.learn(features, {"c": kind})
    linear, tree = encoding.linear(features), encoding.tree(features)
    assert np.isfinite(linear.to_numpy()).all()
    assert len(linear.drop_duplicates()) == 1
    assert tree.shape[1] >= 1
    assert len(tree) == N


def test_where_every_level_is_rare_the_trees_still_get_a_table() -> None:
    features = pd.DataFrame({"c": [f"level {i}" for i in range(N)]})
    tree = Encoding.learn(features, {"c": "category"}).tree(features)
    assert tree.shape[1] == 1
    assert tree.nunique(dropna=False).tolist() == [1]


@settings(max_examples=10)
@given(st.permutations(list(KINDS)), st.permutations(list(KINDS)))
def test_the_order_of_columns_and_declarations_changes_nothing(
    columns: list[str], declared: list[str]
) -> None:
    shuffled = Encoding.learn(train()[columns], {name: KINDS[name] for name in declared})
    assert shuffled == ENCODING
    pd.testing.assert_frame_equal(shuffled.linear(train()[columns]), ENCODING.linear(train()))
    pd.testing.assert_frame_equal(shuffled.tree(train()[columns]), ENCODING.tree(train()))


def test_the_order_of_rows_changes_nothing_but_their_order() -> None:
    shuffled = train().sample(frac=1, random_state=1)
    again = Encoding.learn(shuffled, KINDS)
    assert again.levels == ENCODING.levels
    linear = again.linear(shuffled).loc[train().index]
    np.testing.assert_allclose(linear, ENCODING.linear(train()), atol=1e-12)


def test_an_encoding_survives_json() -> None:
    again = Encoding.from_dict(json.loads(json.dumps(ENCODING.as_dict())))
    assert again == ENCODING
    pd.testing.assert_frame_equal(again.linear(train()), ENCODING.linear(train()))


def test_a_column_is_traced_back_to_its_attribute() -> None:
    assert {ENCODING.attribute_of(c) for c in ENCODING.linear(one())} == set(KINDS)
    assert ENCODING.attribute_of("industry=a=b") == "industry"
