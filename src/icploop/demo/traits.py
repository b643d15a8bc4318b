"""Attribute values as traits: columns between 0 and 1 on which effects can be put."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from icploop.demo.market import CATEGORIES, KINDS, NEVER_MATTER, SETS, Floats

_HUMPS = (-1.8, -0.6, 0.6, 1.8)
_HUMP_WIDTH = 0.7
_FRESH_DAYS = 270

MATTERING = [name for name in KINDS if name not in NEVER_MATTER]


def _parts(attribute: str) -> list[str]:
    match KINDS[attribute]:
        case "category":
            return list(CATEGORIES[attribute])
        case "set":
            return list(SETS[attribute])
        case "number":
            return ["tiny", "small", "large", "huge"]
        case _:
            return ["yes"]


TRAITS = [(attribute, part) for attribute in MATTERING for part in _parts(attribute)]


@dataclass(frozen=True)
class TraitScale:
    """Turns attributes into traits: a level, a member, a flag, a range of a number, a fresh date.

    A number becomes overlapping humps along its logarithm, so that its effect is smooth and may
    have a sweet spot; a date becomes its freshness.
    """

    numbers: dict[str, tuple[float, float]]  # mean and spread of the logarithm of each number

    @classmethod
    def of_market(cls, market: pd.DataFrame) -> "TraitScale":
        """The scale on which the numbers of a market have mean 0 and spread 1."""
        logs = {name: np.log1p(market[name]) for name in MATTERING if KINDS[name] == "number"}
        return cls({name: (float(log.mean()), float(log.std())) for name, log in logs.items()})

    def traits(self, market: pd.DataFrame, days: pd.DatetimeIndex) -> Floats:
        """One row per account as it stands on its day, one column per member of `TRAITS`."""
        columns = [self._trait(market, days, attribute, part) for attribute, part in TRAITS]
        return np.column_stack(columns)

    def _trait(
        self, market: pd.DataFrame, days: pd.DatetimeIndex, attribute: str, part: str
    ) -> Floats:
        match KINDS[attribute]:
            case "category":
                trait = market[attribute] == part
            case "set":
                trait = market[f"{attribute}={part}"]
            case "number":
                mean, spread = self.numbers[attribute]
                hump = _HUMPS[_parts(attribute).index(part)]
                distance = (np.log1p(market[attribute]) - mean) / spread - hump
                trait = np.exp(-((distance / _HUMP_WIDTH) ** 2) / 2)
            case "date":
                age = (days - pd.DatetimeIndex(market[attribute])).days
                trait = pd.Series(np.exp(-np.maximum(age, 0) / _FRESH_DAYS)).fillna(0)
            case _:
                trait = market[attribute]
        return np.asarray(trait, dtype=float)
