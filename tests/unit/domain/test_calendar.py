from calendar import monthrange
from datetime import date, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.calendar import (
    end_of,
    last_ended_month,
    last_moment,
    month_number,
    month_start,
    parse_day,
    seen_by,
)
from icploop.domain.tables import Tables
from icploop.errors import UsageError
from icploop.settings import TABLES
from tests.companies import AS_OF, bills, changed_after, company, deal, tables

DAYS = st.dates(date(1970, 1, 1), date(2199, 12, 31))
COMPANY = company(wins=25, prospects=6)


def assert_same(one: Tables, other: Tables) -> None:
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), obj=name)


@given(DAYS)
def test_a_day_is_read_back_as_it_is_written(day: date) -> None:
    assert parse_day(day.isoformat()) == day


@pytest.mark.parametrize("text", ["", "today", "2024-02-30", "01/02/2024", "2024-1-1"])
def test_what_is_no_day_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(UsageError, match=f"{text!r} is not a day; write it as YYYY-MM-DD"):
        parse_day(text)


@given(DAYS)
def test_a_day_stands_for_its_end(day: date) -> None:
    assert last_moment(day).date() == day
    assert end_of(day) == pd.Timestamp(day + timedelta(days=1))
    assert last_moment(day) + pd.Timedelta(microseconds=1) == end_of(day)


@given(DAYS)
def test_a_month_has_ended_by_its_last_day_and_not_a_day_before(day: date) -> None:
    first = day.replace(day=1)
    last = day.replace(day=monthrange(day.year, day.month)[1])
    number = int(month_number(pd.Series([pd.Timestamp(first)])).iloc[0])
    assert month_start(number) == first
    assert last_ended_month(last) == number
    assert last_ended_month(last - timedelta(days=1)) == number - 1


def test_months_are_numbered_so_that_they_can_be_subtracted() -> None:
    months = pd.Series([pd.Timestamp(2023, 11, 30), pd.Timestamp(2024, 2, 1), pd.NaT])
    numbers = month_number(months)
    assert numbers[1] - numbers[0] == 3
    assert numbers.isna().tolist() == [False, False, True]


def test_a_day_sees_what_is_dated_by_its_end_and_nothing_else() -> None:
    seen = seen_by(
        tables(
            accounts=[
                {"account_id": "b", "observed_at": "2024-03-31T23:59:59", "size": "1"},
                {"account_id": "a", "observed_at": "2024-04-01", "size": "2"},
                {"account_id": "a", "observed_at": "2024-01-01", "size": "3"},
                {"account_id": "a", "observed_at": "", "size": "4"},
            ],
            deals=[
                deal("b", "2024-03-31T23:00:00", "2024-03-31"),
                deal("a", "2024-03-01", "2024-04-01", outcome="lost"),
                deal("a", "2024-02-01", None, outcome="open"),
                deal("b", "2024-04-01", "2024-04-01"),
            ],
            revenue=[*bills("b", "2024-03", 5, 6), *bills("a", "2024-02", 1, 2, 3)],
            signals=[
                {"account_id": "a", "at": "2024-03-31T20:00:00", "kind": "ticket", "value": 1},
                {"account_id": "a", "at": "2024-04-01", "kind": "ticket", "value": 2},
            ],
        ),
        date(2024, 3, 31),
    )
    assert seen.accounts["size"].tolist() == ["4", "3", "1"]
    assert seen.deals[["deal_id", "outcome"]].to_numpy().tolist() == [
        ["a 2024-02-01", "open"],
        ["a 2024-03-01", "open"],
        ["b 2024-03-31T23:00:00", "won"],
    ]
    assert seen.deals["closed_at"].isna().tolist() == [True, True, False]
    assert seen.revenue[["account_id", "mrr"]].to_numpy().tolist() == [["a", 1], ["a", 2], ["b", 5]]
    assert seen.signals["value"].tolist() == [1]


@pytest.mark.parametrize(("day", "seen"), [(date(2024, 2, 28), 0), (date(2024, 2, 29), 1)])
def test_revenue_of_a_month_is_seen_when_the_month_has_ended(day: date, seen: int) -> None:
    assert len(seen_by(tables(revenue=bills("a", "2024-02", 9)), day).revenue) == seen


def test_before_everything_there_is_nothing_but_the_columns() -> None:
    seen = seen_by(COMPANY, date(1999, 1, 1))
    for name in TABLES:
        table = getattr(seen, name)
        assert table.empty
        assert set(table.columns) <= set(getattr(COMPANY, name).columns)


def test_after_everything_all_is_seen() -> None:
    seen = seen_by(COMPANY, date(2030, 1, 1))
    assert [len(getattr(seen, n)) for n in TABLES] == [len(getattr(COMPANY, n)) for n in TABLES]


def test_looking_twice_shows_the_same() -> None:
    once = seen_by(COMPANY, AS_OF)
    assert_same(seen_by(once, AS_OF), once)


def test_the_tables_themselves_are_left_alone() -> None:
    before = Tables(**{name: getattr(COMPANY, name).copy() for name in TABLES})
    seen_by(COMPANY, AS_OF)
    assert_same(COMPANY, before)


@settings(max_examples=12)
@given(day=st.dates(date(2022, 1, 1), date(2024, 7, 1)), seed=st.integers(0, 10**6))
def test_changing_anything_dated_later_changes_nothing_that_a_day_sees(
    day: date, seed: int
) -> None:
    assert_same(seen_by(changed_after(COMPANY, day, seed), day), seen_by(COMPANY, day))


def test_what_was_changed_is_seen_later_on() -> None:
    later = date(2031, 1, 1)
    changed = seen_by(changed_after(COMPANY, AS_OF, seed=0), later)
    for name in TABLES:
        assert not getattr(changed, name).equals(getattr(seen_by(COMPANY, later), name))
    assert "later_only" in changed.accounts


@pytest.mark.parametrize("text", ["9999-12-31", "0001-01-01", "1899-12-31", "2200-01-01"])
def test_a_day_centuries_away_is_refused_with_the_days_that_there_are(text: str) -> None:
    with pytest.raises(UsageError, match="is too far away; give a day from 1900-01-01 to 2199"):
        parse_day(text)
    assert parse_day("2199-12-31") == date(2199, 12, 31)
