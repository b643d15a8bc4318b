import numpy as np
import pytest
import xgboost as xgb

from icploop.modeling.scoring.tree_shap import TreeShap

ROWS, COLUMNS = 400, 9
# Columns 0 to 2 are one group, 3 and 4 another, the rest is alone.
GROUP = [0, 0, 0, 1, 1, 2, 3, 4, 5]


def matrix(seed: int, rows: int = ROWS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.where(
        np.arange(COLUMNS) < 5,
        rng.integers(0, 2, (rows, COLUMNS)),
        rng.normal(size=(rows, COLUMNS)),
    ).astype("float32")
    values[rng.random(values.shape) < 0.15] = np.nan
    return values


def boosters(depth: int, many: int = 2, trees: int = 12) -> list[xgb.Booster]:
    known = matrix(1)
    filled = np.nan_to_num(known)
    label = filled[:, 0] + filled[:, 5] * filled[:, 6] - filled[:, 3] * (filled[:, 7] > 0)
    table = xgb.DMatrix(known, label=label)
    return [
        xgb.train({"max_depth": depth, "eta": 0.3, "seed": s, "subsample": 0.7}, table, trees)
        for s in range(many)
    ]


def by_xgboost(of: list[xgb.Booster], asked: np.ndarray) -> np.ndarray:
    of_columns = np.mean([b.predict(xgb.DMatrix(asked), pred_contribs=True) for b in of], axis=0)
    return np.array(
        [of_columns[:, :-1][:, np.array(GROUP) == g].sum(axis=1) for g in range(max(GROUP) + 1)]
    )


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6])
def test_the_values_are_those_of_xgboost(depth: int) -> None:
    models, asked = boosters(depth), matrix(2)
    np.testing.assert_allclose(
        TreeShap(models, GROUP).values(asked), by_xgboost(models, asked), atol=3e-6
    )


def test_the_values_and_the_average_add_up_to_the_prediction() -> None:
    models, asked = boosters(3), matrix(3)
    said = np.mean([b.predict(xgb.DMatrix(asked), output_margin=True) for b in models], axis=0)
    rest = said - TreeShap(models, GROUP).values(asked).sum(axis=0)
    assert np.ptp(rest) < 1e-5


def test_a_row_has_the_same_bytes_alone_and_among_others() -> None:
    shap, asked = TreeShap(boosters(3), GROUP), matrix(4, rows=20_000)
    whole = shap.values(asked)
    for part in (slice(0, 1), slice(8191, 8193), slice(19_990, 20_000)):
        assert np.array_equal(shap.values(asked[part]), whole[:, part])


def test_trees_without_a_split_add_nothing() -> None:
    alike = xgb.DMatrix(np.zeros((30, COLUMNS)), label=np.ones(30))
    stump = xgb.train({"max_depth": 3}, alike, 3)
    assert not TreeShap([stump], GROUP).values(matrix(5)).any()


def test_no_rows_have_no_values() -> None:
    assert TreeShap(boosters(2), GROUP).values(matrix(5)[:0]).shape == (6, 0)


def test_trees_too_deep_for_tables_are_refused() -> None:
    known = np.arange(2000, dtype="float32")[:, None]
    deep = xgb.train(
        {"max_depth": 12, "lambda": 0}, xgb.DMatrix(known, label=np.sin(known[:, 0] ** 2)), 1
    )
    with pytest.raises(ValueError, match="shallow"):
        TreeShap([deep], [0])
