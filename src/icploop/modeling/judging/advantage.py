"""How surely one score goes with better outcomes than another, on the same customers.

The NRR of the pursued is what a version is judged by, and few numbers are noisier: one large
account decides. Whether customers do better where the challenger rates them higher than the
champion does is the same question with less noise, and customers who have not matured help to
answer it: how long each has stayed, for the time it was at risk, and how it has grown so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, owens_t

from icploop.modeling.learning.partial_pooling import Task
from icploop.modeling.learning.targets import churn_of, growth_of
from icploop.settings import Objective, Outcome


@dataclass(frozen=True)
class Advantage:
    """The association of outcomes with the difference of two scores.

    `z` is its estimate in standard errors (positive: for the challenger), by parent; `influence`
    what each customer adds to the estimate, so that its relation to other estimates can be told.
    """

    z: float
    influence: pd.Series

    def correlation(self, draws: np.ndarray, weights: np.ndarray, accounts: pd.Index) -> float:
        """With another estimate, by its bootstrap `draws`.

        `weights` says how often each of `accounts` was drawn, (draws, accounts).
        """
        ours = weights @ self.influence.reindex(accounts).fillna(0.0).to_numpy()
        usable = np.isfinite(draws)
        if usable.sum() < 2 or draws[usable].std() == 0 or ours[usable].std() == 0:
            return 0.0
        inside = float(np.corrcoef(draws[usable], ours[usable])[0, 1])
        # Customers who are not among `accounts` add to our estimate and nothing to the other.
        total = float((self.influence**2).sum())
        share = float((self.influence.reindex(accounts).fillna(0.0) ** 2).sum()) / total
        return inside * np.sqrt(share)


def advantage(
    customers: pd.DataFrame,
    challenger: pd.Series,
    champion: pd.Series,
    objective: Objective,
    outcome: Outcome,
) -> Advantage:
    """Of `challenger` over `champion` on customers (rows of `outcomes` and `follow_up`).

    For NRR it adds up what the difference of the standardised scores says of churn (event per
    exposure) and of growth; for retention of churn alone; for GRR and value of the outcome itself,
    on the customers that have one.
    """
    difference = _standard(challenger) - _standard(champion)
    gap = difference.loc[customers.index].to_numpy(dtype="float64")
    influence = np.zeros(len(customers))
    if objective in ("nrr", "retention"):
        seen = customers["months_at_risk"].to_numpy() >= 1
        known, rows = customers[seen], np.flatnonzero(seen)
        weight = np.ones(len(known))
        churn = churn_of(known, weight, outcome.retained_by)
        estimate, of_each = _association(gap[rows], churn.task)
        total = -churn.at_horizon * estimate
        influence[rows] -= churn.at_horizon * of_each
        growth = growth_of(known, weight, outcome.horizon_months) if objective == "nrr" else None
        if growth is not None:
            years = outcome.horizon_months / 12
            estimate, of_each = _association(gap[rows], growth.task)
            total += years * estimate
            influence[rows] += years * of_each
    else:
        column = customers[objective].to_numpy(dtype="float64")
        rows = np.flatnonzero(np.isfinite(column))
        task = Task(rows, column[rows], np.ones(len(rows)))
        total, of_each = _association(gap, task)
        influence += of_each
    by_parent = pd.Series(influence).groupby(customers["parent"].to_numpy()).sum()
    error = float(np.sqrt((by_parent**2).sum()))
    z = total / error if error > 0 else 0.0
    return Advantage(float(z), pd.Series(influence, index=customers.index))


def probability_better(uplift: float, z: float, correlation: float) -> float:
    """How sure it is that the challenger is better, from its uplift and its advantage.

    A challenger of the same worth is ahead with an advantage of `z` or more as often as one minus
    this says: that is the rate at which it would pass. Above one half it is ahead, below behind.
    """
    if uplift == 0 or not np.isfinite([uplift, z]).all():
        return 0.5 if uplift == 0 else float("nan")
    side = np.sign(uplift)
    tied = min(max(correlation, 0.0), 0.99)
    # The chance of being on this side with an advantage as large, were there no difference (of two
    # normal numbers, one below zero and one below a bound: Owen, Ann. Math. Statist. 27, 1956).
    bound = -side * z
    chance = float(ndtr(bound) / 2 + owens_t(bound, tied / np.sqrt(1 - tied**2)))
    return 1 - chance if side > 0 else chance


def _association(gap: np.ndarray, task: Task) -> tuple[float, np.ndarray]:
    """The slope of a target on the gap, and what each account adds to it (zero where not in it)."""
    there, weight = gap[task.rows], task.weight
    about = there - np.average(there, weights=weight)
    squares = float(weight @ about**2)
    added = np.zeros(len(gap))
    if squares <= 0:
        return 0.0, added
    rest = task.target - np.average(task.target, weights=weight)
    slope = float((weight * about) @ rest) / squares
    added[task.rows] = weight * about * (rest - slope * about) / squares
    return slope, added


def _standard(scores: pd.Series) -> pd.Series:
    spread = float(scores.std(ddof=0))
    return (scores - scores.mean()) / (spread if spread > 0 else 1.0)
