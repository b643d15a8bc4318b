from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.calendar import seen_by
from icploop.domain.follow_up import FOLLOW_UP_MONTHS, follow_up
from icploop.domain.outcomes import acquisitions
from icploop.domain.tables import Tables
from icploop.settings import Outcome
from tests.companies import AS_OF, bills, changed_after, company, deal, tables

YEAR = Outcome()
WINDOW = Outcome(window_months=3)
COLUMNS = ["months_at_risk", "churned", "log_growth", "growth_months"]
COMPANY = company(wins=60)


def followed_in(given: Tables, outcome: Outcome = YEAR) -> pd.DataFrame:
    return follow_up(given, acquisitions(given, "default", outcome), outcome)


def customer(
    *mrr: float, first: str = "2023-02", seen: str = "2023-12", outcome: Outcome = YEAR, **more: Any
) -> pd.Series:
    """What was seen of account `a`: won in January 2023, billed `mrr` from `first` on.

    Somebody else's revenue says how far revenue has been seen.
    """
    months = (pd.Period(seen, "M") - pd.Period("2023-01", "M")).n + 1
    given = tables(
        deals=[deal("a", "2023-01-10", "2023-01-25", **more)],
        revenue=[*bills("other", "2023-01", *[1.0] * months), *bills("a", first, *mrr)],
    )
    return followed_in(given, outcome).iloc[0]


@pytest.mark.parametrize(("seen", "months"), [("2023-02", 0), ("2023-03", 1), ("2023-12", 10)])
def test_an_account_that_is_still_billed_is_censored(seen: str, months: int) -> None:
    found = customer(*[100] * (months + 1), seen=seen)
    assert (found["months_at_risk"], found["churned"]) == (months, 0)


@pytest.mark.parametrize("billed", [1, 4, 8, 9])
def test_an_account_churned_in_the_month_after_its_last_bill(billed: int) -> None:
    found = customer(*[100] * billed)
    assert (found["months_at_risk"], found["churned"]) == (billed, 1)


def test_a_bill_over_nothing_does_not_keep_an_account_alive() -> None:
    found = customer(100, 100, *[0] * 9)
    assert (found["months_at_risk"], found["churned"]) == (2, 1)


def test_a_month_without_a_bill_is_no_churn_when_billing_went_on() -> None:
    found = customer(100, 0, 0, *[100] * 8)
    assert (found["months_at_risk"], found["churned"]) == (10, 0)


def test_exposure_starts_with_the_first_bill_that_asks_for_money() -> None:
    assert customer(0, 0, *[100] * 9)["months_at_risk"] == 8
    assert customer(*[100] * 9, first="2023-04")["months_at_risk"] == 8


def test_exposure_ends_with_the_newest_month_that_was_billed_for_anybody() -> None:
    given = tables(
        deals=[deal("a", "2023-01-10", "2023-01-25")], revenue=bills("a", "2023-02", 1, 1, 1)
    )
    found = followed_in(given).iloc[0]
    assert (found["months_at_risk"], found["churned"]) == (2, 0)


@pytest.mark.parametrize(
    ("seen", "at_risk", "churned"), [("2023-03", 0, 0), ("2023-04", 1, 1), ("2023-12", 1, 1)]
)
def test_an_account_never_billed_churned_in_its_first_month_once_onboarding_is_over(
    seen: str, at_risk: float, churned: float
) -> None:
    found = customer(seen=seen, outcome=Outcome(onboarding_months=3))
    assert (found["months_at_risk"], found["churned"]) == (at_risk, churned)
    assert found[["log_growth", "growth_months"]].isna().all()


def test_onboarding_does_not_count_for_an_account_that_was_billed() -> None:
    slow, quick = (customer(1, 1, outcome=Outcome(onboarding_months=n)) for n in (12, 0))
    pd.testing.assert_series_equal(slow, quick)


def test_of_a_fresh_win_nothing_has_been_seen() -> None:
    given = tables(
        deals=[deal("a", "2023-12-10", "2023-12-25")], revenue=bills("other", "2023-01", *[1] * 12)
    )
    found = followed_in(given).iloc[0]
    assert found[["months_at_risk", "churned"]].tolist() == [0, 0]


def test_without_any_revenue_nothing_has_been_seen_of_anybody() -> None:
    found = followed_in(tables(deals=[deal("a", "2023-01-10", "2023-01-25")]))
    assert found[["months_at_risk", "churned"]].to_numpy().tolist() == [[0, 0]]
    assert found[["log_growth", "growth_months"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("billed", "at_risk", "churned"), [(60, 36, 0), (37, 36, 0), (36, 36, 1), (35, 35, 1)]
)
def test_nobody_is_followed_for_more_than_36_months(
    billed: int, at_risk: float, churned: float
) -> None:
    found = customer(*[100] * billed, seen="2028-12")
    assert FOLLOW_UP_MONTHS == 36
    assert (found["months_at_risk"], found["churned"]) == (at_risk, churned)


def test_growth_after_36_months_does_not_count() -> None:
    found = customer(*[100] * 36, 200, *[9000] * 12, seen="2028-12")
    assert found["log_growth"] == pytest.approx(np.log(2))
    assert found["growth_months"] == 36


def test_a_longer_horizon_is_followed_to_its_end() -> None:
    found = customer(*[100] * 60, seen="2028-12", outcome=Outcome(horizon_months=48))
    assert (found["months_at_risk"], found["growth_months"]) == (48, 48)


@pytest.mark.parametrize(
    ("mrr", "ratio", "months"),
    [
        ([100, 130], 1.3, 1),
        ([100, 900, 5, 50], 0.5, 3),
        # The last month that billed something counts, whether or not the account has left since.
        ([100, 100, 250, 0, 0], 2.5, 2),
        ([80, 0, 0, 0, 120], 1.5, 4),
    ],
)
def test_growth_is_from_the_first_month_billed_to_the_last(
    mrr: list[float], ratio: float, months: float
) -> None:
    found = customer(*mrr)
    assert found["log_growth"] == pytest.approx(np.log(ratio))
    assert found["growth_months"] == months


def test_one_bill_shows_no_growth() -> None:
    assert customer(100)[["log_growth", "growth_months"]].isna().all()


def test_a_window_compares_the_first_months_with_the_last_ones() -> None:
    found = customer(100, 200, 300, 9000, 400, 0, 500, outcome=WINDOW)
    assert found["log_growth"] == pytest.approx(np.log(900 / 600))
    assert found["growth_months"] == 4


@pytest.mark.parametrize(("billed", "churned", "at_risk"), [(8, 1, 8), (9, 0, 10), (11, 0, 10)])
def test_with_a_window_billing_has_ended_when_a_whole_window_bills_nothing(
    billed: int, churned: float, at_risk: float
) -> None:
    found = customer(*[100] * billed, outcome=WINDOW)
    assert (found["months_at_risk"], found["churned"]) == (at_risk, churned)


def test_rows_are_those_of_the_input_in_its_order_and_on_its_index() -> None:
    won = acquisitions(COMPANY, "default", Outcome())
    inorder = follow_up(COMPANY, won, YEAR)
    named = won.set_index("account_id", drop=False).rename_axis(None)
    shuffled = named.sample(frac=1, random_state=3)
    found = follow_up(COMPANY, shuffled, YEAR)
    assert list(inorder.columns) == COLUMNS
    assert inorder.index.equals(won.index)
    assert found.index.equals(shuffled.index)
    pd.testing.assert_frame_equal(found.loc[named.index], inorder.set_axis(named.index))


def test_nobody_is_followed_up_as_nobody() -> None:
    found = followed_in(tables(revenue=bills("other", "2023-01", 1.0)))
    assert found.empty
    assert list(found.columns) == COLUMNS


@pytest.mark.parametrize("seed", range(3))
def test_nothing_after_the_as_of_day_changes_anything(seed: int) -> None:
    known = followed_in(seen_by(COMPANY, AS_OF))
    changed = followed_in(seen_by(changed_after(COMPANY, AS_OF, seed), AS_OF))
    pd.testing.assert_frame_equal(changed, known, check_exact=True)
    assert known["churned"].sum() > 3
    assert not followed_in(COMPANY)["months_at_risk"].equals(known["months_at_risk"])


def test_a_month_later_everybody_who_stays_was_at_risk_for_a_month_more() -> None:
    early, late = (
        followed_in(seen_by(COMPANY, day)).set_axis(
            acquisitions(seen_by(COMPANY, day), "default", Outcome())["account_id"]
        )
        for day in (date(2023, 6, 30), date(2023, 7, 31))
    )
    seen = early[early["months_at_risk"] >= 1]
    later = late.loc[seen.index]
    left = seen["churned"] == 1
    pd.testing.assert_frame_equal(later[left], seen[left])
    assert (later["months_at_risk"] - seen["months_at_risk"])[~left].eq(1).all()
    assert (~left).sum() > 10


@settings(max_examples=15)
@given(
    st.lists(st.sampled_from([0.0, 10.0, 25.5, 1e6]), max_size=45),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0, 1, 6]),
)
def test_whatever_was_billed_the_columns_agree_with_each_other(
    mrr: list[float], window: int, onboarding: int
) -> None:
    outcome = Outcome(window_months=window, onboarding_months=onboarding)
    found = customer(*mrr, seen="2026-12", outcome=outcome)
    assert 0 <= found["months_at_risk"] <= FOLLOW_UP_MONTHS
    assert found["months_at_risk"] == int(found["months_at_risk"])
    assert found["churned"] in {0, 1}
    assert found["churned"] == 0 or found["months_at_risk"] >= 1
    assert np.isnan(found["growth_months"]) or found["growth_months"] >= 1
    if found["months_at_risk"] < FOLLOW_UP_MONTHS:
        assert found["churned"] == 1


def test_a_gap_at_the_end_of_the_follow_up_is_no_churn_when_billing_goes_on() -> None:
    paused = customer(*[10] * 36, 0, *[10] * 9, seen="2026-11")
    assert (paused["churned"], paused["months_at_risk"]) == (0, 36)


def test_growth_needs_windows_that_do_not_overlap() -> None:
    assert pd.isna(customer(10, 20, 40, 80, seen="2023-05", outcome=WINDOW)["log_growth"])
    apart = customer(10, 20, 30, 40, 50, 60, seen="2023-07", outcome=WINDOW)
    assert apart["growth_months"] == 3
    assert apart["log_growth"] == pytest.approx(np.log(150 / 60))
