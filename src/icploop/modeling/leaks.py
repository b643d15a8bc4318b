"""A first leak detector: is a column filled in because of what happened later?

A value that sales or a system writes only for customers who stayed, sold or paid says nothing
before the sale. Its trace is that being filled in predicts the outcome by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

# An empty cell can be honest news (no funding round yet), and then differs by some 25 points; what
# is written after the outcome differs by far more.
SUSPICIOUS_GAP = 0.4
_CONFIDENCE_Z = 3.3


@dataclass(frozen=True)
class Leak:
    """A column that looks written after the fact, with the evidence and the remedy."""

    attribute: str
    filled_if_retained: float
    filled_if_lost: float

    def __str__(self) -> str:
        return (
            f"Leak: `{self.attribute}` is filled in for {self.filled_if_retained:.0%} of the "
            f"accounts that stayed and {self.filled_if_lost:.0%} of those that left, so it was "
            "probably written after the outcome; take it out of dimensions in conf/icp.yaml, or "
            "give its history by observed_at."
        )


def filled_by_outcome(features: pd.DataFrame, outcomes: pd.DataFrame) -> list[Leak]:
    """Attributes whose filled-in rate differs between retained and lost accounts beyond chance.

    Both must hold: the rates differ by 40 points or more, and by more than 3.3 standard errors
    (two-sided p of about .001, so that thirty attributes raise no false alarm).
    """
    retained = outcomes.loc[features.index, "retained"].to_numpy() > 0
    stayed, left = int(retained.sum()), int((~retained).sum())
    if stayed == 0 or left == 0:
        return []
    found = []
    for name in features.columns:
        filled = features[name].notna().to_numpy()
        if_retained, if_lost = float(filled[retained].mean()), float(filled[~retained].mean())
        pooled = float(filled.mean())
        error = np.sqrt(pooled * (1 - pooled) * (1 / stayed + 1 / left))
        gap = abs(if_retained - if_lost)
        if gap >= SUSPICIOUS_GAP and gap > _CONFIDENCE_Z * error:
            found.append(Leak(name, if_retained, if_lost))
    return found


# Before a sale nobody can tell who will stay this well; published and measured figures end at .75.
SUSPICIOUS_AUC = 0.8


def too_good(scores: pd.Series, retained: pd.Series) -> list[str]:
    """A sentence if out-of-fold scores separate retained from lost accounts too well to be true."""
    stayed = retained.loc[scores.index].to_numpy() > 0
    if stayed.all() or not stayed.any():
        return []
    auc = float(roc_auc_score(stayed, scores.to_numpy()))
    if auc < SUSPICIOUS_AUC:
        return []
    return [
        f"Suspicious: the challenger's out-of-fold AUC for retention is {auc:.2f}; what is known "
        f"before a sale hardly ever gives more than .75, so above {SUSPICIOUS_AUC} an attribute "
        "was probably written after the outcome."
    ]
