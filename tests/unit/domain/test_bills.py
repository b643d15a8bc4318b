from datetime import date
from typing import Any

import pandas as pd
import pytest

from icploop.domain.tables import CheckedTable, check_table
from icploop.errors import DataError
from icploop.settings.formats import CellFormat, TableFormat, number_format


def checked(
    rows: list[tuple[Any, ...]], *, columns: str, day: date | None = None, **formats: Any
) -> CheckedTable:
    return check_table(
        "revenue",
        pd.DataFrame(rows, columns=columns.split(), dtype="str"),
        max_money=1e9,
        formats=TableFormat(**formats),
        day=day,
        place="files (bills.csv)",
    )


def months(found: CheckedTable) -> dict[tuple[str, str], float]:
    rows = found.rows
    keys = zip(rows["account_id"], rows["month"].dt.strftime("%Y-%m"), strict=True)
    return dict(zip(keys, rows["mrr"].round(6), strict=True))


BILL = "account_id month mrr"


def test_a_bill_for_a_year_is_a_twelfth_in_each_of_twelve_months() -> None:
    found = months(checked([("a", "2024-03-15", "1200")], columns=BILL, spread=12))
    assert found == {
        ("a", f"{y}-{m:02}"): 100
        for y, m in [(2024, m) for m in range(3, 13)] + [(2025, 1), (2025, 2)]
    }


@pytest.mark.parametrize("last", ["2024-12-31", "2025-01-01"])
def test_a_year_is_twelve_months_whether_its_last_day_counts_or_not(last: str) -> None:
    found = months(
        checked(
            [("a", "2024-01-01", last, "1200")],
            columns="account_id month until mrr",
            spread="until",
        )
    )
    assert len(found) == 12
    assert set(found.values()) == {100}


def test_bills_for_a_month_and_for_a_quarter_add_up_where_they_meet() -> None:
    rows = [("a", "2024-01-01", "1", "50"), ("a", "2024-01-20", "3", "300")]
    found = months(checked(rows, columns="account_id month months mrr", spread="months"))
    assert found == {("a", "2024-01"): 150, ("a", "2024-02"): 100, ("a", "2024-03"): 100}


def test_what_is_credited_for_the_rest_of_a_year_ends_it() -> None:
    rows = [("a", "2024-01-01", "2024-12-31", "1200"), ("a", "2024-04-01", "2024-12-31", "-900")]
    found = months(checked(rows, columns="account_id month until mrr", spread="until"))
    assert [found["a", f"2024-{m:02}"] for m in (1, 3, 4, 12)] == [100, 100, 0, 0]


def test_more_credit_than_bills_is_a_fault_of_the_month() -> None:
    found = checked(
        [("a", "2024-01-01", "100"), ("a", "2024-01-02", "-300")], columns=BILL, spread=1
    )
    assert found.rows.empty
    assert found.faults[["row", "value"]].to_numpy().tolist() == [[0, "a 2024-01: -200"]]


def test_bills_without_a_readable_time_are_faults_and_the_others_count() -> None:
    rows = [
        ("a", "2024-01-01", "x", "5"),
        ("b", "2024-01-01", "0", "5"),
        ("c", "?", "1", "5"),
        ("d", "2024-01-01", "1", "5"),
    ]
    found = checked(rows, columns="account_id month months mrr", spread="months")
    assert months(found) == {("d", "2024-01"): 5}
    assert list(found.faults["row"]) == [0, 1, 2]
    assert found.faults["rule"].iloc[0] == "months is a number from 1 to 120"


def test_the_column_that_says_for_how_long_has_to_be_there() -> None:
    with pytest.raises(DataError, match=r"map it under tables.revenue.columns: `until: <your"):
        checked([("a", "2024-01-01", "5")], columns=BILL, spread="until")


def test_bills_are_read_as_their_columns_are_written() -> None:
    found = check_table(
        "revenue",
        pd.DataFrame(
            {
                "account_id": ["a"],
                "month": ["01.02.2024"],
                "until": ["31.01.2025"],
                "mrr": ["1.200,00"],
            }
        ),
        max_money=1e9,
        formats=TableFormat(CellFormat("%d.%m.%Y", number_format("1.234,56")), spread="until"),
        place="x",
    )
    assert len(found.rows) == 12
    assert found.rows["mrr"].sum() == pytest.approx(1200)


def test_arr_of_a_month_is_twelve_times_its_mrr() -> None:
    found = checked([("a", "2024-01-01", "1200")], columns=BILL, mrr_per="year")
    assert months(found) == {("a", "2024-01"): 100}


@pytest.mark.parametrize(
    ("day", "last"),
    [
        (date(2024, 5, 31), "2024-12"),  # April's bills are the newest: May's are still made
        (date(2024, 6, 1), "2024-04"),
        (date(2026, 1, 1), "2024-04"),
        (None, "2024-12"),
    ],
)
def test_after_the_newest_bill_of_an_old_export_nothing_is_known(
    day: date | None, last: str
) -> None:
    rows = [("a", "2024-01-01", "12", "1200"), ("b", "2024-04-01", "1", "50")]
    found = checked(rows, columns="account_id month months mrr", day=day, spread="months")
    assert max(month for _, month in months(found)) == last
