"""From scores to tiers whose sizes follow capacity, not fixed cut-offs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from icploop.settings import Tiers

# Best first; beside them there are `anti` and `unknown`.
TIERS = ("A", "B", "C", "D")


def percentile_against(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where each value stands among the sorted `reference`, 0 to 100 (mid-rank for ties)."""
    below = np.searchsorted(reference, values, side="left")
    up_to = np.searchsorted(reference, values, side="right")
    return 100.0 * (below + up_to) / (2 * max(len(reference), 1))


def tier_of(
    fit_score: pd.Series,
    coverage: pd.Series,
    *,
    is_anti: pd.Series,
    meets: pd.Series,
    tiers: Tiers,
    supported: np.ndarray | None = None,
) -> pd.Series:
    """The tier of each account: `anti` first, then `unknown`, then A to D by `fit_score`.

    Who does not meet every non-negotiable line is B at best, however high the score. An account is
    `unknown` if fewer than `tiers.min_coverage` of its attributes are known (`coverage`, 0 to 1),
    or where it is not `supported`: unlike every customer that the scores rest on.
    """
    a, b, c = (
        100 * (1 - tiers.A),
        100 * (1 - tiers.A - tiers.B),
        100 * (1 - tiers.A - tiers.B - tiers.C),
    )
    score = fit_score.to_numpy()
    named = np.select([score >= a, score >= b, score >= c], ["A", "B", "C"], "D").astype("U7")
    named[(named == "A") & ~meets.to_numpy(dtype=bool)] = "B"
    named[coverage.to_numpy() < tiers.min_coverage] = "unknown"
    if supported is not None:
        named[~supported] = "unknown"
    named[is_anti.to_numpy(dtype=bool)] = "anti"
    return pd.Series(named, index=fit_score.index, dtype="str")
