"""The simulated company: its rates, its truth, and that its tables keep the contract."""

from dataclasses import fields
from functools import cache

import numpy as np
import pandas as pd
import pytest

from icploop.demo.draw_world import draw_nature
from icploop.demo.market import KINDS, NEVER_MATTER, SETS
from icploop.demo.traits import MATTERING
from icploop.demo.truth import CHURN, GROWTH, Nature
from icploop.demo.world import World, WorldSpec, simulate

TABLES = ("accounts", "deals", "revenue", "signals", "truth")
TRUE_RATIOS = ["expected_nrr", "p_retained", "expected_grr", "p_win"]
SEEDS = (1, 2, 3)


@cache
def world(**changes: object) -> World:
    return simulate(WorldSpec(**{"seed": 1, **changes}))


@cache
def nature(**changes: object) -> Nature:
    return draw_nature(WorldSpec(**{"seed": 1, **changes}))


def outcomes(world: World) -> pd.DataFrame:
    """Matured wins with revenue at the first bill (`start`) and twelve months later (`end`)."""
    won = world.deals[world.deals["outcome"] == "won"].set_index("account_id")
    first_bill = won["closed_at"].dt.to_period("M").dt.to_timestamp() + pd.DateOffset(months=1)
    month_of = first_bill.dt.as_unit("us")
    horizon = month_of + pd.DateOffset(months=12)
    mrr = world.revenue.set_index(["account_id", "month"])["mrr"]
    start = mrr.reindex(pd.MultiIndex.from_arrays([won.index, month_of])).to_numpy()
    end = mrr.reindex(pd.MultiIndex.from_arrays([won.index, horizon])).fillna(0).to_numpy()
    table = won.assign(
        is_billed=~np.isnan(start),
        start=np.where(np.isnan(start), won["acv"] / 12, start),
        end=np.where(np.isnan(start), 0, end),
    )[(horizon < world.spec.end).to_numpy()]
    table["nrr"] = table["end"] / table["start"]
    return table.join(world.truth.set_index("account_id"))


@pytest.mark.parametrize("seed", SEEDS)
def test_rates_are_those_of_a_real_company(seed: int) -> None:
    company = world(seed=seed, wins=2500, prospects=1500)
    closed = company.deals[company.deals["outcome"] != "open"]
    matured = outcomes(company)
    best_fifth = matured["expected_nrr"].nlargest(len(matured) // 5)

    assert (closed["outcome"] == "won").sum() == pytest.approx(2500, rel=0.1)
    assert 0.19 < (closed["outcome"] == "won").mean() < 0.25
    assert 0.82 < (matured["end"] > 0).mean() < 0.88
    assert 0.99 < matured["end"].sum() / matured["start"].sum() < 1.07
    assert 1.18 < best_fifth.mean() < 1.33
    assert 1.15 < matured["nrr"][best_fifth.index].mean() < 1.36
    assert 0.40 < matured["nrr"].std() < 0.60
    assert 0.12 < matured["expected_nrr"].std() < 0.25


def test_the_same_recipe_gives_the_same_bytes() -> None:
    again = simulate(WorldSpec(seed=1))
    for table in TABLES:
        one, other = getattr(world(), table), getattr(again, table)
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_another_seed_gives_another_world() -> None:
    one, other = world(wins=2500, prospects=1500), world(seed=2, wins=2500, prospects=1500)
    assert not np.array_equal(one.nature.before.single, other.nature.before.single)
    assert not one.deals.equals(other.deals)


def test_the_truth_of_a_seed_does_not_depend_on_the_size_of_its_world() -> None:
    small, large = world().nature.after, world(wins=2500, prospects=1500).nature.after
    for part in fields(small):
        np.testing.assert_array_equal(getattr(small, part.name), getattr(large, part.name))


class TestContract:
    def test_keys_are_unique_and_known(self) -> None:
        company = world()
        assert not company.accounts.duplicated(["account_id", "observed_at"]).any()
        assert not company.deals["deal_id"].duplicated().any()
        assert not company.revenue.duplicated(["account_id", "month"]).any()
        assert not company.truth["account_id"].duplicated().any()
        known = set(company.accounts["account_id"])
        assert known == set(company.truth["account_id"])
        for table in ("deals", "revenue", "signals"):
            assert set(getattr(company, table)["account_id"]) <= known

    def test_dates_are_naive_days_within_the_period(self) -> None:
        company = world()
        first, end = company.spec.first_day, company.spec.end
        for table, column in [
            ("deals", "created_at"),
            ("deals", "closed_at"),
            ("revenue", "month"),
            ("signals", "at"),
        ]:
            days = getattr(company, table)[column]
            assert days.dt.tz is None
            assert (days.dropna() == days.dropna().dt.normalize()).all()
            assert days.min() >= first
            assert days.max() < end
        assert company.accounts["observed_at"].max() < end
        assert (company.revenue["month"].dt.day == 1).all()

    def test_money_is_sound(self) -> None:
        company = world()
        assert (company.revenue["mrr"] >= 0).all()
        assert (company.revenue["mrr"] == company.revenue["mrr"].round(2)).all()
        assert (company.deals["acv"] > 0).all()
        assert company.deals["gross_margin"].between(0, 1).all()

    def test_deals_close_after_their_creation_or_are_open(self) -> None:
        deals = world().deals
        length = (deals["closed_at"] - deals["created_at"]).dt.days
        assert length.dropna().between(10, 120).all()
        assert (deals["closed_at"].isna() == (deals["outcome"] == "open")).all()
        assert set(deals["outcome"]) == {"won", "lost", "open"}

    def test_every_attribute_is_declared_and_of_its_kind(self) -> None:
        company = world()
        declared = {name for kinds in company.attributes.values() for name in kinds}
        identity = {"account_id", "observed_at", "parent_id", "name", "domain"}
        assert len(company.attributes) == 6
        assert declared == set(company.accounts.columns) - identity
        looks = {"number": "f", "date": "M", "flag": "b", "category": "O", "set": "O"}
        for kinds in company.attributes.values():
            for name, kind in kinds.items():
                assert company.accounts[name].dtype.kind == looks[kind], name

    def test_sets_are_joined_by_bars(self) -> None:
        members = world().accounts["tech"].dropna().str.split("|").explode()
        assert set(members) == set(SETS["tech"])

    def test_companies_have_domains_of_their_own_and_parents_that_exist(self) -> None:
        accounts = world().accounts.drop_duplicates("account_id")
        with_parent = accounts.dropna(subset="parent_id")
        assert accounts["domain"].is_unique
        assert 0.02 < len(with_parent) / len(accounts) < 0.06
        assert (with_parent["parent_id"] < with_parent["account_id"]).all()


class TestRevenue:
    def test_it_starts_in_the_month_after_the_close_of_a_win(self) -> None:
        company = world()
        won = company.deals[company.deals["outcome"] == "won"].set_index("account_id")["closed_at"]
        first = company.revenue.groupby("account_id")["month"].min()
        months = first.dt.to_period("M").astype("int64")
        closed = won.loc[first.index].dt.to_period("M").astype("int64")
        assert (months - closed == 1).all()

    def test_some_wins_are_never_billed(self, matured: pd.DataFrame) -> None:
        assert (~matured["is_billed"]).mean() == pytest.approx(0.03, abs=0.008)

    def test_it_ends_with_one_zero_and_never_comes_back(self) -> None:
        revenue = world().revenue
        rows = revenue.groupby("account_id")
        gap = rows["month"].diff().dt.days.dropna()
        assert gap.between(28, 31).all()
        is_last = ~revenue["account_id"].duplicated(keep="last")
        assert (revenue["mrr"] > 0)[~is_last].all()
        assert (revenue["mrr"] == 0)[is_last].mean() > 0.1

    def test_it_expands_and_contracts(self) -> None:
        revenue = world().revenue
        change = revenue[revenue["mrr"] > 0].groupby("account_id")["mrr"].pct_change().dropna()
        assert (change > 0.01).mean() > 0.1
        assert (change < -0.01).mean() > 0.01


@pytest.fixture(scope="module")
def matured() -> pd.DataFrame:
    return outcomes(world(wins=5000, prospects=0, shift_month=None))


class TestTruth:
    @pytest.mark.parametrize(
        ("expected", "realised"),
        [
            ("expected_nrr", lambda won: won["nrr"]),
            ("p_retained", lambda won: (won["end"] > 0).astype(float)),
            ("expected_grr", lambda won: won["nrr"].clip(upper=1)),
            ("expected_acv", lambda won: won["acv"]),
        ],
    )
    def test_it_is_the_mean_of_what_happens(self, matured, expected, realised) -> None:
        error = realised(matured) - matured[expected]
        fifths = error.groupby(pd.qcut(matured[expected], 5))
        distance = fifths.mean() / (fifths.std() / np.sqrt(fifths.size()))
        assert distance.abs().max() < 4

    def test_deals_are_won_as_often_as_it_says(self) -> None:
        company = world(wins=5000, prospects=0, shift_month=None)
        closed = company.deals[company.deals["outcome"] != "open"].drop_duplicates("account_id")
        p_win = company.truth_at(closed["account_id"], pd.DatetimeIndex(closed["created_at"]))[
            "p_win"
        ].to_numpy()
        fifths = pd.Series((closed["outcome"] == "won").to_numpy() - p_win).groupby(
            pd.qcut(p_win, 5)
        )
        assert (fifths.mean().abs() < 4 * fifths.std() / np.sqrt(fifths.size())).all()

    def test_noise_tells_accounts_apart_by_nothing_but_price(self) -> None:
        truth = world(structure="noise", wins=200, prospects=500).truth
        assert np.ptp(truth[TRUE_RATIOS], axis=0).max() < 1e-12
        assert truth["p_retained"].iloc[0] == pytest.approx(0.85, abs=0.001)
        assert truth["expected_nrr"].iloc[0] == pytest.approx(1.03, abs=0.001)
        assert truth["expected_acv"].std() > 1000

    @pytest.mark.parametrize(
        ("structure", "singles", "pairs", "trap"),
        [
            ("mixed", True, True, True),
            ("main", True, False, False),
            ("interactions", False, True, True),
            ("noise", False, False, False),
        ],
    )
    def test_structure_selects_the_effects(self, structure, singles, pairs, trap) -> None:
        drawn = nature(structure=structure)
        assert drawn.before.single.any() == singles
        assert drawn.before.paired.any() == pairs
        assert (drawn.trap is not None) == trap

    def test_a_weak_signal_narrows_it(self) -> None:
        assert spread_of_truth(signal=0.4) < 0.6 * spread_of_truth()

    def test_hidden_friction_leaves_less_to_expect(self) -> None:
        assert spread_of_truth(hidden=0.8) < spread_of_truth()

    def test_hidden_friction_raises_churn_and_slows_growth(self) -> None:
        usual, strong = nature().friction, nature(hidden=0.8).friction
        assert strong[CHURN] > usual[CHURN] > 0 > usual[GROWTH] > strong[GROWTH]

    def test_pure_noise_attributes_have_no_effect(self) -> None:
        company = world()
        market = company.market.copy()
        for name in NEVER_MATTER:
            market[name] = market[name].sample(frac=1, random_state=0).to_numpy()
        days = pd.DatetimeIndex(market["observed_at"])
        np.testing.assert_array_equal(
            company.nature.fate(market, days), company.nature.fate(company.market, days)
        )
        assert set(MATTERING) == set(KINDS) - set(NEVER_MATTER)

    def test_the_commonest_traits_of_customers_mislead(self) -> None:
        assert (
            np.mean(
                [
                    lift_of_the_commonest_traits(world(seed=seed, wins=2500, prospects=1500))
                    for seed in SEEDS
                ]
            )
            < 0
        )

    def test_an_unknown_account_is_named(self) -> None:
        with pytest.raises(KeyError, match="A999999"):
            world().truth_at(["A000001", "A999999"], world().spec.start)

    def test_order_and_repetition_of_the_accounts_asked_for_are_kept(self) -> None:
        truth = world().truth_at(["A000009", "A000002", "A000009"], world().spec.start)
        assert truth["account_id"].to_list() == ["A000009", "A000002", "A000009"]
        assert truth.iloc[0].equals(truth.iloc[2])
        assert not truth.iloc[0].equals(truth.iloc[1])


def spread_of_truth(**changes: object) -> float:
    market = world().market
    days = pd.DatetimeIndex(market["observed_at"])
    return nature(**changes).expectations(market, days)["expected_nrr"].std()


def lift_of_the_commonest_traits(company: World) -> float:
    """What pursuing the quarter of the prospects most like the customers adds to their NRR."""
    latest = company.accounts.drop_duplicates("account_id", keep="last").set_index("account_id")
    won = company.deals.loc[company.deals["outcome"] == "won", "account_id"]
    prospects = company.truth.tail(company.spec.prospects).set_index("account_id")
    categories = [name for name, kind in KINDS.items() if kind == "category"]
    commonest = latest.loc[won, categories].mode().iloc[0]
    likeness = (latest.loc[prospects.index, categories] == commonest).sum(axis=1)
    chosen = prospects.loc[likeness.nlargest(len(prospects) // 4).index]
    return chosen["expected_nrr"].mean() - prospects["expected_nrr"].mean()


class TestShift:
    def test_it_changes_the_truth_from_its_day_on_and_not_before(self) -> None:
        company = world()
        shifted, unshifted = nature(), nature(shift_month=None)

        def expected(nature: Nature, day: pd.Timestamp) -> pd.DataFrame:
            days = pd.DatetimeIndex([day]).repeat(len(company.market))
            return nature.expectations(company.market, days)

        on_the_day, day_before = shifted.shift_day, shifted.shift_day - pd.Timedelta(days=1)
        pd.testing.assert_frame_equal(
            expected(shifted, day_before), expected(unshifted, day_before), check_exact=True
        )
        old, new = expected(unshifted, on_the_day), expected(shifted, on_the_day)
        assert 0.1 < new["expected_nrr"].corr(old["expected_nrr"]) < 0.95
        assert (
            company.truth_at(["A000001"], on_the_day)["expected_nrr"].iloc[0]
            != (company.truth_at(["A000001"], day_before)["expected_nrr"].iloc[0])
        )

    def test_it_keeps_the_rates(self) -> None:
        company = world()
        ids, shift = company.truth["account_id"], company.spec.shift_day
        before = company.truth_at(ids, shift - pd.Timedelta(days=1))[TRUE_RATIOS].mean()
        after = company.truth_at(ids, shift)[TRUE_RATIOS].mean()
        pd.testing.assert_series_equal(before, after, atol=0.03)

    def test_each_account_follows_the_law_of_the_day_of_its_deal(self) -> None:
        shifted, unshifted = world(), world(shift_month=None)
        early = shifted.deals["created_at"] < shifted.spec.shift_day
        same = shifted.truth.set_index("account_id")["expected_nrr"].eq(
            unshifted.truth.set_index("account_id")["expected_nrr"]
        )
        last_deal_is_early = early.groupby(shifted.deals["account_id"]).min()
        pd.testing.assert_series_equal(
            same[last_deal_is_early.index], last_deal_is_early, check_names=False
        )


class TestHistory:
    def test_values_recorded_again_are_dated_after_the_last_deal_closed(self) -> None:
        company = world()
        again = company.accounts[company.accounts["account_id"].duplicated()]
        deals = company.deals.groupby("account_id")["closed_at"].max()
        seen = again.set_index("account_id")["observed_at"]
        of_customers = seen[seen.index.isin(deals.index)]
        assert len(of_customers) > 300
        assert (of_customers > deals[of_customers.index]).all()

    def test_every_account_is_known_before_its_first_deal(self) -> None:
        company = world()
        first_seen = company.accounts.groupby("account_id")["observed_at"].min()
        first_deal = company.deals.groupby("account_id")["created_at"].min()
        assert (first_seen[first_deal.index] < first_deal).all()

    def test_what_is_recorded_after_the_sale_does_not_change_its_truth(self) -> None:
        company = world()
        first_only = company.market.drop_duplicates("account_id")
        last_deal = company.deals.groupby("account_id")["created_at"].max()
        expected = company.nature.expectations(
            first_only.set_index("account_id").loc[last_deal.index].reset_index(),
            pd.DatetimeIndex(last_deal),
        )
        actual = company.truth.set_index("account_id").loc[last_deal.index, expected.columns]
        pd.testing.assert_frame_equal(actual.reset_index(drop=True), expected)

    def test_what_is_recorded_later_differs_and_shows_who_prospered(self, matured) -> None:
        company = world(wins=5000, prospects=0, shift_month=None)
        employees = company.market.groupby("account_id")["employees"].agg(["first", "last", "size"])
        twice = employees[employees["size"] > 1]
        growth = np.log(twice["last"] / twice["first"])
        assert growth.std() > 0.1
        assert growth.corr(matured["nrr"].reindex(growth.index)) > 0.05

    def test_some_lose_first_and_come_back_and_nobody_is_won_twice(self) -> None:
        deals = world().deals
        returning = deals[deals["account_id"].duplicated(keep=False)].sort_values("created_at")
        pairs = returning.groupby("account_id")
        assert len(pairs) > 20
        assert (pairs["outcome"].first() == "lost").all()
        assert (pairs["created_at"].last() > pairs["closed_at"].first()).all()
        assert not deals.loc[deals["outcome"] == "won", "account_id"].duplicated().any()


class TestGaps:
    def test_their_share_is_that_of_the_recipe(self) -> None:
        first = world().accounts.drop_duplicates("account_id")
        complete_otherwise = [name for name, kind in KINDS.items() if kind in ("number", "flag")]
        assert first[complete_otherwise].isna().mean().mean() == pytest.approx(0.15, abs=0.02)

    def test_small_companies_have_more_of_them(self) -> None:
        company = world()
        gaps = company.accounts[list(KINDS)].isna().mean(axis=1)
        is_small = company.market["employees"] < company.market["employees"].median()
        assert gaps[is_small].mean() > gaps[~is_small].mean() + 0.03

    def test_without_them_the_record_is_the_truth(self) -> None:
        company = world(missing=0.0, wins=200, prospects=500)
        kinds = {"number", "flag", "category"}
        for name in [name for name, kind in KINDS.items() if kind in kinds]:
            assert (company.accounts[name] == company.market[name].to_numpy()).all(), name


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    """Matured wins of all seeds, with the months they were billed and their signals."""
    return pd.concat([trap_evidence(world(seed=seed, wins=2500, prospects=1500)) for seed in SEEDS])


class TestTrap:
    def test_its_customers_leave(self, customers: pd.DataFrame) -> None:
        retained = (customers["end"] > 0).groupby(customers["is_trapped"]).mean()
        assert retained[True] < 0.7
        assert retained[False] > 0.83

    def test_they_leave_early(self, customers: pd.DataFrame) -> None:
        left = customers[(customers["end"] == 0) & customers["is_billed"]]
        within_a_quarter = (left["months"] <= 3).groupby(left["is_trapped"]).mean()
        assert within_a_quarter[True] > within_a_quarter[False] + 0.15

    @pytest.mark.parametrize("kind", ["ticket", "payment_failure"])
    def test_they_are_trouble_while_they_stay(self, customers: pd.DataFrame, kind: str) -> None:
        totals = customers.groupby("is_trapped")[[kind, "months"]].sum()
        a_month = totals[kind] / totals["months"]
        assert a_month[True] > 2 * a_month[False]

    def test_it_is_easy_to_win(self) -> None:
        company = world(wins=2500, prospects=1500)
        trapped = company.nature.trapped(company.market.drop_duplicates("account_id"))
        p_win = company.truth["p_win"].to_numpy()
        assert p_win[trapped].mean() > p_win[~trapped].mean() + 0.05


def trap_evidence(company: World) -> pd.DataFrame:
    first = company.market.drop_duplicates("account_id").set_index("account_id")
    matured = outcomes(company)
    signals = pd.crosstab(company.signals["account_id"], company.signals["kind"])
    billed = company.revenue[company.revenue["mrr"] > 0].groupby("account_id").size()
    return matured.assign(
        is_trapped=company.nature.trapped(first.loc[matured.index]),
        months=billed.reindex(matured.index, fill_value=0),
        ticket=signals["ticket"].reindex(matured.index, fill_value=0),
        payment_failure=signals["payment_failure"].reindex(matured.index, fill_value=0),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"wins": 0},
        {"structure": "chaos"},
        {"hidden": 1.0},
        {"missing": 0.9},
        {"months": 3},
    ],
)
def test_a_recipe_of_no_world_is_refused_by_name(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        WorldSpec(**{"seed": 1, **wrong})
