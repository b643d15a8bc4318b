"""Tiny companies as canonical tables, written by hand or drawn once with a planted truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from icploop.domain.calendar import end_of, last_ended_month, month_number
from icploop.domain.tables import CONTRACTS, Tables, check_table
from icploop.settings import TABLES, Kind, Settings, TableName

Rows = Iterable[Mapping[str, Any]]

# One attribute of each kind.
KINDS: dict[str, Kind] = {
    "employees": "number",
    "industry": "category",
    "tech": "set",
    "funded_on": "date",
    "has_sponsor": "flag",
}
DECLARED: dict[str, Any] = {
    "company": "Tiny",
    "dimensions": {
        "firmographic": {"employees": "number", "industry": "category"},
        "technographic": {"tech": "set"},
        "trigger_event": {"funded_on": {"kind": "date", "label": "last funding"}},
        "decision_authority": {"has_sponsor": "flag"},
    },
}
SETTINGS = Settings(**DECLARED, policy={"min_matured": 40, "newest": 80, "draws": 200})

# What an industry's customers are worth after a year, and how many of them leave before.
PLANTED = {"health": (1.4, 0.05), "retail": (1.0, 0.15), "gaming": (0.6, 0.35)}
AS_OF = date(2023, 12, 31)

_CANONICAL = {column for contract in CONTRACTS.values() for column in contract.columns}


def tables(
    *, accounts: Rows = (), deals: Rows = (), revenue: Rows = (), signals: Rows = ()
) -> Tables:
    """The four tables, typed as ingest types them. Rows may leave out cells."""
    given = {"accounts": accounts, "deals": deals, "revenue": revenue, "signals": signals}
    return Tables(**{name: _typed(name, list(given[name])) for name in TABLES})


def deal(account: str, created: str, closed: str | None, **more: Any) -> dict[str, Any]:
    """A deal, won unless `more` says otherwise; its id is made from the account and the day."""
    deal_id = f"{account} {created}"
    fixed = {"deal_id": deal_id, "account_id": account, "created_at": created, "closed_at": closed}
    return fixed | {"outcome": "won"} | more


def bills(account: str, first: str, *mrr: float) -> list[dict[str, Any]]:
    """Revenue of consecutive months from `first` (YYYY-MM) on."""
    months = pd.period_range(first, periods=len(mrr), freq="M").start_time
    return [
        {"account_id": account, "month": month, "mrr": amount}
        for month, amount in zip(months, mrr, strict=True)
    ]


def company(seed: int = 0, wins: int = 200, prospects: int = 60) -> Tables:
    """A company whose NRR depends on the industry alone (`PLANTED`), seen until mid-2024.

    Deals are created from 2022-01 to 2024-03; by `AS_OF` about a third of the `wins` has
    matured. Accounts are w<n> (won) and p<n> (prospects, half of them with a lost deal).
    """
    rng = np.random.default_rng(seed)
    ids = [f"w{i}" for i in range(wins)] + [f"p{i}" for i in range(prospects)]
    created = pd.Timestamp(2022, 1, 1) + pd.to_timedelta(rng.integers(0, 820, len(ids)), unit="D")
    industry = rng.choice(list(PLANTED), len(ids), p=[0.3, 0.5, 0.2])
    accounts = pd.DataFrame(
        {
            "account_id": ids,
            "observed_at": created - pd.Timedelta(days=10),
            "employees": np.round(rng.lognormal(4, 1, len(ids))),
            "industry": industry,
            "tech": rng.choice(["crm", "crm|erp", "erp|sso", "sso"], len(ids)),
            "funded_on": created - pd.to_timedelta(rng.integers(20, 900, len(ids)), unit="D"),
            "has_sponsor": rng.choice(["yes", "no", ""], len(ids)),
            "seats": rng.integers(1, 50, len(ids)),
        }
    )
    # What was written down a year later is news that no prediction point could have had.
    news = accounts.sample(frac=0.3, random_state=seed).assign(industry="health", tech="news")
    news["observed_at"] += pd.Timedelta(days=365)
    closed = created + pd.Timedelta(days=20)
    has_deal = np.array([account[0] == "w" or i % 2 == 0 for i, account in enumerate(ids)])
    deals = pd.DataFrame(
        {
            "deal_id": [f"d-{account}" for account in ids],
            "account_id": ids,
            "created_at": created,
            "outcome": ["won" if account[0] == "w" else "lost" for account in ids],
            "closed_at": closed,
            "acv": 1200.0,
        }
    )[has_deal]
    revenue = [
        row
        for i in range(wins)
        for row in _billing(ids[i], closed[i], PLANTED[str(industry[i])], rng)
    ]
    signals = [
        {"account_id": f"w{i}", "at": created[i] + pd.Timedelta(days=200), "kind": "ticket"}
        for i in range(0, wins, 5)
    ]
    return tables(
        accounts=pd.concat([accounts, news]).to_dict("records"),
        deals=deals.to_dict("records"),
        revenue=revenue,
        signals=[signal | {"value": 1} for signal in signals],
    )


@dataclass(frozen=True)
class Market:
    """Won accounts as the modeling floor sees them, with the NRR that each was drawn from.

    `outcomes` has the columns of `outcomes` and of `follow_up`.
    """

    features: pd.DataFrame
    outcomes: pd.DataFrame
    truth: pd.Series


def market(n: int = 200, seed: int = 0, effect: float = 1.0, siblings: int = 1) -> Market:
    """Matured accounts whose NRR depends on industry, tech and employees, times `effect`.

    `siblings` accounts in a row have the same parent; a tenth of all cells is empty.
    """
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        {
            "employees": np.round(rng.lognormal(4, 1, n)),
            "industry": rng.choice(list(PLANTED), n, p=[0.4, 0.4, 0.2]),
            "tech": rng.choice(["crm", "crm|erp", "erp|sso", "sso"], n),
            "funded_on": rng.uniform(0, 900, n),
            "has_sponsor": rng.integers(0, 2, n).astype("float64"),
        },
        index=[f"m{seed}-{i:05}" for i in range(n)],
    ).astype({"industry": "str", "tech": "str"})
    step = features["industry"].map({"health": 0.35, "retail": 0.0, "gaming": -0.35})
    sso = features["tech"].str.contains("sso").astype("float64")
    large = (features["employees"] > 60).astype("float64")
    better = effect * (step + 0.2 * (sso - 0.5) + 0.3 * (large - 0.5))
    truth = 0.95 + better
    staying = (0.85 + 0.3 * better).clip(upper=0.98)
    stays = rng.random(n) < staying
    growth = truth / staying * rng.lognormal(-0.02, 0.2, n)
    nrr = (growth * stays).astype("float64")
    lifetime = np.where(stays, 13, rng.integers(1, 13, n))
    start = rng.lognormal(4, 0.5, n)
    outcomes = pd.DataFrame(
        {
            "parent": [f"p{seed}-{i // siblings}" for i in range(n)],
            "at": pd.Timestamp(2023, 1, 1) + pd.to_timedelta(rng.integers(0, 300, n), unit="D"),
            "start_mrr": start,
            "end_mrr": start * nrr,
            "nrr": nrr,
            "grr": nrr.clip(upper=1),
            "retained": stays.astype("float64"),
            "matured": True,
            "months_at_risk": np.minimum(lifetime, 12).astype("float64"),
            "churned": 1.0 - stays,
            "log_growth": np.log(growth) * np.minimum(lifetime, 12) / 12,
            "growth_months": np.minimum(lifetime, 12).astype("float64"),
        },
        index=features.index,
    )
    return Market(features.mask(rng.random(features.shape) < 0.1), outcomes, truth)


def changed_after(company: Tables, day: date, seed: int) -> Tables:
    """The company with nothing as it was after `day`: rows dropped, altered, added, reordered."""
    rng = np.random.default_rng(seed)
    limit = end_of(day)
    a, d, r, s = company.accounts, company.deals, company.revenue, company.signals
    new_account = {"account_id": "new", "observed_at": limit, "industry": "new", "later_only": "x"}
    new_deal = deal("w0", str(limit), str(limit), later_only=1.5)
    closing = limit + pd.Timedelta(days=int(rng.integers(0, 99)))
    open_by_then = ~(d["closed_at"] < limit)
    hidden = d.assign(
        outcome=d["outcome"].mask(open_by_then, str(rng.choice(["won", "lost"]))),
        closed_at=d["closed_at"].mask(open_by_then, closing),
    )
    not_ended = month_number(r["month"]) > last_ended_month(day)
    new_bill = {"account_id": "w0", "month": pd.Timestamp(2030, 1, 1), "mrr": 7.0}
    new_signal = {"account_id": "w0", "at": limit, "kind": "new", "value": 9.0, "later_only": 2}
    other = {"industry": "other", "tech": "other", "employees": -1.0}
    return Tables(
        accounts=_upset(a, a["observed_at"] >= limit, other, new_account, rng),
        deals=_upset(hidden, d["created_at"] >= limit, {"account_id": "w1"}, new_deal, rng),
        revenue=_upset(r, not_ended, {"mrr": 1e5}, new_bill, rng),
        signals=_upset(s, s["at"] >= limit, {"kind": "other"}, new_signal, rng),
    )


@cache
def _empty(name: TableName) -> pd.DataFrame:
    return check_table(
        name, pd.DataFrame(columns=CONTRACTS[name].columns), max_money=1, place="tests"
    ).rows


def _typed(name: TableName, rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    if not rows:
        return _empty(name).copy()
    raw = pd.DataFrame(rows)
    absent = [column for column in CONTRACTS[name].required if column not in raw.columns]
    checked = check_table(
        name,
        raw.assign(**dict.fromkeys(absent)),
        max_money=1e12,
        attributes=SETTINGS.attributes if name == "accounts" else (),
        place="tests",
    )
    if len(checked.faults):
        raise ValueError(f"the test's own rows are bad:\n{checked.faults}")
    return checked.rows.reset_index(drop=True)


def _billing(
    account: str, closed: pd.Timestamp, planted: tuple[float, float], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Monthly bills from the month after the close until mid-2024, or until the account leaves."""
    growth, leaving = planted
    first = (closed.to_period("M") + 1).start_time
    months = (pd.Timestamp(2024, 6, 1).to_period("M") - first.to_period("M")).n + 1
    start = float(rng.uniform(50, 200))
    later = start * growth * float(rng.lognormal(0, 0.1))
    if rng.random() < leaving:
        months = min(months, int(rng.integers(3, 12)))
    amounts = [start if age < 12 else later for age in range(months)]
    return bills(account, str(first.to_period("M")), *amounts)


def _upset(
    table: pd.DataFrame,
    later: pd.Series,
    altered: Mapping[str, Any],
    new: Mapping[str, Any],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The table with half of its `later` rows gone, the rest `altered`, `new` added, shuffled."""
    kept = table[~later | (rng.random(len(table)) < 0.5)].copy()
    kept.loc[later[kept.index], list(altered)] = list(altered.values())
    whole = pd.concat([kept, pd.DataFrame([new])], ignore_index=True)
    canonical = [c for c in table.columns if c in _CANONICAL]
    typed = whole.astype(table.dtypes[canonical].to_dict())
    return typed.sample(frac=1, random_state=int(rng.integers(1 << 30)))
