"""Billing under the CRM's accounts, with the match rate and the money on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from icploop.domain.identity import Matches, duplicates, match
from icploop.domain.tables import read_number, read_text
from icploop.io.sources import RawTable
from icploop.io.warehouse import Batch, Warehouse
from icploop.settings import Settings

# What billing called the account, kept beside each row that came under another id.
BILLED_AS = "billed_as"


def matches_of(
    raw: Sequence[tuple[str, RawTable]],
    warehouse: Warehouse,
    accounts: Sequence[Batch],
    settings: Settings,
) -> Matches:
    """Who the customers of all billing tables are, among stored and arriving accounts."""
    frames = [table.rows for _, table in raw if table.table == "revenue"]
    billed = pd.concat([_billed(rows) for rows in frames if "account_id" in rows])
    arriving = [batch.rows for batch in accounts if batch.table == "accounts"]
    known = pd.concat([warehouse.account_names(), *arriving], ignore_index=True)
    return match(billed, known, dict(settings.identity.aliases))


def under_its_accounts(table: RawTable, found: Matches) -> RawTable:
    """The billing table with the accounts' ids; rows that change theirs keep the old one."""
    if not found.account_of or "account_id" not in table.rows:
        return table
    ids = read_text(table.rows["account_id"])
    accounts = ids.map(found.account_of)
    rows = table.rows.assign(account_id=accounts.fillna(ids))
    rows[BILLED_AS] = ids.where(accounts.notna())
    return replace(table, rows=rows)


def who_is_who(found: Matches, batches: Sequence[Batch], warehouse: Warehouse) -> dict[str, Any]:
    """The match as JSON-like values: billing's side, the CRM's side, and duplicates."""
    deals = [batch.rows for batch in batches if batch.table == "deals"]
    billed = set(found.found["account_id"].dropna())
    won = pd.concat(deals) if deals else pd.DataFrame(columns=["outcome", "account_id", "acv"])
    won = won[won["outcome"] == "won"]
    there = won["account_id"].isin(billed)
    twice = duplicates(warehouse.account_names())
    return {
        "billing": found.as_dict(),
        "won_accounts": {
            "billed": int(won.loc[there, "account_id"].nunique()),
            "never_billed": int(won.loc[~there, "account_id"].nunique()),
            "acv_billed": float(won.loc[there, "acv"].sum()),
            "acv_never_billed": float(won.loc[~there, "acv"].sum()),
        },
        "duplicates": twice.to_dict("records"),
    }


def _billed(rows: pd.DataFrame) -> pd.DataFrame:
    columns = {"account_id": read_text(rows["account_id"])}
    columns |= {name: read_text(rows[name]) for name in ("domain", "name") if name in rows}
    if "mrr" in rows:
        columns["mrr"] = read_number(rows["mrr"])
    return pd.DataFrame(columns)
