"""What a version was learned from, and how: what a later round needs to know of its champion.

The recipe lets a round tell a refit from another recipe, and learn by the old recipe again. The
outcomes as they read then let it tell whether the past has changed since.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from icploop.modeling.learning.fit_model import REVISION
from icploop.settings import Attribute, HypothesisLine, Learning, Outcome, Settings

# Outcomes are kept to four digits, and this much of NRR may be lost in summing up bills.
_SAME = 0.005


@dataclass(frozen=True)
class Recipe:
    """How a version is learned, whoever the customers are.

    `attributes` are those that the settings declared, and `revision` that of the fit model's code.
    """

    attributes: tuple[Attribute, ...]
    hypothesis: tuple[HypothesisLine, ...]
    outcome: Outcome
    learning: Learning
    revision: int = REVISION

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The recipe that settings ask for, with the code that runs."""
        return cls(
            settings.attributes, tuple(settings.hypothesis), settings.outcome, settings.learning
        )

    def changed_since(self, other: Recipe) -> tuple[str, ...]:
        """What differs from another recipe, by the names of the settings."""
        ours, theirs = self._parts(), other._parts()
        return tuple(name for name in ours if ours[name] != theirs[name])

    def _parts(self) -> dict[str, Any]:
        return {
            "attributes": sorted((a.name, a.kind) for a in self.attributes),
            "hypothesis": sorted(line.model_dump_json() for line in self.hypothesis),
            "outcome": self.outcome,
            "learning": self.learning,
            "the fit model's code": self.revision,
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "attributes": [a.model_dump(mode="json") for a in self.attributes],
            "hypothesis": [line.model_dump(mode="json") for line in self.hypothesis],
            "outcome": self.outcome.model_dump(mode="json"),
            "learning": self.learning.model_dump(mode="json"),
            "revision": self.revision,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        return cls(
            tuple(Attribute(**a) for a in values["attributes"]),
            tuple(HypothesisLine(**line) for line in values["hypothesis"]),
            Outcome(**values["outcome"]),
            Learning(**values["learning"]),
            int(values["revision"]),
        )


@dataclass(frozen=True)
class ChangedOutcomes:
    """How many outcomes that had matured at a version's training read differently now.

    `known` is how many of them are still there, `changed` how many of these read differently, by
    `typical` points of NRR (median of the absolute change) and `mean` points on balance; `gone` is
    how many customers are no longer there.
    """

    known: int
    changed: int
    gone: int
    typical: float
    mean: float

    @property
    def share(self) -> float:
        """The share that reads differently (0..1)."""
        return self.changed / self.known if self.known else 0.0

    def __str__(self) -> str:
        gone = f"; {self.gone} are no longer there" if self.gone else ""
        return (
            f"of {self.known} customers who had matured when the champion was trained, "
            f"{self.changed} ({self.share:.0%}) read differently now, by {self.typical:.0f} points "
            f"of NRR in the middle and {self.mean:+.0f} on balance{gone}"
        )


@dataclass(frozen=True)
class Learned:
    """What a version was learned from.

    `customers` counts those with a month or more at risk; `outcomes` is the NRR of each that had
    matured, by account_id.
    """

    recipe: Recipe
    customers: int
    outcomes: pd.Series

    def changed_outcomes(self, nrr: pd.Series) -> ChangedOutcomes:
        """How what was seen then differs from `nrr` of the customers who have matured now."""
        there = self.outcomes.index.intersection(nrr.index)
        change = 100 * (nrr.loc[there].astype("float64") - self.outcomes.loc[there])
        moved = change[change.abs() > 100 * _SAME]
        return ChangedOutcomes(
            known=len(there),
            changed=len(moved),
            gone=len(self.outcomes) - len(there),
            typical=float(moved.abs().median()) if len(moved) else 0.0,
            mean=float(moved.mean()) if len(moved) else 0.0,
        )

    def as_bytes(self) -> bytes:
        """The value as a JSON document, the same bytes for the same value."""
        seen = self.outcomes.sort_index()
        values = {str(a): round(float(v), 4) for a, v in seen.items() if np.isfinite(v)}
        document = {
            "customers": self.customers,
            "recipe": self.recipe.as_dict(),
            "outcomes": values,
        }
        return json.dumps(document, indent=1).encode()

    @classmethod
    def from_bytes(cls, written: bytes) -> Self:
        """The inverse of `as_bytes`."""
        document = json.loads(written)
        outcomes = {a: float(v) for a, v in document["outcomes"].items()}
        return cls(
            Recipe.from_dict(document["recipe"]),
            int(document["customers"]),
            pd.Series(outcomes, dtype="float64"),
        )
