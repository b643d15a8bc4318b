"""A month is complete when nearly all customers who should have a row in it have one."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.billing import DataAge, billed
from icploop.domain.calendar import month_start, seen_by
from icploop.domain.outcomes import outcomes, recurring_revenue
from icploop.domain.tables import Known, Tables
from icploop.settings import Freshness, Outcome
from tests.companies import AS_OF, bills, company, deal, tables

# January's invoices are not made yet; A1 has prepaid two years.
NOT_MADE_YET = tables(
    deals=[deal("A1", "2024-01-04", "2024-01-04"), deal("B1", "2024-01-04", "2024-01-04")],
    revenue=[*bills("A1", "2024-01", *[100] * 24), *bills("B1", "2024-01", *[100] * 12)],
)


def many(prefix: str, count: int, first: str, months: int) -> list[dict[str, object]]:
    return [row for i in range(count) for row in bills(f"{prefix}{i}", first, *[100] * months)]


def last_month(given: Tables, day: str) -> str:
    found = billed(seen_by(given, date.fromisoformat(day)))
    assert found.last is not None
    return f"{month_start(found.last):%Y-%m}"


def of_revenue(*rows: list[dict[str, object]], **known: object) -> Tables:
    given = tables(revenue=[row for some in rows for row in some])
    return replace(given, known=Known(**known))


def ahead(account: str, came_on: str, first: str, last: str) -> pd.DataFrame:
    spans = [pd.Period(month, "M") for month in (first, last)]
    numbers = [span.year * 12 + span.month - 1 for span in spans]
    row = {"account_id": account, "came_on": pd.Timestamp(came_on)}
    return pd.DataFrame([row | dict(zip(("first", "last"), numbers, strict=True))])


def test_a_neighbour_who_has_prepaid_matures_nobody() -> None:
    found = outcomes(seen_by(NOT_MADE_YET, date(2025, 2, 1)), "default", Outcome())
    by_account = found.set_index("account_id")
    assert not by_account.loc["B1", "matured"]
    assert np.isnan(by_account.loc["B1", "nrr"])


def test_a_month_later_who_is_still_not_billed_has_left() -> None:
    given = replace(
        NOT_MADE_YET,
        revenue=pd.concat(
            [NOT_MADE_YET.revenue, of_revenue(many("c", 3, "2024-01", 14)).revenue],
            ignore_index=True,
        ),
    )
    found = outcomes(seen_by(given, date(2025, 3, 1)), "default", Outcome())
    assert found.set_index("account_id").loc["B1", ["matured", "nrr"]].tolist() == [True, 0.0]


@pytest.mark.parametrize(
    ("gone", "month"), [(0, "2025-01"), (1, "2025-01"), (2, "2025-01"), (3, "2024-12")]
)
def test_nearly_all_is_eight_of_ten(gone: int, month: str) -> None:
    given = of_revenue(many("a", 10 - gone, "2024-01", 13), many("b", gone, "2024-01", 12))
    assert last_month(given, "2025-02-01") == month


def test_customers_who_are_never_billed_each_month_are_not_missed() -> None:
    """Usage-like revenue: half of a month's customers usually have no row in the next."""
    odd = [row for i in range(40) for m in range(13) if (m + i) % 2 for row in _month(f"o{i}", m)]
    steady = many("s", 40, "2024-01", 13)
    assert last_month(of_revenue(odd, steady), "2025-02-01") == "2025-01"


def _month(account: str, number: int) -> list[dict[str, object]]:
    return bills(account, f"{2024 + number // 12}-{number % 12 + 1:02}", 10)


def test_bills_that_stopped_long_ago_have_stopped() -> None:
    given = of_revenue(many("prepaid", 3, "2024-01", 24), many("b", 7, "2024-01", 6))
    assert last_month(given, "2025-05-31") == "2024-06"


def test_whose_later_months_are_known_is_left_apart_however_many() -> None:
    """What was stored long before its months began is no bill that was made."""
    spans = pd.concat([ahead(f"p{i}", "2025-02-01", "2025-04", "2025-12") for i in range(50)])
    rows = (many("p", 50, "2024-01", 24), many("b", 2, "2024-01", 12))
    assert last_month(of_revenue(*rows), "2025-02-01") == "2025-01"
    assert last_month(of_revenue(*rows, ahead=spans), "2025-02-01") == "2024-12"
    # A day before it was stored could not have known.
    assert last_month(of_revenue(*rows, ahead=spans), "2025-01-31") == "2025-01"


def test_who_has_paid_ahead_and_is_through_counts_with_the_bills_alone() -> None:
    span = ahead("p0", "2024-06-10", "2024-08", "2024-12")
    given = of_revenue(many("p", 1, "2024-01", 12), many("b", 1, "2024-01", 7), ahead=span)
    assert last_month(given, "2025-02-01") == "2024-07"


def test_where_all_is_prepaid_no_bill_can_be_missing() -> None:
    span = ahead("p0", "2024-02-01", "2024-04", "2025-12")
    assert last_month(of_revenue(many("p", 1, "2024-01", 24), ahead=span), "2025-02-01") == (
        "2025-01"
    )


def test_it_says_why() -> None:
    given = of_revenue(many("a", 5, "2024-01", 13), many("b", 5, "2024-01", 12))
    found = billed(seen_by(given, date(2025, 2, 1)))
    assert (found.expected, found.missing) == (10, 5)
    assert "5 of the 10 customers who should have a row in 2025-01" in found.why
    assert billed(tables()).why == "There is no revenue."


months = st.lists(st.integers(1, 16), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(lives=months, neighbours=st.integers(1, 9), start=st.integers(1, 12))
def test_a_prepaid_neighbour_changes_nobody_elses_outcome(
    lives: list[int], neighbours: int, start: int
) -> None:
    day = date(2025, 2, 1)
    deals = [deal(f"b{i}", "2024-01-04", "2024-01-04") for i in range(len(lives))]
    rows = [row for i, life in enumerate(lives) for row in bills(f"b{i}", "2024-01", *[9] * life)]
    alone = tables(deals=deals, revenue=rows)
    first = f"2024-{start:02}"
    more = [bills(f"p{i}", first, *[100] * 36) for i in range(neighbours)]
    spans = [ahead(f"p{i}", "2025-02-01", "2025-04", "2026-12") for i in range(neighbours)]
    joined = replace(
        tables(deals=deals, revenue=[*rows, *(row for some in more for row in some)]),
        known=Known(ahead=pd.concat(spans)),
    )
    pd.testing.assert_frame_equal(
        *(outcomes(seen_by(given, day), "default", Outcome()) for given in (alone, joined))
    )


def test_arr_is_that_of_the_last_complete_month() -> None:
    found = recurring_revenue(seen_by(NOT_MADE_YET, date(2025, 2, 1)), "default", Outcome())
    assert found == 12 * 200


@pytest.mark.parametrize(
    ("days", "severity"), [(0, None), (75, None), (76, "warning"), (120, "warning")]
)
def test_old_data_are_told(days: int, severity: str | None) -> None:
    given = of_revenue(many("a", 3, "2024-01", 6))
    day = (pd.Timestamp(2024, 6, 30) + pd.Timedelta(days=days)).date()
    found = DataAge.of(seen_by(given, day), day).finding(Freshness())
    assert (found and found.severity) == severity
    assert found is None or f"{days} days old" in found.message


def test_from_some_day_on_they_are_refused() -> None:
    age = DataAge(date(2025, 6, 1), date(2024, 6, 30), date(2025, 5, 30))
    rule = Freshness(refuse_after_days=300)
    found = age.finding(rule)
    assert found is not None
    assert found.severity == "refusal"
    assert "freshness.refuse_after_days 300" in found.message
    never = age.finding(rule.model_copy(update={"refuse_after_days": None}))
    assert never is not None
    assert never.severity == "warning"


def test_the_older_of_revenue_and_deals_decides() -> None:
    age = DataAge(date(2025, 6, 1), date(2025, 4, 30), date(2024, 6, 1))
    assert age.days == 365
    assert DataAge(date(2025, 6, 1), None, None).days == 0


def test_a_company_that_goes_on_is_complete_to_the_month_that_ended() -> None:
    assert last_month(company(), AS_OF.isoformat()) == "2023-12"
