"""Large tables are read in parts, and no part is ever seen in the result."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.errors import DataError, RefusedError
from icploop.io.home import Home
from icploop.io.lock import one_at_a_time
from icploop.io.warehouse import Warehouse
from icploop.io.warehouse.staging import PartSizes
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
    return ingest(home, folder, sizes=PartSizes(large_bytes=0, rows=rows))


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


def hold(
    suffix: str, first: Any, then: Any, ragged: list[int], rows: int, same_month: str = "first"
) -> None:
    """Two tables, and later two others, ingested at once and in parts: no difference."""
    with tempfile.TemporaryDirectory() as temporary:
        names = {name: {"file": f"{name}.{suffix}"} for name in HEADERS}
        names["accounts"] = {"file": "accounts.csv"}
        names["revenue"]["same_month"] = same_month
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


@pytest.mark.parametrize(("suffix", "same_month"), [("csv", "sum"), ("parquet", "first")])
def test_parts_give_the_tables_the_quarantine_and_the_report_of_the_whole(
    suffix: str, same_month: str
) -> None:
    later = BILLS[::-1]
    ragged = [0, 3, 3, 16]
    hold(suffix, (BILLS, SIGNALS), (later, SIGNALS[:1] * 9), ragged, rows=4, same_month=same_month)


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(
    suffix=st.sampled_from(["csv", "parquet"]),
    first=ROWS,
    then=ROWS,
    ragged=RAGGED,
    rows=st.integers(1, 9),
    same_month=st.sampled_from(["first", "sum"]),
)
def test_parts_of_any_rows_and_any_size_give_what_the_whole_gives(
    suffix: str, first: Any, then: Any, ragged: list[int], rows: int, same_month: str
) -> None:
    hold(suffix, first, then, ragged, rows, same_month)


def as_parquet(folder: Path) -> None:
    """The CSV files with typed columns where all cells can be: numbers, whole ones, flags, days."""
    for path in folder.glob("*.csv"):
        frame = pd.read_csv(path, on_bad_lines="skip")
        frame["flag"] = pd.Series([True, None, False] * len(frame)).head(len(frame))
        frame["whole"] = pd.array([None if i % 4 else 2**53 + i for i in frame.index], "Int64")
        frame["day"] = pd.to_datetime("2024-01-01") + pd.to_timedelta(frame.index, unit="D")
        frame.to_parquet(path.with_suffix(".parquet"), index=False)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = tiny_home(tmp_path_factory.mktemp("ingested") / "home")
    ingest(home)
    return home


@pytest.fixture
def home(ingested: Home, tmp_path: Path) -> Home:
    """A home that has ingested the tiny company, and has news: twelve more months of revenue."""
    shutil.copytree(ingested.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    write_csv(inbox(home), {"revenue": news()})
    return home


def says(home: Home, **more: str) -> None:
    """State more of the revenue in the source's settings."""
    files = files_source()
    files["tables"]["revenue"] |= more
    (home.root / "conf" / "sources" / "files.yaml").write_text(yaml.safe_dump(files))


def news(**last: str) -> pd.DataFrame:
    """Months that are not stored yet; cells of the last one may be changed."""
    months = [f"2023-{month:02}-01" for month in range(1, 13)]
    rows = pd.DataFrame({"account_id": "a1", "month": months, "mrr": "10"})
    rows.loc[11, list(last)] = list(last.values())
    return rows


def test_a_key_that_comes_again_in_another_part_is_refused_there(home: Home):
    write_csv(inbox(home), {"revenue": news(month="2023-01-01", mrr="11")})
    says(home, same_month="first")
    assert in_parts(home).rules == {"revenue: the key is unique (the first row was kept)": 1}
    (line,) = Warehouse(home.warehouse_file).quarantine().to_dict("records")
    assert line["row"] == 12
    assert json.loads(line["record"]) == {"account_id": "a1", "month": "2023-01-01", "mrr": "11"}
    revenue = Warehouse(home.warehouse_file).tables().revenue
    assert revenue.loc[revenue["month"] == "2023-01-01", "mrr"].tolist() == [10.0]


def test_rows_of_one_month_in_several_parts_add_up_where_that_is_said(home: Home):
    write_csv(inbox(home), {"revenue": news(month="2023-01-01", mrr="11")})
    says(home, same_month="sum")
    assert in_parts(home).rules == {}
    revenue = Warehouse(home.warehouse_file).tables().revenue
    assert revenue.loc[revenue["month"] == "2023-01-01", "mrr"].tolist() == [21.0]


def test_rows_of_one_month_in_several_parts_stop_it_where_nothing_is_said(home: Home):
    write_csv(inbox(home), {"revenue": news(month="2023-01-01", mrr="11")})
    before = contents(home)
    with pytest.raises(DataError, match=r"a1 2023-01: 10 in row 1\. .*`same_month: sum`"):
        in_parts(home)
    assert contents(home) == before


def test_a_row_that_comes_again_in_another_part_is_no_fault(home: Home):
    write_csv(inbox(home), {"revenue": pd.concat([news(), news().head(1)])})
    report = in_parts(home)
    assert report.rules == {}
    revenue = report.tables["revenue"]
    assert (revenue["rows"], revenue["repeated"], revenue["quarantined"]) == (12, 1, 0)
    assert (revenue["left"], revenue["stored"]) == (10, 12)


def test_too_many_bad_rows_in_the_last_part_change_nothing(home: Home):
    bad = news().assign(mrr=["10"] * 9 + ["-1"] * 3)
    write_csv(inbox(home), {"revenue": bad, "deals": tiny()["deals"].head(1)})
    told = r"3 of 12 rows of `revenue` are bad .*“mrr >= 0” \(3 rows, such as '-1.0' in row 10\)"
    with nothing_changes(home), pytest.raises(DataError, match=told):
        in_parts(home)
    assert leftovers(home) == []


def test_a_query_over_large_files_is_read_in_parts_too(tmp_path: Path):
    query = "SELECT account_id, month, mrr FROM revenue WHERE mrr <> '' -- all that was billed;"
    names: dict[str, Any] = {name: {"file": f"{name}.csv"} for name in ("accounts", "deals")}
    homes = [
        tiny_home(tmp_path / name, files=files_source(**names, revenue={"query": query}))
        for name in ("one", "many")
    ]
    assert ingest(homes[0]) == in_parts(homes[1])
    assert contents(homes[0]) == contents(homes[1])


def test_billing_under_other_ids_comes_under_its_accounts(tmp_path: Path):
    homes = [tiny_home(tmp_path / name) for name in ("one", "many")]
    for home in homes:
        accounts = tiny()["accounts"].assign(domain=[f"d{i}.example" for i in range(10)])
        revenue = tiny()["revenue"].assign(domain=["d0.example", None] * 5)
        revenue["account_id"] = revenue["account_id"].map({"a1": "cus_1", "a4": "a4"})
        # Sums of these depend on their order.
        revenue["mrr"] = [".1", ".2", ".3", "1e8", ".7"] * 2
        write_csv(inbox(home), {"accounts": accounts, "revenue": revenue})
    assert ingest(homes[0]) == in_parts(homes[1])
    assert contents(homes[0]) == contents(homes[1])
    assert set(Warehouse(homes[1].warehouse_file).tables().revenue["account_id"]) == {"a1", "a4"}


def test_columns_may_bear_any_name(tmp_path: Path):
    homes = [tiny_home(tmp_path / name) for name in ("one", "many")]
    odd = ["rowid", "position", "c0", "c1", "number_0", "row", "value", 'a "b"', "select", "Month"]
    for home in homes:
        named = {name: [f"{name} {i}" for i in range(10)] for name in odd}
        write_csv(inbox(home), {"revenue": tiny()["revenue"].assign(**named)})
    assert ingest(homes[0]) == in_parts(homes[1])
    assert contents(homes[0]) == contents(homes[1])


def test_formats_ids_and_a_currency_are_read_in_parts_as_at_once(tmp_path: Path):
    tables: dict[str, Any] = {name: {"file": f"{name}.csv"} for name in tiny()}
    tables["revenue"] |= {"numbers": "1.234,56"}
    stated = SETTINGS | {"currencies": {"EUR": 1.1}, "ingest": {"max_bad_share": 1}}
    homes = [new_home(tmp_path / n, stated, files=files_source(**tables)) for n in ("one", "many")]
    cells = ["1.000,50", "900", "1.234", "0,0004", "--", "12.5", "7", "(3,00)", "1", "2"]
    ids = ["a1", "a4\u200b", " a1", "a4", "a1", "4.1E+18", "N/A", "a4", "a1", "a4"]
    billed = tiny()["revenue"].assign(account_id=ids, mrr=cells, currency="EUR")
    for home in homes:
        write_csv(inbox(home), tiny() | {"revenue": billed})
    at_once = ingest(homes[0])
    assert {"keys_folded", "money_converted"} <= {found.code for found in at_once.findings}
    assert at_once.tables["revenue"]["quarantined"] == 4
    assert in_parts(homes[1]) == at_once
    assert contents(homes[0]) == contents(homes[1])


def test_a_large_table_of_several_currencies_is_refused_with_the_remedy(home: Home):
    write_csv(inbox(home), {"revenue": news().assign(currency=["USD", "EUR"] * 6)})
    with pytest.raises(DataError, match=r"money in EUR, USD. Nothing was changed.*`query`"):
        in_parts(home)


def test_columns_of_persons_stay_outside(home: Home):
    people = [f"jane.q{i}@acme.example" for i in range(12)]
    write_csv(inbox(home), {"revenue": news().assign(contact=people)})
    (said,) = in_parts(home).personal
    assert said.startswith("revenue.contact")
    assert "contact" not in Warehouse(home.warehouse_file).tables().revenue
    assert leftovers(home) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from icploop.io.warehouse import staging
from icploop.io.home import Home
from icploop.pipelines.ingest import ingest

class Dying(staging.Sifted):
    def refuse(self, *what):
        super().refuse(*what)
        os.kill(os.getpid(), signal.SIGKILL)

staging.Sifted = Dying
ingest(Home(Path(sys.argv[1])), sizes=staging.PartSizes(large_bytes=0, rows=3))
"""


def test_killed_between_its_parts_it_has_changed_nothing_and_the_next_run_does_it_all(home: Home):
    with nothing_changes(home):
        done = subprocess.run([sys.executable, "-c", KILLED, str(home.root)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert leftovers(home) != []
    assert in_parts(home).tables["revenue"]["stored"] == 12
    assert leftovers(home) == []


def test_two_at_a_time_are_refused(home: Home):
    with (
        nothing_changes(home),
        one_at_a_time(home, "large-tables"),
        pytest.raises(RefusedError, match="Another act on `large-tables` is running"),
    ):
        in_parts(home)


def leftovers(home: Home) -> list[str]:
    """Files of an ingest that it has not removed; those of locks may stay."""
    locks = {".large-tables.lock", *(f".{home.warehouse_file.name}.{n}" for n in ("turn", "use"))}
    known = {"inbox", home.warehouse_file.name} | locks
    return sorted({path.name for path in (home.root / "data").iterdir()} - known)
