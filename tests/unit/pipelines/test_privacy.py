"""What looks like a person's stays outside the warehouse, the quarantine and every message."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.ingest import ingest
from tests.unit.io_fixtures import icp, inbox, nothing_changes, tiny, tiny_home

PERSONS = [f"Jane.Q{i}@acme.example" for i in range(10)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return tiny_home(tmp_path / "home")


def write(home: Home, table: str, **columns: object) -> None:
    tiny()[table].assign(**columns).to_csv(inbox(home) / f"{table}.csv", index=False)


def settings(home: Home, **more: object) -> None:
    stated = yaml.safe_load(home.settings_file.read_text()) | more
    home.settings_file.write_text(yaml.safe_dump(stated, sort_keys=False))


def everything(home: Home) -> str:
    """All that the home's files hold below data/, besides what the operator put there."""
    return "".join(
        path.read_bytes().decode("latin-1")
        for path in (home.root / "data").rglob("*")
        if path.is_file() and path.parent != inbox(home)
    )


def test_an_undeclared_column_is_not_stored_and_named_with_the_remedy(home: Home):
    # A bad row, whose source row stands in quarantine.
    write(home, "deals", contact_email=PERSONS, acv=["-1", *["1200"] * 9], city="Ulm")
    answer = icp("ingest", "--json", home=home)
    assert answer.status == 0
    (said,) = answer.json["refused_columns"]
    assert said.startswith("deals.contact_email is named like an e-mail address")
    assert "privacy: {allow: [contact_email]}" in said
    stored = Warehouse(home.warehouse_file)
    assert "contact_email" not in stored.tables().deals
    assert (stored.tables().deals["city"] == "Ulm").all()
    assert answer.json["tables"]["deals"]["quarantined"] == 1
    assert "Jane.Q" not in everything(home) + answer.out + answer.err


def test_lines_that_cannot_be_split_do_not_carry_it_into_quarantine(home: Home):
    path = inbox(home) / "deals.csv"
    write(home, "deals", contact_email=PERSONS)
    path.write_text(
        path.read_text() + "d99,a1,2024-01-01,won,2024-02-01,1,Jane.Q99@a.example,x,y,z\n"
    )
    ingest(home)
    assert "Jane.Q" not in everything(home)
    (line,) = Warehouse(home.warehouse_file).quarantine()["value"]
    assert "not kept" in line


def test_people_read_what_was_refused(home: Home):
    write(home, "accounts", first_name="Jane")
    answer = icp("ingest", home=home)
    assert "only company data are kept here:\n  accounts.first_name is named like" in answer.out


def test_a_declared_attribute_that_is_named_like_a_persons_is_wrong_settings(home: Home):
    settings(home, dimensions={"firmographic": {"birth_date": "date"}})
    with nothing_changes(home):
        answer = icp("ingest", "--json", home=home)
    assert answer.status == 2
    assert "declares `birth_date`, which is named like a birth date" in answer.json["error"]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("accounts", {"industry": PERSONS}),
        ("accounts", {"account_id": PERSONS}),
        ("accounts", {"domain": PERSONS}),
        ("deals", {"account_id": PERSONS}),
    ],
)
def test_what_cannot_be_left_out_stops_the_run_with_nothing_changed(
    home: Home, table: str, columns: dict[str, object]
):
    ingest(home)
    write(home, table, **columns)
    with nothing_changes(home):
        answer = icp("ingest", "--json", home=home)
    assert answer.status == 3
    (column,) = columns
    assert f"`{table}` `{column}` holds e-mail addresses of persons" in answer.json["error"]
    assert "Nothing was changed" in answer.json["error"]
    assert "Jane" not in answer.out + answer.err


def test_an_allowed_column_is_stored(home: Home):
    settings(home, privacy={"allow": ["contact_email"]})
    write(home, "accounts", contact_email=PERSONS)
    assert ingest(home).personal == ()
    kept = Warehouse(home.warehouse_file).tables().accounts["contact_email"]
    assert kept.tolist() == PERSONS


def test_the_tiny_company_has_nothing_personal(home: Home):
    assert ingest(home).personal == ()
    assert isinstance(Warehouse(home.warehouse_file).tables().accounts, pd.DataFrame)
