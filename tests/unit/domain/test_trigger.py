from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.calendar import seen_by
from icploop.domain.trigger import LastRound, closed_deals, due
from icploop.settings import Trigger
from tests.companies import deal, tables

FIFTY = Trigger(closed_deals=50, calendar_floor_days=92)
LAST = LastRound(date(2024, 1, 1), newest_close=date(2023, 12, 20))


def days_on(days: int) -> date:
    return LAST.as_of + timedelta(days=days)


@pytest.mark.parametrize(
    ("since", "last", "days", "is_due", "missing", "reason"),
    [
        (49, None, 999, False, 1, "1 more closed deals are needed"),
        (50, None, 0, True, 0, "50 deals closed since the last round"),
        (49, LAST, 91, False, 1, "1 more closed deals are needed"),
        (50, LAST, 0, True, 0, "50 deals closed since the last round"),
        (100, LAST, 1, True, 0, "100 deals closed since the last round"),
        # The calendar floor, if anything has closed at all.
        (1, LAST, 91, False, 49, "49 more closed deals are needed"),
        (1, LAST, 92, True, 49, "92 days since the last round"),
        (0, LAST, 999, False, 50, "50 more closed deals are needed"),
    ],
)
def test_a_round_is_due_at_the_fiftieth_deal_or_at_the_calendar_floor(
    since: int, last: LastRound | None, days: int, is_due: bool, missing: int, reason: str
) -> None:
    found = due(since, last, days_on(days), FIFTY)
    assert (found.is_due, found.missing, found.reason) == (is_due, missing, reason)


@pytest.mark.parametrize(("today", "is_due"), [("2024-03-20", False), ("2024-03-21", True)])
def test_after_a_clock_that_ran_ahead_the_floor_counts_from_what_the_round_had_seen(
    today: str, is_due: bool
) -> None:
    ahead = LastRound(date(2099, 1, 1), newest_close=date(2023, 12, 20))
    assert due(1, ahead, date.fromisoformat(today), FIFTY).is_due == is_due


def test_a_trigger_on_won_deals_says_so() -> None:
    won = Trigger(closed_deals=50, count="won")
    assert due(50, None, days_on(0), won).reason == "50 deals won since the last round"
    assert due(48, None, days_on(0), won).reason == "2 more won deals are needed"


@given(since=st.integers(0, 500), days=st.integers(0, 400), wanted=st.integers(1, 200))
def test_what_is_said_of_a_trigger_adds_up(since: int, days: int, wanted: int) -> None:
    trigger = Trigger(closed_deals=wanted)
    found = due(since, LAST, days_on(days), trigger)
    assert found.closed_since == since
    assert found.missing == max(0, wanted - since)
    assert found.is_due == (
        found.missing == 0 or (since > 0 and days >= trigger.calendar_floor_days)
    )
    later = due(since + 1, LAST, days_on(days + 1), trigger)
    assert later.is_due >= found.is_due


@pytest.mark.parametrize(
    ("count", "motion", "expected"),
    [("closed", "default", 2), ("won", "default", 1), ("closed", "plg", 1), ("won", "plg", 0)],
)
def test_closed_deals_are_won_or_lost_ones_of_the_motion(
    count: Any, motion: str, expected: int
) -> None:
    given_deals = tables(
        deals=[
            deal("a", "2024-01-01", "2024-02-01"),
            deal("b", "2024-01-01", "2024-02-01", outcome="lost", motion="default"),
            deal("c", "2024-01-01", None, outcome="open"),
            deal("d", "2024-01-01", "2024-02-01", outcome="lost", motion="plg"),
        ]
    )
    assert len(closed_deals(given_deals, motion, Trigger(count=count))) == expected


def test_a_deal_that_closes_after_the_day_is_not_closed_yet() -> None:
    given_deals = tables(deals=[deal("a", "2024-01-01", "2024-02-01")])
    seen = [seen_by(given_deals, date(2024, month, 1)) for month in (1, 2)]
    assert [len(closed_deals(s, "default", FIFTY)) for s in seen] == [0, 1]
