"""Rivals that a challenger must beat: what a company would do without a model.

Each scores accounts with `fit` and `predict` like the fit model, so that all are cross-fitted and
judged in the same way. Scores only rank; their scale means nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pandas as pd

from icploop.domain.predicate import Predicate, readable
from icploop.modeling.accounts.coding import Texts
from icploop.settings import HypothesisLine, Kind


class AverageCustomer:
    """The average customer profile: the more an account looks like the commonest, the better.

    One point for each attribute that has the commonest level of the won accounts, or lies in the
    middle half of their range. It is what "look at who buys from us" amounts to.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds

    def fit(self, features: pd.DataFrame, outcomes: pd.DataFrame) -> Self:
        """Learn the commonest traits of customers; how they did is not looked at, on purpose.

        Where `outcomes` has lost deals too, its column `won` (0 or 1) says so.
        """
        if "won" in outcomes:
            features = features[outcomes.loc[features.index, "won"] > 0]
        self.ranges_ = {
            name: tuple(features[name].quantile([0.25, 0.75]))
            for name, kind in self.kinds.items()
            if kind in ("number", "date")
        }
        self.commonest_ = {
            name: _commonest(features[name], kind)
            for name, kind in self.kinds.items()
            if kind not in ("number", "date")
        }
        return self

    def traits(self) -> tuple[Predicate, ...]:
        """The commonest traits as conditions, with ends that a person would write down."""
        ranges = [
            Predicate(name, between=(readable(low), readable(high)))
            for name, (low, high) in self.ranges_.items()
            if not math.isnan(low)
        ]
        return (*ranges, *(level for level in self.commonest_.values() if level is not None))

    def predict(self, features: pd.DataFrame) -> pd.Series:
        """How many of the commonest traits each account shares."""
        points = pd.Series(0.0, index=features.index)
        for name, (low, high) in self.ranges_.items():
            points += features[name].between(low, high)
        for level in self.commonest_.values():
            if level is not None:
                points += level.holds(features)
        return points


class HypothesisScore:
    """The stated hypothesis ICP: the points of the lines that hold."""

    def __init__(self, lines: Sequence[HypothesisLine]) -> None:
        self.lines = lines

    def fit(self, features: pd.DataFrame, outcomes: pd.DataFrame) -> Self:
        """Nothing to learn: the lines were written before there was data."""
        return self

    def predict(self, features: pd.DataFrame) -> pd.Series:
        """The sum of points of each account."""
        points = pd.Series(0.0, index=features.index)
        for line in self.lines:
            points += line.points * Predicate.of_condition(line).holds(features)
        return points


class RandomChoice:
    """Choosing without looking: every account scores the same, and ties share the capacity."""

    def fit(self, features: pd.DataFrame, outcomes: pd.DataFrame) -> Self:
        """Nothing to learn."""
        return self

    def predict(self, features: pd.DataFrame) -> pd.Series:
        """The same score for everyone."""
        return pd.Series(0.0, index=features.index)


def _commonest(values: pd.Series, kind: Kind) -> Predicate | None:
    counts: dict[Any, int]
    if kind == "flag":
        counts = {yes: int((values == yes).sum()) for yes in (0.0, 1.0)}
    else:
        counts = dict(Texts.of(values).levels(kind))
    most = max(counts.values(), default=0)
    if most == 0:
        return None
    level = min(level for level, count in counts.items() if count == most)
    name = str(values.name)
    return (
        Predicate(name, is_true=bool(level)) if kind == "flag" else Predicate(name, any_of=(level,))
    )
