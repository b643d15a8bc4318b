"""From attribute frames to matrices: one for linear models, one for trees.

The vocabulary is learned once, from the training accounts, and is kept with the model as plain
values; an unseen category is simply none of the known ones. Missing is a column of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

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
            if kind in ("category", "set")
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
        columns: dict[str, np.ndarray] = {}
        for name, kind in self.kinds.items():
            columns |= self._linear_columns(name, kind, features[name])
        return pd.DataFrame(columns, index=features.index, dtype="float64")

    def tree(self, features: pd.DataFrame) -> pd.DataFrame:
        """One-hot levels, raw numbers and flags; missing values stay missing for the trees."""
        columns: dict[str, np.ndarray] = {}
        for name, kind in self.kinds.items():
            values = features[name]
            if kind in ("category", "set"):
                columns |= self._indicators(name, kind, values, missing=np.nan)
            else:
                columns[name] = values.to_numpy(dtype="float64")
        columns = columns or {_NO_COLUMN: np.zeros(len(features))}
        return pd.DataFrame(columns, index=features.index, dtype="float32")

    def linear_columns(self) -> list[str]:
        """The names of the columns of `linear`."""
        nobody = pd.DataFrame({name: pd.Series(dtype="object") for name in self.kinds})
        return list(map(str, self.linear(nobody).columns))

    def tree_columns(self) -> list[str]:
        """The names of the columns of `tree`."""
        columns = [
            column
            for name, kind in self.kinds.items()
            for column in (
                [f"{name}={level}" for level in self.levels[name]]
                if kind in ("category", "set")
                else [name]
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

    def _linear_columns(self, name: str, kind: Kind, values: pd.Series) -> dict[str, np.ndarray]:
        empty = values.isna().to_numpy(dtype="float64")
        if kind in ("category", "set"):
            encoded = self._indicators(name, kind, values, missing=0.0)
        elif kind == "flag":
            encoded = {f"{name}=yes": values.fillna(0).to_numpy(dtype="float64")}
        else:
            scale, raw = self.scales[name], values.to_numpy(dtype="float64")
            scaled = np.nan_to_num(scale.apply(raw))
            # The square lets a linear model see a sweet spot in the middle of a range, and steps
            # let it see an edge.
            encoded = {f"{name}=scale": scaled, f"{name}=square": scaled**2 * (1 - empty)}
            for edge, above in scale.steps:
                encoded[f"{name}=over {edge!r}"] = ((raw > edge) - above) * (1 - empty)
        return encoded | {f"{name}=?": empty}

    def _indicators(
        self, name: str, kind: Kind, values: pd.Series, missing: float
    ) -> dict[str, np.ndarray]:
        empty = values.isna().to_numpy()
        if kind == "set":
            codes, distinct = pd.factorize(values)
            members = [frozenset(str(text).split("|")) for text in distinct]
            # The code of a missing value is -1, which takes the last entry: none of the levels.
            hits = {
                level: np.array([*(level in m for m in members), False])[codes]
                for level in self.levels[name]
            }
        else:
            codes, distinct = pd.factorize(values)
            code_of = {text: code for code, text in enumerate(distinct)}
            hits = {level: codes == code_of.get(level, -2) for level in self.levels[name]}
        return {
            f"{name}={level}": np.where(empty, missing, hit.astype("float64"))
            for level, hit in hits.items()
        }


def _common_levels(values: pd.Series, kind: Kind) -> tuple[str, ...]:
    given = values.dropna()
    if kind == "set":
        given = given.str.split("|").explode()
    counts = given.value_counts()
    return tuple(sorted(counts[counts >= RAREST_LEVEL].index))


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
