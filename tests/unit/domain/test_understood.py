"""What ingest understood: sums for a dashboard, and what looks wrong by itself."""

from datetime import date
from typing import Any

import pytest

from icploop.domain.calendar import seen_by
from icploop.domain.findings import of_code
from icploop.domain.tables import Tables
from icploop.domain.understood import Understood, understood, unmatched_money
from icploop.settings import Freshness
from tests.companies import AS_OF, bills, company, deal, tables

DAY = date(2025, 1, 31)


def of(given: Tables, day: date = DAY) -> Understood:
    return understood(seen_by(given, day), day, Freshness())


def codes(given: Tables, day: date = DAY) -> set[str]:
    return {found.code for found in of(given, day).findings}


def many(count: int, *mrr: float, first: str = "2024-01") -> list[dict[str, Any]]:
    return [row for i in range(count) for row in bills(f"c{i}", first, *mrr)]


def test_the_sums_are_those_of_the_last_complete_month() -> None:
    """Ten pay 100 for a year; then one leaves, one doubles, and one is new."""
    rows = [
        *many(8, *[100] * 13),
        *bills("left", "2024-01", *[100] * 12),
        *bills("grew", "2024-01", *[100] * 12, 200),
        *bills("new", "2025-01", 50),
    ]
    sums = of(tables(revenue=rows)).sums
    assert (sums.first_month, sums.last_complete_month) == (date(2024, 1, 1), date(2025, 1, 1))
    assert (sums.mrr, sums.customers) == (1050, 10)
    assert sums.nrr == pytest.approx(1.0)
    assert sums.grr == pytest.approx(0.9)
    assert sums.as_dict()["last_complete_month"] == "2025-01"


def test_an_empty_company_has_no_sums() -> None:
    sums = of(tables()).sums
    assert (sums.mrr, sums.nrr, sums.last_complete_month) == (None, None, None)


def test_a_company_as_it_should_be_looks_right() -> None:
    # Its first customers are few, so a month changes much.
    assert codes(company(), AS_OF) <= {"month_jump"}


@pytest.mark.parametrize(
    ("mrr", "told"), [(100, False), (1200, True), (100 / 12, True), (250, False)]
)
def test_revenue_that_is_not_mrr_is_told_by_acv(mrr: float, told: bool) -> None:
    """Invoices for a year in one month are out by twelve."""
    deals = [deal(f"c{i}", "2024-01-10", "2024-01-20", acv=1200) for i in range(6)]
    given = tables(deals=deals, revenue=many(6, *[mrr] * 13))
    assert ("unlike_acv" in codes(given)) is told


def test_what_was_billed_long_before_the_deal_is_not_its_first_month() -> None:
    deals = [deal(f"c{i}", "2024-06-10", "2024-06-20", acv=1200) for i in range(6)]
    given = tables(deals=deals, revenue=many(6, *[1] * 5, *[100] * 8))
    assert "unlike_acv" not in codes(given)


def test_one_customer_with_more_than_half_is_named() -> None:
    given = tables(revenue=[*many(9, *[10] * 13), *bills("whale", "2024-01", *[100] * 13)])
    (found,) = of_code(of(given).findings, ["one_customer"])
    assert "'whale' pays 53%" in found.message
    assert found.docs == "your-data.md#one_customer"


@pytest.mark.parametrize(("count", "told"), [(12, True), (9, False)])
def test_a_month_that_jumps_is_named(count: int, told: bool) -> None:
    given = tables(revenue=many(count, *[100] * 6, 250, *[100] * 6))
    found = of_code(of(given).findings, ["month_jump"])
    assert bool(found) is told
    if told:
        assert "2024-07 (1,200 to 3,000" in found[0].message


def test_a_month_whose_bills_are_not_all_made_is_told() -> None:
    rows = [row for i in range(9) for row in bills(f"d{i}", "2024-01", *[10] * 12)]
    given = tables(revenue=[*many(3, *[10] * 13), *rows])
    (found,) = of_code(of(given).findings, ["incomplete_month"])
    assert "complete until 2024-12 only: 9 of the 12 customers" in found.message


def test_a_value_that_hundreds_share_is_named() -> None:
    crowd = [
        {"account_id": f"a{i}", "parent_id": "Holding", "domain": f"a{i}.io"} for i in range(120)
    ]
    (found,) = of_code(of(tables(accounts=crowd)).findings, ["crowded_parent"])
    assert "parent_id 'Holding' (120)" in found.message


def test_money_without_an_account_is_told_beyond_a_twentieth() -> None:
    assert unmatched_money(96, 4) == []
    (found,) = unmatched_money(80, 20)
    assert "20 of 100 billed (20%)" in found.message
    assert unmatched_money(0, 0) == []
