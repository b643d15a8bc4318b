"""Folds in which companies of one parent stay together."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

FOLDS = 5


def folds_by_parent(parents: pd.Series, seed: int, folds: int = FOLDS) -> np.ndarray:
    """The number of each account's fold, from 0; siblings share one.

    There are fewer folds where there are fewer parents. Accounts are dealt by parent, so the order
    of rows changes nothing.
    """
    # As numbers: the splitter compares every account with every parent of a fold.
    _, group = np.unique(parents.to_numpy(dtype=str), return_inverse=True)
    folds = min(folds, len(np.unique(group)))
    fold = np.zeros(len(group), dtype=int)
    if folds > 1:
        splitter = GroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        for number, (_, members) in enumerate(splitter.split(fold, groups=group)):
            fold[members] = number
    return fold
