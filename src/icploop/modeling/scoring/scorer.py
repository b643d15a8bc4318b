"""A fit model and a deal model made ready to score millions of accounts.

The same numbers as `FitModel.predict` and `DealModel.predict` (the boosters' to the last bit, the
lines' to the order of a sum), but from codes: what a line says of an attribute is worked out once
for each distinct value and looked up for each account. Every operation is on its own row, so the
result depends neither on who else is scored with it nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xgboost as xgb
from scipy.special import expit

from icploop.modeling.accounts.coding import Coded, Texts
from icploop.modeling.accounts.encoding import Encoding
from icploop.modeling.learning.deal_model import DealModel
from icploop.modeling.learning.fit_model import GROWTH, HAZARD, NODES, STATED, WEIGHTS, FitModel
from icploop.modeling.learning.partial_pooling import LinearPredictor
from icploop.modeling.learning.rivals import HypothesisScore
from icploop.modeling.scoring.tree_shap import TreeShap

# XGBoost refuses what single precision cannot hold.
_LARGEST = float(np.finfo("float32").max)


class LineTables:
    """What lines on the linear columns of an encoding say of each attribute's values."""

    def __init__(
        self, encoding: Encoding, columns: Sequence[str], lines: Sequence[LinearPredictor]
    ) -> None:
        self._encoding = encoding
        self.intercepts = np.array([line.intercept for line in lines])
        # (lines, columns) also where there is no line: deals may tell neither chance nor value.
        weights = np.array([line.weights for line in lines]).reshape(len(lines), len(columns))
        self._weights = dict(zip(columns, weights.T, strict=True))

    def said(self, name: str, coded: Coded) -> np.ndarray:
        """What each line adds for an attribute (lines, rows)."""
        if name in coded.texts:
            return self._of_texts(name, coded.texts[name])
        values = coded.numbers[name]
        if self._encoding.kinds[name] == "flag":
            return self._of_flag(name, values)
        return self._of_number(name, values)

    def stated(self, points: np.ndarray) -> np.ndarray:
        """What each line adds for the points of the stated hypothesis (lines, rows)."""
        return self._weights[STATED][:, None] * points

    def _of_texts(self, name: str, texts: Texts) -> np.ndarray:
        levels = self._encoding.levels[name]
        of_distinct = np.zeros((len(self.intercepts), len(texts.distinct) + 1))
        has = texts.having(levels, self._encoding.kinds[name])
        for level, has_it in zip(levels, has, strict=True):
            of_distinct[:, has_it] += self._weights[f"{name}={level}"][:, None]
        # The code of a missing value is -1, which takes the last entry.
        of_distinct[:, -1] = self._weights[f"{name}=?"]
        return of_distinct[:, texts.codes]

    def _of_flag(self, name: str, values: np.ndarray) -> np.ndarray:
        yes, missing = self._weights[f"{name}=yes"], self._weights[f"{name}=?"]
        table = np.column_stack([np.zeros_like(yes), yes, missing])
        return table[:, np.where(np.isnan(values), 2, values).astype("int8")]

    def _of_number(self, name: str, values: np.ndarray) -> np.ndarray:
        scale, weights = self._encoding.scales[name], self._weights
        scaled = scale.apply(values)
        missing = np.isnan(scaled)
        edges = [edge for edge, _ in scale.steps]
        of_steps = np.array([weights[f"{name}=over {edge!r}"] for edge in edges])
        of_steps = of_steps.reshape(len(edges), len(self.intercepts))
        center = np.array([above for _, above in scale.steps]) @ of_steps
        # How many edges a value is over tells which steps it has taken.
        taken = np.vstack([np.zeros(len(self.intercepts)), np.cumsum(of_steps, axis=0)]) - center
        over = np.searchsorted(np.array(edges), values, side="left")
        over[missing] = 0
        slope, square = weights[f"{name}=scale"], weights[f"{name}=square"]
        said = (slope[:, None] + square[:, None] * scaled) * scaled + taken.T[:, over]
        said[:, missing] = weights[f"{name}=?"][:, None]
        return np.asarray(said)


@dataclass(frozen=True)
class Predicted:
    """What the models say of accounts, by the columns of `FitModel.predict` and of deals.

    `log_ratio` and `log_growth` are what the mixtures predict. `said` keeps what the two lines
    said of each attribute, and `matrix` is the boosters', for reasons.
    """

    columns: dict[str, np.ndarray]
    log_ratio: np.ndarray
    log_growth: np.ndarray
    said: list[np.ndarray]
    matrix: np.ndarray


class Scorer:
    """Scores codes with copies of the boosters that use one thread; any thread may call it."""

    def __init__(self, fit_model: FitModel, deal_model: DealModel) -> None:
        self._fit_model = fit_model
        self._level = fit_model.level_
        self._hypothesis = fit_model.hypothesis
        mixtures = [fit_model.mixtures_[HAZARD], fit_model.mixtures_[GROWTH]]
        self._boosted = [m.boosted if m.boosters else 0.0 for m in mixtures]
        self._boosters = [tuple(map(_single_threaded, m.boosters)) for m in mixtures]
        self._encoding = fit_model.encoding_
        columns = list(map(str, fit_model.center_.index))
        self._lines = LineTables(self._encoding, columns, [m.line for m in mixtures])
        self._deal_encoding = deal_model.encoding_
        self._deals = {"p_win": deal_model.win_, "expected_acv": deal_model.acv_}
        self._deal_lines = LineTables(
            deal_model.encoding_,
            deal_model.columns_,
            [found.line for found in self._deals.values() if found is not None],
        )

    @property
    def attributes(self) -> list[str]:
        """The attributes, in the order in which contributions come."""
        return [*self._encoding.kinds, *([STATED] if self._hypothesis else [])]

    def stated(self, coded: Coded) -> np.ndarray:
        """The points of the stated hypothesis."""
        names = list(dict.fromkeys(line.attribute for line in self._hypothesis))
        frame = coded.frame(names)
        return HypothesisScore(self._hypothesis).predict(frame).to_numpy(dtype="float64")

    def predict(self, coded: Coded) -> Predicted:
        """What the models say of each account."""
        points = self.stated(coded) if self._hypothesis else None
        said = [self._lines.said(name, coded) for name in self._encoding.kinds]
        if points is not None:
            said.append(self._lines.stated(points))
        total = np.repeat(self._lines.intercepts[:, None], coded.rows, axis=1)
        for of_attribute in said:
            total += of_attribute
        matrix = self._matrix(coded, points)
        for i, (boosters, share) in enumerate(zip(self._boosters, self._boosted, strict=True)):
            if share and coded.rows:
                margins = [_margin(booster, matrix) for booster in boosters]
                total[i] += share * np.mean(np.array(margins, dtype="float64"), axis=0)
        ratio, growth = total
        columns = {
            "expected_nrr": self._level.expected_nrr(ratio, growth),
            "expected_grr": self._level.expected_grr(ratio, growth),
            "p_retained": self._level.p_retained(ratio),
            **self._of_deals(coded),
        }
        return Predicted(columns, ratio, growth, said, matrix)

    def contributions(self, predicted: Predicted) -> np.ndarray:
        """What each attribute adds to expected NRR (attributes, rows), as `FitModel` has it."""
        added = [self._added(i, predicted) for i in range(2)]
        totals = [of_quantity.sum(axis=0) for of_quantity in added]
        starts = [predicted.log_ratio - totals[0], predicted.log_growth - totals[1]]
        slopes = np.zeros((2, len(starts[0])))
        for node, weight in zip((NODES + 1) / 2, WEIGHTS / 2, strict=True):
            ratio, growth = (
                start + node * total for start, total in zip(starts, totals, strict=True)
            )
            nrr = self._level.expected_nrr(ratio, growth) * weight
            slopes[0] -= self._level.hazard * np.exp(ratio) * nrr
            slopes[1] += self._level.pace * self._level.years * nrr
        return np.asarray(added[0] * slopes[0] + added[1] * slopes[1])

    def _added(self, quantity: int, predicted: Predicted) -> np.ndarray:
        rows = len(predicted.log_ratio)
        added = np.empty((len(predicted.said), rows))
        for i, said in enumerate(predicted.said):
            np.subtract(said[quantity], self._centers[i, quantity], out=added[i])
        share = self._boosted[quantity]
        if share:
            found = self._shap[quantity].values(predicted.matrix)
            added[: len(found)] += share * found
        return added

    @cached_property
    def _shap(self) -> list[TreeShap]:
        return [TreeShap(boosters, self._groups) for boosters in self._boosters]

    @cached_property
    def _groups(self) -> list[int]:
        names = {name: i for i, name in enumerate(self.attributes)}
        columns = [*self._encoding.tree_columns(), *([STATED] if self._hypothesis else [])]
        return [names.get(self._encoding.attribute_of(column), 0) for column in columns]

    @cached_property
    def _centers(self) -> np.ndarray:
        """What the lines say of the average training account (attributes, lines)."""
        center = self._fit_model.center_
        names = {name: i for i, name in enumerate(self.attributes)}
        lines = [self._fit_model.mixtures_[HAZARD].line, self._fit_model.mixtures_[GROWTH].line]
        centers = np.zeros((len(names), 2))
        for i, (column, mean) in enumerate(center.items()):
            attribute = self._encoding.attribute_of(str(column))
            centers[names[attribute]] += [mean * line.weights[i] for line in lines]
        return centers

    def _of_deals(self, coded: Coded) -> dict[str, np.ndarray]:
        said = np.repeat(self._deal_lines.intercepts[:, None], coded.rows, axis=1)
        if len(said):
            for name in self._deal_encoding.kinds:
                said += self._deal_lines.said(name, coded)
        lines = iter(said)
        columns = {}
        for name, found in self._deals.items():
            if found is None:
                columns[name] = np.full(coded.rows, np.nan)
            elif name == "p_win":
                columns[name] = expit(next(lines))
            else:
                columns[name] = found.constant * np.exp(next(lines))
        return columns

    def _matrix(self, coded: Coded, points: np.ndarray | None) -> np.ndarray:
        """The boosters' columns, row by row, as `Encoding.tree` has them."""
        encoding = self._encoding
        width = len(encoding.tree_columns()) + (points is not None)
        matrix = np.zeros((coded.rows, width), dtype="float32")
        at = 0
        for name in encoding.kinds:
            if name in coded.texts:
                table = _indicators(encoding, name, coded.texts[name])
                np.take(
                    table,
                    coded.texts[name].codes,
                    axis=0,
                    out=matrix[:, at : at + table.shape[1]],
                    mode="wrap",
                )
                at += table.shape[1]
            else:
                matrix[:, at] = np.clip(coded.numbers[name], -_LARGEST, _LARGEST)
                at += 1
        if points is not None:
            matrix[:, -1] = points
        return matrix


def _indicators(encoding: Encoding, name: str, texts: Texts) -> np.ndarray:
    """Which levels each distinct text has (texts + 1, levels); the last row is for missing."""
    has = texts.having(encoding.levels[name], encoding.kinds[name])
    table = np.ascontiguousarray(has.T, dtype="float32")
    table[-1] = np.nan
    return table


def _margin(booster: xgb.Booster, matrix: np.ndarray) -> np.ndarray:
    return np.asarray(booster.inplace_predict(matrix, predict_type="margin")).reshape(len(matrix))


def _single_threaded(booster: xgb.Booster) -> xgb.Booster:
    """A copy of its own: threads score side by side, each a part."""
    alone = booster.copy()
    alone.set_param({"nthread": 1})
    # The first prediction sets a booster up, which only one thread may do.
    alone.inplace_predict(np.zeros((1, alone.num_features()), dtype="float32"))
    return alone
