"""What came of earlier lists: who of each tier was pursued, won and kept, beside what was expected.

A deal is held against the last list that was drawn up before its day, whoever chose the account.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from icploop.modeling.statistics.bootstrap import kpi_interval

# Fewer matured customers have no NRR worth an interval.
_FEWEST = 5
COLUMNS = ["by", "group", "deals", "won", "matured", "nrr", "low", "high", "expected"]


def what_came_of(
    listings: pd.DataFrame, deals: pd.DataFrame, outcomes: pd.DataFrame, draws: int, seed: int
) -> pd.DataFrame:
    """Deals of listed and other accounts by what the list said of them. Columns: COLUMNS.

    `listings` has as_of, account_id, chosen_by, tier, expected_nrr; `deals` deal_id, account_id,
    parent, at, won (0 or 1); `outcomes` deal_id, matured, start_mrr, end_mrr. `by` is tier or
    chosen_by; nrr, low, high (90%, bootstrapped by parent) and expected (weighted by the starting
    MRR) are ratios over the matured customers, missing where these are fewer than five.
    """
    told = listings.dropna(subset=["tier"]).sort_values("as_of", kind="stable")
    # A list is in force from the day after it was drawn up.
    judged = pd.merge_asof(
        deals.assign(day=deals["at"].dt.normalize()).sort_values("day", kind="stable"),
        told[["as_of", "account_id", "chosen_by", "tier", "expected_nrr"]],
        left_on="day",
        right_on="as_of",
        by="account_id",
        allow_exact_matches=False,
    ).dropna(subset=["tier"])
    known = outcomes[["deal_id", "matured", "start_mrr", "end_mrr"]]
    judged = judged.merge(known, how="left", on="deal_id")
    rows = [
        {"by": by, "group": str(group), **_outcome(members, draws, seed)}
        for by in ("tier", "chosen_by")
        for group, members in judged.groupby(by, sort=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _outcome(members: pd.DataFrame, draws: int, seed: int) -> dict[str, float]:
    matured = members[(members["won"] == 1) & members["matured"].eq(True)]
    counts = {"deals": len(members), "won": int(members["won"].sum()), "matured": len(matured)}
    start = matured["start_mrr"].astype("float64")
    if len(matured) < _FEWEST or start.sum() <= 0:
        return counts | dict.fromkeys(("nrr", "low", "high", "expected"), np.nan)
    low, high = kpi_interval(matured, 0.9, draws, seed)
    expected = float(np.average(matured["expected_nrr"], weights=start))
    nrr = float(matured["end_mrr"].sum() / start.sum())
    return counts | {"nrr": nrr, "low": low, "high": high, "expected": expected}
