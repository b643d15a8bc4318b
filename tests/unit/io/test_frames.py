import csv
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from icploop.errors import DataError, UsageError
from icploop.io import frames
from icploop.io.frames import defused, read_in_parts, undefused, writer_to

KINDS = ["csv", "parquet"]


def written(path: Path, *parts: pd.DataFrame) -> Path:
    with writer_to(path) as write:
        for part in parts:
            write(part)
    return path


def fail_halfway(path: Path) -> None:
    with writer_to(path) as write:
        write(pd.DataFrame({"a": [2]}))
        assert len(list(path.parent.iterdir())) == 1 + path.exists()
        write(pd.DataFrame({"a": [1 // 0]}))


def cells(path: Path) -> list[list[str]]:
    """The cells of a CSV as a spreadsheet would see them."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


class TestReading:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_file_comes_in_parts_that_add_up(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(frames, "_ROWS", 2048)
        ids = [f"a{i}" for i in range(10_000)]
        path = written(tmp_path / f"x.{kind}", pd.DataFrame({"account_id": ids}))
        parts = list(read_in_parts(path))
        assert len(parts) > 1
        assert pd.concat(parts)["account_id"].tolist() == ids

    def test_a_csv_is_all_text_and_a_parquet_keeps_its_types(self, tmp_path: Path):
        frame = pd.DataFrame({"account_id": ["007"], "size": [1.5]})
        (from_csv,) = read_in_parts(written(tmp_path / "x.csv", frame))
        (from_parquet,) = read_in_parts(written(tmp_path / "x.parquet", frame))
        assert from_csv.iloc[0].tolist() == ["007", "1.5"]
        assert from_parquet.iloc[0].tolist() == ["007", 1.5]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
    def test_encodings_are_found_out(self, tmp_path: Path, encoding: str):
        path = tmp_path / "x.csv"
        path.write_text("account_id,name\na1,Müller\n", encoding=encoding)
        (frame,) = read_in_parts(path)
        assert frame.iloc[0].to_dict() == {"account_id": "a1", "name": "Müller"}

    @pytest.mark.parametrize("line", [3, 30_000])
    def test_a_ragged_line_stops_wherever_it_is_and_is_named(self, tmp_path: Path, line: int):
        lines = ["account_id,size", *(f"a{i},{i}" for i in range(2, 30_010))]
        lines[line - 1] = "broken,1,2,3"
        (tmp_path / "x.csv").write_text("\n".join(lines))
        with pytest.raises(DataError, match=rf"x\.csv: row {line - 1} \('broken,1,2,3'\)"):
            list(read_in_parts(tmp_path / "x.csv"))

    @pytest.mark.parametrize("size", [0, 20, -10])
    def test_a_truncated_parquet_is_refused(self, tmp_path: Path, size: int):
        path = written(tmp_path / "x.parquet", pd.DataFrame({"account_id": ["a"] * 99}))
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(DataError, match=r"x\.parquet"):
            list(read_in_parts(path))

    def test_a_parquet_with_a_damaged_page_is_refused(self, tmp_path: Path):
        ids = [f"a{i * 7919 % 1000}" for i in range(1000)]
        path = written(tmp_path / "x.parquet", pd.DataFrame({"account_id": ids}))
        content = bytearray(path.read_bytes())
        content[8:1000] = b"\xff" * 992
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.parquet cannot be read"):
            list(read_in_parts(path))

    def test_a_missing_file_is_named(self, tmp_path: Path):
        with pytest.raises(DataError, match=r"gone\.csv does not exist"):
            list(read_in_parts(tmp_path / "gone.csv"))

    def test_a_folder_is_no_file(self, tmp_path: Path):
        (tmp_path / "x.csv").mkdir()
        with pytest.raises(DataError, match=r"x\.csv does not exist"):
            list(read_in_parts(tmp_path / "x.csv"))


class TestWriting:
    @pytest.mark.parametrize("kind", KINDS)
    def test_parts_become_one_file(self, tmp_path: Path, kind: str):
        part = pd.DataFrame({"account_id": ["Größe 🚀"], "score": [1.25]})
        path = written(tmp_path / "new" / f"x.{kind}", part, part)
        (frame,) = read_in_parts(path)
        assert frame["account_id"].tolist() == ["Größe 🚀"] * 2
        assert frame["score"].astype("float64").tolist() == [1.25] * 2
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_file_that_fails_halfway_never_appears(self, tmp_path: Path, kind: str):
        with pytest.raises(ZeroDivisionError):
            fail_halfway(tmp_path / f"x.{kind}")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_file_that_was_there_stays_as_it_was_when_a_new_one_fails(
        self, tmp_path: Path, kind: str
    ):
        path = written(tmp_path / f"x.{kind}", pd.DataFrame({"a": [1]}))
        before = path.read_bytes()
        with pytest.raises(ZeroDivisionError):
            fail_halfway(path)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_file_may_be_read_and_replaced_in_one_go(self, tmp_path: Path, kind: str):
        path = written(tmp_path / f"x.{kind}", pd.DataFrame({"a": ["x"]}))
        with writer_to(path) as write:
            for part in read_in_parts(path):
                write(part + "y")
        assert pd.concat(read_in_parts(path))["a"].tolist() == ["xy"]

    def test_parts_whose_types_differ_fit_the_first(self, tmp_path: Path):
        parts = pd.DataFrame({"a": ["x"], "n": [1.0]}), pd.DataFrame({"a": [None], "n": [2]})
        path = written(tmp_path / "x.parquet", *parts)
        assert pq.read_schema(path).field("n").type == pa.float64()
        assert pq.read_table(path).to_pandas()["a"].isna().tolist() == [False, True]

    def test_no_part_at_all_is_refused(self, tmp_path: Path):
        with pytest.raises(DataError, match="no rows to write"):
            written(tmp_path / "x.csv")

    @pytest.mark.parametrize("name", ["x.xlsx", "x", "x.csv.gz"])
    def test_another_kind_of_file_is_refused_before_anything_is_done(
        self, tmp_path: Path, name: str
    ):
        with pytest.raises(UsageError, match=r"must end in \.csv or \.parquet"):
            written(tmp_path / "new" / name)
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("out", ["file/x.csv", "folder.csv"])
    def test_a_place_where_no_file_can_be_is_refused(self, tmp_path: Path, out: str):
        (tmp_path / "file").write_text("")
        (tmp_path / "folder.csv").mkdir()
        with pytest.raises(UsageError, match=rf"{out} cannot be written"):
            written(tmp_path / out, pd.DataFrame({"a": [1]}))


class TestFormulas:
    @pytest.mark.parametrize(
        "text", ['=HYPERLINK("x")', "+1+2", "-1-2", "@SUM(A1)", "\t=1", "\n=1"]
    )
    def test_text_that_a_spreadsheet_would_run_is_put_behind_an_apostrophe(
        self, tmp_path: Path, text: str
    ):
        path = written(tmp_path / "x.csv", pd.DataFrame({"name": [text, "Acme"]}))
        assert cells(path)[1:] == [["'" + text], ["Acme"]]

    @pytest.mark.parametrize("text", ["\r=1", "Acme\r=1", "Acme\r\n=1", "Acme\n=1"])
    def test_no_line_break_in_a_text_starts_a_new_row(self, tmp_path: Path, text: str):
        found = cells(written(tmp_path / "x.csv", pd.DataFrame({"name": [text], "n": [1]})))
        assert [len(row) for row in found] == [2, 2]
        assert found[1][0].replace("'", "").split() == text.split()

    @pytest.mark.parametrize("dtype", ["str", "object", "category"])
    def test_whatever_the_type_of_the_text(self, tmp_path: Path, dtype: str):
        frame = pd.DataFrame({"name": pd.Series(["=1", None, "Acme"], dtype=dtype)})
        path = written(tmp_path / "x.csv", frame)
        assert cells(path)[1:] == [["'=1"], [""], ["Acme"]]

    def test_text_among_numbers_is_defused_and_the_numbers_stay(self, tmp_path: Path):
        frame = pd.DataFrame({"x": pd.Series(["=1", -2.5, None, -3], dtype="object")})
        assert cells(written(tmp_path / "x.csv", frame))[1:] == [["'=1"], ["-2.5"], [""], ["-3"]]

    def test_negative_numbers_stay_numbers(self, tmp_path: Path):
        frame = pd.DataFrame({"a": [-1.5], "b": [-2], "c": pd.array([-3], dtype="Int64")})
        assert cells(written(tmp_path / "x.csv", frame))[1] == ["-1.5", "-2", "-3"]

    def test_a_sign_inside_a_text_is_harmless(self):
        frame = pd.DataFrame({"a": ["1=1", "a-b", "x@y.z", "", "'=1"]})
        pd.testing.assert_frame_equal(defused(frame), frame)

    def test_a_frame_is_defused_as_a_copy(self):
        frame = pd.DataFrame({"a": ["=1"]})
        defused(frame)
        assert frame["a"].tolist() == ["=1"]

    def test_a_parquet_holds_the_text_as_it_is(self, tmp_path: Path):
        path = written(tmp_path / "x.parquet", pd.DataFrame({"name": ["=1"]}))
        assert pq.read_table(path).to_pydict() == {"name": ["=1"]}

    def test_the_apostrophe_can_be_taken_away_again(self, tmp_path: Path):
        texts = ["=1", "-2", "Acme", "'quoted'", "a=b", None]
        path = written(tmp_path / "x.csv", pd.DataFrame({"name": texts}))
        (frame,) = read_in_parts(path)
        assert (
            undefused(frame["name"]).astype("object").where(frame["name"].notna(), None).tolist()
            == texts
        )


def test_json_is_read_by_people_too(tmp_path: Path):
    path = written(tmp_path / "list.json", pd.DataFrame({"name": ["Ünïts · 医療"]}))
    assert '"name":"Ünïts · 医療"' in path.read_text(encoding="utf-8")


def test_bytes_are_read_as_the_text_that_they_are_and_structures_are_refused(tmp_path: Path):
    path = tmp_path / "in.parquet"
    given = {
        "account_id": pa.array(["é".encode(), b"b"], pa.binary()),
        "tech": pa.array([["crm"], []], pa.list_(pa.string())),
    }
    pq.write_table(pa.table(given), path)
    [part] = read_in_parts(path)
    assert part["account_id"].tolist() == ["é", "b"]
    structures = pa.array([{"x": 1}, {"x": 2}])
    for name, column, said in (
        ("account_id", pa.array([b"\xff\xfe", b"b"], pa.binary()), "bytes that are no text"),
        ("account_id", structures, "structures"),
        ("tech", pa.array([[{"x": 1}], []]), "structures"),
    ):
        pq.write_table(pa.table(given | {name: column}), path)
        with pytest.raises(DataError, match=f"column `{name}` holds {said}"):
            list(read_in_parts(path))
