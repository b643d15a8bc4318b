"""Fair predictions: each account by a model whose training saw neither it nor its siblings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import pandas as pd

from icploop.errors import DataError
from icploop.modeling.statistics.folds import folds_by_parent

_Scores_co = TypeVar("_Scores_co", pd.DataFrame, pd.Series, covariant=True)


class Learner(Protocol[_Scores_co]):
    """What can be cross-fitted: it learns from accounts and their outcomes, and scores others."""

    def fit(self, features: pd.DataFrame, outcomes: pd.DataFrame, /) -> Self:
        """Learn from accounts (rows of both frames have the same index)."""

    def predict(self, features: pd.DataFrame, /) -> _Scores_co:
        """Scores with the index of `features`."""


def out_of_fold(
    new_model: Callable[[], Learner[_Scores_co]],
    features: pd.DataFrame,
    outcomes: pd.DataFrame,
    seed: int,
) -> _Scores_co:
    """Predictions for each account by a model whose training saw neither it nor its siblings.

    Folds are grouped by `outcomes.parent`. `new_model` makes an unfitted model. Accounts are dealt
    to folds in the order of their ids, so the order of rows changes nothing. Raises DataError when
    all accounts have one parent.
    """
    ordered = features.sort_index(kind="stable")
    known = outcomes.loc[ordered.index]
    fold = folds_by_parent(known["parent"], seed)
    folds = int(fold.max()) + 1
    if folds < 2:
        raise DataError(
            f"All {len(known)} customers have the same parent, so none can be judged by a "
            "model that did not see its siblings; look at what `parent_id` of accounts is mapped to"
        )

    def one_fold(number: int) -> _Scores_co:
        seen = fold != number
        fitted = new_model().fit(ordered[seen], known[seen])
        return fitted.predict(ordered[~seen])

    # One after the other: a model that can use more than one processor does so itself.
    return pd.concat([one_fold(number) for number in range(folds)]).loc[features.index]


def newest_matured(matured: pd.DataFrame, newest: int) -> pd.DataFrame:
    """The holdout: the `newest` matured accounts by the moment of the sale's start."""
    order = matured.reset_index(names="account").sort_values(["at", "account"], kind="stable")
    return matured.loc[order["account"].tail(newest)]
