"""A company whose truth is planted: health grows, retail stays, gaming shrinks.

Nothing else counts. Small, drawn once, and clear enough that the verdict does not hang on a seed.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from icploop.io.home import Home
from icploop.pipelines.as_of import AsOf

LAST_DAY = date(2025, 1, 31)
MOTION = "default"
SETTINGS: dict[str, Any] = {
    "company": "Planted",
    "motions": ["default", "upsell"],
    "dimensions": {
        "firmographic": {"industry": "category", "employees": "number"},
        "technographic": {"tech": "set"},
        "decision_authority": {"has_sponsor": "flag"},
        "trigger_event": {"funded_on": "date"},
    },
    "trigger": {"closed_deals": 60},
    "policy": {"min_matured": 60, "newest": 120, "draws": 200},
    "owners": {"icp": "Grace", "approvers": ["Ada"]},
}
# What the mean MRR of an industry's customers becomes in a year, and how many of them leave.
GROWTH = {"health": (1.6, 0.05), "retail": (1.0, 0.08), "gaming": (0.6, 0.12)}
_WON, _LOST, _PROSPECTS = 180, 120, 160
_START, _END = pd.Timestamp(2022, 1, 1), pd.Timestamp(2025, 1, 1)


def at(home: Home, day: date = LAST_DAY, motion: str = MOTION) -> AsOf:
    """The company's motion on a day."""
    return AsOf.of(home, motion, day)


def company(
    seed: int = 0, won: int = _WON, lost: int = _LOST, prospects: int = _PROSPECTS
) -> dict[str, pd.DataFrame]:
    """The four tables. Accounts are w<n> (won), l<n> (lost), o<n> (open) and p<n> (prospects).

    Of the prospects p1 and p2 have the same parent, p3's parent is the customer w1, of p4 nothing
    is known, p5 is in gaming, p6 has moved from gaming to health in December 2024, and p7 has a
    name that a spreadsheet would run.
    """
    rng = np.random.default_rng(seed)
    ids = [
        *(f"w{i}" for i in range(1, won + 1)),
        *(f"l{i}" for i in range(1, lost + 1)),
        *(f"o{i}" for i in range(1, 6)),
        *(f"p{i}" for i in range(1, prospects + 1)),
    ]
    accounts = _accounts(ids, rng)
    industry = accounts.drop_duplicates("account_id").set_index("account_id")["industry"]
    deals = _deals([i for i in ids if not i.startswith("p")], rng)
    revenue = _revenue(deals[deals["outcome"] == "won"], industry, rng)
    signals = pd.DataFrame(
        {"account_id": ["w1", "w1"], "at": _END, "kind": "ticket", "value": [1.0, 1.0]}
    )
    return {"accounts": accounts, "deals": deals, "revenue": revenue, "signals": signals}


def _accounts(ids: list[str], rng: np.random.Generator) -> pd.DataFrame:
    many = len(ids)
    accounts = pd.DataFrame(
        {
            "account_id": ids,
            "observed_at": pd.NaT,
            "parent_id": None,
            "name": [f"Company {i}" for i in ids],
            "domain": [f"{i}.example" for i in ids],
            "industry": rng.choice(list(GROWTH), many, p=[0.35, 0.47, 0.18]),
            "employees": rng.integers(10, 1000, many).astype("float64"),
            "tech": rng.choice(["crm", "erp", "crm|erp"], many),
            "has_sponsor": rng.choice([True, False], many),
            "funded_on": (_START - pd.to_timedelta(rng.integers(1, 2000, many), unit="D")).strftime(
                "%Y-%m-%d"
            ),
        }
    ).astype({"parent_id": "str", "has_sponsor": "object"})
    named = accounts["account_id"]
    accounts.loc[named.isin(["p1", "p2"]), ["parent_id", "industry"]] = ["group", "health"]
    accounts.loc[named == "p3", "parent_id"] = "w1"
    accounts.loc[named == "p4", ["industry", "employees", "tech", "has_sponsor", "funded_on"]] = (
        None
    )
    accounts.loc[named.isin(["p5", "p6"]), "industry"] = "gaming"
    accounts.loc[named == "p7", "name"] = '=HYPERLINK("http://x")'
    moved = accounts[named == "p6"].assign(
        observed_at=_END - pd.Timedelta(days=30), industry="health", name=None
    )
    return pd.concat([accounts, moved], ignore_index=True)


def _deals(ids: list[str], rng: np.random.Generator) -> pd.DataFrame:
    days = (_END - _START).days
    created = _START + pd.to_timedelta(np.sort(rng.integers(0, days - 60, len(ids))), unit="D")
    shuffled = pd.Series(rng.permutation(ids))
    outcome = shuffled.str[0].map({"w": "won", "l": "lost", "o": "open"})
    closed = created + pd.to_timedelta(rng.integers(5, 45, len(ids)), unit="D")
    return pd.DataFrame(
        {
            "deal_id": [f"d{i}" for i in range(1, len(ids) + 1)],
            "account_id": shuffled,
            "created_at": created,
            "outcome": outcome,
            "closed_at": pd.Series(closed).mask(outcome == "open"),
            "acv": 12_000.0,
        }
    )


def _revenue(won: pd.DataFrame, industry: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """From the month after the close: MRR drifts to its level at twelve months, or stops."""
    rows = []
    for deal in won.itertuples():
        growth, leaving = GROWTH[industry[deal.account_id]]
        end = max(0.1, growth + rng.normal(0, 0.15))
        lifetime = rng.integers(3, 12) if rng.random() < leaving else 99
        first = deal.closed_at.to_period("M") + 1
        start = 1000 * rng.uniform(0.5, 2)
        for age, month in enumerate(pd.period_range(first, _END.to_period("M"), freq="M")):
            if age < lifetime:
                rows.append((deal.account_id, month, start * (1 + (end - 1) * min(age, 12) / 12)))
    revenue = pd.DataFrame(rows, columns=["account_id", "month", "mrr"])
    revenue["month"] = revenue["month"].dt.to_timestamp()
    return revenue.round({"mrr": 2})
