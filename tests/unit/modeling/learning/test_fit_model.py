import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from icploop.errors import DataError
from icploop.modeling.accounts.features import Altered
from icploop.modeling.learning.fit_model import FitModel
from icploop.settings import HypothesisLine
from tests.companies import KINDS, Market, market

TRAIN = market(200, seed=1)
UNSEEN = market(300, seed=2)


def fitted(train: Market = TRAIN, seed: int = 0) -> FitModel:
    return FitModel(KINDS, seed=seed).fit(train.features, train.outcomes)


MODEL = fitted()


def rank_correlation(one: pd.Series, other: pd.Series) -> float:
    return float(one.corr(other, method="spearman"))


def test_the_planted_truth_is_recovered_on_accounts_that_were_not_seen() -> None:
    predicted = MODEL.predict(UNSEEN.features)
    assert rank_correlation(predicted["expected_nrr"], UNSEEN.truth) > 0.6
    assert rank_correlation(predicted["p_retained"], UNSEEN.truth) > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_is_planted_nothing_much_is_found(seed: int) -> None:
    noise = fitted(market(200, seed=seed, effect=0)).predict(UNSEEN.features)["expected_nrr"]
    assert noise.std() < 0.5 * MODEL.predict(UNSEEN.features)["expected_nrr"].std()


def test_expectations_are_on_the_scale_of_what_is_expected() -> None:
    predicted = MODEL.predict(UNSEEN.features)
    assert predicted["expected_nrr"].mean() == pytest.approx(UNSEEN.truth.mean(), abs=0.08)
    retention = UNSEEN.outcomes["retained"].mean()
    assert predicted["p_retained"].mean() == pytest.approx(retention, abs=0.08)


def test_expectations_stay_within_their_bounds() -> None:
    wild = TRAIN.outcomes.assign(
        nrr=TRAIN.outcomes["nrr"] ** 8, log_growth=8 * TRAIN.outcomes["log_growth"]
    )
    predicted = FitModel(KINDS).fit(TRAIN.features, wild).predict(UNSEEN.features)
    assert predicted["expected_nrr"].between(0, 6).all()
    assert predicted["p_retained"].between(0, 1).all()
    assert (predicted["expected_grr"] <= predicted["p_retained"]).all()


def test_expected_grr_is_on_the_scale_of_what_is_realised() -> None:
    predicted = MODEL.predict(UNSEEN.features)
    assert predicted["expected_grr"].mean() == pytest.approx(
        UNSEEN.outcomes["grr"].mean(), abs=0.08
    )
    assert rank_correlation(predicted["expected_grr"], UNSEEN.truth) > 0.5


def test_an_account_that_grew_tenfold_counts_no_more_than_one_that_grew_fourfold() -> None:
    best = TRAIN.outcomes["nrr"] > 1.5
    assert best.sum() > 5
    fourfold, tenfold = (
        FitModel(KINDS).fit(
            TRAIN.features,
            TRAIN.outcomes.assign(
                nrr=TRAIN.outcomes["nrr"].mask(best, grown),
                log_growth=TRAIN.outcomes["log_growth"].mask(best, np.log(grown)),
            ),
        )
        for grown in (4.0, 10.0)
    )
    assert fourfold.parts() == tenfold.parts()


def test_the_order_of_rows_and_columns_changes_no_score() -> None:
    rows = TRAIN.features.sample(frac=1, random_state=5)
    shuffled = FitModel(dict(reversed(KINDS.items()))).fit(
        rows[sorted(rows.columns, reverse=True)], TRAIN.outcomes.sample(frac=1, random_state=6)
    )
    asked = UNSEEN.features[sorted(KINDS)].sample(frac=1, random_state=7)
    pd.testing.assert_frame_equal(
        shuffled.predict(asked).loc[UNSEEN.features.index],
        MODEL.predict(UNSEEN.features),
        check_exact=True,
    )


def test_an_account_is_scored_alone_as_it_is_in_company() -> None:
    together = MODEL.predict(UNSEEN.features)
    alone = pd.concat([MODEL.predict(UNSEEN.features[i : i + 1]) for i in range(5)])
    pd.testing.assert_frame_equal(alone, together[:5], rtol=1e-9)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_model() -> None:
    assert fitted().parts() == fitted().parts()
    assert fitted(seed=1).parts() != fitted().parts()


def test_a_model_survives_its_parts_without_a_change() -> None:
    again = FitModel.from_parts(MODEL.parts())
    assert again.parts() == MODEL.parts()
    for method in ("predict", "contributions"):
        pd.testing.assert_frame_equal(
            getattr(again, method)(UNSEEN.features),
            getattr(MODEL, method)(UNSEEN.features),
            check_exact=True,
        )
    pd.testing.assert_series_equal(again.gain(), MODEL.gain())


def test_parts_hold_no_code() -> None:
    parts = MODEL.parts()
    assert {name.rsplit(".", 1)[1] for name in parts} == {"json", "ubj"}
    assert len(parts) == 1 + 2 * 5
    assert not any(raw.startswith(b"\x80") for raw in parts.values())


def test_an_account_of_which_nothing_is_known_is_expected_to_be_about_average() -> None:
    nothing = UNSEEN.features[:1].mask(np.ones((1, len(KINDS)), dtype=bool))
    predicted = MODEL.predict(nothing).iloc[0]
    assert predicted["expected_nrr"] == pytest.approx(TRAIN.outcomes["nrr"].mean(), abs=0.25)


def test_an_unseen_category_is_no_reason_to_stop() -> None:
    strange = UNSEEN.features.assign(industry="never seen", tech="neither|this")
    assert MODEL.predict(strange).notna().all(axis=None)


def test_contributions_add_up_to_the_expectation_but_for_one_number_that_all_share() -> None:
    found = MODEL.contributions(UNSEEN.features)
    expected = MODEL.predict(UNSEEN.features)["expected_nrr"]
    rest = expected - found.sum(axis=1)
    assert set(found.columns) == set(KINDS)
    assert rest.max() - rest.min() < 1e-5
    assert rest.mean() == pytest.approx(TRAIN.outcomes["nrr"].mean(), abs=0.05)


def test_contributions_are_against_the_average_training_account() -> None:
    assert MODEL.contributions(TRAIN.features).mean().abs().max() < 0.01


def test_every_bag_is_another_draw() -> None:
    parts = MODEL.parts()
    assert parts["growth-0.ubj"] != parts["growth-1.ubj"]


def test_contributions_point_where_the_truth_does() -> None:
    found = MODEL.contributions(UNSEEN.features).groupby(UNSEEN.features["industry"]).mean()
    assert found.loc["health", "industry"] > 0.1
    assert found.loc["gaming", "industry"] < -0.1
    noise = MODEL.contributions(UNSEEN.features)["has_sponsor"].abs().mean()
    assert noise < 0.3 * MODEL.contributions(UNSEEN.features)["industry"].abs().mean()


def test_gain_is_shared_among_the_attributes() -> None:
    gain = MODEL.gain()
    assert set(gain.index) == set(KINDS)
    assert gain.sum() == pytest.approx(1)
    assert gain.idxmax() == "industry"


def test_where_nobody_leaves_or_grows_everybody_is_expected_to_stay_as_he_is() -> None:
    calm = TRAIN.outcomes.assign(
        nrr=1.0, grr=1.0, retained=1.0, churned=0.0, months_at_risk=12.0, log_growth=0.0
    )
    flat = FitModel(KINDS).fit(TRAIN.features, calm)
    assert flat.gain().eq(0).all()
    predicted = flat.predict(UNSEEN.features)
    assert predicted["expected_nrr"].round(2).eq(1).all()
    # Nobody has left yet, which is not the same as that nobody ever will.
    assert predicted["p_retained"].between(0.99, 0.9999).all()


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_accounts_teach_nothing(n: int) -> None:
    with pytest.raises(DataError, match=f"at least two customers .* got {n}"):
        FitModel(KINDS).fit(TRAIN.features[:n], TRAIN.outcomes[:n])


@pytest.mark.parametrize("n", [2, 3, 7])
def test_a_handful_of_accounts_gives_a_timid_model(n: int) -> None:
    few = FitModel(KINDS).fit(TRAIN.features[:n], TRAIN.outcomes[:n])
    expected = few.predict(UNSEEN.features)["expected_nrr"]
    assert expected.notna().all()
    assert expected.mean() == pytest.approx(TRAIN.outcomes["nrr"][:n].mean(), abs=0.3)


def test_categories_of_which_each_account_has_its_own_are_no_reason_to_stop() -> None:
    features = pd.DataFrame({"domain": TRAIN.features.index.astype("str")}, TRAIN.features.index)
    model = FitModel({"domain": "category"}).fit(features, TRAIN.outcomes)
    assert len(model.predict(features).drop_duplicates()) == 1
    assert model.contributions(features).abs().max(axis=None) < 0.01
    assert FitModel.from_parts(model.parts()).gain().tolist() == [0]


@pytest.mark.filterwarnings("ignore:.*Empty dataset")
def test_nobody_is_predicted_and_explained_as_nobody() -> None:
    assert MODEL.predict(UNSEEN.features[:0]).empty
    assert list(MODEL.contributions(UNSEEN.features[:0]).columns) == sorted(KINDS)


def test_fitting_leaves_the_data_alone_and_follows_sklearn() -> None:
    before = TRAIN.features.copy()
    again = clone(MODEL).fit(TRAIN.features, TRAIN.outcomes)
    pd.testing.assert_frame_equal(TRAIN.features, before)
    assert again.get_params() == {"kinds": KINDS, "outcome": None, "hypothesis": (), "seed": 0}
    linear = list(again.encoding_.linear(TRAIN.features).columns)
    assert again.get_feature_names_out().tolist() == linear


@pytest.mark.parametrize("name", KINDS)
def test_what_would_be_expected_of_altered_accounts_is_what_is_of_such_accounts(name: str) -> None:
    stated = HypothesisLine(attribute="industry", any_of=("health",), points=2)
    model = FitModel(KINDS, hypothesis=(stated,)).fit(TRAIN.features, TRAIN.outcomes)
    values = UNSEEN.features[name]
    shuffled = Altered(name, np.array([4, 4, 9, 0]), values.iloc[[1, 2, 3, 200]])
    hidden = Altered(name, np.arange(50), values.iloc[:50].mask(values.iloc[:50].notna()))
    found = model.expected_if(model.encoded(UNSEEN.features), [None, shuffled, hidden])
    asked = [UNSEEN.features, *(change.of(UNSEEN.features) for change in (shuffled, hidden))]
    expected = model.predict(pd.concat(asked, ignore_index=True))["expected_nrr"]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_an_attribute_that_a_model_does_not_know_changes_nothing() -> None:
    accounts = MODEL.encoded(UNSEEN.features.assign(plan="a"))
    change = Altered("plan", np.arange(5), pd.Series(["b"] * 5))
    whole, altered = MODEL.expected_if(accounts, [None, change])
    np.testing.assert_array_equal(altered, whole[:5])
