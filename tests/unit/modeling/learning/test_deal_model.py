import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone

from icploop.errors import DataError
from icploop.modeling.learning.deal_model import DealModel
from tests.companies import KINDS, market

PART = "deal_model.json"


@dataclass(frozen=True)
class Pipeline:
    """Closed deals whose chance and ACV depend on what is known of the account."""

    features: pd.DataFrame
    deals: pd.DataFrame
    p_win: pd.Series
    log_acv: pd.Series


def pipeline(n: int = 400, seed: int = 0, effect: float = 1.0) -> Pipeline:
    """P(win) depends on industry and sponsor, ACV on employees and tech, both times `effect`.

    Of a quarter of the deals the ACV is missing.
    """
    rng = np.random.default_rng(seed + 1000)
    features = market(n, seed).features
    liked = features["industry"].map({"health": 1.2, "retail": 0.0, "gaming": -1.2}).fillna(0)
    sponsored = features["has_sponsor"].fillna(0.5) - 0.5
    p_win = expit(-0.8 + effect * (liked + 1.2 * sponsored))
    large = (np.log(features["employees"]) - 4).fillna(0)
    sso = features["tech"].str.contains("sso", na=False).astype("float64")
    log_acv = 9 + effect * (0.5 * large + 0.5 * sso)
    acv = np.exp(log_acv + rng.normal(0, 0.5, n))
    deals = pd.DataFrame(
        {
            "parent": [f"p{i}" for i in range(n)],
            "won": (rng.random(n) < p_win).astype("float64"),
            "acv": acv.mask(rng.random(n) < 0.25),
        },
        index=features.index,
    )
    return Pipeline(features, deals, p_win, log_acv)


TRAIN = pipeline()
UNSEEN = pipeline(600, seed=50)


def fitted(train: Pipeline = TRAIN, **changed: Any) -> DealModel:
    return DealModel(KINDS).fit(train.features, train.deals.assign(**changed))


MODEL = fitted()


def rank_correlation(one: pd.Series, other: pd.Series) -> float:
    return float(one.corr(other, method="spearman"))


def test_the_planted_chance_and_acv_are_recovered_on_accounts_that_were_not_seen() -> None:
    predicted = MODEL.predict(UNSEEN.features)
    assert rank_correlation(predicted["p_win"], UNSEEN.p_win) > 0.8
    assert rank_correlation(predicted["expected_acv"], UNSEEN.log_acv) > 0.8


def test_chances_are_as_far_apart_as_they_should_be() -> None:
    slopes = []
    for seed in range(6):
        predicted = fitted(pipeline(seed=seed)).predict(UNSEEN.features)["p_win"]
        slopes.append(np.polyfit(predicted, UNSEEN.p_win, 1)[0])
        assert predicted.mean() == pytest.approx(UNSEEN.p_win.mean(), abs=0.08)
    assert np.mean(slopes) == pytest.approx(1, abs=0.2)


def test_expected_acv_is_the_mean_and_not_the_typical_one() -> None:
    typical = np.exp(UNSEEN.log_acv).mean()
    found = [
        fitted(pipeline(seed=seed)).predict(UNSEEN.features)["expected_acv"].mean()
        for seed in range(6)
    ]
    assert np.mean(found) == pytest.approx(typical * np.exp(0.5**2 / 2), rel=0.06)


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_is_planted_nothing_much_is_found(seed: int) -> None:
    predicted = fitted(pipeline(seed=seed, effect=0)).predict(UNSEEN.features)
    planted = MODEL.predict(UNSEEN.features)
    assert predicted["p_win"].std() < 0.3 * planted["p_win"].std()
    assert predicted["expected_acv"].std() < 0.4 * planted["expected_acv"].std()
    assert predicted["p_win"].mean() == pytest.approx(expit(-0.8), abs=0.08)


def test_where_odds_fall_when_the_line_says_they_rise_everybody_has_the_average_chance() -> None:
    constant = 0
    for seed in range(8):
        noise = pipeline(60, seed=seed, effect=0)
        p_win = fitted(noise).predict(UNSEEN.features)["p_win"]
        if np.ptp(p_win) < 1e-9:
            assert p_win.iloc[0] == pytest.approx(noise.deals["won"].mean())
            constant += 1
    assert constant > 0


@pytest.mark.parametrize("won", [0.0, 1.0])
def test_without_both_won_and_lost_deals_p_win_is_missing(won: float) -> None:
    model = fitted(won=won)
    predicted = model.predict(UNSEEN.features)
    assert not model.knows_p_win
    assert predicted["p_win"].isna().all()
    assert predicted["expected_acv"].notna().all()
    assert MODEL.knows_p_win


@pytest.mark.parametrize("acv", [np.nan, 0.0])
def test_without_any_acv_the_expected_one_is_missing(acv: float) -> None:
    predicted = fitted(acv=acv).predict(UNSEEN.features)
    assert predicted["expected_acv"].isna().all()
    pd.testing.assert_series_equal(predicted["p_win"], MODEL.predict(UNSEEN.features)["p_win"])


def test_deals_without_an_acv_teach_no_acv() -> None:
    some = TRAIN.deals["acv"].where(TRAIN.deals["acv"] < 10_000)
    zero, missing = (fitted(acv=some.fillna(filled)) for filled in (0.0, np.nan))
    assert zero.parts() == missing.parts()
    assert MODEL.parts() != missing.parts()


def test_predictions_stay_within_their_bounds_and_on_their_index() -> None:
    asked = UNSEEN.features.sample(frac=1, random_state=2)
    predicted = MODEL.predict(asked)
    assert list(predicted.columns) == ["p_win", "expected_acv"]
    assert predicted.index.equals(asked.index)
    assert predicted["p_win"].between(0, 1).all()
    assert (predicted["expected_acv"] > 0).all()


def test_the_order_of_rows_and_columns_changes_nothing() -> None:
    rows = TRAIN.features.sample(frac=1, random_state=5)
    shuffled = DealModel(dict(reversed(KINDS.items()))).fit(
        rows[sorted(rows.columns, reverse=True)], TRAIN.deals.sample(frac=1, random_state=6)
    )
    assert shuffled.parts() == MODEL.parts()


def test_a_model_survives_its_parts_without_a_change() -> None:
    for model in (MODEL, fitted(won=1.0), fitted(acv=np.nan)):
        again = DealModel.from_parts(model.parts())
        assert again.parts() == model.parts()
        assert again.knows_p_win == model.knows_p_win
        pd.testing.assert_frame_equal(
            again.predict(UNSEEN.features), model.predict(UNSEEN.features), check_exact=True
        )


def test_parts_are_one_piece_of_plain_json() -> None:
    parts = MODEL.parts()
    assert list(parts) == [PART]
    assert set(json.loads(parts[PART])) == {"seed", "encoding", "win", "acv"}


def without_encoding(document: dict[str, Any]) -> None:
    del document["encoding"]


def without_a_weight(document: dict[str, Any]) -> None:
    document["win"]["weights"].popitem()


def without_a_constant(document: dict[str, Any]) -> None:
    del document["acv"]["constant"]


def with_a_list_of_weights(document: dict[str, Any]) -> None:
    document["acv"]["weights"] = list(document["acv"]["weights"].values())


def with_another_level(document: dict[str, Any]) -> None:
    document["encoding"]["levels"]["industry"].append("altered")


@pytest.mark.parametrize(
    "alter",
    [
        without_encoding,
        without_a_weight,
        without_a_constant,
        with_a_list_of_weights,
        with_another_level,
    ],
)
def test_altered_parts_are_refused(alter: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(MODEL.parts()[PART])
    alter(document)
    with pytest.raises((ValueError, KeyError, TypeError)):
        DealModel.from_parts({PART: json.dumps(document).encode()})


@pytest.mark.parametrize("parts", [{}, {PART: b""}, {PART: MODEL.parts()[PART][:-20]}])
def test_missing_and_cut_parts_are_refused(parts: dict[str, bytes]) -> None:
    with pytest.raises((ValueError, KeyError)):
        DealModel.from_parts(parts)


def test_an_unseen_category_is_no_reason_to_stop() -> None:
    strange = UNSEEN.features.assign(industry="never seen", tech="neither|this")
    assert MODEL.predict(strange).notna().all(axis=None)


def test_an_account_of_which_nothing_is_known_is_expected_to_be_about_average() -> None:
    nothing = UNSEEN.features[:1].mask(np.ones((1, len(KINDS)), dtype=bool))
    predicted = MODEL.predict(nothing).iloc[0]
    assert predicted["p_win"] == pytest.approx(TRAIN.deals["won"].mean(), abs=0.25)
    assert predicted["expected_acv"] == pytest.approx(TRAIN.deals["acv"].mean(), rel=0.5)


def test_without_any_deal_there_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="at least one closed deal"):
        DealModel(KINDS).fit(TRAIN.features[:0], TRAIN.deals[:0])


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_a_handful_of_deals_gives_a_timid_model(n: int) -> None:
    features, deals = TRAIN.features[:n], TRAIN.deals[:n].assign(won=0.0, acv=5000.0)
    deals.iloc[0, deals.columns.get_loc("won")] = 1.0
    predicted = DealModel(KINDS).fit(features, deals).predict(UNSEEN.features)
    assert predicted["expected_acv"].to_numpy() == pytest.approx(np.full(600, 5000.0), rel=1e-3)
    if n > 1:
        assert predicted["p_win"].between(0.02, 0.9).all()


def test_deals_of_one_parent_are_no_reason_to_stop() -> None:
    assert fitted(parent="one").predict(UNSEEN.features).notna().all(axis=None)


def test_nobody_is_predicted_as_nobody() -> None:
    assert MODEL.predict(UNSEEN.features[:0]).empty


def test_fitting_leaves_the_data_alone_and_follows_sklearn() -> None:
    features, deals = TRAIN.features.copy(), TRAIN.deals.copy()
    again = clone(MODEL).fit(TRAIN.features, TRAIN.deals)
    pd.testing.assert_frame_equal(TRAIN.features, features)
    pd.testing.assert_frame_equal(TRAIN.deals, deals)
    assert again.get_params() == {"kinds": KINDS, "seed": 0}
    assert again.parts() == MODEL.parts()
