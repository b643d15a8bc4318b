"""Large tables wait beside the warehouse, and come back in parts as they would come at once."""

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from icploop.errors import UnavailableError
from icploop.io.home import Home
from icploop.io.warehouse.staging import PartSizes, Staging

QUERY = """
    SELECT i, 'n' || i AS name, CASE WHEN i <> 4 THEN i END AS gap, i % 2 = 0 AS even,
           CASE WHEN i < 6 THEN i > 2 END AS flag, i / 4 AS share,
           DATE '2024-01-01' + i::INT AS day, [i, 1] AS pair, i AS "I", NULL AS nothing,
           -i AS rowid, 'p' AS position, 'x' AS c0, 'y' AS number_0
    FROM range(7) r(i); -- and so on
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize("rows", [1, 3, 7, 50])
def test_parts_together_are_what_the_query_gives_at_once(home: Home, rows: int):
    whole = duckdb.execute(QUERY).df()
    with Staging(home, PartSizes(0, rows)) as staging:
        kept = staging.keep(staging.connection(), QUERY)
        parts = list(kept.parts())
        third = kept.every(3)
        some = kept.at([6, 2])
    assert [len(part) for part in parts[:-1]] == [rows] * (len(parts) - 1)
    pd.testing.assert_frame_equal(pd.concat(parts), whole, check_index_type=False)
    pd.testing.assert_frame_equal(third, whole.iloc[::3], check_index_type=False)
    pd.testing.assert_frame_equal(some, whole.iloc[[2, 6]], check_index_type=False)


def test_a_query_without_rows_gives_one_part_with_its_columns(home: Home):
    with Staging(home) as staging:
        kept = staging.keep(staging.connection(), "SELECT 'x' AS a, 1 AS b LIMIT 0")
        (part,) = kept.parts()
    assert part.columns.tolist() == ["a", "b"]
    assert part.empty


def test_only_revenue_and_signals_of_large_files_are_taken(home: Home):
    file = home.root / "some.csv"
    file.write_bytes(b"x" * 100)
    small, large = (Staging(home, PartSizes(size, 1)) for size in (51, 200))
    for table, taken in (("revenue", True), ("signals", True), ("deals", False)):
        assert small.takes(table, [file]) is taken
    assert not large.takes("revenue", [file])
    assert large.takes("revenue", [file, file])


def test_nothing_is_written_before_a_large_table_comes(home: Home):
    with Staging(home):
        pass
    assert list(home.root.iterdir()) == []


def test_a_staging_that_cannot_be_written_is_told(home: Home):
    (home.root / "data").write_text("no folder")
    with pytest.raises(UnavailableError, match="cannot be written"), Staging(home) as staging:
        staging.connection()
