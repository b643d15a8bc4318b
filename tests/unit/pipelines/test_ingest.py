import copy
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.errors import DataError, UsageError
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import ingest
from icploop.settings import TABLES
from tests.unit.io_fixtures import (
    SETTINGS,
    contents,
    files_source,
    icp,
    inbox,
    new_home,
    nothing_changes,
    tiny,
    tiny_home,
    write_csv,
)

DAY = date(2024, 12, 1)
GOOD = {name: {"rows": 10, "stored": 10, "quarantined": 0} for name in TABLES}


def counted(tables: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Of what a report says of each table the good, stored and refused rows."""
    asked = ("rows", "stored", "quarantined")
    return {name: {what: told[what] for what in asked} for name, told in tables.items()}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return tiny_home(tmp_path / "home")


@pytest.fixture(scope="module")
def _once_ingested(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = tiny_home(tmp_path_factory.mktemp("ingested") / "home")
    ingest(home)
    return home


@pytest.fixture
def ingested(_once_ingested: Home, tmp_path: Path) -> Home:
    """A home that has ingested the tiny company."""
    shutil.copytree(_once_ingested.root, tmp_path / "ingested")
    return Home(tmp_path / "ingested")


def with_row(table: str, **changed: str) -> pd.DataFrame:
    """The tiny table with its first row again, under a new key, and some cells changed."""
    frame = tiny()[table]
    fresh = {
        "accounts": {"account_id": "a11"},
        "deals": {"deal_id": "d11"},
        "revenue": {"month": "2024-12-01"},
        "signals": {},
    }[table]
    row = frame.iloc[[0]].assign(**(fresh | changed))
    return pd.concat([frame, row], ignore_index=True)


def tables_of(home: Home) -> Any:
    return Warehouse(home.warehouse_file).tables()


class TestGoodInput:
    def test_everything_is_stored(self, home: Home):
        report = ingest(home)
        told = report.as_dict()
        assert told.pop("identity")["billing"]["match_rate"] == 1.0
        assert counted(told.pop("tables")) == GOOD
        sums = told.pop("sums")
        assert (sums["first_month"], sums["last_complete_month"]) == ("2024-03", "2024-07")
        assert (sums["mrr"], sums["customers"]) == (201, 2)
        assert [found["code"] for found in told.pop("findings")] == ["stale_data"]
        assert told.pop("left_out")["default"]["counted"] == 6
        clean = {"quarantine": {}, "emptied_cells": {}, "refused_columns": []}
        history = {"since": None, "deals": 0, "earlier": 0, "always": 10, "forgotten": 0}
        assert told == {"history": history, "unmapped_stages": {}, **clean}

    def test_parquet_gives_the_same_tables_as_csv(self, home: Home, tmp_path: Path):
        ingest(home)
        other = new_home(
            tmp_path / "parquet",
            files=files_source(**{name: {"file": f"{name}.parquet"} for name in TABLES}),
        )
        inbox(other).mkdir(parents=True)
        for name, frame in tiny().items():
            frame.to_parquet(inbox(other) / f"{name}.parquet")
        ingest(other)
        # But for the settings by which it was read.
        there, here = contents(other), contents(home)
        assert there | {"states": []} == here | {"states": []}

    def test_unknown_columns_are_kept(self, home: Home):
        frames = {name: frame.assign(**{"My Remark": "ok"}) for name, frame in tiny().items()}
        write_csv(inbox(home), frames)
        ingest(home)
        for name in TABLES:
            assert set(getattr(tables_of(home), name)["My Remark"]) == {"ok"}

    def test_headers_that_differ_from_ours_in_case_do_not_stop_ingest(self, home: Home):
        renamed = tiny()["accounts"].rename(columns={"name": "Name", "employees": "Employees"})
        write_csv(inbox(home), {"accounts": renamed})
        ingest(home)
        # As the user would mend it, once it is seen that they were not understood.
        write_csv(inbox(home), {"accounts": tiny()["accounts"]})
        ingest(home)
        stored = tables_of(home).accounts
        assert stored["employees"].tolist() != []
        assert stored["employees"].notna().all()
        assert stored["name"].notna().all()

    def test_a_folder_of_canonical_files_is_read_instead_of_the_sources(
        self, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        shutil.move(inbox(home), tmp_path / "export")
        monkeypatch.chdir(tmp_path)
        answer = icp("ingest", "--from", "export", "--json", home=home)
        assert counted(answer.json["tables"]) == GOOD

    def test_a_header_without_rows_is_an_empty_table(self, home: Home):
        write_csv(inbox(home), {"signals": tiny()["signals"].head(0)})
        report = ingest(home)
        assert counted(report.tables)["signals"] == {"rows": 0, "stored": 0, "quarantined": 0}
        assert tables_of(home).signals.empty

    def test_headers_alone_everywhere_are_an_empty_company(self, home: Home):
        write_csv(inbox(home), {name: frame.head(0) for name, frame in tiny().items()})
        assert {t["stored"] for t in ingest(home).tables.values()} == {0}

    def test_ids_that_are_numbers_in_one_file_and_text_in_another_meet(self, tmp_path: Path):
        home = new_home(
            tmp_path,
            files=files_source(accounts={"file": "accounts.parquet"}, deals={"file": "deals.csv"}),
        )
        inbox(home).mkdir(parents=True)
        ids = pd.Series(range(1, 11))
        with_gap = pd.concat([ids, pd.Series([None])]).astype("float64")
        accounts = pd.DataFrame({"account_id": with_gap, "name": "x"})
        accounts.to_parquet(inbox(home) / "accounts.parquet")
        write_csv(inbox(home), {"deals": tiny()["deals"].assign(account_id=ids)})
        assert ingest(home).tables["deals"]["quarantined"] == 0


@dataclass(frozen=True)
class Bad:
    """A cell (or more) that makes the eleventh row of a table bad, and the rule that it breaks."""

    table: str
    cells: dict[str, str]
    rule: str
    value: str | None


BAD_ROWS = {
    "an id that is empty": Bad("accounts", {"account_id": " "}, "account_id is given", None),
    "an observation on no date": Bad(
        "accounts", {"observed_at": "last week"}, "observed_at is a date (", "last week"
    ),
    "a deal without an id": Bad("deals", {"deal_id": ""}, "deal_id is given", None),
    "a deal without an account": Bad("deals", {"account_id": ""}, "account_id is given", None),
    "a deal of an unknown account": Bad(
        "deals", {"account_id": "a99"}, "account_id is in accounts", "a99"
    ),
    "a date in another format": Bad(
        "deals", {"created_at": "31/01/2024"}, "created_at is a date (", "31/01/2024"
    ),
    "a date that does not exist": Bad(
        "deals", {"created_at": "2024-02-30"}, "created_at is a date (", "2024-02-30"
    ),
    "a date long ago": Bad(
        "deals", {"created_at": "0124-01-01"}, "created_at is between 1970 and 2200", "0124-01-01"
    ),
    "a close before the creation": Bad(
        "deals", {"closed_at": "2023-12-31"}, "closed_at is not before created_at", "2023-12-31"
    ),
    "a won deal that never closed": Bad(
        "deals", {"closed_at": ""}, "closed_at is given unless the deal is open", None
    ),
    "an unknown outcome": Bad(
        "deals", {"outcome": "Closed Won"}, "outcome is won, lost or open", "Closed Won"
    ),
    "no outcome": Bad("deals", {"outcome": ""}, "outcome is given", None),
    "a negative amount": Bad("deals", {"acv": "-1"}, "acv >= 0", "-1"),
    "an absurd amount": Bad("deals", {"acv": "1e10"}, "acv <= ingest.max_money (1e+09)", "1"),
    "an amount in words": Bad("deals", {"acv": "a lot"}, "acv is a number", "a lot"),
    "an amount with a currency": Bad("deals", {"acv": "$1,200"}, "acv is a number", "$1,200"),
    "an infinite amount": Bad("deals", {"acv": "inf"}, "acv is a number", "inf"),
    "a margin in percent": Bad(
        "deals", {"gross_margin": "70"}, "gross_margin is between 0 and 1", "70"
    ),
    "a deal that is there twice": Bad(
        "deals", {"deal_id": "d1", "acv": "7"}, "the key is unique (the first row was kept)", None
    ),
    "an account that is there twice": Bad(
        "accounts", {"account_id": "a1", "name": "Other"}, "the key is unique", None
    ),
    "a month that is there twice": Bad(
        "revenue", {"month": "2024-03-01", "mrr": "7"}, "the key is unique", None
    ),
    "a month that is not its first day": Bad(
        "revenue", {"month": "2024-12-31"}, "month is the first day of a month", "2024-12-31"
    ),
    "a month in words": Bad("revenue", {"month": "March"}, "month is a date (", "March"),
    "negative revenue": Bad("revenue", {"mrr": "-0.01"}, "mrr >= 0", "-0.01"),
    "absurd revenue": Bad("revenue", {"mrr": "2e9"}, "mrr <= ingest.max_money", "2"),
    "revenue in words": Bad("revenue", {"mrr": "much"}, "mrr is a number", "much"),
    "no revenue": Bad("revenue", {"mrr": ""}, "mrr is given", None),
    "revenue of an unknown account": Bad(
        "revenue", {"account_id": "a99"}, "account_id is in accounts", "a99"
    ),
    "a signal without a moment": Bad("signals", {"at": ""}, "at is given", None),
    "a signal of an unknown account": Bad(
        "signals", {"account_id": "a99"}, "account_id is in accounts", "a99"
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that has ingested the tiny company with all bad rows of all tables at its ends."""
    lenient = SETTINGS | {"ingest": {"max_bad_share": 1}}
    named = {name: {"file": f"{name}.csv"} for name in TABLES}
    named["revenue"]["same_month"] = "first"
    files = files_source(**named)
    home = new_home(tmp_path_factory.mktemp("refused"), lenient, files=files)
    frames = tiny()
    for bad in BAD_ROWS.values():
        row = with_row(bad.table, **bad.cells).tail(1)
        frames[bad.table] = pd.concat([frames[bad.table], row], ignore_index=True).fillna("")
    write_csv(inbox(home), frames)
    ingest(home)
    return home


@pytest.fixture(scope="module")
def found(refused: Home) -> pd.DataFrame:
    return Warehouse(refused.warehouse_file).quarantine()


class TestBadRows:
    @pytest.mark.parametrize("name", BAD_ROWS)
    def test_a_bad_row_is_in_quarantine_with_its_rule_and_source_row(
        self, found: pd.DataFrame, name: str
    ):
        bad = BAD_ROWS[name]
        row = 11 + [n for n, b in BAD_ROWS.items() if b.table == bad.table].index(name)
        (line,) = found[(found["table_name"] == bad.table) & (found["row"] == row)].itertuples()
        assert line.rule.startswith(bad.rule)
        assert (line.source, line.kept) == (f"files:{bad.table}.csv", False)
        if bad.value:
            assert line.value.startswith(bad.value)
        cells = with_row(bad.table, **bad.cells).iloc[-1].to_dict()
        assert json.loads(line.record) == {k: v for k, v in cells.items() if v}

    def test_good_rows_are_stored_and_no_bad_one(self, refused: Home):
        stored = tables_of(refused)
        assert [len(getattr(stored, name)) for name in TABLES] == [10] * 4


def test_what_is_bad_repeated_or_emptied_is_told_by_row_and_by_rule(home: Home):
    """A row that breaks two rules is one, one that repeats another is no fault."""
    deals = pd.concat([with_row("deals", acv="-1", outcome="maybe"), tiny()["deals"].head(1)])
    accounts = with_row("accounts", employees="a few", funded_on="old")
    write_csv(inbox(home), {"deals": deals, "accounts": accounts})
    answer = icp("ingest", "--json", home=home)
    assert answer.status == 0
    tables = counted(answer.json["tables"])
    assert tables["deals"] == {"rows": 10, "stored": 10, "quarantined": 1}
    assert answer.json["quarantine"] == {
        "deals: acv >= 0": 1,
        "deals: outcome is won, lost or open": 1,
    }
    # Of an attribute that cannot be read the cell is emptied, and its row stays.
    assert tables["accounts"] == {"rows": 11, "stored": 11, "quarantined": 0}
    assert list(answer.json["emptied_cells"].values()) == [1, 1]
    stored = tables_of(home).accounts.set_index("account_id")
    assert pd.isna(stored.loc["a11", "employees"])
    found = Warehouse(home.warehouse_file).quarantine()
    assert set(found.loc[found["kept"], "value"]) == {"a few", "old"}
    assert set(found.loc[~found["kept"], "row"]) == {11}


def test_moments_with_a_zone_become_utc(home: Home):
    moment = "2024-01-01T23:30:00-05:00"
    write_csv(inbox(home), {"deals": with_row("deals", created_at=moment)})
    ingest(home)
    stored = tables_of(home).deals.set_index("deal_id")
    assert stored.loc["d11", "created_at"] == pd.Timestamp(2024, 1, 2, 4, 30)


def test_ragged_lines_are_in_quarantine_with_the_line_and_good_rows_are_stored(home: Home):
    path = inbox(home) / "deals.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "d2x,a1,short", *lines[3:], 'd11,a1,"2024-01-01']))
    report = ingest(home)
    assert report.tables["deals"]["stored"] == 10
    found = Warehouse(home.warehouse_file).quarantine()
    assert found["value"].iloc[0] == found["record"].iloc[0] == "d2x,a1,short"
    assert found["row"].iloc[0] == 3
    assert found["rule"].iloc[0] == "the line has as many cells as the header"


def test_bad_rows_and_ragged_lines_are_counted_apart_and_numbered_alike(home: Home):
    path = inbox(home) / "deals.csv"
    lines = path.read_text().splitlines()
    bad = lines[1].replace("d1,", "d11,").replace("1200", "-1")
    path.write_text("\n".join([lines[0], "ragged", bad, *lines[1:]]))
    assert counted(ingest(home).tables)["deals"] == {"rows": 10, "stored": 10, "quarantined": 2}
    found = Warehouse(home.warehouse_file).quarantine()
    assert sorted(found["row"]) == [1, 2]


class TestSeveralSources:
    @pytest.fixture
    def two(self, tmp_path: Path) -> Home:
        """Accounts 1-5 and their deals from one source, 6-10 from the other."""
        home = new_home(
            tmp_path,
            **{
                part: files_source(f"data/{part}", **{t: {"file": f"{t}.csv"} for t in some})
                for part, some in (("east", ("accounts", "deals")), ("west", ("accounts", "deals")))
            },
        )
        for part, rows in (("east", slice(0, 5)), ("west", slice(5, 10))):
            frames = {name: tiny()[name].iloc[rows] for name in ("accounts", "deals")}
            write_csv(home.root / "data" / part, frames)
        return home

    def test_their_rows_and_their_bad_rows_add_up(self, two: Home):
        for part in ("east", "west"):
            deals = two.root / "data" / part / "deals.csv"
            # A deal may belong to an account of another source.
            lines = deals.read_text().replace(",a1,", ",a9,").splitlines()
            deals.write_text("\n".join([*lines[:-1], lines[-1].replace("1200", "-1")]))
        report = ingest(two)
        assert counted(report.tables) == {
            "accounts": GOOD["accounts"],
            "deals": {"rows": 8, "stored": 8, "quarantined": 2},
        }
        assert report.rules == {"deals: acv >= 0": 2}

    def test_a_fault_of_one_stores_nothing_of_the_other(self, two: Home):
        (two.root / "data" / "west" / "deals.csv").unlink()
        with pytest.raises(DataError, match=r"west.*deals\.csv does not exist"):
            ingest(two)
        assert contents(two) == {}


class TestAgain:
    def test_the_same_input_twice_gives_the_same_and_a_mended_row_leaves_quarantine(
        self, home: Home
    ):
        write_csv(inbox(home), {"deals": with_row("deals", acv="-1")})
        first = ingest(home)
        before = contents(home)
        again = ingest(home)
        assert (counted(again.tables), again.rules) == (counted(first.tables), first.rules)
        assert {(told["new"], told["changed"], told["left"]) for told in again.tables.values()} == {
            (0, 0, 0)
        }
        assert contents(home) == before
        write_csv(inbox(home), {"deals": with_row("deals", acv="1")})
        assert counted(ingest(home).tables)["deals"] == {"rows": 11, "stored": 11, "quarantined": 0}
        assert Warehouse(home.warehouse_file).quarantine().empty

    def test_a_corrected_row_replaces_the_old_one(self, ingested: Home):
        deals = tiny()["deals"]
        deals.loc[2, ["outcome", "closed_at"]] = ["won", "2024-06-01"]
        write_csv(inbox(ingested), {"deals": deals})
        ingest(ingested)
        stored = tables_of(ingested).deals.set_index("deal_id")
        assert len(stored) == 10
        assert stored.loc["d3", "outcome"] == "won"

    def test_new_months_add_to_those_of_an_earlier_increment(self, ingested: Home):
        path = ingested.sources_folder / "files.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"mode": "increment"}))
        write_csv(
            inbox(ingested), {"revenue": tiny()["revenue"].assign(month="2024-08-01").head(2)}
        )
        assert ingest(ingested).tables["revenue"]["stored"] == 12

    def test_history_is_kept_by_the_day_of_observation(self, tmp_path: Path):
        home = new_home(tmp_path / "home", files=files_source(accounts={"file": "accounts.csv"}))
        for day, size in (("2024-01-01", "10"), ("2024-02-01", "20"), ("2024-02-01", "25")):
            accounts = tiny()["accounts"].assign(observed_at=day, employees=size)
            write_csv(inbox(home), {"accounts": accounts})
            ingest(home)
        history = tables_of(home).accounts.query("account_id == 'a1'").sort_values("observed_at")
        assert history["employees"].tolist() == [10, 25]

    def test_an_attribute_that_becomes_text_is_widened(self, ingested: Home):
        settings = {**SETTINGS, "dimensions": {"firmographic": {"employees": "category"}}}
        ingested.settings_file.write_text(yaml.safe_dump(settings))
        write_csv(inbox(ingested), {"accounts": with_row("accounts", employees="10-50")})
        ingest(ingested)
        assert "10-50" in set(tables_of(ingested).accounts["employees"])

    def test_killed_at_any_moment_and_repeated_it_gives_the_same_tables(self, ingested: Home):
        home, twin = ingested, Home(ingested.root.with_name("twin"))
        before = contents(home)
        months = pd.period_range("1972-01", "2023-12", freq="M").astype("str") + "-01"
        pairs = [(f"a{i}", month, 1.5) for i in range(1, 11) for month in months]
        revenue = pd.DataFrame(pairs, columns=["account_id", "month", "mrr"])
        write_csv(inbox(home), {"revenue": revenue, "deals": with_row("deals", acv="-1")})
        shutil.copytree(home.root, twin.root)
        ingest(twin, as_of=DAY)
        after = contents(twin)
        assert after != before

        rng = random.Random(7)
        log = home.warehouse_file.with_suffix(".duckdb.wal")
        for writing in (False, True, True):
            process = _ingest_in_a_process(home)
            while writing and process.poll() is None and not log.exists():
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.01 if writing else 2))
            process.kill()
            process.wait()
            assert contents(home) in (before, after)
        ingest(home, as_of=DAY)
        assert contents(home) == after


def _ingest_in_a_process(home: Home) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "icploop.cli",
            "ingest",
            "--home",
            str(home.root),
            "--as-of",
            str(DAY),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


Spoil = Callable[[Home], object]


def rewrite(table: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    return lambda home: write_csv(inbox(home), {table: change(tiny()[table])})


# What is wrong, how, and what the message must name: the value, the place and the remedy.
STOPS: dict[str, tuple[Spoil, list[str]]] = {
    "a required column is missing": (
        rewrite("deals", lambda d: d.drop(columns="created_at")),
        ["files (deals.csv)", "`deals` has no column `created_at`", "found: deal_id", "map it"],
    ),
    "a file is missing": (
        lambda home: (inbox(home) / "deals.csv").unlink(),
        ["deals.csv does not exist"],
    ),
    "a file is no text": (
        lambda home: (inbox(home) / "deals.csv").write_bytes(bytes(range(256)) * 40),
        ["deals.csv"],
    ),
    "too much of a table is bad": (
        rewrite("deals", lambda d: d.assign(acv=["-1"] * 3 + ["1"] * 7)),
        ["3 of 10 rows of `deals`", "30%", "max_bad_share 20%", "acv >= 0", "'-1.0' in row 1"],
    ),
    "too many lines are ragged": (
        lambda home: (inbox(home) / "deals.csv").open("a").write("x\ny\nz\n"),
        ["3 of 13 rows of `deals`", "as many cells as the header"],
    ),
    "all dates are of another format": (
        rewrite("deals", lambda d: d.assign(created_at="31.01.2024")),
        ["10 of 10 rows", "created_at is a date", "`dates` format", "'31.01.2024'"],
    ),
    "all revenue is of unknown accounts": (
        rewrite("revenue", lambda r: r.assign(account_id="x" + r["account_id"])),
        ["account_id is in accounts", "'xa1' in row 1"],
    ),
}


class TestWhatStopsARun:
    @pytest.mark.parametrize(("spoil", "told"), STOPS.values(), ids=STOPS.keys())
    def test_it_ends_with_status_3_and_changes_nothing_and_says_what_and_where(
        self, ingested: Home, spoil: Spoil, told: list[str]
    ):
        # Fresher accounts come first, and must not be stored either.
        write_csv(inbox(ingested), {"accounts": with_row("accounts")})
        spoil(ingested)
        with nothing_changes(ingested):
            answer = icp("ingest", "--json", home=ingested)
        assert answer.status == 3
        assert answer.json == {"error": answer.json["error"], "exit_status": 3}
        for words in told:
            assert words in answer.json["error"]
        assert answer.err.startswith("icp: ")

    def test_without_a_warehouse_none_is_made(self, home: Home):
        (inbox(home) / "signals.csv").write_bytes(b"")
        with pytest.raises(DataError):
            ingest(home)
        assert not home.warehouse_file.exists()


def test_a_fifth_of_bad_rows_is_not_too_much_and_the_share_can_be_raised(home: Home):
    deals = tiny()["deals"].assign(acv=["-1"] * 2 + ["1"] * 8)
    write_csv(inbox(home), {"deals": deals})
    assert ingest(home).tables["deals"]["quarantined"] == 2
    home.settings_file.write_text(yaml.safe_dump(SETTINGS | {"ingest": {"max_bad_share": 0.1}}))
    with pytest.raises(DataError, match=r"more than ingest\.max_bad_share 10%"):
        ingest(home)


def test_what_counts_as_absurd_money_is_a_setting(home: Home):
    home.settings_file.write_text(yaml.safe_dump(SETTINGS | {"ingest": {"max_money": 1000}}))
    with pytest.raises(DataError, match=r"acv <= ingest\.max_money \(1000\)"):
        ingest(home)


WRONG_SETTINGS: dict[str, tuple[Callable[[dict[str, Any]], object], list[str]]] = {
    "a typo in a key": (
        lambda s: s.update(polciy={"min_matured": 30}),
        ["conf/icp.yaml", "`polciy` is not a key", "did you mean `policy`?"],
    ),
    "a typo in a nested key": (
        lambda s: s.update(trigger={"closed_deal": 3}),
        ["`trigger.closed_deal` is not a key", "did you mean `closed_deals`?"],
    ),
    "an unknown dimension": (
        lambda s: s["dimensions"].update(firmografic={"x": "number"}),
        ["firmografic", "firmographic"],
    ),
    "an unknown kind": (
        lambda s: s["dimensions"].update(use_case={"x": "numbers"}),
        ["use_case.x", "numbers", "number"],
    ),
    "a value out of range": (
        lambda s: s.update(ingest={"max_bad_share": 2}),
        ["ingest.max_bad_share", "2", "less than or equal to 1"],
    ),
    "no attribute": (lambda s: s.update(dimensions={}), ["declare at least one attribute"]),
}


@pytest.mark.parametrize(("spoil", "told"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS.keys())
def test_wrong_settings_end_with_status_2_and_the_key_is_named(
    home: Home, spoil: Callable[[dict[str, Any]], object], told: list[str]
):
    settings = copy.deepcopy(SETTINGS)
    spoil(settings)
    home.settings_file.write_text(yaml.safe_dump(settings))
    answer = icp("ingest", "--json", home=home)
    assert not home.warehouse_file.exists()
    assert answer.status == answer.json["exit_status"] == 2
    for words in told:
        assert words in answer.json["error"]


WRONG_SOURCES: dict[str, tuple[str, list[str]]] = {
    "no YAML": ("kind: [files", ["is not valid YAML"]),
    "a list": ("- files", ["must be a mapping"]),
    "a typo in a key": (
        "kind: files\nfolder: x\ntabels: {}",
        ["`tabels` is not a key", "did you mean `tables`?"],
    ),
    "an unknown table": (
        "kind: files\nfolder: x\ntables: {account: {file: a.csv}}",
        ["account", "accounts"],
    ),
    "both a file and a query": (
        "kind: files\nfolder: x\ntables: {deals: {file: a.csv, query: SELECT 1}}",
        ["tables.deals", "give exactly one of `file` and `query`"],
    ),
    "no table": ("kind: files\nfolder: data/inbox\ntables: {}", ["no table"]),
}


@pytest.mark.parametrize(("text", "told"), WRONG_SOURCES.values(), ids=WRONG_SOURCES.keys())
def test_a_wrong_source_ends_with_status_2_and_its_file_is_named(
    home: Home, text: str, told: list[str]
):
    (home.sources_folder / "files.yaml").write_text(text)
    answer = icp("ingest", "--json", home=home)
    assert answer.status == answer.json["exit_status"] == 2
    for words in [*told, "conf/sources"]:
        assert words in answer.json["error"]
    assert not home.warehouse_file.exists()


def test_a_home_without_a_source_is_told_what_to_do(home: Home):
    (home.sources_folder / "files.yaml").unlink()
    with pytest.raises(UsageError, match="no source is configured"):
        ingest(home)


def test_a_table_with_too_many_columns_is_refused_with_the_limit_and_the_remedy(home: Home):
    stated = yaml.safe_load(home.settings_file.read_text()) | {"ingest": {"max_columns": 12}}
    home.settings_file.write_text(yaml.safe_dump(stated))
    accounts = pd.read_csv(home.root / "data" / "inbox" / "accounts.csv", dtype="str")
    wide = {f"custom_{number}": "x" for number in range(12)}
    accounts.assign(**wide).to_csv(home.root / "data" / "inbox" / "accounts.csv", index=False)
    with pytest.raises(
        DataError, match=r"columns, more than ingest\.max_columns \(12\); leave out"
    ):
        ingest(home)
    with pytest.raises(DataError):
        Warehouse(home.warehouse_file).tables()
