from functools import cache

import numpy as np
import pandas as pd
import pytest

from icploop.modeling.accounts.coding import Coded, coded_frame
from icploop.modeling.learning.deal_model import DealModel
from icploop.modeling.learning.fit_model import STATED, FitModel
from icploop.modeling.scoring.scorer import Scorer
from icploop.settings import HypothesisLine
from tests.companies import KINDS, SETTINGS, Market, market

TRAIN, UNSEEN = market(200, seed=4), market(300, seed=8)
BELIEVED = (HypothesisLine(attribute="industry", any_of=("health",), points=2),)


@cache
def models(
    believed: bool = False, won: bool = True, priced: bool = True
) -> tuple[FitModel, DealModel]:
    deals = TRAIN.outcomes.assign(won=TRAIN.features["tech"].eq("sso").astype(float), acv=1000.0)
    deals["acv"] *= 1 + TRAIN.features["has_sponsor"].fillna(0)
    if not priced:
        deals["acv"] = np.nan
    return (
        FitModel(KINDS, hypothesis=BELIEVED if believed else ()).fit(
            TRAIN.features, TRAIN.outcomes
        ),
        DealModel(KINDS).fit(TRAIN.features, deals if won else deals.assign(won=1.0)),
    )


def coded(features: pd.DataFrame = UNSEEN.features) -> Coded:
    return coded_frame(features, SETTINGS.attributes)


@pytest.mark.parametrize("believed", [False, True], ids=["nothing stated", "with a hypothesis"])
def test_it_says_what_the_models_say(believed: bool) -> None:
    fit, deal = models(believed)
    said = Scorer(fit, deal).predict(coded()).columns
    for model in (fit, deal):
        expected = model.predict(UNSEEN.features)
        for name in expected:
            np.testing.assert_allclose(said[name], expected[name], rtol=1e-12)


@pytest.mark.parametrize("believed", [False, True], ids=["nothing stated", "with a hypothesis"])
def test_contributions_are_those_of_the_fit_model(believed: bool) -> None:
    fit, deal = models(believed)
    scorer = Scorer(fit, deal)
    expected = fit.contributions(UNSEEN.features)
    assert scorer.attributes == expected.columns.tolist()
    assert (STATED in scorer.attributes) == believed
    found = scorer.contributions(scorer.predict(coded()))
    np.testing.assert_allclose(found.T, expected.to_numpy(), atol=1e-6)


def test_the_boosters_see_the_same_matrix_to_the_last_bit() -> None:
    fit, deal = models()
    matrix = Scorer(fit, deal).predict(coded()).matrix
    expected = fit.encoding_.tree(UNSEEN.features).to_numpy()
    assert matrix.tobytes() == expected.astype("float32").tobytes()


def test_an_account_has_the_same_bytes_alone_and_among_others() -> None:
    scorer = Scorer(*models(believed=True))
    whole = scorer.predict(coded())
    points = scorer.contributions(whole)
    for start, stop in ((0, 1), (7, 100), (299, 300)):
        part = scorer.predict(coded().part(start, stop))
        for name, values in part.columns.items():
            assert values.tobytes() == whole.columns[name][start:stop].tobytes()
        assert np.array_equal(scorer.contributions(part), points[:, start:stop])


def test_what_deals_cannot_tell_is_missing() -> None:
    fit, deal = models(won=False)
    said = Scorer(fit, deal).predict(coded()).columns
    assert np.isnan(said["p_win"]).all()
    assert np.isfinite(said["expected_acv"]).all()


def test_deals_that_are_all_won_and_have_no_value_tell_nothing() -> None:
    fit, deal = models(won=False, priced=False)
    said = Scorer(fit, deal).predict(coded()).columns
    assert np.isnan(said["p_win"]).all()
    assert np.isnan(said["expected_acv"]).all()
    assert np.isfinite(said["expected_nrr"]).all()


def test_values_beyond_all_bounds_and_unheard_of_words_are_scored_alike() -> None:
    odd = UNSEEN.features.assign(employees=1e30, industry="mining", tech="x|y")
    odd.iloc[0] = np.nan
    fit, deal = models()
    said = Scorer(fit, deal).predict(coded(odd)).columns["expected_nrr"]
    np.testing.assert_allclose(said, fit.predict(odd)["expected_nrr"], rtol=1e-12)


def test_a_number_too_large_for_the_boosters_is_the_largest_they_know() -> None:
    scorer = Scorer(*models())
    huge, larger = (coded(UNSEEN.features.assign(employees=size)) for size in (1e38, 1e300))
    found = [scorer.predict(each).columns["expected_nrr"] for each in (huge, larger)]
    assert np.array_equal(*found)


def test_nobody_is_scored_as_nobody() -> None:
    scorer = Scorer(*models())
    none = scorer.predict(coded(UNSEEN.features[:0]))
    assert len(none.columns["expected_nrr"]) == 0
    assert scorer.contributions(none).shape == (len(scorer.attributes), 0)


def deleted(training: Market) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of reasons worth two points or more: what was said, what the score lost when the field was
    deleted, and what the unknown field then counted for itself. In points of NRR."""
    _, deal = models()
    scorer = Scorer(FitModel(KINDS).fit(training.features, training.outcomes), deal)
    before = scorer.predict(coded())
    points = 100 * scorer.contributions(before)
    told, lost, of_unknown = [], [], []
    for i, name in enumerate(scorer.attributes):
        emptied = UNSEEN.features.assign(**{name: None}).astype(UNSEEN.features.dtypes)
        after = scorer.predict(coded(emptied))
        asked = (np.abs(points[i]) >= 2) & UNSEEN.features[name].notna().to_numpy()
        moved = before.columns["expected_nrr"] - after.columns["expected_nrr"]
        told.append(points[i][asked])
        lost.append(100 * moved[asked])
        of_unknown.append(100 * scorer.contributions(after)[i][asked])
    return np.concatenate(told), np.concatenate(lost), np.concatenate(of_unknown)


def share_near(said: np.ndarray, moved: np.ndarray) -> float:
    """The share that is right within three points, or within a third of what was said."""
    return float(np.mean(np.abs(moved - said) <= np.maximum(3, np.abs(said) / 3)))


def test_deleting_a_named_field_moves_expected_nrr_by_about_what_was_said() -> None:
    told, lost, _ = deleted(market(1500, seed=4))
    assert len(told) > 500
    assert np.corrcoef(told, lost)[0, 1] > 0.97
    assert share_near(told, lost) >= 0.9


def test_with_few_customers_the_unknown_counts_for_itself_and_the_rest_is_as_said() -> None:
    """Unknown industry, which 20 of 200 customers had, is worth something by chance."""
    told, lost, of_unknown = deleted(TRAIN)
    assert share_near(told, lost) < 0.9
    assert share_near(told - of_unknown, lost) >= 0.9
