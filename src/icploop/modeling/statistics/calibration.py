"""Does what is expected come true? Reliability of out-of-fold expectations, with uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

_Z_90 = 1.645


@dataclass(frozen=True)
class Calibration:
    """How far expectations of one quantity are true, on accounts that training did not see.

    `table` has one row a group of accounts that were expected to do alike: accounts, expected,
    realised, low, high (the 90% interval of `realised`). `error` is the mean absolute difference
    between expected and realised over the groups (expected calibration error, Naeini et al. 2015),
    which chance alone makes positive: `by_chance` is what perfect expectations would give. `slope`
    is that of realised on expected, with its standard error: 1 is right, less means that
    expectations are too far apart.
    """

    table: pd.DataFrame
    error: float
    by_chance: float
    slope: float
    slope_error: float


def calibration(expected: pd.Series, realised: pd.Series, groups: int = 10) -> Calibration:
    """The calibration of expectations against what the same accounts did (same index)."""
    order = expected.sort_values(kind="stable").index
    rows = []
    for names in np.array_split(np.arange(len(order)), min(groups, max(len(order) // 2, 1))):
        members = order[names]
        seen = realised.loc[members].to_numpy(dtype="float64")
        spread = seen.std(ddof=1) if len(seen) > 1 else float("nan")
        error = spread / np.sqrt(len(seen))
        mean = float(seen.mean())
        rows.append((len(seen), float(expected.loc[members].mean()), mean, float(error)))
    table = pd.DataFrame(rows, columns=["accounts", "expected", "realised", "error"])
    weight = table["accounts"] / table["accounts"].sum()
    # The mean absolute value of a normal deviation is its spread times the root of 2 / pi.
    by_chance = float((weight * table["error"]).sum(skipna=False) * np.sqrt(2 / np.pi))
    slope, slope_error = _slope(expected.to_numpy(), realised.loc[expected.index].to_numpy())
    reach = _Z_90 * table.pop("error")
    return Calibration(
        table.assign(low=table["realised"] - reach, high=table["realised"] + reach),
        float((weight * (table["expected"] - table["realised"]).abs()).sum()),
        by_chance,
        slope,
        slope_error,
    )


def _slope(expected: np.ndarray, realised: np.ndarray) -> tuple[float, float]:
    """The least squares slope of realised on expected, and its robust standard error."""
    about = expected - expected.mean()
    squares = float(about @ about)
    if squares == 0:
        return float("nan"), float("nan")
    slope = float(about @ realised) / squares
    left = realised - realised.mean() - slope * about
    return slope, float(np.sqrt(((about * left) ** 2).sum()) / squares)
