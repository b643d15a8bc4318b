"""The readable ICP as a value: conditions that execute, points, evidence, and the anti-ICP."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from icploop.domain.predicate import Predicate
from icploop.settings import Attribute, Kind, Objective

Weight = Literal["non-negotiable", "strong", "nice to have"]
Support = Literal["supported", "hypothesis", "contradicted"]
# Fewer customers on either side of a line say nothing about it.
FEWEST_ACCOUNTS = 20


@dataclass(frozen=True)
class Evidence:
    """What matured accounts show for a line, inside against outside of it.

    NRR and retention are ratios, nan where there is nobody; `low` and `high` bound the difference
    in mean NRR per account (winsorised at 2) at 90%. `age_months` is how long ago the sales began
    of those inside (median).
    """

    accounts: int
    of: int
    nrr: float
    nrr_outside: float
    retention: float
    retention_outside: float
    low: float
    high: float
    age_months: float

    def support(self, sign: int) -> Support:
        """Whether customers show that the line is right (`sign` 1: inside is better)."""
        if min(self.accounts, self.of - self.accounts) < FEWEST_ACCOUNTS:
            return "hypothesis"
        low, high = (self.low, self.high) if sign > 0 else (-self.high, -self.low)
        return "supported" if low > 0 else "contradicted" if high < 0 else "hypothesis"


@dataclass(frozen=True)
class Line:
    """One line of the page: a condition under a dimension, its points and its evidence.

    A non-negotiable line cannot be outvoted: who is not known to fulfil it is never tier A.
    """

    dimension: str
    predicate: Predicate
    points: int
    evidence: Evidence
    non_negotiable: bool = False

    @property
    def weight(self) -> Weight:
        """Its class: non-negotiable, strong (two or three points either way) or nice to have."""
        if self.non_negotiable:
            return "non-negotiable"
        return "strong" if abs(self.points) >= 2 else "nice to have"

    @property
    def support(self) -> Support:
        """Whether what matured customers did supports it."""
        return self.evidence.support(1 if self.points >= 0 else -1)


@dataclass(frozen=True)
class Refusal:
    """A line of the anti-ICP, and what it would have cost.

    `learned` from outcomes, or else written by people with a `reason`. `why` says in words what
    went wrong with these customers. `good_refused` counts the matured customers who did not shrink
    and would have been refused, `revenue_refused` is the share (0..1) of the revenue that all
    matured customers paid at the horizon.
    """

    dimension: str
    predicate: Predicate
    learned: bool
    reason: str
    why: tuple[str, ...]
    good_refused: int
    revenue_refused: float
    evidence: Evidence


@dataclass(frozen=True)
class StatedLine:
    """A line of the hypothesis in the settings, and what customers say of it."""

    dimension: str
    predicate: Predicate
    points: int
    evidence: Evidence

    @property
    def support(self) -> Support:
        """Whether what matured customers did supports it."""
        return self.evidence.support(1 if self.points >= 0 else -1)


@dataclass(frozen=True)
class Rules:
    """What of a profile executes, and all that a page must say to be run again."""

    lines: tuple[tuple[Predicate, int, bool], ...]
    anti: tuple[Predicate, ...]
    cutoff: int

    def points(self, features: pd.DataFrame) -> pd.Series:
        """The sum of points of each account."""
        total = pd.Series(0, index=features.index)
        for predicate, points, _ in self.lines:
            total += points * predicate.holds(features).astype(int)
        return total

    def is_anti(self, features: pd.DataFrame) -> pd.Series:
        """Which accounts fall under any line of the anti-ICP."""
        refused = pd.Series(False, index=features.index)
        for predicate in self.anti:
            refused |= predicate.holds(features)
        return refused

    def meets(self, features: pd.DataFrame) -> pd.Series:
        """Which accounts are known to fulfil every non-negotiable line."""
        met = pd.Series(True, index=features.index)
        for predicate, _, non_negotiable in self.lines:
            if non_negotiable:
                met &= predicate.holds(features)
        return met

    def selects(self, features: pd.DataFrame) -> pd.Series:
        """Which accounts fit: not refused, every non-negotiable met, and points enough."""
        enough = self.points(features) >= self.cutoff
        return enough & self.meets(features) & ~self.is_anti(features)


@dataclass(frozen=True)
class Profile:
    """The ICP that people read: what fits, what to refuse, and on how many accounts it rests.

    Accounts with `cutoff` points fit; `unit` is what a point is worth in what accounts are ranked
    by (for NRR a ratio: .03 = three points of NRR); `fidelity` (0..1) is the share of the full
    model's lift that choosing by points keeps, by the model's own expectations. `stated` holds the
    hypothesis of the settings with what customers say of it. `average` is the average customer
    profile in the attributes of the lines, and `likeness` (0..1) the share of the prospects that
    this profile selects which the average customer profile would have chosen too.
    """

    lines: tuple[Line, ...]
    anti: tuple[Refusal, ...]
    matured: int
    cutoff: int = 0
    unit: float = 0.0
    fidelity: float = 0.0
    stated: tuple[StatedLine, ...] = ()
    average: tuple[Predicate, ...] = ()
    likeness: float = 0.0

    @property
    def rules(self) -> Rules:
        """What of it executes."""
        return Rules(
            tuple((line.predicate, line.points, line.non_negotiable) for line in self.lines),
            tuple(refusal.predicate for refusal in self.anti),
            self.cutoff,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values from which `from_dict` makes the same profile."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Profile:
        """The inverse of `as_dict`."""
        parts = {
            "lines": tuple(Line(**_read(line)) for line in raw["lines"]),
            "anti": tuple(Refusal(**_read(line)) for line in raw["anti"]),
            "stated": tuple(StatedLine(**_read(line)) for line in raw["stated"]),
            "average": tuple(_predicate(predicate) for predicate in raw["average"]),
        }
        return cls(**{**raw, **parts})


def worth_of_a_point(unit: float, objective: Objective, currency: str) -> str:
    """What a point is worth in words: points of what accounts are ranked by, or money."""
    if objective == "value":
        return f"{unit:,.0f} {currency} a deal"
    ranked_by = {"nrr": "NRR", "grr": "GRR", "retention": "retention"}[objective]
    return f"{100 * unit:.1f} points of {ranked_by}"


def kinds_of(attributes: Sequence[Attribute]) -> dict[str, Kind]:
    """The kind of each attribute by name."""
    return {a.name: a.kind for a in attributes}


def _plain(value: Any) -> Any:
    """JSON has no number that is none."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _read(raw: Mapping[str, Any]) -> dict[str, Any]:
    predicate = raw["predicate"]
    known: dict[str, Any] = {k: math.nan if v is None else v for k, v in raw["evidence"].items()}
    evidence = Evidence(**known)
    read = {**raw, "predicate": _predicate(predicate), "evidence": evidence}
    return read | ({"why": tuple(raw["why"])} if "why" in raw else {})


def _predicate(raw: Mapping[str, Any]) -> Predicate:
    between, any_of = raw["between"], raw["any_of"]
    return Predicate(
        raw["attribute"],
        (between[0], between[1]) if between is not None else None,
        tuple(any_of) if any_of is not None else None,
        raw["is_true"],
        # Profiles of older versions know no range that leaves out its end.
        raw.get("below", False),
    )
