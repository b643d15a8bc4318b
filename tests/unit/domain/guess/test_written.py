from typing import Any

import pandas as pd
import pytest

from icploop.domain.guess.written import as_dates, as_numbers, read_dates, read_numbers


def column(*cells: Any) -> pd.Series:
    return pd.Series(list(cells))


@pytest.mark.parametrize(
    ("cells", "formats"),
    [
        (["2024-01-31", "2024-02-01"], ("",)),
        (["2024-01-31 10:22", "2024-02-01"], ("",)),
        (["2024-01", "2024-12"], ("",)),
        (["20240131", "20241231"], ("",)),
        (["202401", "202412"], ("%Y%m",)),
        (["31.01.2024", "01.02.2024"], ("%d.%m.%Y",)),
        (["31.01.24", "01.02.24"], ("%d.%m.%y",)),
        (["1/31/2024", "2/1/2024"], ("%m/%d/%Y",)),
        (["31/01/2024 09:05", "01/02/2024 10:00"], ("%d/%m/%Y %H:%M",)),
        (["1/31/2024 9:05 PM", "2/1/2024 10:00 AM"], ("%m/%d/%Y %I:%M %p",)),
        (["Jan 31, 2024", "Feb 1, 2024"], ("%b %d, %Y",)),
        (["Jan 2024", "Feb 2024"], ("%b %Y",)),
        # Both ways: the cells do not tell.
        (["01/02/2024", "03/04/2024"], ("%d/%m/%Y", "%m/%d/%Y")),
        # Months begin with their first day.
        (["01/01/2024", "01/02/2024", "01/03/2024"], ("%d/%m/%Y",)),
        (["01/01/2024", "02/01/2024", "03/01/2024"], ("%m/%d/%Y",)),
        (["--", "31.12.1950", None], ("%d.%m.%Y",)),
    ],
)
def test_dates_are_read_by_the_formats_that_fit(cells: list[str], formats: tuple[str]) -> None:
    found = as_dates(column(*cells))
    assert found
    assert found.formats == formats


@pytest.mark.parametrize(
    "cells",
    [["1998", "2004"], ["12", "7"], ["1.2", "3.4"], ["Retail", "Q4 2024 or so"], [None, "--"], []],
)
def test_what_is_no_date_is_none(cells: list[str]) -> None:
    assert not as_dates(column(*cells))


@pytest.mark.parametrize(
    ("cells", "formats"),
    [
        (["1200", "12.5"], ("",)),
        (["12.5", "1.200"], ("",)),
        (["1.200", "900,50"], ("1.234,56",)),
        (["1,200.50", "900"], ("1,234.56",)),
        (["1.200", "900"], ("1.234,56", "1,234.56")),
        (["EUR 8.075,12", "EUR 1,00"], ("EUR 1.234,56",)),
        (["$48,048,000", "$12.50"], ("$1,234.56",)),
        (["12,5 %", "3 %"], ("12,5 %",)),
        (["--", "12,5", "n/a"], ("1.234,56",)),
    ],
)
def test_numbers_are_read_by_the_formats_that_fit(cells: list[str], formats: tuple[str]) -> None:
    found = as_numbers(column(*cells))
    assert found
    assert found.formats == formats


@pytest.mark.parametrize("cells", [["11-50", "51-200"], ["a", "1"], [True, False], ["--"]])
def test_what_is_no_number_is_none(cells: list[Any]) -> None:
    assert not as_numbers(column(*cells))


def test_a_few_cells_that_break_a_format_do_not_change_it() -> None:
    assert as_numbers(column(*["1.200,50"] * 1, *[f"{n},5" for n in range(20)], "bad")).share > 0.9
    assert as_dates(column(*[f"{n:02}.01.2024" for n in range(1, 29)], "Summe")).formats == (
        "%d.%m.%Y",
    )


def test_columns_that_have_a_type_need_no_format() -> None:
    assert as_dates(column(pd.Timestamp(2024, 1, 31))).formats == ("",)
    assert as_numbers(column(1.5, 2)).formats == ("",)


def test_a_neighbour_that_is_certain_settles_a_format() -> None:
    found = as_dates(column("01/02/2024", "03/04/2024")).preferring(["%m/%d/%Y"])
    assert found.format == "%m/%d/%Y"
    assert read_dates(column("01/02/2024"), found)[0] == pd.Timestamp(2024, 1, 2)


def test_numbers_are_read_as_they_are_written() -> None:
    cells = column("1.200,50", "--", "x")
    assert read_numbers(cells, as_numbers(column("1.200,50")))[0] == 1200.5
