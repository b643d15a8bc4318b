"""Billing that knows other ids comes under the CRM's accounts, with the money on both sides."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import yaml

from icploop.domain.identity import companies_seen_by
from icploop.io.home import Home
from icploop.io.sources import RawTable
from icploop.io.warehouse import Warehouse
from icploop.pipelines.identity import matches_of
from icploop.pipelines.ingest import ingest
from icploop.settings import Settings
from tests.unit import planted
from tests.unit.io_fixtures import contents, icp, inbox, tiny, tiny_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Account a1 is billed as cus_1 (same domain), a4 as cus_4 (same name), cus_9 is a stranger."""
    home = tiny_home(tmp_path / "home")
    accounts = tiny()["accounts"].assign(domain=[f"d{i}.example" for i in range(1, 11)])
    accounts.to_csv(inbox(home) / "accounts.csv", index=False)
    revenue = tiny()["revenue"]
    revenue["domain"] = revenue["account_id"].map({"a1": "https://www.d1.example"})
    revenue["name"] = revenue["account_id"].map({"a4": "NAME A4, Inc."})
    revenue["account_id"] = revenue["account_id"].map({"a1": "cus_1", "a4": "cus_4"})
    stranger = revenue.tail(1).assign(account_id="cus_9", domain=None, name=None)
    pd.concat([revenue, stranger]).to_csv(inbox(home) / "revenue.csv", index=False)
    return home


def test_rows_come_under_their_accounts_and_keep_what_billing_called_them(home: Home):
    report = ingest(home)
    revenue = Warehouse(home.warehouse_file).tables().revenue
    assert set(revenue["account_id"]) == {"a1", "a4"}
    assert set(revenue["billed_as"]) == {"cus_1", "cus_4"}
    assert report.rules == {"revenue: account_id is in accounts": 1}


def test_the_match_rate_and_the_money_are_told(home: Home):
    answer = icp("ingest", "--json", home=home)
    told = answer.json["identity"]
    assert told["billing"]["match_rate"] == pytest.approx(2 / 3)
    assert told["billing"]["money_matched"] == pytest.approx(1005.0)
    assert told["billing"]["money_unmatched"] == pytest.approx(100.5)
    assert told["billing"]["matched"] == [
        {"billed_as": "cus_1", "account_id": "a1", "rule": "domain"},
        {"billed_as": "cus_4", "account_id": "a4", "rule": "name"},
    ]
    assert told["won_accounts"]["billed"] == 2
    assert told["won_accounts"]["acv_never_billed"] == 1200 * told["won_accounts"]["never_billed"]
    assert "Billing: 67% of its customers are accounts" in icp("ingest", home=home).out


def test_the_same_input_twice_gives_the_same_tables(home: Home):
    ingest(home)
    before = contents(home)
    ingest(home)
    assert contents(home) == before


def test_an_alias_says_who_is_who(home: Home):
    stated = yaml.safe_load(home.settings_file.read_text())
    stated["ingest"] = {"max_bad_share": 0.5}
    stated["identity"] = {"aliases": {"cus_9": "a10", "cus_1": "cus_1"}}
    home.settings_file.write_text(yaml.safe_dump(stated, sort_keys=False))
    report = ingest(home)
    assert set(Warehouse(home.warehouse_file).tables().revenue["account_id"]) == {"a4", "a10"}
    assert report.rules == {"revenue: account_id is in accounts": 5}


def test_accounts_of_an_earlier_ingest_are_matched_too(home: Home):
    (inbox(home) / "revenue.csv").rename(home.root / "later.csv")
    tiny()["revenue"].head(0).to_csv(inbox(home) / "revenue.csv", index=False)
    ingest(home)
    later = home.root / "billing"
    later.mkdir()
    (home.root / "later.csv").rename(later / "revenue.csv")
    ingest(home, later)
    assert set(Warehouse(home.warehouse_file).tables().revenue["account_id"]) == {"a1", "a4"}


def test_a_company_that_the_crm_has_twice_is_listed_and_counts_once(home: Home):
    accounts = pd.read_csv(inbox(home) / "accounts.csv")
    again = accounts.head(1).assign(account_id="a1-again", name="Name A1 Ltd.")
    pd.concat([accounts, again]).to_csv(inbox(home) / "accounts.csv", index=False)
    answer = icp("ingest", "--json", home=home)
    twice = answer.json["identity"]["duplicates"]
    rule = "domain and name"
    assert twice == [{"account_id": "a1-again", "same_as": "a1", "rule": rule, "merged": True}]
    # Billing's domain is that of both, which are one.
    assert answer.json["identity"]["billing"]["by_rule"]["domain"]["customers"] == 1
    assert "1 count as one company with it" in icp("ingest", home=home).out
    assert "a1-again" in set(Warehouse(home.warehouse_file).tables().accounts["account_id"])


def test_bills_of_two_accounts_that_are_one_stay_apart_in_the_warehouse(home: Home):
    revenue = tiny()["revenue"].assign(account_id=["a1", "a4"] * 5)
    revenue["month"] = [f"2024-{month:02}-01" for month in (3, 4, 5, 6, 7) for _ in range(2)]
    revenue.to_csv(inbox(home) / "revenue.csv", index=False)
    stated = yaml.safe_load(home.settings_file.read_text())
    stated["identity"] = {"aliases": {"a4": "a1"}}
    home.settings_file.write_text(yaml.safe_dump(stated, sort_keys=False))
    assert ingest(home).rules == {}
    tables = Warehouse(home.warehouse_file).tables()
    assert len(tables.revenue) == 10
    seen = companies_seen_by(tables, date(2024, 12, 31), home.settings().identity)
    assert seen.revenue["mrr"].tolist() == [201.0] * 5


def test_every_record_of_a_company_is_published_with_its_score(own: Home):
    accounts = pd.read_csv(inbox(own) / "accounts.csv", dtype="str")
    known = accounts.drop_duplicates("account_id").iloc[-1]
    again = pd.DataFrame([known]).assign(account_id="zz-again", domain=known["domain"])
    pd.concat([accounts, again]).to_csv(inbox(own) / "accounts.csv", index=False)
    assert icp("ingest", home=own).status == 0
    assert icp("publish", "--as-of", "2025-02-05", home=own).status == 0
    folder = own.root / "data" / "published" / planted.MOTION
    scores = pd.read_parquet(folder / "scores.parquet").set_index("account_id")
    assert scores.loc["zz-again", "fit_score"] == scores.loc[known["account_id"], "fit_score"]
    assert "zz-again" not in (folder / "targets.csv").read_text()
    assert icp("explain", "zz-again", "--as-of", "2025-02-05", home=own).status == 0


def test_money_that_is_matched_is_of_one_currency(tmp_path: Path) -> None:
    billed = pd.DataFrame(
        {
            "account_id": ["a", "a", "b", "c"],
            "mrr": ["100", "50", "15000", "7"],
            "currency": ["USD", "", "jpy", "XXX"],
        }
    )
    stated = Settings(
        company="T",
        currencies={"JPY": 0.01},
        dimensions={"firmographic": {"industry": "category"}},
    )
    raw = [("billing", RawTable("revenue", "bills.csv", billed))]
    nobody = Warehouse(tmp_path / "none.duckdb").account_names()
    found = matches_of(raw, nobody, [], stated).as_dict()
    # What has no rate is refused.
    assert found["money_matched"] + found["money_unmatched"] == 300
