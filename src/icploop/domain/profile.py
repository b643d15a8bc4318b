"""The readable ICP as a value: predicates that execute, points, evidence, and the anti-ICP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from icploop.settings import Attribute, HypothesisLine, Kind


@dataclass(frozen=True)
class Predicate:
    """A condition on one attribute: exactly one of `between`, `any_of` and `is_true` is given.

    `between` includes both ends, and None leaves one open; for dates it is the age in days. A
    missing value never fulfils a condition.
    """

    attribute: str
    between: tuple[float | None, float | None] | None = None
    any_of: tuple[str, ...] | None = None
    is_true: bool | None = None

    @classmethod
    def of_hypothesis(cls, line: HypothesisLine) -> Predicate:
        """The condition of a line of the stated hypothesis."""
        return cls(line.attribute, line.between, line.any_of, line.is_true)

    def holds(self, features: pd.DataFrame) -> pd.Series:
        """Which accounts of an attribute frame fulfil it."""
        values = features[self.attribute]
        if self.between is not None:
            low, high = self.between
            return (
                values.notna()
                & (True if low is None else values >= low)
                & (True if high is None else values <= high)
            )
        if self.any_of is not None:
            wanted = frozenset(self.any_of)
            # A category may hold a bar of its own; members of a set never do.
            has_any = values.map(
                lambda text: not wanted.isdisjoint([text, *text.split("|")]), "ignore"
            )
            return has_any.eq(True)
        return values.eq(float(bool(self.is_true)))

    def text(self, attribute: Attribute) -> str:
        """The condition in words, with the attribute's label."""
        if self.between is not None:
            days = " days ago" if attribute.kind == "date" else ""
            return f"{attribute.label} {_range_text(*self.between)}{days}"
        if self.any_of is not None:
            verb = "has" if attribute.kind == "set" else "is"
            return f"{attribute.label} {verb} {' or '.join(self.any_of)}"
        return attribute.label if self.is_true else f"no {attribute.label}"


@dataclass(frozen=True)
class Evidence:
    """What matured accounts show for a line, inside against outside of it.

    NRR and retention are ratios; `low` and `high` bound the difference in mean NRR per account
    (winsorised at 2) at 90%.
    """

    accounts: int
    of: int
    nrr: float
    nrr_outside: float
    retention: float
    retention_outside: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One line of the page: a condition under a dimension, its points and its evidence."""

    dimension: str
    predicate: Predicate
    points: int
    evidence: Evidence


@dataclass(frozen=True)
class Profile:
    """The ICP that people read: what fits, what to refuse, and on how many accounts it rests."""

    lines: tuple[Line, ...]
    anti: tuple[Line, ...]
    matured: int

    def points(self, features: pd.DataFrame) -> pd.Series:
        """The sum of points of each account."""
        total = pd.Series(0, index=features.index)
        for line in self.lines:
            total += line.points * line.predicate.holds(features).astype(int)
        return total

    def is_anti(self, features: pd.DataFrame) -> pd.Series:
        """Which accounts fall under any line of the anti-ICP."""
        refused = pd.Series(False, index=features.index)
        for line in self.anti:
            refused |= line.predicate.holds(features)
        return refused

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values from which `from_dict` makes the same profile."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Profile:
        """The inverse of `as_dict`."""
        return cls(_lines(raw["lines"]), _lines(raw["anti"]), raw["matured"])


def _range_text(low: float | None, high: float | None) -> str:
    if high is None:
        return f"{low:,.6g} or more"
    if low is None:
        return f"up to {high:,.6g}"
    return f"{low:,.6g} to {high:,.6g}"


def kinds_of(attributes: Sequence[Attribute]) -> dict[str, Kind]:
    """The kind of each attribute by name."""
    return {a.name: a.kind for a in attributes}


def _lines(raw: Sequence[Mapping[str, Any]]) -> tuple[Line, ...]:
    return tuple(
        Line(
            line["dimension"],
            _predicate(line["predicate"]),
            line["points"],
            Evidence(**line["evidence"]),
        )
        for line in raw
    )


def _predicate(raw: Mapping[str, Any]) -> Predicate:
    between, any_of = raw["between"], raw["any_of"]
    return Predicate(
        raw["attribute"],
        (between[0], between[1]) if between is not None else None,
        tuple(any_of) if any_of is not None else None,
        raw["is_true"],
    )
