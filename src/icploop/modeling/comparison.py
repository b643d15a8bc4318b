"""Comparing scores on the same accounts: out of fold, at equal capacity, paired bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

import numpy as np
import pandas as pd

from icploop.domain.gate import Comparison, Difference
from icploop.domain.outcomes import WINSORISED_AT, Kpis, kpis
from icploop.errors import DataError
from icploop.modeling.advantage import Advantage, probability_better
from icploop.modeling.folds import folds_by_parent
from icploop.settings import Objective

_Z_90 = 1.645


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


def compare(
    judged: pd.DataFrame,
    challenger: pd.Series,
    champion: pd.Series,
    *,
    rival: str,
    objective: Objective = "nrr",
    evidence: Advantage | None = None,
    capacity: float,
    interval: float,
    draws: int,
    seed: int,
) -> Comparison:
    """The paired comparison of two scores on the same matured accounts at equal capacity.

    `judged` holds rows of `outcomes`; for the objective `value` also lost deals, and the columns
    won and value.

    With `evidence`, the advantage of the one over the other on all customers that can tell, the
    probability for what is judged rests on both. The bootstrap draws parent accounts with
    replacement and lets both rivals choose anew in each draw, so that the difference carries the
    noise of the choice as well as of the outcomes (Efron and Tibshirani 1993, ch. 16). Differences
    are ratios; `interval` is two-sided.
    """
    weights = _bootstrap_weights(judged["parent"], draws, seed)
    ours = _metrics(judged, challenger.loc[judged.index], weights, capacity)
    theirs = _metrics(judged, champion.loc[judged.index], weights, capacity)
    seen_ours = at_capacity(judged, challenger, capacity)
    seen_theirs = at_capacity(judged, champion, capacity)

    def difference(metric: str) -> Difference:
        estimate = getattr(seen_ours, metric) - getattr(seen_theirs, metric)
        drawn = ours[metric] - theirs[metric]
        found = _difference(estimate, drawn, interval)
        if evidence is None or metric != objective:
            return found
        tied = evidence.correlation(drawn, weights, judged.index)
        return replace(found, probability_better=probability_better(estimate, evidence.z, tied))

    return Comparison(
        rival=rival,
        n_holdout=len(judged),
        challenger=seen_ours,
        champion=seen_theirs,
        nrr=difference("nrr"),
        grr=difference("grr"),
        retention=difference("retention"),
        value=difference("value") if "value" in judged else None,
        objective=objective,
        z=evidence.z if evidence else None,
    )


def reading(
    judged: pd.DataFrame,
    challenger: pd.Series,
    champion: pd.Series,
    *,
    objective: Objective,
    weight: pd.Series | None = None,
    capacity: float,
    interval: float,
    draws: int,
    seed: int,
) -> Difference:
    """The paired difference at equal capacity on some accounts, by the bootstrap alone.

    With `weight` each account counts so often, for capacity and outcomes alike.
    """
    counted = np.ones(len(judged)) if weight is None else weight.loc[judged.index].to_numpy()
    drawn = _bootstrap_weights(judged["parent"], draws, seed) * counted

    def difference(weights: np.ndarray) -> np.ndarray:
        ours, theirs = (
            _metrics(judged, scores.loc[judged.index], weights, capacity)[objective]
            for scores in (challenger, champion)
        )
        return ours - theirs

    return _difference(float(difference(counted[None, :])[0]), difference(drawn), interval)


@dataclass(frozen=True)
class Skill:
    """How far a score goes with the realised NRR: their correlation with its 90% interval."""

    correlation: float
    low: float
    high: float
    n: int

    @property
    def is_shown(self) -> bool:
        """Whether the data show that the score is better than none (one-sided, 5%)."""
        return self.low > 0


def skill(judged: pd.DataFrame, scores: pd.Series) -> Skill:
    """The correlation of out-of-fold scores with NRR (winsorised), its error by parent account.

    The error is that of the mean of products of the two standardised values, summed by parent
    (Liang and Zeger 1986). A score that is the same for everybody has no skill.
    """
    nrr = judged["nrr"].clip(upper=WINSORISED_AT).to_numpy(dtype="float64")
    score = scores.loc[judged.index].to_numpy(dtype="float64")
    if nrr.std() == 0 or score.std() == 0:
        return Skill(0.0, 0.0, 0.0, len(judged))
    product = (nrr - nrr.mean()) / nrr.std() * (score - score.mean()) / score.std()
    correlation = float(product.mean())
    by_parent = pd.Series(product - correlation).groupby(judged["parent"].to_numpy()).sum()
    error = float(np.sqrt((by_parent**2).sum())) / len(judged)
    return Skill(correlation, correlation - _Z_90 * error, correlation + _Z_90 * error, len(judged))


def kpi_interval(
    judged: pd.DataFrame, interval: float, draws: int, seed: int
) -> tuple[float, float]:
    """A bootstrap interval for the NRR of a set of accounts, drawn by parent account."""
    weights = _bootstrap_weights(judged["parent"], draws, seed)
    start, end = judged["start_mrr"].to_numpy(), judged["end_mrr"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        nrr = (weights @ end) / (weights @ start)
    low, high = _bounds(nrr, interval)
    return low, high


def _bootstrap_weights(parents: pd.Series, draws: int, seed: int) -> np.ndarray:
    """How often each account is drawn, (draws, accounts): its parent is drawn with replacement."""
    groups, position = np.unique(parents.to_numpy(dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=draws)
    return counts[:, position].astype("float64")


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


def _metrics(
    judged: pd.DataFrame, scores: pd.Series, weights: np.ndarray, capacity: float
) -> dict[str, np.ndarray]:
    counted = weights * shares_pursued(scores.to_numpy(), weights, capacity)
    start, end = judged["start_mrr"].to_numpy(), judged["end_mrr"].to_numpy()
    won = judged["won"].to_numpy() if "won" in judged else np.ones(len(judged))
    with np.errstate(invalid="ignore", divide="ignore"):
        metrics = {
            "nrr": (counted @ end) / (counted @ start),
            "grr": (counted @ np.minimum(start, end)) / (counted @ start),
            "retention": (counted @ judged["retained"].to_numpy()) / (counted @ won),
        }
        if "value" in judged:
            metrics["value"] = (counted @ judged["value"].to_numpy()) / counted.sum(axis=1)
    return metrics


def _difference(estimate: float, draws: np.ndarray, interval: float) -> Difference:
    low, high = _bounds(draws, interval)
    usable = draws[np.isfinite(draws)]
    if len(usable) == 0:
        return Difference(estimate, low, high, float("nan"), float("nan"))
    # A draw without a difference favours neither side.
    better = float(np.mean(usable > 0) + 0.5 * np.mean(usable == 0))
    return Difference(estimate, low, high, better, float(usable.std(ddof=1)))


def _bounds(draws: np.ndarray, interval: float) -> tuple[float, float]:
    usable = draws[np.isfinite(draws)]
    if len(usable) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(usable, [(1 - interval) / 2, (1 + interval) / 2])
    return float(low), float(high)
