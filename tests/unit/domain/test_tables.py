from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.domain.cells import read_number
from icploop.domain.tables import (
    CONTRACTS,
    FAULT_COLUMNS,
    CheckedTable,
    check_cells,
    check_table,
    require_one_reading,
    unknown_accounts,
)
from icploop.errors import DataError
from icploop.settings import TABLES, Attribute, SameMonth, TableName
from icploop.settings.formats import CellFormat, TableFormat, number_format
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
    ("deals", {"acv": "much"}, "acv", "acv is a number"),
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
    ("revenue", {"mrr": "NaN"}, "mrr", "mrr is given"),
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
        formats=TableFormat(CellFormat(dates=dates)),
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


def test_the_dates_format_of_a_source_holds_for_declared_dates_too() -> None:
    raw = pd.DataFrame({"account_id": ["a", "b"], "funded_on": ["31/12/2024", "2024-12-31"]})
    funded_on = Attribute(name="funded_on", dimension="trigger_event", kind="date", label="funded")
    found = check_table(
        "accounts",
        raw,
        max_money=1e9,
        formats=TableFormat(CellFormat(dates="%d/%m/%Y")),
        attributes=[funded_on],
        place="crm",
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


def one(name: TableName, row: Row, **said: Any) -> CheckedTable:
    return check_table(name, pd.DataFrame([row]), max_money=1e9, place="x", **said)


@pytest.mark.parametrize(
    ("mrr", "read"), [("0.0003", 0), ("-0.0004", 0), ("-0.00999", 0), ("0.01", 0.01), ("0", 0)]
)
def test_mrr_below_a_hundredth_of_the_unit_is_nothing(mrr: str, read: float) -> None:
    found = one("revenue", BILL | {"mrr": mrr})
    assert found.rows["mrr"].tolist() == [read]
    assert check_cells("revenue", "mrr", pd.Series([mrr]), max_money=1e9)[0].tolist() == [read]


def test_a_hundredth_below_nothing_is_still_a_fault() -> None:
    assert faults(one("revenue", BILL | {"mrr": "-0.01"})) == [(0, "mrr", "mrr >= 0")]


def test_every_key_that_says_nothing_is_missing() -> None:
    row = ACCOUNT | {"parent_id": "N/A", "domain": "n.a.", "name": "(No value)", "industry": "--"}
    kept = checked("accounts", row).rows
    assert kept[["parent_id", "domain", "name", "industry"]].isna().all(axis=None)
    assert faults(checked("deals", DEAL | {"account_id": "-None-"})) == [
        (0, "account_id", "account_id is given")
    ]


def test_a_word_of_nothing_that_is_meant_is_kept_where_the_settings_say_so() -> None:
    formats = TableFormat(columns={"motion": CellFormat(keep=frozenset({"NA"}))})
    assert one("deals", DEAL | {"motion": "NA"}, formats=formats).rows["motion"].tolist() == ["NA"]
    assert one("deals", DEAL | {"motion": "NA"}).rows["motion"].isna().all()
    other = TableFormat(columns={"motion": CellFormat(nothing=frozenset({"tbd"}))})
    assert one("deals", DEAL | {"motion": "TBD"}, formats=other).rows["motion"].isna().all()


@pytest.mark.parametrize("account", ["8.12346E+12", "4.15e+18", 4.150868e18, " 1E+15 "])
def test_an_id_that_lost_its_digits_is_refused_with_how_to_export_it(account: Any) -> None:
    ((_, column, rule),) = faults(one("deals", DEAL | {"account_id": account}))
    assert column == "account_id"
    assert "has all its digits" in rule
    assert "with ids as text" in rule


@pytest.mark.parametrize("account", ["1E5", "12E+A", "E+12", "8.12", "0015g00000aBcDe"])
def test_an_id_that_only_looks_a_little_like_a_number_is_an_id(account: str) -> None:
    assert one("deals", DEAL | {"account_id": account}).rows["account_id"].tolist() == [account]


def test_ids_are_one_unicode_form_with_single_blanks_and_it_is_told() -> None:
    odd = [
        "Caf\u00e9 1",
        "Cafe\u0301 1",
        "Caf\u00e9\u00a0 1",
        "\ufeffCaf\u00e9 1\u200b",
        " Caf\u00e9 1",
    ]
    rows = [DEAL | {"deal_id": f"d{i}", "account_id": text} for i, text in enumerate(odd)]
    found = checked("deals", *rows)
    assert set(found.rows["account_id"]) == {"Caf\u00e9 1"}
    assert found.remarks == {("keys_folded", "account_id"): 3}


def test_an_id_with_a_nul_is_refused() -> None:
    broken = faults(one("deals", DEAL | {"account_id": "a\x001"}))
    assert broken == [(0, "account_id", "account_id has no control characters")]


RATES = {"USD": 1.0, "JPY": 0.0066}


def test_money_in_another_currency_is_converted_by_its_rate() -> None:
    row = DEAL | {"acv": "6000000", "acquisition_cost": "100000", "currency": "jpy"}
    found = one("deals", row, rates=RATES)
    assert found.rows[["acv", "acquisition_cost"]].to_numpy().tolist() == [[39600.0, 660.0]]
    assert found.remarks == {("money_converted", "currency"): 1}


@pytest.mark.parametrize("said", ["USD", " usd ", "", "--", None])
def test_money_in_the_companys_currency_stays_as_it_is(said: Any) -> None:
    found = one("revenue", BILL | {"currency": said}, rates=RATES)
    assert found.rows["mrr"].tolist() == [100]
    assert not found.remarks


def test_money_without_a_rate_is_refused_with_the_setting_to_state() -> None:
    ((_, column, rule),) = faults(one("deals", DEAL | {"currency": "eur"}, rates=RATES))
    assert column == "currency"
    assert "`currencies: {EUR: ...}` in conf/icp.yaml" in rule
    assert one("deals", DEAL | {"currency": "eur", "acv": "", "acquisition_cost": ""}, rates=RATES)


@pytest.mark.parametrize(
    ("term", "acv_per", "acv"),
    [
        ({"term_months": "60"}, "term", 10_000),
        ({"term_years": "5"}, "term", 10_000),
        ({"term_months": ""}, "term", 50_000),
        ({}, "term", 50_000),
        ({"term_months": "60"}, "year", 50_000),
        ({}, "month", 600_000),
    ],
)
def test_acv_is_brought_to_a_year(term: Row, acv_per: Any, acv: float) -> None:
    row = DEAL | {"acv": "50000"} | term
    assert one("deals", row, formats=TableFormat(acv_per=acv_per)).rows["acv"].tolist() == [acv]


@pytest.mark.parametrize("term", ["0", "-12", "five years"])
def test_a_term_that_is_none_is_refused(term: str) -> None:
    assert faults(one("deals", DEAL | {"term_months": term})) == [
        (0, "term_months", "term_months is a number above 0")
    ]


@pytest.mark.parametrize(
    ("cell", "example"),
    [
        ("EUR 8.075,12", "EUR 1.234,56"),
        ("$48,048,000", "$1,234.56"),
        ("12,5 %", "12,5 %"),
        ("12,5", "1.234,56"),
        ("1'200.50", "1,234.56"),
    ],
)
def test_a_number_in_another_format_is_refused_with_the_setting_that_reads_it(
    cell: str, example: str
) -> None:
    ((_, _, rule),) = faults(one("deals", DEAL | {"acv": cell}))
    assert f'state `numbers: "{example}"`' in rule
    stated = TableFormat(columns={"acv": CellFormat(numbers=number_format(example))})
    assert one("deals", DEAL | {"acv": cell}, formats=stated).bad_rows == 0


def test_a_number_that_is_not_written_as_stated_is_refused_with_what_was_stated() -> None:
    stated = TableFormat(CellFormat(numbers=number_format("EUR 1.234,56")))
    ((_, column, rule),) = faults(
        one("deals", DEAL | {"acv": "USD 5", "gross_margin": "0,8"}, formats=stated)
    )
    assert (column, rule) == ("acv", "acv is a number written like EUR 1.234,56")


def test_a_column_that_reads_in_two_ways_is_refused_with_both_remedies() -> None:
    mrr = pd.Series(["1.000", "900"])
    with pytest.raises(DataError) as stopped:
        require_one_reading("revenue", "mrr", mrr, CellFormat(), "billing")
    for said in ("'1.000' is 1000 or 1", '`numbers: {mrr: "1.234,56"}`', "Nothing was changed"):
        assert said in str(stopped.value)
    stated = CellFormat(numbers=number_format("1.234,56"))
    require_one_reading("revenue", "mrr", mrr, stated, "billing")
    assert read_number(mrr, stated).tolist() == [1000, 900]
