from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.cells import (
    as_text,
    commonest_spellings,
    in_two_ways,
    read_flag,
    read_kind,
    read_moment,
    read_number,
    read_set,
    read_text,
    spelling_key,
)
from icploop.settings.formats import CellFormat, number_format
from tests.companies import KINDS


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


SAID_AS_NOTHING = [
    "--",
    "-",
    "N/A",
    "n/a",
    "n.a.",
    "NA",
    "NULL",
    "None",
    "(No value)",
    "-None-",
    "#N/A",
    "unknown",
    "",
    "  ",
    "nan",
    "#REF!",
    "\u2014",
    "(blank)",
    "\\N",
]


@pytest.mark.parametrize("cell", SAID_AS_NOTHING)
@pytest.mark.parametrize("kind", KINDS.values())
def test_a_cell_that_says_nothing_is_missing_in_every_kind(kind: str, cell: str) -> None:
    assert read_kind(pd.Series([cell], dtype="object"), kind).isna().all()
    assert read_kind(pd.Series([f" {cell} "], dtype="str"), kind).isna().all()


@pytest.mark.parametrize("cell", ["Nantes", "None of these", "NA-East", "not", "0", "no", "other"])
def test_a_word_that_means_something_stays(cell: str) -> None:
    assert read_text(pd.Series([cell])).tolist() == [cell]


def test_members_of_a_set_that_say_nothing_are_none() -> None:
    read = read_set(pd.Series(["crm|N/A", "None", "erp;--;crm"]))
    assert read.astype("object").where(read.notna(), None).tolist() == ["crm", None, "crm|erp"]
    kept = read_set(pd.Series(["crm|NA"]), CellFormat(keep=frozenset({"NA"})))
    assert kept.tolist() == ["NA|crm"]


def test_whole_numbers_are_exact_text_even_beside_a_missing_one() -> None:
    large = 4150868000000225013
    assert as_text(pd.Series([large, None], dtype="object")).tolist()[0] == str(large)
    assert as_text(pd.Series([large, None], dtype="Int64")).tolist()[0] == str(large)
    assert as_text(pd.Series([1.0, "x", None], dtype="object")).tolist()[:2] == ["1", "x"]


@pytest.mark.parametrize(
    ("cells", "doubtful"),
    [
        (["1.000", "900"], "1.000"),
        (["900", "12.345"], "12.345"),
        (["1.200", "850,50"], "1.200"),
        (["1.200", "1.234.567"], "1.200"),
        (["1.200", "12.5"], None),
        (["1.200", "0.125"], None),
        (["1.200", "1234.567"], None),
        (["1.200", "12.5", "12,5"], "1.200"),
        (["0.825", "0.750"], None),
        (["12", "900"], None),
        ([1.234, 2.345], None),
        (["1.2e5", "0.5"], None),
        (["-1.200"], "-1.200"),
    ],
)
def test_a_column_of_thousands_or_fractions_is_told_apart_only_by_a_certain_cell(
    cells: list[Any], doubtful: str | None
) -> None:
    assert in_two_ways(pd.Series(cells)) == doubtful


def test_spellings_of_a_level_share_a_key_and_the_commonest_is_shown() -> None:
    words = {
        "Retail": 3,
        "retail": 5,
        "RETAIL": 1,
        "Caf\u00e9": 1,
        "Cafe\u0301": 2,
        "A  b": 1,
        "a b": 1,
    }
    shown = commonest_spellings(words.items())
    assert shown == {"retail": "retail", "caf\u00e9": "Cafe\u0301", "a b": "A  b"}
    assert spelling_key(" RETAIL ") == "retail"


@given(st.integers(0, 10**9), st.integers(0, 99))
def test_a_stated_format_reads_what_it_would_write(whole: int, cents: int) -> None:
    for example, thousands, decimal in (("EUR 1.234,56", ".", ","), ("1,234.56", ",", ".")):
        written = f"{whole:,}".replace(",", thousands) + f"{decimal}{cents:02}"
        read = read_number(pd.Series([written]), CellFormat(numbers=number_format(example)))
        assert read.tolist() == [float(f"{whole}.{cents:02}")]
