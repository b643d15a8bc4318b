import numpy as np
import pytest
import xgboost as xgb

from icploop.modeling.learning.trees import Change, Margins

COLUMNS = 6


def matrix(rows: int, seed: int) -> np.ndarray:
    """Numbers of which one in ten is missing, in single precision."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, COLUMNS))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values.astype("float32")


SEEN = matrix(500, seed=1)
ASKED = matrix(60, seed=2)


def booster(objective: str, trees: int = 40) -> xgb.Booster:
    target = np.exp(np.nan_to_num(SEEN[:, 0]) - np.nan_to_num(SEEN[:, 1]) ** 2)
    settings = {"objective": objective, "max_depth": 3, "base_score": 0.7, "nthread": 1}
    return xgb.train(settings, xgb.DMatrix(SEEN, label=target), num_boost_round=trees)


def said(by: xgb.Booster, rows: np.ndarray) -> np.ndarray:
    return by.predict(xgb.DMatrix(rows, nthread=1), output_margin=True)


@pytest.mark.parametrize("objective", ["count:poisson", "reg:squarederror"])
def test_they_say_what_the_booster_says_to_the_last_bit(objective: str) -> None:
    asked = booster(objective)
    assert Margins(asked, ASKED).all().tobytes() == said(asked, ASKED).tobytes()


@pytest.mark.parametrize("column", range(COLUMNS))
def test_of_altered_accounts_too(column: int) -> None:
    asked = booster("reg:squarederror")
    rows = np.array([5, 3, 3, 59, 0, 12])
    other = np.array([0.1, np.nan, -2.0, 3.0, 0.0, 0.5], dtype="float32")
    altered = ASKED[rows]
    altered[:, column] = other
    found = Margins(asked, ASKED).altered(Change(rows, {column: other}))
    assert found.tobytes() == said(asked, altered).tobytes()


def test_a_tree_may_ask_nothing() -> None:
    alike = xgb.train(
        {"objective": "reg:squarederror", "nthread": 1},
        xgb.DMatrix(SEEN, label=np.ones(len(SEEN))),
        num_boost_round=3,
    )
    margins = Margins(alike, ASKED)
    assert margins.all().tobytes() == said(alike, ASKED).tobytes()
    change = Change(np.arange(3), {0: ASKED[:3, 0]})
    assert margins.altered(change).tobytes() == margins.all()[:3].tobytes()


def test_nobody_may_be_asked_about() -> None:
    assert Margins(booster("count:poisson"), ASKED[:0]).all().shape == (0,)
