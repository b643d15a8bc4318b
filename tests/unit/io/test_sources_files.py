from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.errors import DataError
from icploop.io.sources import RawTable, pull
from icploop.io.sources.files import of_folder
from icploop.settings import parse_source
from tests.unit.io_fixtures import NOWHERE, files_source, tiny, write_csv

HEADER = "account_id,name,employees\n"


def read(folder: Path, **tables: Any) -> list[RawTable]:
    """Pull a source of files whose settings are given as values."""
    text = yaml.safe_dump(files_source(str(folder), **tables))
    return pull(
        parse_source(text, "conf/sources/files.yaml"), folder, "conf/sources/files.yaml", NOWHERE
    )


def read_accounts(folder: Path, content: str | bytes, encoding: str = "utf-8") -> RawTable:
    """Pull one accounts.csv with the given content."""
    data = content if isinstance(content, bytes) else content.encode(encoding)
    (folder / "accounts.csv").write_bytes(data)
    return read(folder, accounts={"file": "accounts.csv"})[0]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le-with-mark"]
)
def test_names_with_umlauts_come_through_in_every_encoding(tmp_path: Path, encoding: str):
    text = HEADER + "a1,Größe & Söhne,1\na2,Çağrı AŞ,2\n".replace("Çağrı AŞ", "Éluçidé")
    data = (
        b"\xff\xfe" + text.encode("utf-16-le")
        if encoding.endswith("mark")
        else text.encode(encoding)
    )
    table = read_accounts(tmp_path, data)
    assert table.rows["name"].tolist() == ["Größe & Söhne", "Éluçidé"]
    assert table.rows.columns.tolist() == ["account_id", "name", "employees"]


def test_a_latin_1_letter_far_down_a_long_file_is_noticed(tmp_path: Path):
    lines = [f"a{i},Name {i},1" for i in range(30_000)] + ["z,Müller,1"]
    table = read_accounts(tmp_path, HEADER + "\n".join(lines), "latin-1")
    assert table.rows["name"].iloc[-1] == "Müller"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(tmp_path: Path, delimiter: str):
    text = (HEADER + "a1,Acme,1\na2,Bolt,2\n").replace(",", delimiter)
    assert read_accounts(tmp_path, text).rows["name"].tolist() == ["Acme", "Bolt"]


def test_quoted_cells_keep_their_delimiters_newlines_and_quotes(tmp_path: Path):
    text = HEADER + 'a1,"Acme, Inc",1\na2,"two\nlines",2\na3,"a ""b"" c",3\na4,O\'Brien,4\n'
    names = read_accounts(tmp_path, text).rows["name"].tolist()
    assert names == ["Acme, Inc", "two\nlines", 'a "b" c', "O'Brien"]


def test_cells_are_text_so_that_no_id_loses_its_zeros(tmp_path: Path):
    rows = read_accounts(tmp_path, HEADER + "00123,1e5,007\n").rows
    assert rows.iloc[0].tolist() == ["00123", "1e5", "007"]


def test_ids_that_begin_with_a_hash_are_not_comments(tmp_path: Path):
    rows = read_accounts(tmp_path, HEADER + "#1,Acme,1\n#2,Bolt # 2,2\n").rows
    assert rows["account_id"].tolist() == ["#1", "#2"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_ragged_lines_are_set_aside_with_their_row_and_text_and_good_rows_stay(
    tmp_path: Path, encoding: str
):
    text = HEADER + 'a1,"two\nlines",1\na2,short\na3,Çelik,3\na4,long,4,5\na5,Acme,5\n'
    table = read_accounts(tmp_path, text, encoding)
    assert table.rows["account_id"].to_dict() == {1: "a1", 3: "a3", 5: "a5"}
    assert table.unreadable[["row", "value"]].to_numpy().tolist() == [
        [2, "a2,short"],
        [4, "a4,long,4,5"],
    ]
    assert table.unreadable["rule"].unique().tolist() == [
        "the line has as many cells as the header"
    ]


def test_rows_stay_numbered_as_in_the_file_far_behind_a_ragged_line(tmp_path: Path):
    lines = [f"a{i},Name,{i}" for i in range(1, 30_001)]
    lines[9], lines[24_999] = "a10,short", "a25000"
    table = read_accounts(tmp_path, HEADER + "\n".join(lines))
    assert table.unreadable["row"].tolist() == [10, 25_000]
    assert (table.rows["account_id"].str[1:].astype(int) == table.rows.index).all()


def test_a_file_with_nothing_but_a_header_is_an_empty_table(tmp_path: Path):
    table = read_accounts(tmp_path, HEADER)
    assert table.rows.empty
    assert "account_id" in table.rows.columns


def test_an_empty_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(DataError, match=r"accounts\.csv is empty; it needs at least a header"):
        read_accounts(tmp_path, b"")


@pytest.mark.parametrize("size", [0, 3, 100, -10])
def test_a_truncated_parquet_is_refused_by_name(tmp_path: Path, size: int):
    path = tmp_path / "accounts.parquet"
    tiny()["accounts"].to_parquet(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"accounts\.parquet (cannot be read|is empty)"):
        read(tmp_path, accounts={"file": "accounts.parquet"})


def test_parquet_keeps_its_types(tmp_path: Path):
    frame = pd.DataFrame(
        {
            "account_id": [1, 2],
            "tags": [["a", "b"], []],
            "since": pd.to_datetime(["2024-01-01"] * 2),
        }
    )
    frame.to_parquet(tmp_path / "accounts.parquet")
    rows = read(tmp_path, accounts={"file": "accounts.parquet"})[0].rows
    assert rows["account_id"].tolist() == [1, 2]
    assert list(rows["tags"].iloc[0]) == ["a", "b"]
    assert pd.api.types.is_datetime64_any_dtype(rows["since"].dtype)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.csv does not exist"):
        read(tmp_path, accounts={"file": "gone.csv"})
    with pytest.raises(DataError, match=r"folder .*nowhere' does not exist"):
        read(tmp_path / "nowhere", accounts={"file": "accounts.csv"})


def test_another_kind_of_file_is_refused(tmp_path: Path):
    (tmp_path / "accounts.doc").write_bytes(b"x")
    with pytest.raises(DataError, match=r"accounts\.doc is neither \.csv, .*\.parquet.*\.xlsx"):
        read(tmp_path, accounts={"file": "accounts.doc"})


def test_a_folder_name_with_a_quote_is_no_trap(tmp_path: Path):
    folder = tmp_path / 'it\'s "mine"'
    write_csv(folder, {"accounts": tiny()["accounts"]})
    assert len(read(folder, accounts={"file": "accounts.csv"})[0].rows) == 10


class TestMapping:
    CRM = "Company ID,Company,Stage\nc1,Acme,Closed Won\nc2,Bolt,Closed Lost\nc3,Cord,Talking\n"

    def mapped(self, folder: Path, **mapping: Any) -> pd.DataFrame:
        (folder / "crm.csv").write_text(self.CRM)
        return read(folder, deals={"file": "crm.csv", **mapping})[0].rows

    def test_columns_and_values_are_renamed_and_others_are_kept(self, tmp_path: Path):
        rows = self.mapped(
            tmp_path,
            columns={"account_id": "Company ID", "outcome": "Stage"},
            values={"outcome": {"Closed Won": "won", "Closed Lost": "lost"}},
        )
        assert rows.columns.tolist() == ["Company", "account_id", "outcome"]
        assert rows["outcome"].tolist() == ["won", "lost", "Talking"]

    def test_one_column_can_serve_two_canonical_ones(self, tmp_path: Path):
        rows = self.mapped(tmp_path, columns={"account_id": "Company", "name": "Company"})
        assert rows["account_id"].tolist() == rows["name"].tolist() == ["Acme", "Bolt", "Cord"]

    def test_two_columns_can_swap_their_names(self, tmp_path: Path):
        rows = self.mapped(tmp_path, columns={"Company": "Stage", "Stage": "Company"})
        assert rows["Stage"].tolist() == ["Acme", "Bolt", "Cord"]
        assert rows["Company"].tolist() == ["Closed Won", "Closed Lost", "Talking"]

    def test_a_mapped_column_takes_the_place_of_one_that_had_the_name(self, tmp_path: Path):
        rows = self.mapped(tmp_path, columns={"Company": "Company ID"})
        assert rows["Company"].tolist() == ["c1", "c2", "c3"]
        assert rows.columns.is_unique

    def test_a_mapped_column_that_is_absent_is_named_with_those_that_are_there(
        self, tmp_path: Path
    ):
        with pytest.raises(DataError, match=r"maps `name` to `Nmae`.*Company ID, Company, Stage"):
            self.mapped(tmp_path, columns={"name": "Nmae"})

    def test_values_of_an_absent_column_are_refused(self, tmp_path: Path):
        with pytest.raises(DataError, match=r"values names `outcome`, which is not a column"):
            self.mapped(tmp_path, values={"outcome": {"x": "won"}})

    def test_the_format_of_dates_goes_along(self, tmp_path: Path):
        write_csv(tmp_path, {"deals": tiny()["deals"]})
        raw = read(tmp_path, deals={"file": "deals.csv", "dates": "%d/%m/%Y"})[0]
        assert raw.formats.plain.dates == "%d/%m/%Y"


class TestQuery:
    def test_a_query_sees_csv_parquet_and_a_subfolder_as_tables(self, tmp_path: Path):
        (tmp_path / "crm.csv").write_text("id,name\na1,Müller\na2,Bolt\n", encoding="latin-1")
        pd.DataFrame({"id": ["a1", "a2"], "size": [5, 7]}).to_parquet(tmp_path / "sizes.parquet")
        (tmp_path / "parts").mkdir()
        (tmp_path / "parts" / "1.csv").write_text("id,industry\na1,health\n")
        (tmp_path / "parts" / "2.csv").write_text("id,industry,more\na2,retail,x\n")
        query = (
            "SELECT id AS account_id, name, size * 2 AS employees, industry, more "
            "FROM crm JOIN sizes USING (id) JOIN parts USING (id) ORDER BY id"
        )
        raw = read(tmp_path, accounts={"query": query})[0]
        assert raw.rows.astype("object").fillna("").to_numpy().tolist() == [
            ["a1", "Müller", 10, "health", ""],
            ["a2", "Bolt", 14, "retail", "x"],
        ]
        assert raw.rows.index.tolist() == [1, 2]

    def test_files_of_a_subfolder_may_differ_in_encoding_and_columns(self, tmp_path: Path):
        (tmp_path / "parts").mkdir()
        (tmp_path / "parts" / "1.csv").write_text("id,name\na1,Acme\n")
        (tmp_path / "parts" / "2.csv").write_text("id,name\na2,Müller\n", encoding="latin-1")
        (tmp_path / "parts" / "3.csv").write_text("name,id\nÇelik,a3\n", encoding="utf-8")
        raw = read(tmp_path, accounts={"query": "SELECT id, name FROM parts ORDER BY id"})[0]
        assert raw.rows["name"].tolist() == ["Acme", "Müller", "Çelik"]

    def test_ragged_lines_under_a_query_are_set_aside_with_their_file_and_row(self, tmp_path: Path):
        (tmp_path / "crm.csv").write_text("id,name\na1,Acme\na2\na3,Cord\n")
        (tmp_path / "sizes.csv").write_text("id,size\na1,1\na3,3\na4,4,4\n")
        query = "SELECT id AS account_id, size FROM crm JOIN sizes USING (id) ORDER BY id"
        raw = read(tmp_path, accounts={"query": query})[0]
        assert raw.rows["size"].to_dict() == {1: "1", 2: "3"}
        assert raw.unreadable["value"].tolist() == [
            "crm.csv, row 2: a2",
            "sizes.csv, row 3: a4,4,4",
        ]
        assert raw.unreadable["row"].tolist() == [3, 4]

    def test_a_query_can_be_mapped_on_top(self, tmp_path: Path):
        (tmp_path / "crm.csv").write_text("id,stage\nd1,W\n")
        raw = read(
            tmp_path,
            deals={
                "query": "FROM crm",
                "columns": {"deal_id": "id", "outcome": "stage"},
                "values": {"outcome": {"W": "won"}},
            },
        )[0]
        assert raw.rows.iloc[0].to_dict() == {"deal_id": "d1", "outcome": "won"}

    @pytest.mark.parametrize("query", ["SELEC 1", "SELECT nope FROM crm", "FROM nothing"])
    def test_a_query_that_fails_is_named_with_its_place(self, tmp_path: Path, query: str):
        (tmp_path / "crm.csv").write_text("id\na1\n")
        place = r"conf/sources/files\.yaml: tables\.accounts\.query failed"
        with pytest.raises(DataError, match=place):
            read(tmp_path, accounts={"query": query})

    @pytest.mark.parametrize(
        ("name", "content"),
        [("x.parquet", b"PAR1 and no more"), ("x.csv", b""), ("x.parquet", b"")],
    )
    def test_an_unreadable_file_stops_only_the_query_that_needs_it(
        self, tmp_path: Path, name: str, content: bytes
    ):
        (tmp_path / "crm.csv").write_text("account_id\na1\n")
        (tmp_path / name).write_bytes(content)
        assert len(read(tmp_path, accounts={"query": "FROM crm"})[0].rows) == 1
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            read(tmp_path, accounts={"query": "FROM x"})


class TestFolder:
    def test_a_folder_of_canonical_files_is_a_source(self, tmp_path: Path):
        write_csv(tmp_path, {"deals": tiny()["deals"]})
        tiny()["accounts"].to_parquet(tmp_path / "accounts.parquet")
        found = of_folder(tmp_path)
        assert {name: table.file for name, table in found.tables.items()} == {
            "accounts": "accounts.parquet",
            "deals": "deals.csv",
        }

    def test_two_files_of_one_table_are_refused(self, tmp_path: Path):
        write_csv(tmp_path, {"accounts": tiny()["accounts"]})
        tiny()["accounts"].to_parquet(tmp_path / "accounts.parquet")
        with pytest.raises(DataError, match=r"both accounts\.csv and accounts\.parquet; keep one"):
            of_folder(tmp_path)

    def test_a_folder_without_a_table_is_told_the_names(self, tmp_path: Path):
        with pytest.raises(DataError, match=r"none of accounts\.csv, deals\.csv.*rename the files"):
            of_folder(tmp_path)

    def test_a_file_in_place_of_a_folder_is_refused(self, tmp_path: Path):
        (tmp_path / "x").write_text("")
        with pytest.raises(DataError, match="x is not a folder"):
            of_folder(tmp_path / "x")


def test_json_in_lines_or_as_a_list_gives_the_same_as_csv(tmp_path: Path) -> None:
    frame = tiny()["accounts"]
    rows = frame.assign(tech=frame["tech"].str.split("|"))
    write_csv(tmp_path, {"accounts": frame})
    rows.to_json(tmp_path / "lines.jsonl", orient="records", lines=True)
    rows.to_json(tmp_path / "list.json", orient="records")
    (expected,) = read(tmp_path, accounts={"file": "accounts.csv"})
    for name in ("lines.jsonl", "list.json"):
        (found,) = read(tmp_path, accounts={"file": name})
        pd.testing.assert_frame_equal(found.rows, expected.rows)
    (asked,) = read(tmp_path, accounts={"query": "SELECT * FROM lines"})
    pd.testing.assert_frame_equal(asked.rows, expected.rows)


def test_a_json_value_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"account_id": "007", "size": 250, "at": "2024-01-02", "paying": true, "city": null}\n'
        '{"account_id": "8", "size": 2.5, "tags": [], "owner": {"team": "west"}}\n'
    )
    (found,) = read(tmp_path, accounts={"file": "a.jsonl"})
    first, second = found.rows.astype("object").where(found.rows.notna(), None).to_dict("records")
    assert [first[c] for c in ("account_id", "size", "at", "paying", "city")] == [
        "007",
        "250",
        "2024-01-02",
        "true",
        None,
    ]
    assert second["size"] == "2.5"
    assert second["owner"] == '{"team":"west"}'


def test_a_json_file_that_breaks_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"account_id": "1"}\n{"account_id": ')
    with pytest.raises(DataError, match=r"a\.jsonl cannot be read"):
        read(tmp_path, accounts={"file": "a.jsonl"})
