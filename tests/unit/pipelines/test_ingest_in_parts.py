"""Large tables are read in parts, and no part is ever seen in the result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.errors import DataError, RefusedError
from icploop.io.home import Home
from icploop.io.lock import one_at_a_time
from icploop.io.staging import PartSizes
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import IngestReport, ingest
from tests.unit.io_fixtures import (
    SETTINGS,
    contents,
    files_source,
    inbox,
    new_home,
    nothing_changes,
    tiny,
    tiny_home,
    write_csv,
)

HEADERS = {"revenue": "account_id,month,mrr,note", "signals": "account_id,at,kind,value,note"}


def in_parts(home: Home, rows: int = 3, folder: Path | None = None) -> IngestReport:
    """Ingest with all that may be large read in parts of so many rows."""
    return ingest(home, folder, PartSizes(large_bytes=0, rows=rows))


def lenient(root: Path, **sources: Any) -> Home:
    """A home in which any share of rows may be bad."""
    home = new_home(root, SETTINGS | {"ingest": {"max_bad_share": 1}}, **sources)
    write_csv(inbox(home), tiny())
    return home


def lines(table: str, whole: list[tuple[str, ...]], ragged: list[int]) -> str:
    """A CSV, with lines of too few cells at some places."""
    found = [",".join(row) for row in whole]
    for place in ragged:
        found.insert(place % (len(found) + 1), f"a1;{place}")
    return "\n".join([HEADERS[table], *found]) + "\n"


IDS = st.sampled_from(["a1", "a2", " a2", "a3", "ghost", ""])
NOTES = st.sampled_from(["", "x", "y"])
BILLED = st.tuples(
    IDS,
    st.sampled_from(["2024-01-01", "2024-02-01", "2024-02-01T00:00", "2024-02-03", "May", ""]),
    st.sampled_from(["1", "1.0", "2", "0.1", "-1", "9e99", "much", ""]),
    NOTES,
)
TOLD = st.tuples(
    IDS, st.sampled_from(["2024-01-01", "1824-01-01", ""]), st.just("ticket"), NOTES, NOTES
)
ROWS = st.tuples(st.lists(BILLED, max_size=14), st.lists(TOLD, max_size=10))
RAGGED = st.lists(st.integers(0, 20), max_size=2)


def hold(suffix: str, first: Any, then: Any, ragged: list[int], rows: int) -> None:
    """Two tables, and later two others, ingested at once and in parts: no difference."""
    with tempfile.TemporaryDirectory() as temporary:
        names = {name: {"file": f"{name}.{suffix}"} for name in HEADERS}
        names["accounts"] = {"file": "accounts.csv"}
        homes = [lenient(Path(temporary) / n, files=files_source(**names)) for n in ("one", "many")]
        for tables in (first, then):
            told = []
            for home in homes:
                for name, found in zip(HEADERS, tables, strict=True):
                    (inbox(home) / f"{name}.csv").write_text(lines(name, found, ragged))
                if suffix == "parquet":
                    as_parquet(inbox(home))
                report = ingest(home) if home is homes[0] else in_parts(home, rows)
                told.append(report.as_dict())
            assert told[0] == told[1]
            assert contents(homes[0]) == contents(homes[1])
            assert not list((homes[1].root / "data").glob("large*"))


# A repeated row, a repeated key, both again in bad rows, in rows of strangers, and across parts.
BILLS = [
    ("a1", "2024-01-01", "1", ""),
    ("a2", "2024-01-01", "5", "x"),
    ("a1", "2024-01-01", "-1", ""),
    (" a1", "2024-01-01T00:00", "1", ""),
    ("ghost", "2024-01-01", "1", ""),
    ("a1", "2024-01-01", "1", ""),
    ("a1", "2024-01-01", "2", ""),
    ("a1", "2024-01-01", "2", ""),
    ("a1", "2024-01-01", "-1", ""),
    ("ghost", "2024-01-01", "2", ""),
    ("ghost", "2024-01-01", "1", ""),
    ("a3", "May", "1", ""),
    ("", "2024-01-01", "1", "y"),
    ("a3", "May", "1", ""),
    ("a3", "2024-02-01", "0.1", ""),
]
SIGNALS = [("a1", "2024-01-01", "ticket", "1", ""), ("ghost", "2024-01-01", "ticket", "", "")] * 3


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("rows", [1, 4])
def test_parts_give_the_tables_the_quarantine_and_the_report_of_the_whole(
    suffix: str, rows: int
) -> None:
    later = BILLS[::-1]
    hold(suffix, (BILLS, SIGNALS), (later, SIGNALS[:1] * 9), [0, 3, 3, 16], rows)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@settings(max_examples=40, deadline=None)
@given(first=ROWS, then=ROWS, ragged=RAGGED, rows=st.integers(1, 9))
def test_parts_of_any_rows_and_any_size_give_what_the_whole_gives(
    suffix: str, first: Any, then: Any, ragged: list[int], rows: int
) -> None:
    hold(suffix, first, then, ragged, rows)


def as_parquet(folder: Path) -> None:
    """The CSV files with typed columns where all cells can be: numbers, whole ones, flags, days."""
    for path in folder.glob("*.csv"):
        frame = pd.read_csv(path, on_bad_lines="skip")
        frame["flag"] = pd.Series([True, None, False] * len(frame)).head(len(frame))
        frame["whole"] = pd.array([None if i % 4 else 2**53 + i for i in frame.index], "Int64")
        frame["day"] = pd.to_datetime("2024-01-01") + pd.to_timedelta(frame.index, unit="D")
        frame.to_parquet(path.with_suffix(".parquet"), index=False)
