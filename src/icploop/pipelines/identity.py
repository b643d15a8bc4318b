"""Billing under the CRM's accounts, with the match rate and the money on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from icploop.domain.cells import read_key, read_number, read_text
from icploop.domain.identity import (
    Matches,
    billing_by_customer,
    duplicates,
    match,
    one_account_of,
)
from icploop.domain.tables import BILLED_AS, CURRENCY, currency_codes
from icploop.io.sources import GivenTable, RawTable, TableInParts
from icploop.io.warehouse import AnyBatch, Batch
from icploop.settings import Identity, Settings


def matches_of(
    raw: Sequence[tuple[str, GivenTable]],
    stored: pd.DataFrame,
    accounts: Sequence[AnyBatch],
    settings: Settings,
) -> Matches:
    """Who the customers of all billing tables are, among stored and arriving accounts.

    `stored` are the names of those that are not of a source which brings all its accounts anew.
    """
    tables = [table for _, table in raw if table.table == "revenue"]
    billed = billing_by_customer(
        part for table in tables for part in _billing(table, settings.rates)
    )
    arriving = [b for b in accounts if isinstance(b, Batch) and b.table == "accounts"]
    known = pd.concat([stored, *(b.rows for b in arriving)], ignore_index=True)
    return match(billed, known, settings.identity)


def under_its_accounts(table: GivenTable, found: Matches) -> GivenTable:
    """The billing table with the accounts' ids; rows that change theirs keep the old one."""
    if not (account_of := found.account_of):
        return table

    how = table.formats.of("account_id")

    def renamed(rows: pd.DataFrame) -> pd.DataFrame:
        if "account_id" not in rows:
            return rows
        given = rows["account_id"].astype("object")
        ids = read_key(rows["account_id"], how)
        accounts = ids.map(account_of)
        # Others stay as they are given: an id that lost its digits is refused for it.
        return rows.assign(
            account_id=accounts.astype("object").where(accounts.notna(), given),
            **{BILLED_AS: ids.where(accounts.notna())},
        )

    if isinstance(table, RawTable):
        return table.changed(renamed)
    columns = table.columns | {BILLED_AS: table.columns["account_id"]}
    return table.changed(renamed, columns)


def who_is_who(
    found: Matches,
    batches: Sequence[AnyBatch],
    accounts: pd.DataFrame,
    identity: Identity,
) -> dict[str, Any]:
    """The match as JSON-like values: billing's side, the CRM's side, and duplicates."""
    twice = duplicates(accounts, identity)
    same_as = one_account_of(twice, identity)
    deals = [b.rows for b in batches if isinstance(b, Batch) and b.table == "deals"]
    billed = {same_as.get(name, name) for name in found.found["account_id"].dropna()}
    won = pd.concat(deals) if deals else pd.DataFrame(columns=["outcome", "account_id", "acv"])
    won = won[won["outcome"] == "won"]
    won = won.assign(account_id=won["account_id"].map(lambda name: same_as.get(name, name)))
    there = won["account_id"].isin(billed)
    return {
        "billing": found.as_dict(),
        "won_accounts": {
            "billed": int(won.loc[there, "account_id"].nunique()),
            "never_billed": int(won.loc[~there, "account_id"].nunique()),
            "acv_billed": float(won.loc[there, "acv"].sum()),
            "acv_never_billed": float(won.loc[~there, "acv"].sum()),
        },
        "duplicates": twice.assign(merged=twice["account_id"].isin(same_as)).to_dict("records"),
    }


def _billing(table: GivenTable, rates: Mapping[str, float]) -> Iterator[pd.DataFrame]:
    """What is billed to whom: account_id, mrr (company currency), and perhaps domain and name."""
    asked = {"account_id", "mrr", "domain", "name", CURRENCY}
    if isinstance(table, TableInParts) and asked & set(table.columns) == {"account_id", "mrr"}:
        yield _billed_by_cells(table)
    else:
        yield from (_billed(rows, table, rates) for rows in table.parts() if "account_id" in rows)


def _billed_by_cells(table: TableInParts) -> pd.DataFrame:
    """As `_billed` for a table of which each distinct cell is read once; a row for each account."""
    formats = table.formats
    row_of, ids = pd.factorize(read_key(table.cells("account_id"), formats.of("account_id")))
    mrr = np.nan_to_num(read_number(table.cells("mrr"), formats.of("mrr")).to_numpy())
    # What has no account is counted at the end, and left out.
    money = np.zeros(len(ids) + 1)
    for accounts, amounts in table.coded.numbers(table.columns["account_id"], table.columns["mrr"]):
        np.add.at(money, row_of[accounts], mrr[amounts])
    return pd.DataFrame({"account_id": ids, "mrr": money[:-1]})


def _billed(rows: pd.DataFrame, table: GivenTable, rates: Mapping[str, float]) -> pd.DataFrame:
    how = table.formats.of
    columns = {"account_id": read_key(rows["account_id"], how("account_id"))}
    columns |= {c: read_text(rows[c], how(c)) for c in ("domain", "name") if c in rows}
    given = "mrr" in rows
    columns["mrr"] = read_number(rows["mrr"], how("mrr")) if given else pd.Series(0.0, rows.index)
    if CURRENCY in rows:
        codes = currency_codes(rows[CURRENCY])
        # Money without a rate is refused.
        columns["mrr"] *= codes.map(rates).astype("float64").where(codes.notna(), 1.0).fillna(0.0)
    return pd.DataFrame(columns)
