"""From a folder of exports to tables: `icp init --from`, `icp ingest`, `icp retrain`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.domain.identity import customers_as_one
from icploop.domain.outcomes import kpis, outcomes
from icploop.io.home import Home
from icploop.pipelines.as_of import AsOf
from tests import messy
from tests.unit.io_fixtures import CommandResult, icp
from tests.unit.workbooks import write_workbook


@dataclass(frozen=True)
class Founded:
    """A home that was founded from exports, and what the commands answered."""

    home: Home
    company: messy.Company
    told: dict[str, Any]
    ingested: CommandResult
    retrained: CommandResult


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Founded:
    root = tmp_path_factory.mktemp("messy")
    company = messy.draw()
    messy.write(company, root / "exports")
    home = Home(root / "home")
    told = icp("init", home.root, "--from", root / "exports", "--json").json
    home.mlruns.mkdir()
    shutil.copyfile(migrated, home.mlruns / "mlflow.db")
    day = ("--as-of", messy.LAST_DAY, "--json")
    return Founded(
        home,
        company,
        told,
        icp("ingest", *day, home=home),
        icp("retrain", "--by", "Ada", *day, home=home),
    )


def test_three_commands_reach_a_version(founded: Founded) -> None:
    assert founded.ingested.status == 0, founded.ingested.err
    assert founded.ingested.json["quarantine"] == {}
    assert founded.retrained.status == 0, founded.retrained.err
    assert founded.retrained.json["version"] == "1"


def test_the_outcomes_are_those_that_the_company_had(founded: Founded) -> None:
    day = AsOf.of(founded.home, None, messy.LAST_DAY)
    seen = customers_as_one(day.seen, day.settings.identity)
    judged = outcomes(seen, "default", day.settings.outcome)
    judged = judged[judged["matured"]]
    found, truth = kpis(judged), founded.company.truth()
    assert len(judged) == truth["matured"]
    assert [found.nrr, found.grr, found.retention] == pytest.approx(
        [truth["nrr"], truth["grr"], truth["retention"]], abs=1e-4
    )


def test_every_cent_that_was_billed_is_in_the_revenue(founded: Founded) -> None:
    stored = AsOf.of(founded.home, None, messy.LAST_DAY).tables.revenue
    assert stored["mrr"].sum() == pytest.approx(sum(founded.company.mrr.values()), abs=1)


def test_what_is_of_a_person_or_after_the_sale_is_left_out(founded: Founded) -> None:
    assert set(founded.told["attributes"]) == {
        "industry",
        "employees",
        "jahresumsatz_eur",
        "erp_systeme",
        "exportiert",
        "gegruendet",
    }
    left = founded.told["left_out"]
    assert "a person's" in left["Ansprechpartner"]
    assert "a person's" in left["E-Mail"]
    assert "filled after the sale only" in left["Kundenzufriedenheit"]
    assert "the same in every row" in left["Land"]
    assert "Notiz" in left


def test_what_was_not_used_is_told(founded: Founded) -> None:
    assert set(founded.told["unused"]) == {"Ansprechpartner.csv", "Artikel.csv"}
    assert founded.told["unsure"] == []


def test_the_exports_stay_where_they_are(founded: Founded) -> None:
    source = yaml.safe_load((founded.home.sources_folder / "files.yaml").read_text())
    assert source["folder"] == "../exports"
    assert set(founded.company.files) == {
        path.name for path in (founded.home.root.parent / "exports").iterdir()
    }


# --- HubSpot and Stripe ---------------------------------------------------------------------------


def hubspot_and_stripe() -> dict[str, pd.DataFrame]:
    """Plain exports: companies and deals out of HubSpot, invoices' lines out of Stripe."""
    ids = [str(7_000_000_001 + i) for i in range(60)]
    companies = pd.DataFrame(
        {
            "Record ID": ids,
            "Company name": [f"Acme {i} Inc." for i in range(60)],
            "Company Domain Name": [f"acme{i}.example" for i in range(60)],
            "Company owner": ["Ada King", "Bo Lee"] * 30,
            "Create Date": ["2022-01-05 10:11"] * 60,
            "Number of Employees": [str(10 + 7 * i) for i in range(60)],
            "Industry": ["COMPUTER_SOFTWARE", "RETAIL", "BANKING", "RETAIL"] * 15,
            "Web Technologies": ["Shopify;Stripe", "Shopify", "", "Stripe"] * 15,
            "Lifecycle Stage": ["Customer", "Opportunity"] * 30,
        }
    )
    deals = pd.DataFrame(
        {
            "Record ID": [str(9_000_000_001 + i) for i in range(60)],
            "Deal Name": [f"Acme {i} - New" for i in range(60)],
            "Deal Stage": ["Closed won", "Closed lost", "Appointment scheduled"] * 20,
            "Close Date": ["2023-03-01 09:00", "2023-02-11 12:30", "2023-12-01 08:00"] * 20,
            "Create Date": ["2023-01-15 09:00"] * 60,
            "Amount": ["1200", "900.5", ""] * 20,
            "Pipeline": ["Sales Pipeline"] * 60,
            "Associated Company IDs": ids,
            "Associated Contact": ["Eve Doe (eve@acme.example)"] * 60,
        }
    )
    lines = [
        {
            "id": f"in_{i}_{n}",
            "Customer": f"cus_{i:04}",
            "Customer Email": f"billing@acme{i}.example",
            "Period Start (UTC)": f"2023-{3 + n:02}-05 10:00",
            "Period End (UTC)": f"2023-{4 + n:02}-05 10:00",
            "Amount": "100.00",
            "Currency": "usd",
            "Status": "void" if n == 3 else "paid",
        }
        for i in range(0, 60, 3)
        for n in range(4)
    ]
    return {"companies.csv": companies, "deals.csv": deals, "invoices.csv": pd.DataFrame(lines)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, Any]]:
    root = tmp_path_factory.mktemp("plain")
    (root / "exports").mkdir()
    for name, frame in hubspot_and_stripe().items():
        frame.to_csv(root / "exports" / name, index=False)
    told = icp("init", root / "home", "--from", root / "exports", "--json").json
    return Home(root / "home"), told


def test_exports_of_hubspot_and_stripe_are_recognised(plain: tuple[Home, dict[str, Any]]) -> None:
    _, told = plain
    assert told["tables"]["accounts"]["columns"]["account_id"] == "Record ID"
    assert told["tables"]["deals"]["columns"] == {
        "deal_id": "Record ID",
        "account_id": "Associated Company IDs",
        "created_at": "Create Date",
        "closed_at": "Close Date",
        "outcome": "Deal Stage",
        "acv": "Amount",
    }
    assert {name: stage["outcome"] for name, stage in told["stages"].items()} == {
        "Closed won": "won",
        "Closed lost": "lost",
        "Appointment scheduled": "open",
    }
    assert set(told["attributes"]) == {"employees", "industry", "web_technologies"}
    assert "after the sale" in told["left_out"]["Lifecycle Stage"]
    assert told["currency"] == "USD"
    assert told["tables"]["revenue"]["stated"] == {"spread": "until"}


def test_exports_of_hubspot_and_stripe_are_ingested_without_an_edit(
    plain: tuple[Home, dict[str, Any]],
) -> None:
    home, _ = plain
    answer = icp("ingest", "--as-of", "2023-07-31", "--json", home=home)
    assert answer.status == 0, answer.err
    tables = answer.json["tables"]
    assert (tables["accounts"]["rows"], tables["deals"]["rows"]) == (60, 60)
    # Void invoices are left out; customers are found by the domain of their address.
    assert tables["revenue"]["rows"] == 60
    assert answer.json["identity"]["billing"]["match_rate"] == 1.0
    assert answer.json["quarantine"] == {}


# --- what cannot be done --------------------------------------------------------------------------


def test_a_home_that_is_there_is_not_overwritten(founded: Founded) -> None:
    before = founded.home.settings_file.read_text()
    answer = icp("init", founded.home.root, "--from", founded.home.root.parent / "exports")
    assert answer.status == 2
    assert "exists already; nothing was overwritten" in answer.err
    assert founded.home.settings_file.read_text() == before


@pytest.mark.parametrize(
    ("files", "status", "said"),
    [
        (None, 2, "is not a folder"),
        ({}, 3, "holds no file; export accounts, deals and billing into it"),
        ({"a.txt": "x"}, 3, "holds no table that can be read: a.txt: no CSV, Parquet, JSON or"),
        ({"a.csv": "id,name\n"}, 3, "a.csv: has a header and no rows"),
        (
            {"a.csv": "id,name\n1,a\n2,b\n"},
            3,
            "no file looks like deals (a row a deal, with its stage (won, lost, ...), company and "
            "date of creation): found a.csv (id, name)",
        ),
        (
            {"deals.csv": "deal_id,account_id,created_at,closed_at,outcome\n"
                          "1,a,2024-01-01,2024-01-02,won\n2,b,2024-01-01,2024-01-02,lost\n"},
            3,
            "no file looks like accounts (a row a company, with an id that differs in each)",
        ),
    ],
)  # fmt: skip
def test_a_folder_that_nothing_can_be_made_of_is_refused_and_nothing_written(
    files: dict[str, str] | None, status: int, said: str, tmp_path: Path
) -> None:
    if files is not None:
        (tmp_path / "exports").mkdir()
        for name, text in files.items():
            (tmp_path / "exports" / name).write_text(text)
    answer = icp("init", tmp_path / "home", "--from", tmp_path / "exports", "--json")
    assert answer.status == status
    assert said in answer.json["error"]
    assert not (tmp_path / "home").exists()
    json.loads(answer.out)


# --- files of every kind --------------------------------------------------------------------------


def _sheet(frame: pd.DataFrame) -> list[list[Any]]:
    return [list(frame.columns), *frame.to_numpy().tolist()]


def _as_a_workbook(folder: Path, exports: dict[str, pd.DataFrame]) -> None:
    sheets = {name.removesuffix(".csv"): _sheet(frame) for name, frame in exports.items()}
    write_workbook(folder / "export 2024.xlsx", sheets)


def _as_parquet_and_json(folder: Path, exports: dict[str, pd.DataFrame]) -> None:
    exports["companies.csv"].to_parquet(folder / "companies.parquet", index=False)
    exports["deals.csv"].to_json(folder / "deals.jsonl", orient="records", lines=True)
    exports["invoices.csv"].to_json(folder / "invoices.json", orient="records")


def _as_texts_of_other_places(folder: Path, exports: dict[str, pd.DataFrame]) -> None:
    companies = exports["companies.csv"].assign(
        Industry=["Торговля", "Банковское дело", "Машиностроение", "Связь"] * 15
    )
    companies.to_csv(folder / "companies.csv", index=False, sep="|", encoding="cp1251")
    exports["deals.csv"].to_csv(folder / "deals.tsv", index=False, sep="\t", encoding="utf-16")
    exports["invoices.csv"].to_csv(folder / "invoices.csv.gz", index=False, sep=";")


@pytest.mark.parametrize("write", [_as_a_workbook, _as_parquet_and_json, _as_texts_of_other_places])
def test_files_of_every_kind_are_read_and_ingested_without_an_edit(
    write: Callable[[Path, dict[str, pd.DataFrame]], None], tmp_path: Path
) -> None:
    (tmp_path / "exports").mkdir()
    write(tmp_path / "exports", hubspot_and_stripe())
    told = icp("init", tmp_path / "home", "--from", tmp_path / "exports", "--json").json
    assert set(told["attributes"]) == {"employees", "industry", "web_technologies"}, told
    answer = icp("ingest", "--as-of", "2023-07-31", "--json", home=Home(tmp_path / "home"))
    assert answer.status == 0, answer.err
    tables = answer.json["tables"]
    assert [tables[name]["rows"] for name in ("accounts", "deals", "revenue")] == [60, 60, 60]
    assert answer.json["identity"]["billing"]["match_rate"] == 1.0
