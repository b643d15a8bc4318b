import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.cells import read_moment
from icploop.errors import DataError
from icploop.io.sources.raw import mapped, on_the_clock
from icploop.settings import MappedTable
from icploop.settings.formats import CellFormat

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("2023-12-31T23:00:00Z", "2024-01-01T00:00:00"),
        ("2023-12-31 23:00:00+00:00", "2024-01-01T00:00:00"),
        ("2023-12-31T23:00:00.250+0000", "2024-01-01T00:00:00.250"),
        ("2024-06-30T18:00:00-04:00", "2024-07-01T00:00:00"),
        # Nothing here says how far it is from UTC.
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:30:00", "2024-01-01T00:30:00"),
        ("2024-01", "2024-01"),
    ],
)
def test_a_moment_is_read_on_the_clock_and_a_day_stays_a_day(cell: str, shown: str) -> None:
    found = read_moment(on_the_clock(pd.Series([cell]), BERLIN))
    assert found.tolist() == read_moment(pd.Series([shown])).tolist()


def test_what_is_no_moment_stays_what_it_is() -> None:
    cells = pd.Series(["soon", "", None, "99T99:99Z", "12:00Z"], dtype="str")
    pd.testing.assert_series_equal(on_the_clock(cells, BERLIN), cells.mask(cells == "", None))


def test_by_utc_nothing_changes() -> None:
    cells = pd.Series(["2023-12-31T23:00:00Z", "2024-01-01"], dtype="str")
    pd.testing.assert_series_equal(on_the_clock(cells, "UTC"), cells)


def test_moments_of_a_database_and_of_a_stated_format_are_read_on_the_clock_too() -> None:
    typed = pd.Series(pd.to_datetime(["2023-12-31T23:00Z"], utc=True))
    assert on_the_clock(typed, BERLIN).tolist() == [pd.Timestamp(2024, 1, 1)]
    told = pd.Series(["31.12.2023 23:00 +0000"], dtype="str")
    dates = "%d.%m.%Y %H:%M %z"
    again = read_moment(on_the_clock(told, BERLIN, dates), CellFormat(dates))
    assert again.tolist() == [pd.Timestamp(2024, 1, 1)]


@given(
    moment=st.datetimes(pd.Timestamp(1990, 1, 1), pd.Timestamp(2100, 1, 1)),
    zone=st.sampled_from([BERLIN, "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"]),
)
def test_the_clock_is_that_of_its_zone(moment: pd.Timestamp, zone: str) -> None:
    at = pd.Timestamp(moment).floor("ms").tz_localize("UTC")
    [shown] = read_moment(on_the_clock(pd.Series([at.isoformat()]), zone))
    assert shown == at.tz_convert(zone).tz_localize(None)


def test_only_what_the_contract_calls_a_moment_is_changed() -> None:
    rows = pd.DataFrame({"at": ["2023-12-31T23:00:00Z"], "note": ["2023-12-31T23:00:00Z"]})
    table = MappedTable(columns={"created_at": "at"}, timezone=BERLIN)
    found = mapped(rows, "deals", table, "x")
    assert found["created_at"].str.startswith("2024-01-01T00:00").all()
    assert found["note"].tolist() == ["2023-12-31T23:00:00Z"]


def test_bytes_are_the_text_that_they_are_and_no_id_is_a_structure():
    rows = pd.DataFrame(
        {
            "account_id": pd.Series([b"a", None, bytearray("é".encode())], dtype=object),
            "picture": pd.Series([b"\xff\xfe", b"b", None], dtype=object),
            "address": pd.Series([{"city": "Bonn"}, None, None], dtype=object),
        }
    )
    read = mapped(rows, "accounts", MappedTable(), "here")
    assert read["account_id"].tolist()[::2] == ["a", "é"]
    assert read["picture"][0] == b"\xff\xfe"
    for column, said in (("address", "structures"), ("picture", "bytes that are no text")):
        with pytest.raises(DataError, match=f"column `account_id` of .* holds {said}"):
            mapped(rows, "accounts", MappedTable(columns={"account_id": column}), "here")
