"""The dialect of a file is stated, not guessed: what real exports do to a reader of CSV."""

import codecs
import gzip
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from icploop.errors import DataError, UsageError
from icploop.io.sources import RawTable, pull
from icploop.settings import parse_source
from tests.unit.io_fixtures import NOWHERE

HEADER = "account_id,name,employees\n"


def read(folder: Path, data: bytes, name: str = "accounts.csv", **dialect: Any) -> RawTable:
    """The one table of a folder with one file."""
    (folder / name).write_bytes(data)
    stated = {
        "kind": "files",
        "folder": str(folder),
        "tables": {"accounts": {"file": name}},
        "dialects": {name: dialect} if dialect else {},
    }
    source = parse_source(yaml.safe_dump(stated), "files.yaml")
    [table] = pull(source, folder, "files.yaml", NOWHERE)
    assert isinstance(table, RawTable)
    return table


def names(table: RawTable) -> list[str]:
    return table.rows["name"].tolist()


LONG = "".join(f"Q{i},Firm {i},5\n" for i in range(20_500))


class TestQuotes:
    def test_the_first_quoted_cell_may_stand_far_down(self, tmp_path: Path) -> None:
        tail = 'Q1,"Beth, Bens. Co.",55\nQ2,"Retail",7\n'
        table = read(tmp_path, (HEADER + LONG + tail).encode())
        assert names(table)[-2:] == ["Beth, Bens. Co.", "Retail"]
        assert table.unreadable.empty

    def test_a_quote_within_and_a_line_end_within_far_down(self, tmp_path: Path) -> None:
        tail = 'Q1,"the ""best""\nof all",5\nQ2,plain,7\n'
        table = read(tmp_path, (HEADER + LONG + tail).encode())
        assert names(table)[-2:] == ['the "best"\nof all', "plain"]

    def test_another_quote_is_stated(self, tmp_path: Path) -> None:
        table = read(tmp_path, (HEADER + "a1,'B, C',5\n").encode(), quote="'")
        assert names(table) == ["B, C"]
        assert names(read(tmp_path, (HEADER + 'a1,6" pipes,5\n').encode(), quote="")) == [
            '6" pipes'
        ]


class TestDelimiters:
    @pytest.mark.parametrize("delimiter", [";", "\t", "|"])
    def test_it_is_what_the_header_has_most(self, tmp_path: Path, delimiter: str) -> None:
        lines = [["account_id", '"name, legal"', "employees"], ["a1", "A, B", "5"]]
        text = "".join(delimiter.join(cells) + "\n" for cells in lines)
        assert read(tmp_path, text.encode()).rows["name, legal"].tolist() == ["A, B"]

    def test_it_may_be_stated_or_stand_in_excels_first_line(self, tmp_path: Path) -> None:
        assert names(read(tmp_path, b"account_id~name\na1~A\n", delimiter="~")) == ["A"]
        assert names(read(tmp_path, b"sep=;\naccount_id;name\na1;A\n")) == ["A"]

    def test_blank_lines_before_the_header_are_none_of_it(self, tmp_path: Path) -> None:
        table = read(tmp_path, ("\n\n" + HEADER + "a1,A,5\n").encode())
        assert (names(table), table.rows.index.tolist()) == (["A"], [1])


class TestEncodings:
    @pytest.mark.parametrize("text", ["Café € Müller", "“Smith” – Söhne", "Ōsaka Ltd"])
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-marked", "cp1252"]
    )
    def test_letters_are_what_they_were(self, tmp_path: Path, encoding: str, text: str) -> None:
        content = f"{HEADER}a1,{text},5\n"
        if encoding == "utf-16-be-marked":
            data = codecs.BOM_UTF16_BE + content.encode("utf-16-be")
        else:
            data = content.encode(encoding, "replace")
            text = data.decode(encoding).splitlines()[-1].split(",")[1]
        table = read(tmp_path, data)
        assert names(table) == [text]
        assert bool(table.told) == (encoding == "cp1252" and not text.isascii())

    def test_one_byte_that_is_no_utf_8_costs_its_row_and_no_other(self, tmp_path: Path) -> None:
        rows = [f"a{i},Café {i},5\n".encode() for i in range(2_000)]
        rows[1_234] = b"a1234,Caf\xff,5\n"
        table = read(tmp_path, HEADER.encode() + b"".join(rows))
        assert len(table) == 1_999
        assert set(table.rows["name"].str[:4]) == {"Café"}
        assert table.unreadable["row"].tolist() == [1_235]
        assert "UTF-8" in table.unreadable["rule"].iloc[0]

    @pytest.mark.parametrize(
        ("encoding", "text"),
        [
            ("cp1250", "Łódź, Śląsk, Žďár"),
            ("cp1251", "Москва, Уралмаш"),
            ("shift_jis", "株式会社東京"),
        ],
    )
    def test_what_nobody_can_tell_is_refused_until_it_is_stated(
        self, tmp_path: Path, encoding: str, text: str
    ) -> None:
        data = (HEADER + "".join(f'a{i},"{text}",5\n' for i in range(30))).encode(encoding)
        with pytest.raises(DataError, match=r"neither UTF-8 nor Windows-1252.*encoding"):
            read(tmp_path, data)
        assert set(names(read(tmp_path, data, encoding=encoding))) == {text}

    def test_utf_16_without_its_mark_is_refused_with_the_line_to_write(
        self, tmp_path: Path
    ) -> None:
        data = (HEADER + "a1,A,5\n").encode("utf-16-le")
        with pytest.raises(DataError, match=r"accounts\.csv: \{encoding: utf-16-le\}"):
            read(tmp_path, data)
        assert names(read(tmp_path, data, encoding="utf-16-le")) == ["A"]

    def test_an_encoding_that_does_not_exist_is_refused_in_the_settings(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="'utf-9' is no encoding; give one such as"):
            read(tmp_path, b"x", encoding="utf-9")


class TestLines:
    @pytest.mark.parametrize(
        "ends", [("\r\n", "\n"), ("\n", "\r\n"), ("\r", "\r"), ("\r\n", "\r\n")]
    )
    def test_lines_may_end_in_several_ways(self, tmp_path: Path, ends: tuple[str, str]) -> None:
        first, second = ends
        text = f"account_id,name{first}a1,A{second}a2,B{first}a3,C{second}"
        assert names(read(tmp_path, text.encode())) == ["A", "B", "C"]

    def test_a_cell_of_ten_megabytes_is_read(self, tmp_path: Path) -> None:
        text = f'account_id,name,employees\na1,"{"long text, " * 900_000}",5\na2,B,6\n'
        table = read(tmp_path, text.encode())
        assert [len(name) for name in names(table)] == [9_900_000, 1]

    def test_a_line_with_too_few_cells_is_no_row(self, tmp_path: Path) -> None:
        table = read(tmp_path, (HEADER + "a1,A,5\na2\na3,C,6\n").encode())
        assert table.rows["account_id"].tolist() == ["a1", "a3"]
        assert table.rows.index.tolist() == [1, 3]
        assert table.unreadable["row"].tolist() == [2]


def zipped() -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("accounts.csv", HEADER)
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (zipped(), "a zip archive or a workbook; name a workbook .xlsx, unpack an archive"),
        (gzip.compress(HEADER.encode(), mtime=0), "compressed with gzip; name it .csv.gz"),
        (b"PAR1\x15", "a Parquet file; name it .parquet"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old Excel workbook; name it .xls"),
        (b"<!DOCTYPE html><html>", "a web page, not a table; sign in and export it again"),
        (b"%PDF-1.4", "a PDF; export the table as CSV"),
        (b"  \n \n", "is empty; it needs at least a header line"),
    ],
)
def test_what_is_no_csv_is_refused_with_what_it_is(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path, data)
    assert told in str(refused.value)
    assert "accounts.csv" in str(refused.value)


@pytest.mark.parametrize("name", ["accounts.csv.gz", "accounts.tsv", "accounts.CSV"])
def test_files_may_be_compressed_or_named_otherwise(tmp_path: Path, name: str) -> None:
    text = (HEADER + "a1,Müller,5\n").replace(",", "\t" if "tsv" in name else ",").encode()
    assert names(read(tmp_path, gzip.compress(text) if "gz" in name else text, name)) == ["Müller"]


def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    data = gzip.compress((HEADER + LONG).encode())
    with pytest.raises(DataError, match=r"accounts\.csv\.gz cannot be read.*export it again"):
        read(tmp_path, data[: len(data) // 2], "accounts.csv.gz")
