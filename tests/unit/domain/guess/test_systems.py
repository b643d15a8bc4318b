"""Exports of systems that many have are recognised by the names of their columns."""

from __future__ import annotations

from typing import Any

import pytest

from icploop.domain.guess.looks import Export
from icploop.domain.guess.plan import TablePlan, plan
from tests.unit.domain.guess.exports import N, accounts, deals, export, mrr


def columns(made: TablePlan) -> dict[str, str]:
    return {one.ours: one.theirs for one in made.columns}


def of_three(*cells: Any) -> list[Any]:
    return [*cells] * (N // 3)


SALESFORCE = {
    "accounts": {
        "Id": [f"0015g00000Ab{i:03}" for i in range(N)],
        "IsDeleted": ["false"] * N,
        "Name": [f"Firm number {i}" for i in range(N)],
        "ParentId": [""] * (N - 1) + ["0015g00000Ab001"],
        "Website": [f"https://firm{i}.example" for i in range(N)],
        "Industry": ["Retail", "Banking", "Energy", "Retail"] * 15,
        "OwnerId": ["0055g000001"] * N,
    },
    "deals": {
        "Id": [f"0065g00000Xy{i:03}" for i in range(N)],
        "AccountId": [f"0015g00000Ab{i:03}" for i in range(N)],
        "Name": [f"Deal {i}" for i in range(N)],
        "StageName": of_three("Closed Won", "Closed Lost", "Id. Decision Makers"),
        "Amount": ["1200.0"] * N,
        "CloseDate": ["2024-02-01"] * N,
        "CreatedDate": ["2024-01-10T10:00:00.000Z"] * N,
        "IsClosed": of_three("true", "true", "false"),
        "IsWon": of_three("true", "false", "false"),
        "Type": of_three("New Business", "Renewal", "New Business"),
    },
}
PIPEDRIVE = {
    "accounts": {
        "Organization - ID": [str(100 + i) for i in range(N)],
        "Organization - Name": [f"Firm number {i}" for i in range(N)],
        "Organization - Industry": ["Retail", "Banking", "Energy", "Retail"] * 15,
    },
    "deals": {
        "Deal - ID": [str(1 + i) for i in range(N)],
        "Deal - Title": [f"Deal {i}" for i in range(N)],
        "Deal - Organization": [f"Firm number {i}" for i in range(N)],
        "Deal - Value": ["1200"] * N,
        "Deal - Currency": ["EUR"] * N,
        "Deal - Stage": of_three("Qualified", "Proposal made", "Contact made"),
        "Deal - Status": of_three("Won", "Lost", "Open"),
        "Deal - Deal created": ["2024-01-10 10:00:00"] * N,
        "Deal - Won time": of_three("2024-02-01 09:00:00", "", ""),
        "Deal - Lost time": of_three("", "2024-02-01 09:00:00", ""),
    },
}


def exports(system: dict[str, dict[str, Any]]) -> list[Export]:
    return [export(f"{name}.csv", rows) for name, rows in system.items()]


def test_salesforce() -> None:
    made = plan(exports(SALESFORCE))
    assert columns(made.tables["accounts"]) == {
        "account_id": "Id",
        "parent_id": "ParentId",
        "name": "Name",
        "domain": "Website",
        "industry": "Industry",
    }
    assert columns(made.tables["deals"]) == {
        "deal_id": "Id",
        "account_id": "AccountId",
        "created_at": "CreatedDate",
        "closed_at": "CloseDate",
        "outcome": "StageName",
        "acv": "Amount",
    }
    assert {one.name: one.outcome for one in made.stages} == {
        "Closed Won": "won",
        "Closed Lost": "lost",
        "Id. Decision Makers": "open",
    }
    assert [one.name for one in made.attributes] == ["industry"]


def test_pipedrive() -> None:
    made = plan(exports(PIPEDRIVE))
    told = columns(made.tables["deals"])
    assert told["outcome"] == "Deal - Status"
    assert told["created_at"] == "Deal - Deal created"
    assert told["account_id"] == "Deal - Organization"
    assert 'coalesce(t."Deal - Won time", t."Deal - Lost time")' in made.tables["deals"].query
    assert columns(made.tables["accounts"])["account_id"] == "Organization - ID"
    assert made.currency == "EUR"


def test_lines_of_invoices_out_of_chartmogul_are_in_cents() -> None:
    who = [f"00{i:04}" for i in range(0, N, 3)]
    lines = export(
        "invoices.csv",
        {
            "customer_external_id": who,
            "invoice_external_id": [f"inv_{i}" for i in range(len(who))],
            "date": ["2024-03-01"] * len(who),
            "service_period_start": ["2024-03-01"] * len(who),
            "service_period_end": ["2025-03-01"] * len(who),
            "amount_in_cents": ["120000"] * len(who),
            "type": ["subscription"] * (len(who) - 1) + ["one_time"],
            "currency": ["EUR"] * len(who),
        },
    )
    made = plan([accounts(), deals(), lines]).tables["revenue"]
    assert columns(made) == {
        "account_id": "customer_external_id",
        "month": "service_period_start",
        "until": "service_period_end",
        "mrr": "amount_in_cents",
        "currency": "currency",
    }
    assert 'TRY_CAST(t."amount_in_cents" AS DOUBLE) / 100' in made.query
    assert """t."type" NOT IN ('one_time')""" in made.query
    assert made.stated[0][:2] == ("spread", "until")


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("German", ["Kundennummer", "Phase", "Angelegt am", "Abgeschlossen am", "Auftragswert"]),
        ("French", ["Numéro client", "Étape", "Date de création", "Date de clôture", "Montant"]),
        ("Spanish", ["Código cliente", "Etapa", "Fecha de creación", "Fecha de cierre", "Importe"]),
        ("Italian", ["Codice cliente", "Fase", "Data creazione", "Data chiusura", "Importo"]),
        ("Dutch", ["Klantnummer", "Fase", "Aangemaakt op", "Gesloten op", "Bedrag"]),
    ],
)
def test_deals_of_other_languages(language: str, names: list[str]) -> None:
    own = deals().frame
    of = dict(
        zip(["Account ID", "Stage", "Created Date", "Close Date", "Amount"], names, strict=True)
    )
    renamed = own.rename(columns=of).rename(columns={"Opportunity ID": "ID"})
    made = plan([accounts(), Export("export.csv", renamed, N), mrr()])
    told = columns(made.tables["deals"])
    wanted = ["account_id", "outcome", "created_at", "closed_at", "acv"]
    assert [told[ours] for ours in wanted] == names
