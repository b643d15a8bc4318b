from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.mrr import LINE_COLUMNS, by_month, length_in_months

RATES = {"usd": 1.0, "eur": 1.1}
FIRST = pd.Timestamp(2023, 1, 1)
days = st.integers(0, 700).map(lambda n: FIRST + pd.Timedelta(days=n))


def line(amount: float, start: Any, end: Any, months: float | None = 1, **more: Any) -> dict:
    fixed = {"line_id": "il", "account_id": "a", "currency": "usd"}
    period = {"start": pd.Timestamp(start), "end": pd.Timestamp(end)}
    interval = {"interval": "month" if months else None, "interval_count": months}
    return fixed | {"amount": amount, "credits": ()} | interval | period | more


def frame(*lines: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=LINE_COLUMNS).astype({"interval_count": "float64"})


def mrr(*lines: dict[str, Any]) -> dict[str, float]:
    """MRR by month of one account, months without any left out."""
    revenue, refused = by_month(frame(*lines), RATES)
    assert refused.empty
    known = revenue[revenue["mrr"] != 0]
    return dict(zip(known["month"].dt.strftime("%Y-%m"), known["mrr"], strict=True))


def test_a_month_that_is_billed_on_its_15th_counts_where_it_ends_a_month() -> None:
    assert mrr(line(100, "2024-01-15", "2024-02-15")) == {"2024-01": 100}


def test_a_year_paid_at_once_is_a_twelfth_in_each_of_its_months() -> None:
    found = mrr(line(1200, "2024-02-10", "2025-02-10", 12))
    assert len(found) == 12
    assert set(found.values()) == {100}
    assert min(found) == "2024-02"


def test_an_upgrade_in_the_middle_of_a_month_is_the_new_price_from_then_on() -> None:
    unused = 22 / 31
    found = mrr(
        line(100, "2024-01-01", "2024-02-01"),
        line(-100 * unused, "2024-01-10", "2024-02-01"),
        line(200 * unused, "2024-01-10", "2024-02-01"),
        line(200, "2024-02-01", "2024-03-01"),
    )
    assert found == pytest.approx({"2024-01": 200, "2024-02": 200})


def test_an_upgrade_in_the_middle_of_a_year_is_the_new_price_from_then_on() -> None:
    unused = 275 / 366
    found = mrr(
        line(1200, "2024-01-01", "2025-01-01", 12),
        line(-1200 * unused, "2024-04-01", "2025-01-01", 12),
        line(2400 * unused, "2024-04-01", "2025-01-01", 12),
    )
    assert found["2024-03"] == pytest.approx(100)
    assert {round(found[f"2024-{month:02}"], 2) for month in range(4, 13)} == {200}


def test_a_pause_is_months_without_revenue() -> None:
    found = mrr(line(100, "2024-01-01", "2024-02-01"), line(100, "2024-04-01", "2024-05-01"))
    assert list(found) == ["2024-01", "2024-04"]


def test_what_was_taken_back_says_so_with_a_month_of_nothing() -> None:
    revenue, _ = by_month(frame(line(0, "2024-01-01", "2024-02-01")), RATES)
    assert revenue["mrr"].tolist() == [0]
    assert revenue["month"].tolist() == [pd.Timestamp(2024, 1, 1)]


def test_a_currency_is_converted_by_its_rate_and_refused_without_one() -> None:
    lines = frame(
        line(100, "2024-01-01", "2024-02-01", currency="eur"),
        line(9, "2024-01-01", "2024-02-01", currency="jpy", line_id="il_7"),
    )
    revenue, refused = by_month(lines, RATES)
    assert revenue["mrr"].tolist() == pytest.approx([110])
    assert refused.to_dict("records") == [
        {"row": 2, "rule": "the currency has a rate under currencies", "value": "il_7: 9 jpy"}
    ]


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ({"account_id": None}, "the customer of a billed line has an account_id"),
        ({"end": FIRST, "start": FIRST}, "the period of a billed line ends after it starts"),
    ],
)
def test_a_line_that_means_nothing_is_refused(broken: dict[str, Any], rule: str) -> None:
    revenue, refused = by_month(frame(line(1, "2024-01-01", "2024-02-01") | broken), RATES)
    assert revenue.empty
    assert refused["rule"].tolist() == [rule]


@settings(max_examples=12)
@given(start=days, months=st.sampled_from([1, 3, 6, 12, 24]), known=st.booleans())
def test_a_whole_interval_is_its_months_on_whatever_day_it_begins(start, months, known) -> None:
    whole = line(60, start, start + pd.DateOffset(months=months), months if known else None)
    assert length_in_months(frame(whole)).tolist() == [months]
    backwards = line(60, start - pd.DateOffset(months=months), start, months)
    assert length_in_months(frame(backwards)).tolist() == [months]


@settings(max_examples=12)
@given(start=days, months=st.sampled_from([1, 3, 12]), share=st.floats(0.02, 0.98))
def test_a_plan_that_is_changed_costs_the_new_price_from_the_change_on(start, months, share):
    # From 31 January to 28 February is a month too, but a day in it is a larger share.
    start = start.replace(day=min(start.day, 28))
    end = start + pd.DateOffset(months=months)
    change = start + (end - start) * share
    rest = (end - change) / (end - start)
    old, new = 100.0 * months, 170.0 * months
    whole, credit, charge = (
        line(old, start, end, months),
        line(-old * rest, change, end, months),
        line(new * rest, change, end, months),
    )
    before = mrr(whole)
    for month, found in mrr(whole, credit, charge).items():
        last_moment = pd.Timestamp(month) + pd.DateOffset(months=1)
        expected = before[month] * 1.7 if change < last_moment else before[month]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-3)


@settings(max_examples=12)
@given(
    periods=st.lists(
        st.tuples(days, st.integers(1, 500), st.floats(-900, 900), st.sampled_from("ab")),
        min_size=1,
        max_size=4,
    ),
    order=st.randoms(use_true_random=False),
)
def test_lines_add_up_whatever_their_order(periods, order) -> None:
    lines = [
        line(amount, start, start + pd.Timedelta(days=length), None, account_id=account)
        for start, length, amount, account in periods
    ]
    shuffled = order.sample(lines, len(lines))
    revenue, _ = by_month(frame(*lines), RATES)
    again, _ = by_month(frame(*shuffled), RATES)
    pd.testing.assert_frame_equal(revenue, again, atol=1e-3)
    alone = pd.concat([by_month(frame(one), RATES)[0] for one in lines])
    added = alone.groupby(["account_id", "month"])["mrr"].sum().reset_index()
    pd.testing.assert_frame_equal(revenue, added, atol=1e-2, check_dtype=False)


@settings(max_examples=12)
@given(start=days, length=st.integers(1, 900))
def test_a_line_counts_in_the_months_whose_last_moment_it_covers(start, length) -> None:
    end = start + pd.Timedelta(days=length)
    revenue, _ = by_month(frame(line(1, start, end, None)), RATES)
    last_moments = revenue["month"] + pd.offsets.MonthEnd(1) + pd.Timedelta(hours=23)
    assert ((start <= last_moments) & (last_moments < end)).all()
    ends = pd.date_range(start.normalize(), end, freq="MS")
    assert len(revenue) == sum(start < first <= end for first in ends)
