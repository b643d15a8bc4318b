"""Accounts without `observed_at`: what they were before a source overwrote them is kept."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icploop.domain.calendar import last_moment, seen_by
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.modeling.accounts.features import attributes_at
from icploop.pipelines.ingest import IngestReport, ingest
from tests.unit.io_fixtures import (
    contents,
    files_source,
    icp,
    inbox,
    new_home,
    tiny,
    tiny_home,
    write_csv,
)

FIRST, SECOND, THIRD = date(2024, 5, 1), date(2024, 6, 1), date(2024, 7, 1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return of_accounts(tmp_path / "home")


def of_accounts(root: Path) -> Home:
    """A home whose source brings accounts only."""
    home = new_home(root, files=files_source(accounts={"file": "accounts.csv"}))
    write_csv(inbox(home), {"accounts": tiny()["accounts"]})
    return home


def read_on(home: Home, day: date, **employees: str) -> IngestReport:
    """An ingest of an export in which some accounts have other numbers of employees."""
    path = inbox(home) / "accounts.csv"
    accounts = pd.read_csv(path, dtype="str")
    for account, number in employees.items():
        accounts.loc[accounts["account_id"] == account, "employees"] = number
    write_csv(inbox(home), {"accounts": accounts})
    return ingest(home, as_of=day)


def employees(home: Home, account: str, day: date) -> float:
    """What is known of an account at the end of a day."""
    seen = seen_by(Warehouse(home.warehouse_file).tables(), day)
    moments = pd.DataFrame({"account_id": [account], "at": last_moment(day)})
    attributes = [a for a in home.settings().attributes if a.name == "employees"]
    return float(attributes_at(seen.accounts, moments, attributes)["employees"].iloc[0])


def rows_of(home: Home, account: str) -> pd.DataFrame:
    accounts = Warehouse(home.warehouse_file).tables().accounts
    return accounts[accounts["account_id"] == account]


def test_what_differs_is_dated_and_what_was_stays(home: Home):
    read_on(home, FIRST, a1="10", a2="20")
    read_on(home, SECOND, a1="11")
    assert employees(home, "a1", date(2024, 5, 31)) == 10
    assert employees(home, "a1", SECOND) == 11
    assert rows_of(home, "a1")["observed_at"].isna().sum() == 1
    assert rows_of(home, "a1")["observed_at"].max() == last_moment(SECOND)
    assert len(rows_of(home, "a2")) == 1


def test_a_value_that_comes_back_is_dated_too(home: Home):
    for day, number in ((FIRST, "10"), (SECOND, "11"), (THIRD, "10")):
        read_on(home, day, a1=number)
    assert [employees(home, "a1", day) for day in (FIRST, SECOND, THIRD)] == [10, 11, 10]
    assert len(rows_of(home, "a1")) == 3


def test_the_same_export_again_changes_nothing(home: Home):
    read_on(home, FIRST, a1="10")
    read_on(home, SECOND, a1="11")
    before = contents(home)
    for day in (SECOND, THIRD):
        ingest(home, as_of=day)
        # But for the day on which it was read.
        assert contents(home) | {"reads": before["reads"]} == before


def test_a_correction_on_the_first_day_was_always_so(home: Home):
    read_on(home, FIRST, a1="10")
    read_on(home, FIRST, a1="12")
    assert employees(home, "a1", date(2023, 1, 1)) == 12
    assert len(rows_of(home, "a1")) == 1


def test_a_correction_later_on_the_day_of_a_snapshot_replaces_it(home: Home):
    read_on(home, FIRST, a1="10")
    read_on(home, SECOND, a1="11")
    read_on(home, SECOND, a1="12")
    assert employees(home, "a1", FIRST) == 10
    assert employees(home, "a1", SECOND) == 12
    assert len(rows_of(home, "a1")) == 2


def test_an_emptied_cell_says_nothing(home: Home):
    read_on(home, FIRST, a1="10")
    read_on(home, SECOND, a1="")
    assert employees(home, "a1", SECOND) == 10
    assert len(rows_of(home, "a1")) == 1


def test_another_mapping_begins_anew_and_says_what_it_made_void(home: Home):
    read_on(home, FIRST, a1="10")
    read_on(home, SECOND, a1="11")
    source = home.sources_folder / "files.yaml"
    stated = yaml.safe_load(source.read_text())
    stated["tables"]["accounts"]["values"] = {"industry": {"x": "y"}}
    source.write_text(yaml.safe_dump(stated))
    report = ingest(home, as_of=THIRD)
    assert report.forgotten == 1
    assert report.as_dict()["history"]["forgotten"] == 1
    assert employees(home, "a1", FIRST) == 11
    assert len(rows_of(home, "a1")) == 1
    # And from here on changes are kept again.
    assert read_on(home, date(2024, 8, 1), a1="13").forgotten == 0
    assert employees(home, "a1", THIRD) == 11


def test_without_a_day_accounts_are_overwritten(home: Home):
    read_on(home, FIRST, a1="10")
    path = inbox(home) / "accounts.csv"
    path.write_text(path.read_text().replace("10", "14", 1))
    ingest(home)
    assert rows_of(home, "a1")["observed_at"].isna().all()


def test_the_ingest_says_since_when_it_knows(tmp_path: Path):
    home = tiny_home(tmp_path / "home")
    history = read_on(home, date(2019, 12, 1)).history
    assert (history.since, history.deals, history.always) == (date(2024, 1, 1), 10, 0)
    answer = icp("ingest", "--as-of", "2024-12-01", "--json", home=tiny_home(home.root / "later"))
    assert answer.json["history"]["always"] == 10


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=4
)
@given(st.lists(st.integers(1, 3), min_size=2, max_size=4))
def test_each_day_sees_what_was_exported_by_then(tmp_path_factory, numbers: list[int]):
    home = of_accounts(tmp_path_factory.mktemp("days") / "home")
    days = [date(2024, 5, number + 1) for number in range(len(numbers))]
    for day, number in zip(days, numbers, strict=True):
        read_on(home, day, a1=str(number))
    assert [employees(home, "a1", day) for day in days] == numbers
