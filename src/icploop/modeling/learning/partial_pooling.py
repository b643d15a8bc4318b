"""Linear models whose attributes are shrunk each by what they turn out to be worth.

A ridge shrinks every column alike, so on few accounts it either believes noise or misses signal.
Here the columns of an attribute share a prior variance, which is learned from the data (empirical
Bayes, by expectation and maximisation), itself shrunk towards that of all attributes: an attribute
that tells nothing is nearly silenced, one that tells much is nearly left alone. See Gelman and
Hill, Data Analysis Using Regression and Multilevel Models, 2007, ch. 12 and 18; for the steps of
the learning Dempster, Laird and Rubin, J. R. Statist. Soc. B 39, 1977.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

# An attribute's own variance weighs as much as this many columns of the average attribute.
_PRIOR_COLUMNS = 2.0
_STEPS = 15
# A refit on four fifths of the accounts starts from what all of them taught.
_STEPS_OF_REFIT = 3
# How far columns are brought to the same spread before they are shrunk alike: fully, and half.
# Full scaling trusts rare levels as much as common ones, half trusts them less; both err.
_SCALINGS = (0.5, 1.0)
# What matters for one target may matter for the other.
_SHARED_RELEVANCE = 0.7


@dataclass(frozen=True)
class Task:
    """One target to learn: `rows` (positions of accounts), their targets and their weights.

    `noise` is the variance of a target of weight one where it is known, else None. `firm` is the
    prior variance of columns that are known to matter beforehand.
    """

    rows: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    noise: float | None = None
    firm: float = 1.0

    def among(self, chosen: np.ndarray) -> Task:
        """The same task on the rows that the mask `chosen` (over all accounts) keeps."""
        kept = chosen[self.rows]
        return Task(self.rows[kept], self.target[kept], self.weight[kept], self.noise, self.firm)


@dataclass(frozen=True)
class LinearPredictor:
    """A linear predictor on raw columns: intercept and one weight a column."""

    intercept: float
    weights: np.ndarray

    def predict(self, columns: np.ndarray) -> np.ndarray:
        """The prediction of each row."""
        return np.asarray(self.intercept + columns @ self.weights)


@dataclass(frozen=True)
class PooledLines:
    """The line of each task, learned on all accounts.

    `out_of_fold` holds, for each task, predictions of each account by a line that did not see its
    fold (NaN for accounts that the task does not have), `relevance` the prior standard deviation
    that was learned for each group.
    """

    lines: tuple[LinearPredictor, ...]
    out_of_fold: tuple[np.ndarray, ...]
    relevance: tuple[np.ndarray, ...]


def pooled_lines(
    columns: np.ndarray,
    group: np.ndarray,
    tasks: Sequence[Task],
    fold: np.ndarray,
    firm: np.ndarray | None = None,
) -> PooledLines:
    """Learn all tasks on the same columns (accounts x columns, no cell missing).

    `group` numbers the attribute of each column from 0, `fold` the fold of each account, and `firm`
    marks the columns that are known to matter beforehand. The relevance of attributes is learned
    from all accounts; what is predicted of a fold uses coefficients of the other folds.
    """
    firm = np.zeros(len(group), dtype=bool) if firm is None else firm
    center, spread = columns.mean(axis=0), columns.std(axis=0)
    varies = spread > 1e-9
    if not varies.any():
        return _nothing_to_tell(columns, group, tasks, fold)
    prepared = _Columns(
        (columns[:, varies] - center[varies]) / spread[varies],
        spread[varies],
        group[varies],
        firm[varies],
        int(group.max()) + 1,
    )
    # What a linear model asks for adds up over folds, so each account is looked at once.
    sums = [
        {number: _Sums.of(prepared.standard, task, fold == number) for number in np.unique(fold)}
        for task in tasks
    ]
    fits = [_at_scaling(prepared, tasks, sums, fold, power) for power in _SCALINGS]
    each = range(len(tasks))
    lines = []
    for i in each:
        weights = np.zeros(len(group))
        weights[varies] = np.mean([fit.lines[i].weights for fit in fits], axis=0) / spread[varies]
        intercept = float(np.mean([fit.lines[i].intercept for fit in fits]) - center @ weights)
        lines.append(LinearPredictor(intercept, weights))
    return PooledLines(
        tuple(lines),
        tuple(np.mean([fit.out_of_fold[i] for fit in fits], axis=0) for i in each),
        fits[-1].relevance,
    )


@dataclass(frozen=True)
class _Columns:
    """Standardised columns, the spread each had, its group, and whether it matters for certain."""

    standard: np.ndarray
    spread: np.ndarray
    group: np.ndarray
    firm: np.ndarray
    groups: int


def _at_scaling(
    columns: _Columns,
    tasks: Sequence[Task],
    sums: Sequence[Mapping[int, _Sums]],
    fold: np.ndarray,
    power: float,
) -> PooledLines:
    """Lines on the standardised columns, shrunk as if these were divided by spread to `power`."""
    factor = columns.spread ** (1 - power)
    scaled = [{n: part.scaled(factor) for n, part in parts.items()} for parts in sums]
    everybody = [reduce(add, parts.values()) for parts in scaled]
    known = _Known(columns.group, columns.firm, np.ones(columns.groups))
    alone = [_learn(s, task, known) for s, task in zip(everybody, tasks, strict=True)]
    relevance = np.mean([pooled.variance / pooled.overall for pooled in alone], axis=0)
    shared = _SHARED_RELEVANCE * relevance / relevance.mean() + 1 - _SHARED_RELEVANCE
    known = _Known(known.group, known.firm, shared)
    together = [_learn(s, task, known) for s, task in zip(everybody, tasks, strict=True)]
    lines, predictions = [], []
    for i, (task, pooled) in enumerate(zip(tasks, together, strict=True)):
        lines.append(everybody[i].line(pooled.weights, factor))
        unseen = np.full(len(columns.standard), np.nan)
        for number, part in scaled[i].items():
            asked = task.rows[fold[task.rows] == number]
            rest = everybody[i] - part
            if len(asked) == 0 or rest.weight <= 0:
                continue
            refit = _learn(rest, task, known, pooled, _STEPS_OF_REFIT)
            unseen[asked] = rest.line(refit.weights, factor).predict(columns.standard[asked])
        predictions.append(unseen)
    return PooledLines(
        tuple(lines), tuple(predictions), tuple(np.sqrt(pooled.variance) for pooled in together)
    )


def _nothing_to_tell(
    columns: np.ndarray, group: np.ndarray, tasks: Sequence[Task], fold: np.ndarray
) -> PooledLines:
    """The mean of each task for everybody, where every account has the same columns."""
    lines, predictions = [], []
    for task in tasks:
        mean = float(np.average(task.target, weights=task.weight))
        lines.append(LinearPredictor(mean, np.zeros(columns.shape[1])))
        unseen = np.full(len(columns), np.nan)
        for number in np.unique(fold):
            rest = task.among(fold != number)
            if rest.weight.sum() > 0:
                asked = task.rows[fold[task.rows] == number]
                unseen[asked] = np.average(rest.target, weights=rest.weight)
        predictions.append(unseen)
    alike = np.ones(int(group.max()) + 1)
    return PooledLines(tuple(lines), tuple(predictions), tuple(alike for _ in tasks))


@dataclass(frozen=True)
class _Known:
    """What is known of columns before they are learned from.

    Their groups, which of them matter for certain, and how relevant each group is expected to be
    (1 on average).
    """

    group: np.ndarray
    firm: np.ndarray
    relevance: np.ndarray


@dataclass(frozen=True)
class _Sums:
    """Weighted sums of columns and target and of their products; they add up over accounts."""

    products: np.ndarray
    columns: np.ndarray
    with_target: np.ndarray
    target: float
    squares: float
    weight: float
    count: int

    @classmethod
    def of(cls, values: np.ndarray, task: Task, chosen: np.ndarray) -> _Sums:
        here = chosen[task.rows]
        rows, target, weight = values[task.rows[here]], task.target[here], task.weight[here]
        weighted = rows * weight[:, None]
        return cls(
            rows.T @ weighted,
            weighted.sum(axis=0),
            weighted.T @ target,
            float(weight @ target),
            float(weight @ target**2),
            float(weight.sum()),
            len(target),
        )

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(mine + theirs for mine, theirs in zip(*_fields(self, other), strict=True)))

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(*(mine - theirs for mine, theirs in zip(*_fields(self, other), strict=True)))

    def scaled(self, factor: np.ndarray) -> _Sums:
        """The sums of the columns times a factor each."""
        return replace(
            self,
            products=factor[:, None] * self.products * factor,
            columns=factor * self.columns,
            with_target=factor * self.with_target,
        )

    @property
    def gram(self) -> np.ndarray:
        """The products of the columns about their means."""
        return self.products - np.outer(self.columns, self.columns) / self.weight

    @property
    def cross(self) -> np.ndarray:
        """The products of columns and target about their means."""
        return self.with_target - self.columns * self.target / self.weight

    @property
    def total(self) -> float:
        """The squares of the target about its mean."""
        return max(self.squares - self.target**2 / self.weight, 0.0)

    def line(self, weights: np.ndarray, factor: np.ndarray) -> LinearPredictor:
        """The line through the means with these weights, on columns that are not scaled."""
        intercept = (self.target - self.columns @ weights) / self.weight
        return LinearPredictor(float(intercept), weights * factor)


def _fields(*sums: _Sums) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(vars(each).values()) for each in sums)


@dataclass(frozen=True)
class _Pooled:
    """Coefficients, the prior variance of each group, and the overall one."""

    weights: np.ndarray
    variance: np.ndarray
    overall: float


def _learn(
    sums: _Sums, task: Task, known: _Known, start: _Pooled | None = None, steps: int = _STEPS
) -> _Pooled:
    """Alternate between coefficients given prior variances, and variances given coefficients."""
    group, firm, relevance = known.group, known.firm, known.relevance
    gram, cross = sums.gram, sums.cross
    columns_of = np.bincount(group, minlength=len(relevance))
    around = sums.total / sums.count
    noise = max(0.9 * around, 1e-12) if task.noise is None else task.noise
    variance = _first_variance(sums, task, relevance) if start is None else start.variance
    overall = float(variance.mean())
    weights = np.zeros(len(group))
    for _ in range(steps):
        spread = np.sqrt(np.where(firm, task.firm, variance[group]))
        system = spread[:, None] * gram * spread / noise
        system[np.diag_indices_from(system)] += 1
        inverse = _inverse(system)
        weights = spread * (inverse @ (spread * cross)) / noise
        squares = weights**2 + spread**2 * np.diag(inverse)
        # Columns that matter for certain say nothing of how much the others do.
        squares = np.where(firm, overall * relevance[group], squares)
        of_group = np.bincount(group, weights=squares, minlength=len(relevance))
        overall = float(of_group.sum() / relevance[group].sum())
        of_prior = _PRIOR_COLUMNS * overall * relevance
        variance = np.maximum((of_group + of_prior) / (columns_of + _PRIOR_COLUMNS), 1e-12)
        if task.noise is None:
            left = sums.total - 2 * weights @ cross + weights @ gram @ weights
            unsure = float(((spread[:, None] * inverse * spread) * gram).sum())
            noise = max((left + unsure) / sums.count, 0.2 * around, 1e-12)
    return _Pooled(weights, variance, overall)


def _inverse(system: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite matrix, from its Cholesky factor."""
    factor, failed = dpotrf(system, lower=1)
    if failed:
        raise ValueError("the columns of a linear model hold no finite numbers")
    half, _ = dpotri(factor, lower=1)
    return np.tril(half) + np.tril(half, -1).T


def _first_variance(sums: _Sums, task: Task, relevance: np.ndarray) -> np.ndarray:
    """A start: all columns together explain a small share of the target."""
    around = sums.total / sums.count if task.noise is None else sums.count / sums.weight
    typical = max(float(np.trace(sums.gram)) / sums.weight, 1e-12)
    return np.maximum(0.08 * around / typical * relevance, 1e-12)
