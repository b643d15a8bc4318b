"""What no customer was like: values that the model has nothing to say about, and says so.

A model answers for every account, also for one in an industry where nobody ever bought. Such an
answer is an average in disguise. Here it is kept what the customers were like that the model
learned from, so that an account from outside can be told from one that is merely average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from icploop.domain.cells import spelling_key
from icploop.modeling.accounts.coding import Coded, Texts
from icploop.settings import Kind

# With fewer customers that have a value, nothing is said of values that none of them has.
_FEWEST = 20
# Where more of the customers than this have a value of their own, new values are what is usual.
_ORDINARY_NOVELTY = 0.1
# How far beyond the customers' range a number may lie: this times the range, and on the scale of
# logarithms, where numbers are spread so, this times again as wide.
_BEYOND, _BEYOND_LOG = 1.0, 0.25


@dataclass(frozen=True)
class Range:
    """Between `low` and `high` an answer is supported; customers lay from `least` to `most`."""

    low: float
    high: float
    least: float
    most: float


@dataclass(frozen=True)
class Support:
    """Categories that customers had, and ranges of numbers and dates (ages in days), by attribute.

    An attribute that is in neither is not asked about: too few customers have a value, or nearly
    everybody has one of their own, or its kind is flag or set.
    """

    seen: dict[str, tuple[str, ...]]
    ranges: dict[str, Range]

    @classmethod
    def learn(cls, features: pd.DataFrame, kinds: Mapping[str, Kind]) -> Support:
        """What the customers of an attribute frame were like."""
        seen: dict[str, tuple[str, ...]] = {}
        ranges: dict[str, Range] = {}
        for name in sorted(kinds):
            given = features[name].dropna()
            if len(given) < _FEWEST:
                continue
            if kinds[name] == "category":
                counts = Texts.of(given).levels("category")
                # The share that was seen once estimates that of values still unseen (Good 1953).
                if list(counts.values()).count(1) <= _ORDINARY_NOVELTY * len(given):
                    seen[name] = tuple(sorted(counts))
            elif kinds[name] in ("number", "date"):
                ranges[name] = _range_of(given.to_numpy(dtype="float64"))
        return cls(seen, ranges)

    def strange(self, name: str, coded: Coded) -> np.ndarray:
        """Which accounts have a value of an attribute that no customer came near."""
        if name in self.seen:
            texts, seen = coded.texts[name], set(map(spelling_key, self.seen[name]))
            new = np.array([spelling_key(t) not in seen for t in texts.distinct], dtype=bool)
            return texts.spread(new, missing=False)
        if name in self.ranges:
            allowed, values = self.ranges[name], coded.numbers[name]
            return (values < allowed.low) | (values > allowed.high)
        return np.zeros(coded.rows, dtype=bool)

    def holds(self, coded: Coded) -> np.ndarray:
        """Which accounts are like customers in every attribute that they have."""
        supported = np.ones(coded.rows, dtype=bool)
        for name in (*self.seen, *self.ranges):
            supported &= ~self.strange(name, coded)
        return supported

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values from which `from_dict` makes the same support."""
        return {
            "seen": {name: list(values) for name, values in self.seen.items()},
            "ranges": {name: asdict(allowed) for name, allowed in self.ranges.items()},
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Support:
        """The inverse of `as_dict`."""
        return cls(
            {name: tuple(values) for name, values in raw["seen"].items()},
            {name: Range(**allowed) for name, allowed in raw["ranges"].items()},
        )


def _range_of(given: np.ndarray) -> Range:
    least, most = float(given.min()), float(given.max())
    width = most - least
    low, high = least - _BEYOND * width, most + _BEYOND * width
    # Spread over orders of magnitude: what is far from the customers is so by factors.
    if least >= 0 and width > 20 and most > 4 * max(float(np.median(given)), 1.0):
        high = max(high, least + (1 + width) ** (1 + _BEYOND_LOG))
    return Range(low, high, least, most)
