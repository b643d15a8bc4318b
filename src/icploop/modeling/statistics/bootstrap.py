"""The bootstrap by parent account."""

from __future__ import annotations

import numpy as np
import pandas as pd


def kpi_interval(
    judged: pd.DataFrame, interval: float, draws: int, seed: int
) -> tuple[float, float]:
    """A bootstrap interval for the NRR of a set of accounts, drawn by parent account."""
    weights = bootstrap_weights(judged["parent"], draws, seed)
    start, end = judged["start_mrr"].to_numpy(), judged["end_mrr"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        nrr = (weights @ end) / (weights @ start)
    low, high = bounds(nrr, interval)
    return low, high


def bootstrap_weights(parents: pd.Series, draws: int, seed: int) -> np.ndarray:
    """How often each account is drawn, (draws, accounts): its parent is drawn with replacement."""
    groups, position = np.unique(parents.to_numpy(dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=draws)
    return counts[:, position].astype("float64")


def bounds(draws: np.ndarray, interval: float) -> tuple[float, float]:
    """The interval that holds that share of the finite draws; NaN where there is none."""
    usable = draws[np.isfinite(draws)]
    if len(usable) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(usable, [(1 - interval) / 2, (1 + interval) / 2])
    return float(low), float(high)
