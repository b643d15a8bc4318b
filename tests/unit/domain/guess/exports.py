"""Small exports for tests of guesses."""

from __future__ import annotations

from typing import Any

import pandas as pd

from icploop.domain.guess.looks import Export

N = 60


def accounts(**more: Any) -> Export:
    """Sixty companies; `more` are further columns."""
    rows = {
        "Account ID": [f"00{i:04}" for i in range(N)],
        "Account Name": [f"Firm number {i}" for i in range(N)],
        "Industry": ["Retail", "Health", "Banks", "Retail"] * 15,
    }
    return export("accounts.csv", rows | more)


def deals(**more: Any) -> Export:
    """A deal of each company: of three one is won, one lost and one open."""
    rows = {
        "Opportunity ID": [f"d{i}" for i in range(N)],
        "Account ID": [f"00{i:04}" for i in range(N)],
        "Stage": ["Closed Won", "Closed Lost", "Prospecting"] * 20,
        "Created Date": ["2024-01-10"] * N,
        "Close Date": ["2024-02-01"] * N,
        "Amount": ["1200"] * N,
    }
    return export("opportunities.csv", rows | more)


def mrr(**more: Any) -> Export:
    """Four months of each customer."""
    who = [i for i in range(0, N, 3) for _ in range(4)]
    rows = {
        "Account ID": [f"00{i:04}" for i in who],
        "Month": [f"2024-0{3 + n}-01" for _ in range(N // 3) for n in range(4)],
        "MRR": ["100"] * len(who),
    }
    return export("mrr.csv", rows | more)


def export(name: str, rows: dict[str, Any], **dialect: str) -> Export:
    """An export with these columns; those that are None are left out."""
    frame = pd.DataFrame({column: cells for column, cells in rows.items() if cells is not None})
    return Export(name, frame, len(frame), dialect)
