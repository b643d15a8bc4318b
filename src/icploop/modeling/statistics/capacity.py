"""Who is pursued at a capacity; accounts that tie at the edge share what is left."""

from __future__ import annotations

import numpy as np
import pandas as pd

from icploop.domain.outcomes import Kpis, kpis


def pursued(scores: pd.Series, capacity: float) -> pd.Series:
    """The share (0..1) of each account that is pursued when the best `capacity` share is.

    Accounts that tie at the edge share what is left, which is what choosing among them at random
    amounts to on average.
    """
    weights = np.ones((1, len(scores)))
    return pd.Series(shares_pursued(scores.to_numpy(), weights, capacity)[0], index=scores.index)


def at_capacity(judged: pd.DataFrame, scores: pd.Series, capacity: float) -> Kpis:
    """NRR, GRR and retention of the accounts that `scores` would have pursued."""
    return kpis(judged, pursued(scores.loc[judged.index], capacity))


def shares_pursued(scores: np.ndarray, weights: np.ndarray, capacity: float) -> np.ndarray:
    """The pursued share of each account in each draw, (draws, accounts)."""
    levels, level_of = np.unique(-scores, return_inverse=True)
    order = np.argsort(level_of, kind="stable")
    starts = np.searchsorted(level_of[order], np.arange(len(levels)))
    in_level = np.add.reduceat(weights[:, order], starts, axis=1)
    before = np.cumsum(in_level, axis=1) - in_level
    room = capacity * weights.sum(axis=1, keepdims=True) - before
    taken = np.clip(np.divide(room, in_level, out=np.zeros_like(room), where=in_level > 0), 0, 1)
    return taken[:, level_of]
