"""From attribute frames to matrices: one for linear models, one for trees.

The vocabulary is learned once, from the training accounts, and is kept with the model as plain
values; an unseen category is simply none of the known ones. Missing is a column of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from icploop.modeling.accounts.coding import Texts
from icploop.modeling.accounts.features import TEXTS
from icploop.settings import Kind

# A level that fewer training accounts carry cannot be told from noise: it is none of the known.
RAREST_LEVEL = 5
# Rare levels alone leave no column, and boosters refuse a table without any.
_NO_COLUMN = "="
_FIFTHS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Scale:
    """How a number is brought to unit scale: log first where it is skewed, then centred.

    `steps` are the fifths of the training accounts, each with the share of accounts above it.
    """

    logarithmic: bool
    low: float
    high: float
    center: float
    spread: float
    steps: tuple[tuple[float, float], ...] = ()

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scaled values within the range seen in training; missing stays missing."""
        clipped = np.clip(values, self.low, self.high)
        shaped = np.log1p(clipped - self.low) if self.logarithmic else clipped
        return (shaped - self.center) / self.spread


@dataclass(frozen=True)
class Encoding:
    """What was learned of each attribute: the levels of categories and sets, the scales of numbers.

    `kinds` keeps the attributes in alphabetical order, so that the order of columns in the data
    changes nothing.
    """

    kinds: dict[str, Kind]
    levels: dict[str, tuple[str, ...]]
    scales: dict[str, Scale]

    @classmethod
    def learn(cls, features: pd.DataFrame, kinds: Mapping[str, Kind]) -> Encoding:
        """The encoding of the training accounts' attribute frame."""
        ordered = {name: kinds[name] for name in sorted(kinds)}
        levels = {
            name: _common_levels(features[name], kind)
            for name, kind in ordered.items()
            if kind in TEXTS
        }
        scales = {
            name: _scale_of(features[name].to_numpy(dtype="float64"))
            for name, kind in ordered.items()
            if kind in ("number", "date")
        }
        return cls(ordered, levels, scales)

    def linear(self, features: pd.DataFrame) -> pd.DataFrame:
        """One-hot levels, flags, missing indicators, and scaled numbers with squares and steps.

        Columns are named `attribute=level`; rows keep the index of `features`. No cell is missing.
        """
        blocks = [self.linear_of(name, features[name]) for name in self.kinds]
        return _frame(blocks, self.linear_columns(), features.index, "float64")

    def tree(self, features: pd.DataFrame) -> pd.DataFrame:
        """One-hot levels, raw numbers and flags; missing values stay missing for the trees."""
        blocks = [self.tree_of(name, features[name]) for name in self.kinds]
        columns = self.tree_columns()
        if columns == [_NO_COLUMN]:
            blocks = [np.zeros((1, len(features)))]
        return _frame(blocks, columns, features.index, "float32")

    def linear_columns(self) -> list[str]:
        """The names of the columns of `linear`."""
        return [f"{name}={part}" for name in self.kinds for part in self._parts(name)]

    def tree_columns(self) -> list[str]:
        """The names of the columns of `tree`."""
        columns = [
            column
            for name, kind in self.kinds.items()
            for column in (
                [f"{name}={level}" for level in self.levels[name]] if kind in TEXTS else [name]
            )
        ]
        return columns or [_NO_COLUMN]

    def attribute_of(self, column: str) -> str:
        """The attribute that an encoded column came from; empty where it came from none."""
        return column.split("=", 1)[0]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values from which `from_dict` makes the same encoding."""
        return {
            "kinds": self.kinds,
            "levels": {name: list(levels) for name, levels in self.levels.items()},
            "scales": {name: asdict(scale) for name, scale in self.scales.items()},
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Encoding:
        """The inverse of `as_dict`."""
        return cls(
            dict(raw["kinds"]),
            {name: tuple(levels) for name, levels in raw["levels"].items()},
            {
                name: Scale(**scale | {"steps": tuple((x, y) for x, y in scale["steps"])})
                for name, scale in raw["scales"].items()
            },
        )

    def _parts(self, name: str) -> list[str]:
        """What the linear columns of an attribute stand for."""
        kind = self.kinds[name]
        if kind in TEXTS:
            return [*self.levels[name], "?"]
        if kind == "flag":
            return ["yes", "?"]
        return ["scale", "square", *(f"over {edge!r}" for edge, _ in self.scales[name].steps), "?"]

    def linear_of(self, name: str, values: pd.Series) -> np.ndarray:
        """The linear columns of one attribute, (columns, accounts)."""
        empty = values.isna().to_numpy(dtype="float64")
        if self.kinds[name] in TEXTS:
            return np.vstack([self._indicators(name, values, missing=0.0), empty])
        if self.kinds[name] == "flag":
            return np.vstack([values.fillna(0).to_numpy(dtype="float64"), empty])
        scale, raw = self.scales[name], values.to_numpy(dtype="float64")
        scaled = np.nan_to_num(scale.apply(raw))
        # The square lets a linear model see a sweet spot in the middle of a range, and steps let
        # it see an edge.
        over = [((raw > edge) - above) * (1 - empty) for edge, above in scale.steps]
        return np.vstack([scaled, scaled**2 * (1 - empty), *over, empty])

    def tree_of(self, name: str, values: pd.Series) -> np.ndarray:
        """The tree columns of one attribute, (columns, accounts)."""
        if self.kinds[name] in TEXTS:
            return self._indicators(name, values, missing=np.nan)
        return values.to_numpy(dtype="float64")[None, :]

    def _indicators(self, name: str, values: pd.Series, missing: float) -> np.ndarray:
        """1 where an account has a level, else 0, (levels, accounts)."""
        texts = Texts.of(values)
        has = texts.having(self.levels[name], self.kinds[name]).astype("float64")
        # The code of a missing value is -1, which takes the last entry.
        has[:, -1] = missing
        return has[:, texts.codes]


def _frame(
    blocks: Sequence[np.ndarray], columns: list[str], index: pd.Index, dtype: str
) -> pd.DataFrame:
    """Blocks of columns (columns, accounts) as one frame."""
    matrix = np.empty((len(columns), len(index)), dtype=dtype)
    if blocks:
        np.concatenate(blocks, out=matrix, casting="same_kind")
    return pd.DataFrame(matrix.T, index=index, columns=columns, copy=False)


def _common_levels(values: pd.Series, kind: Kind) -> tuple[str, ...]:
    counts = Texts.of(values).levels(kind)
    return tuple(sorted(level for level, count in counts.items() if count >= RAREST_LEVEL))


def _scale_of(values: np.ndarray) -> Scale:
    given = values[np.isfinite(values)]
    if len(given) == 0:
        return Scale(False, 0.0, 0.0, 0.0, 1.0)
    low, middle, high = (float(q) for q in np.quantile(given, [0.01, 0.5, 0.99]))
    logarithmic = bool(low >= 0 and high - low > 20 and high > 4 * max(middle, 1.0))
    plain = Scale(logarithmic, low, high, 0.0, 1.0).apply(given)
    edges = sorted({float(edge) for edge in np.quantile(given, _FIFTHS)})
    steps = tuple((edge, float((given > edge).mean())) for edge in edges)
    return Scale(logarithmic, low, high, float(plain.mean()), float(plain.std()) or 1.0, steps)
