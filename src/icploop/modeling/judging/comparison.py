"""Comparing scores on the same accounts: out of fold, at equal capacity, paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from icploop.domain.findings import Finding
from icploop.domain.gate import Comparison, Difference
from icploop.domain.outcomes import WINSORISED_AT
from icploop.modeling.statistics.bootstrap import bootstrap_weights, bounds
from icploop.modeling.statistics.capacity import at_capacity, shares_pursued
from icploop.settings import Objective

_Z_90 = 1.645


def compare(
    judged: pd.DataFrame,
    challenger: pd.Series,
    champion: pd.Series,
    *,
    rival: str,
    objective: Objective = "nrr",
    capacity: float,
    interval: float,
    draws: int,
    seed: int,
) -> Comparison:
    """The paired comparison of two scores on the same matured accounts at equal capacity.

    `judged` holds rows of `outcomes`; for the objective `value` also lost deals, and the columns
    won and value.

    The bootstrap draws parent accounts with
    replacement and lets both rivals choose anew in each draw, so that the difference carries the
    noise of the choice as well as of the outcomes (Efron and Tibshirani 1993, ch. 16). Differences
    are ratios; `interval` is two-sided.
    """
    weights = bootstrap_weights(judged["parent"], draws, seed)
    ours = _metrics(judged, challenger.loc[judged.index], weights, capacity)
    theirs = _metrics(judged, champion.loc[judged.index], weights, capacity)
    seen_ours = at_capacity(judged, challenger, capacity)
    seen_theirs = at_capacity(judged, champion, capacity)

    def difference(metric: str) -> Difference:
        estimate = getattr(seen_ours, metric) - getattr(seen_theirs, metric)
        return _difference(estimate, ours[metric] - theirs[metric], interval)

    return Comparison(
        rival=rival,
        n_holdout=len(judged),
        challenger=seen_ours,
        rival_kpis=seen_theirs,
        nrr=difference("nrr"),
        grr=difference("grr"),
        retention=difference("retention"),
        value=difference("value") if "value" in judged else None,
        objective=objective,
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
    drawn = bootstrap_weights(judged["parent"], draws, seed) * counted

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
    def z(self) -> float:
        """The correlation in standard errors."""
        error = (self.high - self.low) / (2 * _Z_90)
        return self.correlation / error if error > 0 else 0.0

    @property
    def is_shown(self) -> bool:
        """Whether the data show that the score is better than none (one-sided, 5%)."""
        return self.low > 0

    @property
    def finding(self) -> Finding:
        """What there is to mind where the skill is not shown."""
        found = (
            "on accounts that training did not see, expected and realised NRR correlate by "
            f"{self.correlation:+.2f} ({self.low:+.2f} to {self.high:+.2f}, n = {self.n})"
        )
        if self.z > 0:
            said = f"It does not show yet that it knows good customers from others: {found}."
            return Finding("skill_unsure", "warning", said)
        said = f"No better than the average customer so far: {found}."
        return Finding("no_skill", "warning", said)


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
    low, high = bounds(draws, interval)
    usable = draws[np.isfinite(draws)]
    if len(usable) == 0:
        return Difference(estimate, low, high, float("nan"), float("nan"))
    # A draw without a difference favours neither side.
    ahead = float(np.mean(usable > 0) + 0.5 * np.mean(usable == 0))
    return Difference(estimate, low, high, ahead, float(usable.std(ddof=1)))
