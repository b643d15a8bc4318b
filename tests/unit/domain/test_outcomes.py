import math
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.calendar import month_number, month_start, seen_by
from icploop.domain.outcomes import acquisitions, kpis, outcomes, recurring_revenue
from icploop.domain.tables import Tables
from icploop.settings import Outcome
from tests.companies import bills, company, deal, tables

YEAR = Outcome()
QUARTER = Outcome(horizon_months=3)
# Somebody else's revenue says how far revenue has been seen.
CLOCK = bills("other", "2020-01", *[1.0] * 60)


def sold(
    *mrr: float, first: str = "2023-02", outcome: Outcome = YEAR, seen: str = "2024-12", **more: Any
) -> pd.Series:
    """The outcome of account `a`: won in January 2023, billed `mrr` from `first` on."""
    months = (pd.Period(seen, "M") - pd.Period("2023-01", "M")).n + 1
    given = tables(
        deals=[deal("a", "2023-01-10", "2023-01-25", **more)],
        revenue=[*bills("other", "2023-01", *[1.0] * months), *bills("a", first, *mrr)],
    )
    return outcomes(given, "default", outcome).iloc[0]


def won_ids(given: Tables, motion: str = "default") -> list[str]:
    return acquisitions(given, motion)["deal_id"].tolist()


@pytest.mark.parametrize(
    ("mrr", "nrr", "grr", "retained"),
    [
        ([100] * 12 + [100], 1.0, 1.0, 1),
        ([100] * 12 + [150], 1.5, 1.0, 1),
        ([100] * 12 + [40], 0.4, 0.4, 1),
        ([100] * 12, 0.0, 0.0, 0),
        ([100] * 5, 0.0, 0.0, 0),
        # What happens in between, or after the horizon, does not count.
        ([100, 0, 0, 900] + [0] * 8 + [120], 1.2, 1.0, 1),
        ([100] * 12 + [110, 5000], 1.1, 1.0, 1),
    ],
)
def test_an_outcome_is_the_mrr_at_the_horizon_against_its_start(
    mrr: list[float], nrr: float, grr: float, retained: float
) -> None:
    found = sold(*mrr)
    assert found["matured"]
    assert found["nrr"] == pytest.approx(nrr)
    assert found["grr"] == pytest.approx(grr)
    assert found["retained"] == retained


def test_a_window_averages_both_ends() -> None:
    # Months 0..2 and 10..12 of a year that starts at 100, 200, 300 and ends at 120, 0, 240.
    mrr = [100, 200, 300, *[999] * 7, 120, 0, 240]
    found = sold(*mrr, outcome=Outcome(window_months=3))
    assert (found["start_mrr"], found["end_mrr"]) == (200, 120)
    assert (found["nrr"], found["grr"], found["retained"]) == (0.6, 0.6, 1)


def test_a_month_without_a_row_bills_nothing_and_counts_in_the_window() -> None:
    given = tables(
        deals=[deal("a", "2023-01-10", "2023-01-25")],
        revenue=[*CLOCK, *bills("a", "2023-02", 90), *bills("a", "2024-02", 60)],
    )
    found = outcomes(given, "default", Outcome(window_months=2)).iloc[0]
    assert (found["start_mrr"], found["end_mrr"]) == (45, 30)


def test_the_horizon_runs_from_the_first_bill_that_asks_for_money() -> None:
    found = sold(0, 0, 100, *[100] * 11, 70)
    assert found["nrr"] == 0.7
    assert month_start(int(found["matured_month"])) == date(2024, 4, 1)


def test_an_account_matures_when_the_month_of_its_horizon_has_been_billed_for_anybody() -> None:
    mrr = [100] * 6
    assert not sold(*mrr, seen="2024-01")["matured"]
    assert sold(*mrr, seen="2024-02")["matured"]


def test_outcomes_of_immature_accounts_are_censored() -> None:
    found = sold(100, 100, seen="2023-12")
    assert not found["matured"]
    assert found[["start_mrr", "end_mrr", "nrr", "grr", "retained"]].isna().all()
    assert month_start(int(found["matured_month"])) == date(2024, 2, 1)


@pytest.mark.parametrize(("acv", "start"), [("1200", 100), (None, 0)])
def test_a_won_account_that_was_never_billed_is_lost_revenue(acv: str | None, start: int) -> None:
    found = sold(acv=acv)
    assert found["matured"]
    assert (found["start_mrr"], found["end_mrr"]) == (start, 0)
    assert (found["nrr"], found["grr"], found["retained"]) == (0, 0, 0)


@pytest.mark.parametrize("onboarding", [0, 1, 4])
def test_without_a_bill_the_horizon_starts_after_onboarding(onboarding: int) -> None:
    outcome = Outcome(horizon_months=6, onboarding_months=onboarding)
    found = sold(acv="1200", outcome=outcome)
    assert month_start(int(found["matured_month"])) == date(2023, 7 + onboarding, 1)


def test_onboarding_does_not_move_the_horizon_of_an_account_that_was_billed() -> None:
    late, soon = (sold(100, outcome=Outcome(onboarding_months=n)) for n in (6, 0))
    assert late["matured_month"] == soon["matured_month"]


def test_a_deal_of_a_company_that_was_billed_before_its_creation_won_no_customer() -> None:
    given = tables(
        deals=[deal("old", "2023-01-10", "2023-02-01"), deal("new", "2023-01-10", "2023-02-01")],
        revenue=[*bills("old", "2022-12", 5), *bills("new", "2023-01", 5)],
    )
    assert won_ids(given) == ["new 2023-01-10"]


def test_bills_without_money_make_no_customer() -> None:
    given = tables(
        deals=[deal("a", "2023-01-10", "2023-02-01")], revenue=bills("a", "2022-11", 0, 0, 0, 7)
    )
    assert won_ids(given) == ["a 2023-01-10"]
    assert sold(0, 0, 0, 80, *[80] * 11, 40, first="2022-11")["nrr"] == 0.5


def test_of_several_deals_the_first_won_one_made_the_customer() -> None:
    given = tables(
        deals=[
            deal("a", "2023-03-01", "2023-03-02"),
            deal("a", "2023-02-01", "2023-04-01"),
            deal("a", "2023-01-01", "2023-01-02", outcome="lost"),
            deal("a", "2022-12-01", None, outcome="open"),
            deal("b", "2023-01-15", "2023-06-01"),
        ]
    )
    assert won_ids(given) == ["b 2023-01-15", "a 2023-02-01"]


def test_each_motion_has_its_own_acquisitions_and_no_motion_is_the_default_one() -> None:
    given = tables(
        deals=[
            deal("a", "2023-01-01", "2023-01-02"),
            deal("b", "2023-01-01", "2023-01-02", motion="default"),
            deal("c", "2023-01-01", "2023-01-02", motion="plg"),
        ]
    )
    assert won_ids(given) == ["a 2023-01-01", "b 2023-01-01"]
    assert won_ids(given, "plg") == ["c 2023-01-01"]
    assert won_ids(given, "sales") == []


def test_the_parent_is_the_last_one_known_or_the_account_itself() -> None:
    given = tables(
        accounts=[
            {"account_id": "a", "observed_at": "2022-01-01", "parent_id": "P"},
            {"account_id": "a", "observed_at": "2022-06-01", "parent_id": "Q"},
            {"account_id": "a", "observed_at": "2022-09-01", "parent_id": ""},
            {"account_id": "b", "observed_at": "2022-01-01"},
        ],
        deals=[deal("a", "2023-01-01", "2023-01-02"), deal("b", "2023-01-01", "2023-01-02")],
    )
    assert acquisitions(given, "default")["parent"].tolist() == ["Q", "b"]


def test_without_any_deal_or_revenue_there_are_no_outcomes_but_all_the_columns() -> None:
    some = outcomes(company(wins=3), "default", YEAR)
    none = outcomes(tables(), "default", YEAR)
    assert none.empty
    assert list(none.columns) == list(some.columns)
    unbilled = outcomes(tables(deals=[deal("a", "2023-01-01", "2023-01-02")]), "default", YEAR)
    assert unbilled["matured"].tolist() == [False]


def test_an_outcome_that_has_matured_never_changes_as_days_go_by() -> None:
    whole = company(wins=60)
    early, late = (
        outcomes(seen_by(whole, day), "default", QUARTER).set_index("account_id")
        for day in (date(2023, 3, 31), date(2024, 6, 30))
    )
    known = early[early["matured"]]
    assert len(known) > 10
    pd.testing.assert_frame_equal(late.loc[known.index], known)


amounts = st.lists(st.sampled_from([0.0, 10.0, 25.5, 100.0, 1e6]), max_size=8)


@settings(max_examples=12)
@given(mrr=amounts, window=st.integers(1, 2), acv=st.sampled_from([None, "0", "240"]))
def test_whatever_was_billed_the_three_numbers_agree_with_each_other(
    mrr: list[float], window: int, acv: str | None
) -> None:
    outcome = Outcome(horizon_months=4, window_months=window)
    found = sold(*mrr, outcome=outcome, acv=acv)
    assert found["matured"]
    assert found["start_mrr"] >= 0
    assert found["end_mrr"] >= 0
    assert found["grr"] == min(1, found["nrr"])
    assert found["retained"] == float(found["end_mrr"] > 0)
    first = next((i for i, amount in enumerate(mrr) if amount > 0), None)
    if first is not None:
        since = [*mrr[first:], *[0.0] * 5]
        ends = sum(since[5 - window : 5]), sum(since[:window])
        assert found["nrr"] == pytest.approx(ends[0] / ends[1])


def test_kpis_of_a_set_are_sums_of_money_and_counts_of_logos() -> None:
    judged = pd.DataFrame(
        {
            "start_mrr": [100.0, 300, 50, 0],
            "end_mrr": [200.0, 150, 0, 0],
            "retained": [1.0, 1, 0, 0],
        }
    )
    found = kpis(judged)
    assert found.nrr == pytest.approx(350 / 450)
    assert found.grr == pytest.approx(250 / 450)
    assert found.retention == 0.5
    assert found.accounts == 4


def test_kpis_weigh_each_account_with_its_share() -> None:
    judged = pd.DataFrame(
        {"start_mrr": [100.0, 100], "end_mrr": [200.0, 50], "retained": [1.0, 0]}, index=["a", "b"]
    )
    found = kpis(judged, pd.Series({"b": 0.5, "a": 1.0}))
    assert (found.nrr, found.grr) == (pytest.approx(225 / 150), pytest.approx(125 / 150))
    assert found.retention == pytest.approx(1 / 1.5)


@pytest.mark.parametrize("money", [0.0, None])
def test_kpis_without_money_are_missing_and_not_zero(money: float | None) -> None:
    unbilled = pd.DataFrame({"start_mrr": [0.0], "end_mrr": [0.0], "retained": [0.0]})
    found = kpis(unbilled if money is not None else unbilled[:0])
    assert math.isnan(found.nrr)
    assert math.isnan(found.grr)
    assert found.retention == 0 if money is not None else math.isnan(found.retention)


def test_months_are_counted_over_the_turn_of_the_year() -> None:
    ends = month_number(pd.Series(pd.to_datetime(["2023-11-01", "2024-02-01"])))
    found = sold(100, 100, 100, 30, first="2023-11", outcome=QUARTER)
    assert found["matured_month"] == ends[1]
    assert found["nrr"] == 0.3


def test_accounts_of_revenue_as_categories_give_the_same_outcomes() -> None:
    given = tables(
        deals=[deal("a", "2023-01-10", "2023-01-25"), deal("b", "2023-02-10", "2023-02-25")],
        revenue=[*CLOCK, *bills("a", "2023-02", *range(14)), *bills("z", "2025-02", 1.0)],
    )
    compact = given.revenue.astype({"account_id": "category"})
    for day in (date(2024, 12, 31), date(2023, 6, 30)):
        plain, short = (seen_by(replace(given, revenue=r), day) for r in (given.revenue, compact))
        assert "z" not in short.revenue["account_id"].cat.categories
        pd.testing.assert_frame_equal(
            outcomes(short, "default", QUARTER), outcomes(plain, "default", QUARTER)
        )
        pd.testing.assert_frame_equal(short.revenue.astype({"account_id": "str"}), plain.revenue)


@pytest.mark.parametrize(("window", "a_month"), [(1, 60.0), (3, (90 + 30 + 60) / 3)])
def test_arr_is_read_over_the_window(window: int, a_month: float) -> None:
    """Of the motion's own customers, in months that have ended."""
    given = tables(
        deals=[deal("a", "2023-01-10", "2023-01-25")],
        revenue=[*CLOCK, *bills("a", "2023-02", 500, 90, 30, 60, 800)],
    )
    found = recurring_revenue(given, "default", date(2023, 6, 29), Outcome(window_months=window))
    assert found == pytest.approx(12 * a_month)
