import json
import math
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.calendar import last_moment
from icploop.errors import DataError
from icploop.modeling.accounts.features import attributes_in
from icploop.modeling.learning.deal_model import DealModel
from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.scoring.version import SCORE_COLUMNS, Bands, IcpVersion, content_hash
from icploop.modeling.statistics.bootstrap import kpi_interval
from icploop.settings import Outcome, Tiers
from tests.companies import AS_OF, KINDS, SETTINGS, market
from tests.unit.modeling.page.test_profile import learned

TRAIN = market(200, seed=4)
UNSEEN = market(120, seed=8)
DEALS = TRAIN.outcomes.assign(won=TRAIN.features["tech"].eq("sso").astype(float), acv=1000.0)
# Archived scores are whatever models that did not see the account said: here a plain third.
ARCHIVED = (TRAIN.truth / 3).sort_index()


@cache
def version() -> IcpVersion:
    model = FitModel(KINDS).fit(TRAIN.features, TRAIN.outcomes)
    expected = model.predict(TRAIN.features)["expected_nrr"]
    return IcpVersion(
        motion="default",
        as_of=AS_OF,
        objective="nrr",
        terms=None,
        attributes=SETTINGS.attributes,
        fit_model=model,
        deal_model=DealModel(KINDS).fit(TRAIN.features, DEALS),
        profile=learned(TRAIN),
        tiers=Tiers(),
        outcome=Outcome(window_months=3),
        bands=Bands.measure(expected, TRAIN.outcomes, draws=200, seed=0),
        reference=np.sort(expected.to_numpy()),
        archived=ARCHIVED,
        snapshot_hash="snapshot",
        policy_hash="policy",
    )


def raw(features: pd.DataFrame) -> pd.DataFrame:
    """Accounts as a CRM exports them: text, and dates instead of ages on 2024-06-30."""
    ages = pd.to_timedelta(features["funded_on"].round(), unit="D")
    return pd.DataFrame(
        {
            "account_id": features.index,
            "employees": features["employees"].map(str, "ignore"),
            "industry": features["industry"],
            "tech": features["tech"],
            "funded_on": (pd.Timestamp(2024, 6, 30) - ages).dt.strftime("%Y-%m-%d"),
            "has_sponsor": features["has_sponsor"].map({1.0: "Yes", 0.0: "no"}),
            "phone": "secret",
        }
    ).reset_index(drop=True)


ACCOUNTS = raw(UNSEEN.features)


@cache
def scores() -> pd.DataFrame:
    return version().score(ACCOUNTS, date(2024, 6, 30), "7")


def test_scores_have_the_columns_of_the_contract_and_the_chance_to_win() -> None:
    assert SCORE_COLUMNS == [
        "account_id",
        "icp_version",
        "fit_score",
        "expected_nrr",
        "expected_nrr_low",
        "expected_nrr_high",
        "p_retained",
        "p_win",
        "tier",
        "reasons_for",
        "reasons_against",
        "coverage",
        "scored_at",
        "note",
    ]
    assert list(scores().columns) == SCORE_COLUMNS


def test_every_account_gets_one_row_in_its_place() -> None:
    found = scores()
    assert found["account_id"].tolist() == ACCOUNTS["account_id"].tolist()
    assert found.index.equals(ACCOUNTS.index)
    assert found["icp_version"].eq("7").all()
    assert found["scored_at"].eq("2024-06-30").all()


def test_scores_lie_within_their_bounds_and_follow_the_truth() -> None:
    found = scores()
    assert found["fit_score"].between(0, 100).all()
    assert found["coverage"].between(0, 1).all()
    assert found["p_retained"].between(0, 1).all()
    assert (found["expected_nrr_low"] >= 0).all()
    assert (found["expected_nrr_low"] <= found["expected_nrr"]).all()
    assert (found["expected_nrr"] <= found["expected_nrr_high"]).all()
    assert found["fit_score"].corr(UNSEEN.truth.reset_index(drop=True), method="spearman") > 0.5


def test_the_fit_score_is_the_percentile_against_the_reference() -> None:
    reference = version().reference
    for expected, fit_score in scores()[["expected_nrr", "fit_score"]].to_numpy()[:10]:
        below = np.mean(reference < expected) + np.mean(reference == expected) / 2
        assert fit_score == pytest.approx(100 * below, abs=0.006)


def test_tiers_follow_the_score_but_for_the_refused_and_the_unknown() -> None:
    found = scores()
    refused = version().profile.rules.is_anti(UNSEEN.features).to_numpy()
    assert refused.any()
    assert found["tier"].eq("anti").tolist() == refused.tolist()
    ranked = found[~refused & (found["tier"] != "unknown")]
    lowest = ranked.groupby("tier")["fit_score"].min()
    highest = ranked.groupby("tier")["fit_score"].max()
    assert lowest["A"] >= highest["B"] >= lowest["B"] >= highest["C"] >= lowest["C"]


def test_an_account_of_which_nothing_is_known_is_unknown_and_not_bad() -> None:
    found = version().score(pd.DataFrame({"account_id": [7]}), AS_OF, "7").iloc[0]
    assert (found["account_id"], found["tier"], found["coverage"]) == ("7", "unknown", 0)
    assert found["expected_nrr"] > 0.5
    assert " unknown: " in found["reasons_for"] + found["reasons_against"]
    assert found["note"] == "only 0 of 5 fields known"


def test_reasons_name_the_attribute_its_value_and_its_points() -> None:
    found = scores()
    best = found[UNSEEN.features["industry"].eq("health").to_numpy()].iloc[0]
    assert best["reasons_for"].startswith("industry is health: +")
    refused = found[found["tier"] == "anti"].iloc[0]
    assert "industry is gaming: -" in refused["reasons_against"]
    features = attributes_in(ACCOUNTS, last_moment(date(2024, 6, 30)), SETTINGS.attributes)
    contributions = version().fit_model.contributions(features)
    for told, row in zip(found.to_dict("records"), contributions.to_numpy(), strict=True):
        for_it, against = (
            [float(reason.rsplit(": ", 1)[1]) for reason in told[side].split("; ") if reason]
            for side in ("reasons_for", "reasons_against")
        )
        assert for_it == sorted(for_it, reverse=True)
        assert against == sorted(against)
        assert all(points > 0 for points in for_it)
        assert all(points < 0 for points in against)
        assert len(for_it) <= 3
        if for_it:
            assert for_it[0] == pytest.approx(100 * row.max(), abs=0.051)


def test_reasons_show_values_as_people_write_them() -> None:
    said = "; ".join([*scores()["reasons_for"], *scores()["reasons_against"]])
    shown = {part.split(": ")[0] for part in said.split("; ") if part}
    assert {"has sponsor", "no has sponsor", "industry is health", "tech has crm"} <= shown
    assert any(part.startswith("last funding ") and part.endswith(" days ago") for part in shown)
    assert not any("nan" in part.lower() for part in shown)


def test_an_account_is_scored_alone_as_it_is_among_others() -> None:
    for row in (0, 17, 119):
        alone = version().score(ACCOUNTS[row : row + 1], date(2024, 6, 30), "7")
        pd.testing.assert_frame_equal(alone, scores()[row : row + 1], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:.*Empty dataset")
def test_no_accounts_have_no_scores() -> None:
    none = version().score(ACCOUNTS[:0], AS_OF, "7")
    assert none.empty
    assert list(none.columns) == SCORE_COLUMNS


def test_dates_are_aged_at_the_end_of_the_day_of_scoring() -> None:
    at_once = version().score(ACCOUNTS, date(2024, 6, 30), "7")
    aged = ACCOUNTS.assign(funded_on="2010-01-01")
    assert (
        not version()
        .score(aged, date(2024, 6, 30), "7")["expected_nrr"]
        .equals(at_once["expected_nrr"])
    )
    features = UNSEEN.features.assign(funded_on=UNSEEN.features["funded_on"].round() + 1 - 1e-11)
    ready = version().score_features(
        pd.Series(features.index, features.index), features, date(2024, 6, 30), "7"
    )
    np.testing.assert_allclose(ready["expected_nrr"], at_once["expected_nrr"], rtol=1e-6)


def test_the_judged_score_is_the_archived_one_where_training_saw_the_account() -> None:
    features = pd.concat([UNSEEN.features[:5], TRAIN.features[:5]])
    judged = version().judged_score(features)
    fresh = version().fit_model.predict(UNSEEN.features[:5])["expected_nrr"]
    assert judged.index.equals(features.index)
    assert judged[:5].tolist() == fresh.tolist()
    assert judged[5:].tolist() == ARCHIVED[TRAIN.features.index[:5]].tolist()


def test_a_version_survives_its_parts_to_the_last_bit() -> None:
    again = IcpVersion.from_parts(version().parts())
    assert again.parts() == version().parts()
    pd.testing.assert_frame_equal(
        again.score(ACCOUNTS, date(2024, 6, 30), "7"), scores(), check_exact=True
    )
    both = pd.concat([TRAIN.features, UNSEEN.features])
    assert again.judged_score(both).tolist() == version().judged_score(both).tolist()
    for name in ("motion", "as_of", "attributes", "profile", "tiers", "outcome", "bands"):
        assert getattr(again, name) == getattr(version(), name)
    assert (again.snapshot_hash, again.policy_hash) == ("snapshot", "policy")


def test_ids_that_look_like_numbers_survive_the_parts() -> None:
    odd = pd.Series({"007": 1.0, "1e3": 0.1 + 0.2, "é|": 1 / 3})
    again = IcpVersion.from_parts(replace(version(), archived=odd).parts())
    assert again.archived.to_dict() == odd.to_dict()


def test_parts_hold_no_code() -> None:
    assert {name.rsplit(".", 1)[1] for name in version().parts()} == {"json", "npy", "ubj"}


PARTS = sorted(version().parts())


@pytest.mark.parametrize("name", PARTS)
def test_a_version_without_one_of_its_parts_is_refused(name: str) -> None:
    parts = version().parts()
    del parts[name]
    with pytest.raises(DataError, match="no ICP version, or it was altered"):
        IcpVersion.from_parts(parts)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_part_is_refused(name: str, share: float) -> None:
    parts = version().parts()
    cut = parts[name][: int(share * len(parts[name]))]
    with pytest.raises(DataError, match="no ICP version, or it was altered"):
        IcpVersion.from_parts(parts | {name: cut})


@pytest.mark.parametrize("name", [name for name in PARTS if name.endswith(".json")])
@pytest.mark.parametrize("junk", [b"null", b"[]", b"3", b'{"encoding": []}', b"\xff"])
def test_a_part_that_holds_something_else_is_refused(name: str, junk: bytes) -> None:
    with pytest.raises(DataError, match="no ICP version, or it was altered"):
        IcpVersion.from_parts(version().parts() | {name: junk})


def test_a_pickle_in_place_of_the_reference_is_not_opened() -> None:
    pickle = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    with pytest.raises(DataError):
        IcpVersion.from_parts(version().parts() | {"reference.npy": pickle.ljust(128) + b"\n"})


@settings(max_examples=15)
@given(st.sampled_from(PARTS), st.data())
def test_the_hash_changes_with_any_byte(name: str, data: st.DataObject) -> None:
    parts = version().parts()
    position = data.draw(st.integers(0, len(parts[name]) - 1))
    flipped = bytearray(parts[name])
    flipped[position] ^= data.draw(st.integers(1, 255))
    assert content_hash(parts | {name: bytes(flipped)}) != content_hash(parts)


def test_the_hash_depends_on_names_but_not_on_the_order_of_parts() -> None:
    parts = {"a": b"1", "b": b"2"}
    assert content_hash(parts) == content_hash({"b": b"2", "a": b"1"})
    others = [{"a": b"2", "b": b"1"}, {"a": b"1"}, {"a": b"1", "c": b"2"}, {"a": b"12", "b": b""}]
    assert len({content_hash(p) for p in [parts, *others]}) == 5


def test_bands_are_the_intervals_of_fifths_of_the_score() -> None:
    expected = TRAIN.truth
    bands = Bands.measure(expected, TRAIN.outcomes, draws=200, seed=0)
    assert bands.edges == pytest.approx(expected.quantile([0.2, 0.4, 0.6, 0.8]).tolist())
    assert len(bands.below) == len(bands.above) == 5
    best = TRAIN.outcomes[expected >= bands.edges[-1]]
    low, high = kpi_interval(best, 0.9, 200, seed=0)
    nrr = best["end_mrr"].sum() / best["start_mrr"].sum()
    assert (bands.below[-1], bands.above[-1]) == pytest.approx((nrr - low, high - nrr))


def test_an_interval_is_that_of_the_band_and_never_below_zero() -> None:
    bands = Bands((0.5, 1.0, 1.5, 2.0), (0.1, 0.2, 0.3, 0.4, 0.5), (0.2, 0.2, 0.3, 0.4, 0.6))
    low, high = bands.interval(np.array([0.05, 0.5, 0.9, 2.5]))
    assert low.tolist() == pytest.approx([0, 0.3, 0.7, 2.0])
    assert high.tolist() == pytest.approx([0.25, 0.7, 1.1, 3.1])


def test_a_band_without_money_promises_no_interval() -> None:
    unbilled = TRAIN.outcomes.assign(start_mrr=0.0, end_mrr=0.0)
    bands = Bands.measure(TRAIN.truth, unbilled, draws=100, seed=0)
    assert all(map(math.isnan, (*bands.below, *bands.above)))
    assert json.loads(version().parts()["version.json"])["bands"]["edges"]


def test_an_account_that_stands_there_twice_has_its_archived_score_twice() -> None:
    known, unknown = TRAIN.features[:1], UNSEEN.features[:1]
    asked = pd.concat([known, unknown, known, unknown])
    archived, fresh = ARCHIVED[known.index[0]], version().ranked(unknown).iloc[0]
    said = version().judged_score(asked).tolist()
    assert said == pytest.approx([archived, fresh, archived, fresh])
