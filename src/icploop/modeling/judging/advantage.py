"""How surely one score goes with better outcomes than another, on the same customers.

The NRR of the pursued is what a version is judged by, and few numbers are noisier: one large
account decides. Whether customers do better where the challenger rates them higher than the
champion does is the same question with less noise, and customers who have not matured help to
answer it: how long each has stayed, for the time it was at risk, and how it has grown so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from icploop.domain.posterior import Gain
from icploop.modeling.learning.partial_pooling import Task
from icploop.modeling.learning.targets import churn_of, growth_of
from icploop.settings import REFITS, Objective, Outcome

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Advantage:
    """The association of outcomes with the difference of two scores.

    `covariance` is that of the outcome (a ratio) with the difference of the two standardised
    scores: how much better, by a line, a customer does whom the challenger rates one standard
    deviation higher than the champion would. `error` is its standard error, by parent.
    """

    covariance: float
    error: float

    @property
    def z(self) -> float:
        """The association in standard errors (positive: for the challenger)."""
        return self.covariance / self.error if self.error > 0 else 0.0

    def gain(self, capacity: float) -> Gain:
        """What it amounts to for the best `capacity` share of accounts, in points.

        The best share of a normal score lies so many standard deviations above the mean.
        """
        above = 100 * _NORMAL.pdf(_NORMAL.inv_cdf(1 - capacity)) / capacity
        return Gain(above * self.covariance, REFITS.evidence_error * above * self.error)


def advantage(
    customers: pd.DataFrame,
    challenger: pd.Series,
    champion: pd.Series,
    objective: Objective,
    outcome: Outcome,
) -> Advantage:
    """Of `challenger` over `champion` on customers (rows of `outcomes` and `follow_up`).

    Scores are standardised on these customers. For NRR it adds up what the difference of the two
    says of churn (event per exposure) and of growth; for retention of churn alone; for GRR and
    value of the outcome itself, on the customers that have one.
    """
    difference = _standard(challenger.loc[customers.index]) - _standard(
        champion.loc[customers.index]
    )
    gap = difference.to_numpy(dtype="float64")
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
    spread = float(gap.var())
    return Advantage(spread * float(total), spread * error)


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
