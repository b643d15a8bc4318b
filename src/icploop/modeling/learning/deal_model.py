"""What to expect of a deal with an account: the chance to win it, and its annual contract value.

Both are learned from closed deals and from what was known when each was created. Attributes of the
deal itself, such as a discount, judge a deal and not an account, so they are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator

from icploop.errors import DataError
from icploop.modeling.accounts.encoding import Encoding
from icploop.modeling.learning.partial_pooling import LinearPredictor, Task, pooled_lines
from icploop.modeling.statistics.folds import folds_by_parent
from icploop.settings import Kind

_FILE = "deal_model.json"


@dataclass(frozen=True)
class _Expectation:
    """A line on the encoded columns, and the constant that follows from it."""

    line: LinearPredictor
    constant: float


class DealModel(BaseEstimator):
    """P(win) and expected ACV of accounts, as one fitted object.

    `fit` takes the attribute frame of closed deals (index: deal_id) and the same deals' outcomes;
    `predict` takes any attribute frame. What the deals cannot tell is missing in every answer:
    P(win) where no deal was lost or none was won, the ACV where none has one.
    """

    def __init__(self, kinds: Mapping[str, Kind], seed: int = 0) -> None:
        self.kinds = kinds
        self.seed = seed

    def fit(self, features: pd.DataFrame, deals: pd.DataFrame) -> Self:
        """Learn from closed deals: columns parent, won (0 or 1), acv (money a year).

        Raises DataError without any deal.
        """
        if len(features) == 0:
            raise DataError("A deal model needs at least one closed deal")
        # Folds depend on the order of rows, and the result must not.
        ordered = features.sort_index(kind="stable")
        known = deals.loc[ordered.index]
        self.encoding_ = Encoding.learn(ordered, self.kinds)
        linear = self.encoding_.linear(ordered)
        self.columns_ = list(map(str, linear.columns))
        self.win_ = self._learn_win(linear, known)
        self.acv_ = self._learn_acv(linear, known)
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """p_win (0..1) and expected_acv (money a year) of each account, indexed like `features`."""
        columns = self.encoding_.linear(features).to_numpy()
        p_win = np.full(len(features), np.nan)
        acv = np.full(len(features), np.nan)
        if self.win_ is not None:
            p_win = expit(self.win_.line.predict(columns))
        if self.acv_ is not None:
            acv = self.acv_.constant * np.exp(self.acv_.line.predict(columns))
        return pd.DataFrame({"p_win": p_win, "expected_acv": acv}, index=features.index)

    @property
    def knows_p_win(self) -> bool:
        """Whether both won and lost deals were there to learn from."""
        return self.win_ is not None

    def parts(self) -> dict[str, bytes]:
        """The fitted model as one piece of JSON."""
        document = {
            "seed": self.seed,
            "encoding": self.encoding_.as_dict(),
            "win": self._written(self.win_),
            "acv": self._written(self.acv_),
        }
        return {_FILE: json.dumps(document, indent=1).encode()}

    @classmethod
    def from_parts(cls, parts: Mapping[str, bytes]) -> DealModel:
        """The inverse of `parts`. Raises ValueError, KeyError or TypeError for anything else."""
        document: dict[str, Any] = json.loads(parts[_FILE])
        encoding = Encoding.from_dict(document["encoding"])
        model = cls(encoding.kinds, document["seed"])
        model.encoding_ = encoding
        model.columns_ = encoding.linear_columns()
        model.win_ = model._read(document["win"])
        model.acv_ = model._read(document["acv"])
        return model

    def _learn_win(self, linear: pd.DataFrame, known: pd.DataFrame) -> _Expectation | None:
        """Pooled log odds, linearised at the average, then brought to scale on unseen deals."""
        won = known["won"].to_numpy(dtype="float64")
        average = float(won.mean())
        if average in (0.0, 1.0):
            return None
        fold = folds_by_parent(known["parent"], self.seed)
        information = average * (1 - average)
        task = Task(
            np.arange(len(won)),
            (won - average) / information,
            np.full(len(won), information),
            noise=1.0,
        )
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - not to score

        line, unseen = self._pooled(linear, task, fold)
        scale = LogisticRegression(C=1.0).fit(unseen[:, None], won)
        slope, level = float(scale.coef_[0, 0]), float(scale.intercept_[0])
        # Odds that fall where the line says they rise are noise, and one parent proves nothing.
        if slope <= 0 or fold.max() == 0:
            slope, level = 0.0, float(logit(average))
        return _Expectation(
            LinearPredictor(level + slope * line.intercept, slope * line.weights), 1.0
        )

    def _learn_acv(self, linear: pd.DataFrame, known: pd.DataFrame) -> _Expectation | None:
        """Pooled log ACV; the constant turns the typical ACV into the mean."""
        priced = np.flatnonzero(known["acv"].to_numpy(dtype="float64", na_value=0.0) > 0)
        if len(priced) == 0:
            return None
        target = np.log(known["acv"].to_numpy(dtype="float64")[priced])
        fold = folds_by_parent(known["parent"], self.seed)
        line, unseen = self._pooled(linear, Task(priced, target, np.ones(len(priced))), fold)
        smear = float(np.exp(target).mean() / np.exp(unseen[priced]).mean())
        return _Expectation(line, smear)

    def _pooled(
        self, linear: pd.DataFrame, task: Task, fold: np.ndarray
    ) -> tuple[LinearPredictor, np.ndarray]:
        columns = linear.to_numpy()
        group = pd.factorize(linear.columns.map(self.encoding_.attribute_of))[0]
        pooled = pooled_lines(columns, group, [task], fold)
        line, unseen = pooled.lines[0], pooled.out_of_fold[0]
        return line, np.where(np.isnan(unseen), line.predict(columns), unseen)

    def _written(self, found: _Expectation | None) -> dict[str, Any] | None:
        if found is None:
            return None
        weights = dict(zip(self.columns_, found.line.weights.tolist(), strict=True))
        return {"intercept": found.line.intercept, "weights": weights, "constant": found.constant}

    def _read(self, raw: dict[str, Any] | None) -> _Expectation | None:
        if raw is None:
            return None
        weights = np.array([raw["weights"][column] for column in self.columns_])
        return _Expectation(
            LinearPredictor(float(raw["intercept"]), weights), float(raw["constant"])
        )
