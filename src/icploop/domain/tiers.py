"""From scores to tiers whose sizes follow capacity, not fixed cut-offs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from icploop.settings import Tiers


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
) -> pd.Series:
    """The tier of each account: `anti` first, then `unknown`, then A to D by `fit_score`.

    Who does not meet every non-negotiable line is B at best, however high the score.
    """
    a, b, c = (
        100 * (1 - tiers.A),
        100 * (1 - tiers.A - tiers.B),
        100 * (1 - tiers.A - tiers.B - tiers.C),
    )
    by_score = np.select([fit_score >= a, fit_score >= b, fit_score >= c], ["A", "B", "C"], "D")
    named = pd.Series(by_score, index=fit_score.index, dtype="str")
    named = named.mask((named == "A") & ~meets, "B")
    named = named.mask(coverage < tiers.min_coverage, "unknown")
    return named.mask(is_anti, "anti")
