"""The quarantine for people: rules, samples, and a file to mend."""

import json
from pathlib import Path

import pandas as pd
import pytest

from icploop.errors import UsageError
from icploop.io.home import Home
from icploop.pipelines.ingest import ingest
from icploop.pipelines.quarantine import quarantine
from tests.unit.io_fixtures import icp, inbox, tiny, tiny_home, write_csv


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two deals of a stage that a spreadsheet would run, one of them dear too; one bad cell."""
    home = tiny_home(tmp_path_factory.mktemp("refused") / "home")
    deals, accounts = tiny()["deals"], tiny()["accounts"]
    deals.loc[0, ["outcome", "acv"]] = ["=1+1", "-1"]
    deals.loc[4, "outcome"] = "=1+1"
    accounts.loc[2, "employees"] = "many"
    write_csv(inbox(home), {"deals": deals, "accounts": accounts})
    ingest(home)
    return home


def test_rules_come_with_counts_and_samples(refused: Home):
    report = quarantine(refused)
    assert (report.rows, report.emptied) == (2, 1)
    first = report.rules[0]
    assert (first.table, first.source) == ("deals", "files:deals.csv")
    assert (first.rule, first.rows, first.kept) == ("outcome is won, lost or open", 2, False)
    assert first.samples == ({"row": 1, "value": "=1+1"}, {"row": 5, "value": "=1+1"})
    assert [rule.kept for rule in report.rules if rule.table == "accounts"] == [True]


def test_no_more_than_three_samples(tmp_path: Path):
    home = tiny_home(tmp_path / "home")
    home.settings_file.write_text(home.settings_file.read_text() + "ingest: {max_bad_share: 1}\n")
    write_csv(inbox(home), {"deals": tiny()["deals"].assign(outcome="maybe")})
    ingest(home)
    (rule,) = quarantine(home, table="deals").rules
    assert (rule.rows, len(rule.samples)) == (10, 3)


def test_each_row_stands_once_with_all_reasons_its_place_and_its_cells(
    refused: Home, tmp_path: Path
):
    quarantine(refused, tmp_path / "mend.csv", table="deals")
    rows = pd.read_csv(tmp_path / "mend.csv", dtype="str")
    assert rows["row"].tolist() == ["1", "5"]
    assert rows.loc[0, "reason"] == "acv >= 0; outcome is won, lost or open"
    assert rows.loc[1, "source"] == "files:deals.csv"
    assert rows["deal_id"].tolist() == ["d1", "d5"]
    # A spreadsheet does not run it.
    assert rows["outcome"].tolist() == ["'=1+1", "'=1+1"]


def test_the_command_answers_as_text_and_as_json(refused: Home, tmp_path: Path):
    out = tmp_path / "all.csv"
    answer = icp("quarantine", "--out", out, home=refused)
    assert "2 refused: deals: outcome is won, lost or open" in answer.out
    assert "files:deals.csv, row 1: '=1+1', row 5: '=1+1'" in answer.out
    told = icp("quarantine", "--table", "accounts", "--json", home=refused).json
    assert (told["rows"], told["emptied"]) == (0, 1)
    assert json.loads(json.dumps(told))["rules"][0]["samples"] == [{"row": 3, "value": "many"}]
    assert len(pd.read_csv(out)) == 3


def test_a_line_that_is_no_row_is_there_as_it_is(tmp_path: Path):
    home = tiny_home(tmp_path / "home")
    with (inbox(home) / "deals.csv").open("a") as file:
        file.write("one,two\n")
    ingest(home)
    quarantine(home, tmp_path / "mend.csv")
    assert pd.read_csv(tmp_path / "mend.csv")["line"].tolist() == ["one,two"]


def test_what_a_later_ingest_mended_is_forgotten(refused: Home, tmp_path: Path):
    home = tiny_home(tmp_path / "home")
    write_csv(inbox(home), {"deals": tiny()["deals"].assign(acv=["-1"] + ["1"] * 9)})
    ingest(home)
    assert quarantine(home).rows == 1
    write_csv(inbox(home), {"deals": tiny()["deals"]})
    ingest(home)
    assert quarantine(home).rules == ()
    assert "Nothing is in quarantine." in icp("quarantine", home=home).out
    with pytest.raises(UsageError, match="nothing to write"):
        quarantine(home, tmp_path / "none.csv")


def test_before_the_first_ingest_there_is_none(tmp_path: Path):
    assert quarantine(Home(tmp_path)).rules == ()
