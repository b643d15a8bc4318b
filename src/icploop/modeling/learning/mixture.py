"""A linear predictor and bagged boosters, mixed by their worth on accounts they did not see."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xgboost as xgb

from icploop.modeling.learning.partial_pooling import LinearPredictor, Task

Quantity = Literal["hazard", "growth"]

# Where there is little to learn the weights of line and boosters stay near these, which were found
# on simulated companies of two unlike kinds.
_PRIOR_SHARES = np.array([0.6, 0.55])
_PRIOR_SPREAD = 0.2
_MANY = 2500
_SIDE_BY_SIDE = 2
_COMMON = {
    "subsample": 0.85,
    "tree_method": "hist",
    "max_bin": 64,
    # One thread: on few rows it is the fastest, and the same bytes come out on every machine.
    "nthread": 1,
}
_TREES_OF_FEW, _TREES_OF_MANY = 150, 240
_FEW_ACCOUNTS = {"max_depth": 3, "eta": 0.04, "colsample_bytree": 0.2, "lambda": 10.0}
_MANY_ACCOUNTS = {"max_depth": 4, "eta": 0.05, "colsample_bytree": 0.4, "lambda": 5.0}
_OBJECTIVES: dict[Quantity, dict[str, object]] = {
    "hazard": {"objective": "count:poisson", "max_delta_step": 0.7, "min_child_weight": 2},
    "growth": {"objective": "reg:squarederror", "min_child_weight": 5},
}


@dataclass(frozen=True)
class Mixture:
    """`line` on the linear columns plus `boosted` times the mean of boosters on the tree columns.

    For a hazard it predicts the log of the hazard ratio, for growth the log growth a year.
    """

    line: LinearPredictor
    boosted: float
    boosters: tuple[xgb.Booster, ...]

    @classmethod
    def constant(cls, value: float, columns: int) -> Mixture:
        """The same prediction for everybody."""
        return cls(LinearPredictor(value, np.zeros(columns)), 0.0, ())

    def predict(self, linear: np.ndarray, tree: np.ndarray) -> np.ndarray:
        """The prediction of each row."""
        return self.of_margins(linear, margins(self.boosters, tree))

    def of_margins(self, linear: np.ndarray, said: np.ndarray) -> np.ndarray:
        """The prediction of each row, of which the boosters `said` something (boosters, rows)."""
        straight = self.line.predict(linear)
        return straight + self.boosted * said.mean(axis=0) if self.boosters else straight

    def contributions(self, linear: np.ndarray, tree: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each linear and each tree column adds to each row.

        The linear part is against zero, so the caller centres it; the trees' are exact Shapley
        values (Lundberg et al. 2018, as built into XGBoost), against the trees' average.
        """
        straight = linear * self.line.weights
        if not self.boosters:
            return straight, np.zeros(tree.shape)
        table = xgb.DMatrix(tree, nthread=1)
        shapley = np.mean([b.predict(table, pred_contribs=True) for b in self.boosters], axis=0)
        # XGBoost answers no rows with no columns. The last column is the bias that all rows share.
        by_row = shapley.reshape(len(tree), tree.shape[1] + 1)[:, :-1]
        return straight, self.boosted * by_row.astype("float64")

    def gain(self, columns: int) -> np.ndarray:
        """The mean total gain of each tree column over the boosters."""
        total = np.zeros(columns)
        for booster in self.boosters:
            for number, gain in booster.get_score(importance_type="total_gain").items():
                total[int(number.removeprefix("f"))] += float(np.mean(gain))
        return total / max(len(self.boosters), 1)


def margins(boosters: Sequence[xgb.Booster], tree: np.ndarray) -> np.ndarray:
    """What each booster says of each row, (boosters, rows), before any link function."""
    table = xgb.DMatrix(tree, nthread=1) if boosters else None
    said = [booster.predict(table, output_margin=True) for booster in boosters]
    # Some versions of XGBoost answer no rows with a matrix.
    return np.array(said, dtype="float64").reshape(len(boosters), len(tree))


def mix(
    quantity: Quantity,
    task: Task,
    line: LinearPredictor,
    unseen: np.ndarray,
    tree: np.ndarray,
    relevance: np.ndarray,
    fold: np.ndarray,
    seed: int,
) -> tuple[Mixture, np.ndarray]:
    """The mixture for a task, and its prediction of each account by parts that did not see it.

    `unseen` is what the line says of each account without its fold, `relevance` how likely each
    tree column is to matter, `fold` the fold of each account: a booster is trained for each fold
    on the others. Accounts that the task does not have get what all parts say.
    """
    numbers = np.unique(fold)

    def without(number: int) -> xgb.Booster:
        rest = task.among(fold != number)
        return _boost(
            quantity, rest if len(rest.rows) else task, tree, relevance, seed + int(number)
        )

    # Boosting releases the interpreter's lock, so boosters are trained side by side.
    with ThreadPoolExecutor(max_workers=_SIDE_BY_SIDE) as pool:
        boosters = list(pool.map(without, numbers))
    said = margins(boosters, tree)
    boosted = said.mean(axis=0)
    in_task = task.rows
    if len(boosters) > 1:
        boosted[in_task] = said[fold[in_task], in_task]
    voices = np.column_stack([unseen, boosted])
    center = np.average(voices[in_task], axis=0, weights=task.weight)
    level, shares = _shares_of(quantity, task, voices[in_task] - center)
    intercept = level - shares @ center + shares[0] * line.intercept
    mixture = Mixture(
        LinearPredictor(float(intercept), shares[0] * line.weights),
        float(shares[1]),
        tuple(boosters),
    )
    return mixture, level + (voices - center) @ shares


def _boost(
    quantity: Quantity, task: Task, tree: np.ndarray, relevance: np.ndarray, seed: int
) -> xgb.Booster:
    few = len(tree) < _MANY
    # Without feature names: checking them in every boosting round costs more than the round. A
    # quantile table would be the same, and takes as long to make as the trees.
    table = xgb.DMatrix(
        tree[task.rows],
        label=task.target,
        weight=task.weight,
        feature_weights=relevance,
        nthread=1,
    )
    mean = float(np.average(task.target, weights=task.weight))
    start = {"base_score": max(mean, 1e-3) if quantity == "hazard" else mean, "seed": seed}
    settings = _COMMON | (_FEW_ACCOUNTS if few else _MANY_ACCOUNTS) | _OBJECTIVES[quantity] | start
    booster = xgb.Booster(settings, [table])
    for number in range(_TREES_OF_FEW if few else _TREES_OF_MANY):
        booster.update(table, number)
    # What it keeps of the table would be kept as long as the booster.
    return booster.reset()


def _shares_of(quantity: Quantity, task: Task, voices: np.ndarray) -> tuple[float, np.ndarray]:
    """The level and the two shares that fit best, given that shares are near what they usually are.

    Of a hazard the posterior mode with Poisson events (by Newton's method), of growth the posterior
    mean. A share is never negative.
    """
    design = np.column_stack([np.ones(len(voices)), voices])
    prior = np.concatenate([[0.0], _PRIOR_SHARES])
    precision = np.diag([1e-9, *np.full(2, _PRIOR_SPREAD**-2)])
    average = float(np.average(task.target, weights=task.weight))
    if quantity == "growth":
        noise = max(float(np.average((task.target - average) ** 2, weights=task.weight)), 1e-12)
        system = design.T @ (design * task.weight[:, None]) / noise + precision
        found = np.linalg.solve(
            system, design.T @ (task.weight * task.target) / noise + precision @ prior
        )
        return float(found[0]), np.maximum(found[1:], 0)
    # Half an average customer more who left when expected: where nobody has left yet, somebody may.
    design = np.vstack([design, [1.0, 0.0, 0.0]])
    events, exposure = np.append(task.target * task.weight, 0.5), np.append(task.weight, 0.5)
    found = np.concatenate([[np.log(events.sum() / exposure.sum())], _PRIOR_SHARES])
    for _ in range(8):
        log_ratio = np.clip(design @ found, -5, 3)
        expected = exposure * np.exp(log_ratio)
        system = design.T @ (design * expected[:, None]) + precision
        step = design.T @ (expected * log_ratio + events - expected) + precision @ prior
        found = np.linalg.solve(system, step)
    return float(found[0]), np.maximum(found[1:], 0)
