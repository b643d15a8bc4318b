from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.tables import (
    CONTRACTS,
    FAULT_COLUMNS,
    CheckedTable,
    check_table,
    read_flag,
    read_kind,
    read_moment,
    read_number,
    read_set,
    read_text,
    unknown_accounts,
)
from icploop.errors import DataError
from icploop.settings import TABLES, Attribute, SameMonth, TableName
from tests.companies import KINDS, SETTINGS

Row = dict[str, Any]

ACCOUNT: Row = {
    "account_id": "a1",
    "observed_at": "2024-01-01",
    "employees": "12",
    "industry": "health",
    "tech": "crm|erp",
    "funded_on": "2020-02-29",
    "has_sponsor": "yes",
}
DEAL: Row = {
    "deal_id": "d1",
    "account_id": "a1",
    "created_at": "2024-01-10",
    "outcome": "won",
    "closed_at": "2024-02-01",
    "acv": "1200",
    "gross_margin": "0.8",
    "acquisition_cost": "300",
}
BILL: Row = {"account_id": "a1", "month": "2024-02-01", "mrr": "100"}
SIGNAL: Row = {"account_id": "a1", "at": "2024-02-03", "kind": "ticket", "value": "1"}
GOOD: dict[TableName, Row] = {
    "accounts": ACCOUNT,
    "deals": DEAL,
    "revenue": BILL,
    "signals": SIGNAL,
}

REPEATED = "the key is unique (the first row was kept)"
NOT_A_DATE = "{} is a date (ISO 8601, or the `dates` format of the source)"
# Table, what is wrong, and the column and rule that it must be put down to.
BAD: list[tuple[TableName, Row, str, str]] = [
    ("accounts", {"account_id": ""}, "account_id", "account_id is given"),
    ("accounts", {"observed_at": "soon"}, "observed_at", NOT_A_DATE.format("observed_at")),
    ("accounts", {"observed_at": "0024-01-01"}, "observed_at", "observed_at is between 1970 and"),
    ("deals", {"deal_id": None}, "deal_id", "deal_id is given"),
    ("deals", {"account_id": "  "}, "account_id", "account_id is given"),
    ("deals", {"created_at": ""}, "created_at", "created_at is given"),
    ("deals", {"created_at": "10/01/2024"}, "created_at", NOT_A_DATE.format("created_at")),
    ("deals", {"created_at": "2024-02-30"}, "created_at", NOT_A_DATE.format("created_at")),
    ("deals", {"created_at": "1704844800"}, "created_at", NOT_A_DATE.format("created_at")),
    ("deals", {"closed_at": "9999-12-31"}, "closed_at", "closed_at is between 1970 and 2200"),
    ("deals", {"closed_at": "2024-01-09"}, "closed_at", "closed_at is not before created_at"),
    ("deals", {"closed_at": ""}, "closed_at", "closed_at is given unless the deal is open"),
    ("deals", {"closed_at": "?"}, "closed_at", NOT_A_DATE.format("closed_at")),
    ("deals", {"outcome": ""}, "outcome", "outcome is given"),
    ("deals", {"outcome": "Closed Won"}, "outcome", "outcome is won, lost or open"),
    ("deals", {"acv": "-1"}, "acv", "acv >= 0"),
    ("deals", {"acv": "1e10"}, "acv", "acv <= ingest.max_money (1e+09)"),
    ("deals", {"acv": "1,200"}, "acv", "acv is a number"),
    ("deals", {"gross_margin": "80"}, "gross_margin", "gross_margin is between 0 and 1"),
    ("deals", {"acquisition_cost": "-0.01"}, "acquisition_cost", "acquisition_cost >= 0"),
    ("revenue", {"account_id": None}, "account_id", "account_id is given"),
    ("revenue", {"month": None}, "month", "month is given"),
    ("revenue", {"month": "2024-02-02"}, "month", "month is the first day of a month"),
    ("revenue", {"month": "2024-02-01T00:00:01"}, "month", "month is the first day of a month"),
    ("revenue", {"month": "February"}, "month", NOT_A_DATE.format("month")),
    ("revenue", {"mrr": ""}, "mrr", "mrr is given"),
    ("revenue", {"mrr": "-5"}, "mrr", "mrr >= 0"),
    ("revenue", {"mrr": "1e99"}, "mrr", "mrr <= ingest.max_money (1e+09)"),
    ("revenue", {"mrr": "inf"}, "mrr", "mrr is a number"),
    ("revenue", {"mrr": "NaN"}, "mrr", "mrr is a number"),
    ("revenue", {"mrr": "much"}, "mrr", "mrr is a number"),
    ("signals", {"account_id": None}, "account_id", "account_id is given"),
    ("signals", {"at": "yesterday"}, "at", NOT_A_DATE.format("at")),
    ("signals", {"kind": " "}, "kind", "kind is given"),
    ("signals", {"value": "high"}, "value", "value is a number"),
    ("signals", {"value": None}, "value", "value is given"),
]


def checked(
    name: TableName,
    *rows: Row,
    dates: str | None = None,
    same_month: SameMonth = "first",
    known: list[str] | None = None,
) -> CheckedTable:
    return check_table(
        name,
        pd.DataFrame(list(rows)),
        max_money=1e9,
        dates=dates,
        attributes=SETTINGS.attributes if name == "accounts" else (),
        same_month=same_month,
        known=known,
        place="files (deals.csv)",
    )


def faults(found: CheckedTable) -> list[tuple[int, str, str]]:
    return list(zip(found.faults["row"], found.faults["column"], found.faults["rule"], strict=True))


@pytest.mark.parametrize("name", TABLES)
def test_a_good_row_comes_through_typed_and_without_a_fault(name: TableName) -> None:
    found = checked(name, GOOD[name])
    contract = CONTRACTS[name]
    assert found.faults.empty
    assert list(found.faults.columns) == list(found.emptied.columns) == FAULT_COLUMNS
    assert set(contract.columns) <= set(found.rows.columns)
    assert all(found.rows[c].dtype == "str" for c in contract.texts)
    assert all(found.rows[c].dtype == "datetime64[us]" for c in contract.moments)
    assert all(found.rows[c].dtype == "float64" for c in contract.numbers)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_rows_is_fine_and_typed_like_one_with_rows(name: TableName) -> None:
    empty = check_table(
        name, pd.DataFrame(columns=list(GOOD[name])), max_money=1e9, place="empty.csv"
    )
    full = check_table(name, pd.DataFrame([GOOD[name]]), max_money=1e9, place="full.csv")
    canonical = CONTRACTS[name].columns
    assert empty.rows.empty
    assert empty.bad_rows == 0
    assert empty.rows[canonical].dtypes.equals(full.rows[canonical].dtypes)


@pytest.mark.parametrize(
    ("name", "column"),
    [(name, column) for name, contract in CONTRACTS.items() for column in contract.required],
)
def test_a_missing_required_column_stops_everything_and_names_the_remedy(
    name: TableName, column: str
) -> None:
    rest = {c: v for c, v in GOOD[name].items() if c != column}
    with pytest.raises(DataError) as stopped:
        checked(name, rest)
    message = str(stopped.value)
    assert message.startswith(f"files (deals.csv): table `{name}` has no column `{column}`")
    assert f"found: {', '.join(rest)}" in message
    assert f"tables.{name}.columns" in message


@pytest.mark.parametrize(("name", "wrong", "column", "rule"), BAD)
def test_a_bad_row_is_faulted_under_its_own_rule_and_only_that(
    name: TableName, wrong: Row, column: str, rule: str
) -> None:
    found = checked(name, GOOD[name] | wrong)
    assert found.rows.empty
    assert found.bad_rows == 1
    ((row, at, broken),) = faults(found)
    assert (row, at) == (0, column)
    assert broken.startswith(rule)


def test_a_fault_carries_the_value_as_the_source_has_it_where_it_could_not_be_read() -> None:
    assert checked("revenue", BILL | {"mrr": "1,200"}).faults["value"].tolist() == ["1,200"]


def test_a_row_that_breaks_two_rules_is_one_bad_row_with_two_faults() -> None:
    found = checked("deals", DEAL | {"acv": "-1", "outcome": "maybe"})
    assert faults(found) == [(0, "acv", "acv >= 0"), (0, "outcome", "outcome is won, lost or open")]
    assert found.bad_rows == 1


@pytest.mark.parametrize(
    "fine",
    [
        {"outcome": "open", "closed_at": ""},
        {"outcome": "lost"},
        {"acv": "", "gross_margin": None, "acquisition_cost": ""},
        {"acv": "0", "gross_margin": "0"},
        {"acv": "1e9", "gross_margin": "1"},
        {"motion": "upsell", "source": "web"},
        # Closed on the day of creation: the close is known to the day, the creation to the second.
        {"created_at": "2024-02-01T13:45:00", "closed_at": "2024-02-01"},
    ],
)
def test_what_the_contract_allows_is_no_fault(fine: Row) -> None:
    assert checked("deals", DEAL | fine).bad_rows == 0


@settings(max_examples=12)
@given(
    st.lists(
        st.one_of(
            st.just("good"),
            st.sampled_from([bad for bad in BAD if bad[0] == "deals"]),
            st.sampled_from(["repeat", "same key"]),
        ),
        max_size=12,
    )
)
def test_in_any_mixture_good_rows_stay_as_they_are_and_bad_ones_break_their_own_rule(
    mixture: list[Any],
) -> None:
    rows, good, expected = [dict(DEAL, deal_id="d0")], [0], []
    for position, kind in enumerate(mixture, start=1):
        row = DEAL | {"deal_id": f"d{position}", "acv": str(5000 + position)}
        if kind == "repeat":
            row = rows[0]
        elif kind == "same key":
            row = row | {"deal_id": "d0"}
            expected.append((position, "key", REPEATED))
        elif kind != "good":
            _, wrong, column, rule = kind
            row = row | wrong
            expected.append((position, column, rule))
        else:
            good.append(position)
        rows.append(row)
    found = checked("deals", *rows)
    alone = checked("deals", *[rows[i] for i in good])
    assert faults(found) == sorted(expected)
    assert found.rows.index.tolist() == good
    pd.testing.assert_frame_equal(found.rows.reset_index(drop=True), alone.rows)


@pytest.mark.parametrize(
    ("name", "wrong", "column", "rule"),
    [
        ("accounts", {"observed_at": "soon"}, "observed_at", NOT_A_DATE.format("observed_at")),
        ("deals", {"acv": "-1"}, "acv", "acv >= 0"),
        ("revenue", {"mrr": ""}, "mrr", "mrr is given"),
    ],
)
def test_of_rows_with_the_same_key_the_first_good_one_is_kept(
    name: TableName, wrong: Row, column: str, rule: str
) -> None:
    bad, good = GOOD[name] | wrong, GOOD[name]
    found = checked(name, bad, good, good | {"note": "later"})
    assert found.rows.index.tolist() == [1]
    assert faults(found) == [(0, column, rule), (2, "key", REPEATED)]


def test_accounts_have_a_history_but_only_one_row_without_a_date() -> None:
    undated = ACCOUNT | {"observed_at": ""}
    found = checked(
        "accounts", ACCOUNT, ACCOUNT | {"observed_at": "2024-05-01"}, undated, undated | {"x": 1}
    )
    assert found.rows.index.tolist() == [0, 1, 2]
    assert [row for row, *_ in faults(found)] == [3]


def test_exact_repeats_are_dropped_without_a_fault_except_signals_which_may_repeat() -> None:
    assert checked("deals", DEAL, DEAL).rows.index.tolist() == [0]
    assert checked("deals", DEAL, DEAL).bad_rows == 0
    assert checked("signals", SIGNAL, SIGNAL).rows.index.tolist() == [0, 1]


def test_the_index_of_the_source_is_kept_so_that_a_fault_names_its_row() -> None:
    raw = pd.DataFrame([DEAL, DEAL | {"deal_id": "d2", "acv": "-3"}], index=[7, 9])
    found = check_table("deals", raw, max_money=1e9, place="x")
    assert found.rows.index.tolist() == [7]
    assert found.faults["row"].tolist() == [9]


def test_a_dates_format_reads_what_iso_does_not_and_then_iso_is_the_fault() -> None:
    german = DEAL | {"created_at": "10.01.2024", "closed_at": "01.02.2024"}
    found = checked("deals", german, DEAL | {"deal_id": "d2"}, dates="%d.%m.%Y")
    assert found.rows["closed_at"].tolist() == [pd.Timestamp(2024, 2, 1)]
    assert {(row, column) for row, column, _ in faults(found)} == {
        (1, "created_at"),
        (1, "closed_at"),
    }


def test_mixed_formats_without_dates_fault_only_the_rows_that_are_not_iso() -> None:
    found = checked(
        "deals",
        DEAL,
        DEAL | {"deal_id": "d2", "created_at": "01/15/2024"},
        DEAL | {"deal_id": "d3", "created_at": "2024-01-15T08:30:00Z"},
    )
    assert found.rows["deal_id"].tolist() == ["d1", "d3"]
    assert faults(found) == [(1, "created_at", NOT_A_DATE.format("created_at"))]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"employees": "about 50"}, "about 50"),
        ({"employees": "inf"}, "inf"),
        ({"funded_on": "spring"}, "spring"),
        ({"has_sponsor": "perhaps"}, "perhaps"),
    ],
)
def test_an_unreadable_attribute_empties_its_cell_and_nothing_else(cell: Row, said: str) -> None:
    (column,) = cell
    found = checked("accounts", ACCOUNT | cell)
    assert found.bad_rows == 0
    assert found.emptied["column"].tolist() == [column]
    assert found.emptied["value"].tolist() == [said]
    assert found.rows[column].isna().all()
    others = [name for name in KINDS if name != column]
    untouched = checked("accounts", ACCOUNT)
    pd.testing.assert_frame_equal(found.rows[others], untouched.rows[others])


def test_columns_that_nobody_declared_are_kept_as_they_are() -> None:
    raw = pd.DataFrame([DEAL | {"owner": " Ann "}, DEAL | {"deal_id": "d2", "owner": 3}])
    kept = check_table("deals", raw, max_money=1e9, place="x").rows["owner"]
    assert kept.tolist() == [" Ann ", 3]


def test_the_frame_that_was_checked_is_left_alone() -> None:
    raw = pd.DataFrame([DEAL, DEAL | {"acv": "-1"}])
    before = raw.copy(deep=True)
    check_table("deals", raw, max_money=1e9, place="x")
    pd.testing.assert_frame_equal(raw, before)


def test_rows_of_unknown_accounts_are_faulted() -> None:
    rows = checked("revenue", BILL, BILL | {"account_id": "ghost"}).rows
    found = unknown_accounts(rows, ["a1"])
    assert found[["row", "column", "value"]].to_numpy().tolist() == [[1, "account_id", "ghost"]]
    assert unknown_accounts(rows, ["a1", "ghost"]).empty


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series(["1", "2", None]),
        pd.Series([" 1", "2 ", "  "]),
        pd.Series([1.0, 2.0, np.nan]),
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series([1, 2, None], dtype="object"),
        pd.Series(["1", "2", None], dtype="category"),
    ],
    ids=str,
)
def test_an_id_is_the_same_text_however_the_source_typed_it(ids: pd.Series) -> None:
    read = read_text(ids)
    assert read[:2].tolist() == ["1", "2"]
    assert read.isna().tolist() == [False, False, True]


def test_large_and_odd_numbers_keep_their_digits_as_text() -> None:
    assert read_text(pd.Series([12345678901.0, 1.5])).tolist() == ["12345678901", "1.5"]
    assert read_text(pd.Series(["007", "1.0"])).tolist() == ["007", "1.0"]


@pytest.mark.parametrize(
    "moment",
    [
        "2024-01-01T01:30:00+01:00",
        "2024-01-01 00:30:00Z",
        "20240101T003000",
        pd.Timestamp("2024-01-01 01:30", tz="Europe/Paris"),
        datetime(2024, 1, 1, 0, 30),  # noqa: DTZ001
    ],
    ids=str,
)
def test_a_moment_is_read_as_utc_without_a_zone(moment: Any) -> None:
    expected = [pd.Timestamp(2024, 1, 1, 0, 30)]
    assert read_moment(pd.Series([moment], dtype="object")).tolist() == expected
    assert read_moment(pd.Series([moment])).tolist() == expected
    assert read_moment(pd.Series([moment])).dtype == "datetime64[us]"


@pytest.mark.parametrize("day", ["2024-01-05", "20240105", " 2024-01-05 ", date(2024, 1, 5)])
def test_a_day_is_read_as_its_first_moment(day: Any) -> None:
    assert read_moment(pd.Series([day])).tolist() == [pd.Timestamp(2024, 1, 5)]


@given(st.lists(st.one_of(st.floats(), st.integers(), st.text(max_size=5), st.none()), max_size=5))
def test_a_number_is_finite_or_missing_whatever_the_cell_holds(cells: list[Any]) -> None:
    read = read_number(pd.Series(cells, dtype="object"))
    assert read.dtype == "float64"
    assert not np.isinf(read).any()


@pytest.mark.parametrize(
    ("cell", "number"),
    [("12", 12), (" 1.5 ", 1.5), ("1e3", 1000), ("-.5", -0.5), ("1,200", None), ("$5", None)],
)
def test_a_number_is_plain_or_unreadable(cell: str, number: float | None) -> None:
    assert read_number(pd.Series([cell])).dropna().tolist() == ([] if number is None else [number])


@pytest.mark.parametrize(
    ("cell", "flag"),
    [
        *[(cell, 1.0) for cell in ("true", "Yes", "Y", "t", "1", 1, 1.0, True, "1.0")],
        *[(cell, 0.0) for cell in ("FALSE", "no", "n", "f", "0", 0, 0.0, False, "0.0")],
        *[(cell, None) for cell in ("", None, "maybe", "2", "on")],
    ],
)
def test_a_flag_is_yes_no_or_unreadable(cell: Any, flag: float | None) -> None:
    for typed in (pd.Series([cell], dtype="object"), pd.Series([cell])):
        assert read_flag(typed).dropna().tolist() == ([] if flag is None else [flag])


@pytest.mark.parametrize(
    ("cell", "members"),
    [
        ("b|a", "a|b"),
        (" a | b |a|", "a|b"),
        (["b", "a", "b"], "a|b"),
        (np.array(["b", "a"]), "a|b"),
        ([2, 1], "1|2"),
        ("a", "a"),
        ("", None),
        (None, None),
        ([], None),
        ("|", None),
        (" | ", None),
    ],
    ids=str,
)
def test_a_set_is_sorted_text_without_repeats_and_an_empty_one_is_missing(
    cell: Any, members: str | None
) -> None:
    read = read_set(pd.Series([cell], dtype="object"))
    assert read.dropna().tolist() == ([] if members is None else [members])


@pytest.mark.parametrize("kind", KINDS.values())
@given(cells=st.lists(st.sampled_from(["", "yes", "0", "12.5", "a|b|a", " b ", "2024-01-01", "|"])))
def test_reading_twice_is_reading_once(kind: str, cells: list[str]) -> None:
    once = read_kind(pd.Series(cells, dtype="object"), kind)
    pd.testing.assert_series_equal(read_kind(once, kind), once)


def test_the_dates_format_of_a_source_holds_for_declared_dates_too() -> None:
    raw = pd.DataFrame({"account_id": ["a", "b"], "funded_on": ["31/12/2024", "2024-12-31"]})
    funded_on = Attribute(name="funded_on", dimension="trigger_event", kind="date", label="funded")
    found = check_table(
        "accounts", raw, max_money=1e9, dates="%d/%m/%Y", attributes=[funded_on], place="crm"
    )
    assert found.rows["funded_on"].tolist() == [pd.Timestamp(2024, 12, 31), pd.NaT]
    assert found.emptied["rule"].tolist() == [NOT_A_DATE.format("funded_on")]


@pytest.mark.parametrize(
    ("created", "closed", "is_good"),
    [
        # The evening of 1 November in New York, beside the day there.
        ("2018-11-02T01:00:00Z", "2018-11-01", True),
        ("2018-11-02T23:59:00Z", "2018-11-01", True),
        ("2018-11-03T00:01:00Z", "2018-11-01", False),
        # Two days, or two moments, are of one clock.
        ("2018-11-02", "2018-11-01", False),
        ("2018-11-02T01:00:00Z", "2018-11-01T23:00:00Z", False),
        ("2018-11-02T18:00:00Z", "2018-11-02T09:00:00Z", True),
    ],
)
def test_a_day_beside_a_moment_may_be_that_of_another_zone(
    created: str, closed: str, is_good: bool
) -> None:
    row = DEAL | {"created_at": created, "closed_at": closed}
    checked = check_table("deals", pd.DataFrame([row]), max_money=1e9, place="x")
    assert len(checked.rows) == is_good


class TestSeveralRowsOfOneMonth:
    """Two subscriptions of one customer, say: 100 and 150 in one month."""

    ROWS = (BILL, BILL | {"mrr": "150"}, BILL | {"month": "2024-03-01"})

    def test_nobody_knows_which_of_them_counts(self) -> None:
        found = checked("revenue", *self.ROWS, same_month="refuse")
        assert found.rows.index.tolist() == [2]
        assert found.faults["value"].tolist() == ["a1 2024-02: 100", "a1 2024-02: 150"]

    @pytest.mark.parametrize("second", ["150", "100"])
    def test_they_add_up_where_that_is_said(self, second: str) -> None:
        rows = (BILL, BILL | {"mrr": second}, BILL | {"month": "2024-03-01"})
        found = checked("revenue", *rows, same_month="sum")
        assert found.rows["mrr"].tolist() == [100 + float(second), 100]
        assert found.faults.empty

    def test_a_bad_part_does_not_hide_a_good_one(self) -> None:
        found = checked("revenue", BILL | {"mrr": "?"}, *self.ROWS, same_month="sum")
        assert found.rows["mrr"].tolist() == [250, 100]
        assert found.faults["rule"].tolist() == ["mrr is a number"]

    def test_customers_that_are_one_account_add_up_whatever_is_said(self) -> None:
        rows = (BILL, BILL | {"mrr": "50", "billed_as": "x"}, BILL | {"mrr": "7", "billed_as": "y"})
        found = checked("revenue", *rows, same_month="refuse")
        assert found.rows["mrr"].tolist() == [157]

    def test_strangers_stop_nobody(self) -> None:
        found = checked("revenue", *self.ROWS, same_month="refuse", known=["b"])
        assert set(found.faults["rule"]) == {"account_id is in accounts"}
