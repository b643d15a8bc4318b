"""What there is to learn of customers, ripe or not: how fast they leave, and how fast they grow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from icploop.modeling.learning.partial_pooling import Task

# Growth over fewer months, taken to a year, is mostly noise.
_FEWEST_MONTHS_OF_GROWTH = 3
# A customer that tripled within a year says little about the next one.
MOST_LOG_GROWTH = 1.2
# The prior variance of what people stated beforehand, in squares of a log hazard and a log growth.
_FIRM_HAZARD, _FIRM_GROWTH = 0.5, 0.02


@dataclass(frozen=True)
class Churn:
    """Churn as events for an exposure: the task, and the exposure of the whole horizon.

    An account's exposure is the average customer's cumulative hazard over the months that it was at
    risk, so that a target of 1 means "leaves as fast as the average". `at_horizon` is the exposure
    of the whole horizon: an account with hazard ratio r stays with probability exp(-r at_horizon).
    """

    task: Task
    at_horizon: float


@dataclass(frozen=True)
class Growth:
    """Growth as log MRR a year: the task, and the variance of one account's over the horizon."""

    task: Task
    variance: float


def churn_of(customers: pd.DataFrame, weight: np.ndarray, months: int) -> Churn:
    """Event per exposure of each customer (rows of `follow_up` with at least a month at risk).

    `months` is how long a customer must be billed to count as retained. Exposures add up to events
    in every month, so the average customer's hazard ratio is 1.
    """
    at_risk = customers["months_at_risk"].to_numpy(dtype="float64").astype(int)
    churned = customers["churned"].to_numpy(dtype="float64")
    rate = churn_rates(at_risk, churned, weight, max(months, int(at_risk.max())))
    stayed, left = -np.log1p(-rate), np.ones(len(rate))
    # Who leaves within a month is exposed to a part of it: what keeps the sums equal.
    known = rate > 0
    left[known] = 1 - (1 - rate[known]) * stayed[known] / rate[known]
    hazard = np.concatenate([[0.0], np.cumsum(stayed)])
    exposure = np.where(churned > 0, hazard[at_risk - 1] + left[at_risk - 1], hazard[at_risk])
    exposure = np.maximum(exposure, 1e-3)
    # A Poisson count per exposure varies by its mean over the exposure, and the mean is about 1.
    task = Task(np.arange(len(customers)), churned / exposure, exposure * weight, 1.0, _FIRM_HAZARD)
    return Churn(task, float(hazard[months]))


def churn_rates(
    months_at_risk: np.ndarray, churned: np.ndarray, weight: np.ndarray, until: int
) -> np.ndarray:
    """The share of customers at risk that leaves in each of `until` months (Kaplan and Meier 1958).

    Half a customer more is let go over all months, so that a company which lost nobody yet is not
    taken for one that never will.
    """
    rates = np.zeros(until)
    a_little = 0.5 / max(float((months_at_risk * weight).sum()), 1.0)
    for month in range(1, until + 1):
        exposed = float(weight[months_at_risk >= month].sum())
        left = float(weight[(months_at_risk == month) & (churned > 0)].sum())
        rates[month - 1] = min((left / exposed if exposed > 0 else 0.0) + a_little, 0.99)
    return rates


def growth_of(customers: pd.DataFrame, weight: np.ndarray, horizon_months: int) -> Growth | None:
    """Log growth a year of the customers that were seen for three months or more; None without any.

    How far it scatters depends on how long it was seen, a + b 12 / months: customers differ by a
    for good, and chance moves each by b. A customer's weight is the inverse of its variance.
    """
    months = customers["growth_months"].to_numpy(dtype="float64")
    seen = np.flatnonzero((months >= _FEWEST_MONTHS_OF_GROWTH) & customers["log_growth"].notna())
    if len(seen) == 0:
        return None
    of_year = 12 / months[seen]
    growth = customers["log_growth"].to_numpy(dtype="float64")[seen] * of_year
    growth = np.clip(growth, -MOST_LOG_GROWTH, MOST_LOG_GROWTH)
    lasting, passing = _scatter(growth, of_year, weight[seen])
    precision = weight[seen] / (lasting + passing * of_year)
    task = Task(seen, growth, precision / precision.mean(), noise=None, firm=_FIRM_GROWTH)
    share = horizon_months / 12
    return Growth(task, (lasting + passing / share) * share**2)


def _scatter(growth: np.ndarray, of_year: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """The lasting and the passing variance of growth, by regression of its squared deviations."""
    deviation = (growth - np.average(growth, weights=weight / of_year)) ** 2
    deviation = np.minimum(deviation, np.quantile(deviation, 0.98))
    trust = 1 / (1 + of_year)
    design = np.column_stack([trust, of_year * trust])
    lasting, passing = np.linalg.lstsq(design, deviation * trust, rcond=None)[0]
    typical = max(float(deviation.mean()), 1e-6)
    return max(float(lasting), 0.15 * typical), max(float(passing), 0.02 * typical)
