import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from icploop.errors import DataError
from icploop.modeling.fit_model import WINSORISED_AT, FitModel
from tests.companies import KINDS, Market, market

TRAIN = market(200, seed=1)
UNSEEN = market(300, seed=2)


def fitted(train: Market = TRAIN, bags: int = 1, seed: int = 0) -> FitModel:
    return FitModel(KINDS, bags=bags, seed=seed).fit(train.features, train.outcomes)


MODEL = fitted(bags=2)


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
    wild = TRAIN.outcomes.assign(nrr=TRAIN.outcomes["nrr"] ** 8)
    predicted = FitModel(KINDS, bags=1).fit(TRAIN.features, wild).predict(UNSEEN.features)
    assert predicted["expected_nrr"].between(0, WINSORISED_AT).all()
    assert predicted["p_retained"].between(0.01, 0.99).all()


def test_an_account_that_grew_tenfold_counts_no_more_than_one_that_doubled() -> None:
    best = TRAIN.outcomes["nrr"] > 1.5
    doubled, tenfold = (
        FitModel(KINDS, bags=1).fit(
            TRAIN.features, TRAIN.outcomes.assign(nrr=TRAIN.outcomes["nrr"].mask(best, grown))
        )
        for grown in (2.0, 10.0)
    )
    assert doubled.parts() == tenfold.parts()


def test_the_order_of_rows_and_columns_changes_no_score() -> None:
    rows = TRAIN.features.sample(frac=1, random_state=5)
    shuffled = FitModel(dict(reversed(KINDS.items())), bags=2).fit(
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
    assert len(parts) == 1 + 2 * MODEL.bags
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
    inside = expected.between(0.01, WINSORISED_AT - 0.01)
    rest = (expected - found.sum(axis=1))[inside]
    assert set(found.columns) == set(KINDS)
    assert rest.max() - rest.min() < 1e-5
    assert rest.mean() == pytest.approx(TRAIN.outcomes["nrr"].mean(), abs=0.02)


def test_contributions_are_against_the_average_training_account() -> None:
    assert MODEL.contributions(TRAIN.features).mean().abs().max() < 0.004


def test_every_bag_is_another_draw() -> None:
    parts = MODEL.parts()
    assert parts["nrr-0.ubj"] != parts["nrr-1.ubj"]


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


def test_where_the_trees_found_nothing_no_attribute_has_gained() -> None:
    flat = FitModel(KINDS, bags=1).fit(TRAIN.features, TRAIN.outcomes.assign(nrr=1.0, retained=1.0))
    assert flat.gain().eq(0).all()
    assert flat.predict(UNSEEN.features)["expected_nrr"].round(6).eq(1).all()


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_accounts_teach_nothing(n: int) -> None:
    with pytest.raises(DataError, match=f"at least two matured accounts; got {n}"):
        FitModel(KINDS).fit(TRAIN.features[:n], TRAIN.outcomes[:n])


@pytest.mark.parametrize("n", [2, 3, 7])
def test_a_handful_of_accounts_gives_a_timid_model(n: int) -> None:
    few = FitModel(KINDS, bags=1).fit(TRAIN.features[:n], TRAIN.outcomes[:n])
    expected = few.predict(UNSEEN.features)["expected_nrr"]
    assert expected.notna().all()
    assert expected.mean() == pytest.approx(TRAIN.outcomes["nrr"][:n].mean(), abs=0.3)


def test_categories_of_which_each_account_has_its_own_are_no_reason_to_stop() -> None:
    features = pd.DataFrame({"domain": TRAIN.features.index.astype("str")}, TRAIN.features.index)
    model = FitModel({"domain": "category"}, bags=1).fit(features, TRAIN.outcomes)
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
    assert again.get_params() == {"bags": 2, "kinds": KINDS, "seed": 0}
    linear = list(again.encoding_.linear(TRAIN.features).columns)
    assert again.get_feature_names_out().tolist() == linear
