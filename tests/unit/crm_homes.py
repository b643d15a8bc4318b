"""Homes whose settings name a local CRM, files of scores, and what the CRM is to hold then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from icploop.io.frames import writer_to
from icploop.io.home import Home
from tests.unit.crm_servers import Crm, HubspotServer, SalesforceServer, Values
from tests.unit.io_fixtures import new_home

HUBSPOT = {
    "fit_score": "icp_score",
    "tier": "icp_tier",
    "reasons_for": "icp_reasons_for",
    "reasons_against": "icp_reasons_against",
    "icp_version": "icp_version",
    "scored_at": "icp_scored_at",
}
SALESFORCE = {
    "fit_score": "Icp_Score__c",
    "tier": "Icp_Tier__c",
    "reasons_for": "Icp_Reasons_For__c",
    "reasons_against": "Icp_Reasons_Against__c",
    "icp_version": "Icp_Version__c",
    "scored_at": "Icp_Scored_At__c",
}
_HUBSPOT_TYPES = ["number", "enumeration", "string", "string", "string", "date"]
_SALESFORCE_TYPES = ["double", "picklist", "textarea", "textarea", "string", "date"]


def scores_of(ids: list[str], **columns: Any) -> pd.DataFrame:
    """Scores as `icp score` gives them, each account with its own."""
    count = len(ids)
    frame = pd.DataFrame(
        {
            "account_id": ids,
            "icp_version": "3",
            "fit_score": [round(100 * (i + 0.5) / count, 2) for i in range(count)],
            "expected_nrr": 1.1,
            "tier": [("A", "B", "C", "D", "anti", "unknown")[i % 6] for i in range(count)],
            "reasons_for": [f"employees = {i}: +4.1; tech = okta: +1.0" for i in range(count)],
            "reasons_against": ["" if i % 2 else "industry = gaming: -2.0" for i in range(count)],
            "scored_at": "2025-12-31",
        }
    )
    return frame.assign(**columns)


def scores_file(folder: Path, frame: pd.DataFrame, name: str = "scores.csv") -> Path:
    """A file of scores as the program itself writes it."""
    with writer_to(folder / name) as write:
        write(frame)
    return folder / name


def hubspot(count: int, **more: Any) -> HubspotServer:
    """HubSpot with companies 1001, 1002, ..., our properties, and others' that are not ours."""
    records: dict[str, Values] = {
        str(1001 + i): {"name": f"Company {i}", "domain": f"c{i}.example"} for i in range(count)
    }
    definitions = {
        name: {"name": name, "type": kind, "hubspotDefined": False}
        for name, kind in zip(HUBSPOT.values(), _HUBSPOT_TYPES, strict=True)
    }
    definitions["name"] = {"name": "name", "type": "string", "hubspotDefined": True}
    return HubspotServer(records, definitions=definitions, **more)


def salesforce(count: int, **more: Any) -> SalesforceServer:
    """Salesforce with Accounts whose External ID is crm-0, crm-1, ..., and our fields."""
    records: dict[str, Values] = {
        f"001A00000{i:06}AAQ": {"Name": f"Account {i}", "Ext__c": f"crm-{i}"} for i in range(count)
    }
    fields = {
        name: {"name": name, "type": kind, "updateable": True}
        for name, kind in zip(SALESFORCE.values(), _SALESFORCE_TYPES, strict=True)
    }
    fields["Ext__c"] = {"name": "Ext__c", "type": "string", "updateable": True, "externalId": True}
    return SalesforceServer(records, fields=fields, **more)


def home_of(folder: Path, crm: Crm, **settings: Any) -> Home:
    """A home whose scores go to a local CRM."""
    home = new_home(folder / "home")
    stated = {
        "kind": "hubspot" if isinstance(crm, HubspotServer) else "salesforce",
        "token_env": "CRM_TOKEN",
        "base_url": crm.url,
        "calls_per_second": 1000,
        **settings,
    }
    home.crm_file.write_text(yaml.safe_dump(stated))
    return home


def held(crm: Crm, frame: pd.DataFrame, names: dict[str, str], ids: dict[str, str]) -> list[str]:
    """The accounts whose record does not hold what a file says."""
    wrong = []
    for row in frame.to_dict(orient="records"):
        record = crm.records[ids[row["account_id"]]]
        for column, name in names.items():
            value = str(row[column]) if row[column] != "" else None
            there = record.get(name)
            same = float(value) == float(there) if column == "fit_score" else value == there
            if not same:
                wrong.append(f"{row['account_id']}: {name} is {there!r}, not {value!r}")
    return wrong
