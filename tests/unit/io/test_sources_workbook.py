"""Workbooks, as spreadsheets keep tables."""

from datetime import date
from pathlib import Path

import pytest

from icploop.domain.cells import read_key, read_moment, read_number
from icploop.errors import DataError
from icploop.io.sources.workbook import read_sheet
from tests.unit.exports import needs_calamine
from tests.unit.workbooks import write_workbook


@pytest.fixture(autouse=True)
def _workbooks_can_be_read() -> None:
    needs_calamine()


def test_cells_keep_what_they_are(tmp_path: Path) -> None:
    rows = [
        ["id", "signed", "acv", "share", "city"],
        ["0012", date(2024, 2, 29), 48_000.5, 0.125, "Zürich"],
        ["0013", date(2023, 12, 31), 1_200, None, None],
    ]
    frame, told = read_sheet(write_workbook(tmp_path / "a.xlsx", {"Data": rows}), None)
    assert read_key(frame["id"]).tolist() == ["0012", "0013"]
    assert read_moment(frame["signed"]).dt.date.tolist() == [date(2024, 2, 29), date(2023, 12, 31)]
    assert read_number(frame["acv"]).tolist() == [48_000.5, 1_200]
    assert read_number(frame["share"]).iloc[0] == 0.125
    assert frame["city"].isna().tolist() == [False, True]
    assert (told, frame.index.tolist()) == ("", [1, 2])


def test_numbers_that_are_ids_have_no_fraction_and_no_lost_digits(tmp_path: Path) -> None:
    rows = [["id"], [1001], [1002], [4150868000000225013]]
    frame, _ = read_sheet(write_workbook(tmp_path / "a.xlsx", {"Data": rows}), None)
    keys = read_key(frame["id"])
    assert keys.tolist()[:2] == ["1001", "1002"]
    assert "E+18" in keys.iloc[2]


def test_empty_rows_and_sheets_are_passed_over_and_others_told(tmp_path: Path) -> None:
    sheets = {
        "Cover": [],
        "Export": [[], ["id", None, "n"], ["a", None, 1], [], ["b", None, 2]],
        "Old": [["id"], ["x"]],
    }
    path = write_workbook(tmp_path / "a.xlsx", sheets)
    frame, told = read_sheet(path, None)
    assert frame["id"].tolist() == ["a", "b"]
    assert frame.index.tolist() == [1, 3]
    assert "'Export' was read (not Old)" in told
    assert read_sheet(path, "Old")[0]["id"].tolist() == ["x"]
    with pytest.raises(DataError, match="has no sheet 'New'; it has Cover, Export, Old"):
        read_sheet(path, "New")


@pytest.mark.parametrize("data", [b"", b"id,n\n1,2\n", b"PK\x03\x04rubbish"])
def test_what_is_no_workbook_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.xlsx").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.xlsx cannot be read as a workbook"):
        read_sheet(tmp_path / "a.xlsx", None)


def test_a_workbook_without_a_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty; it needs at least a header line"):
        read_sheet(write_workbook(tmp_path / "a.xlsx", {"Data": []}), None)
