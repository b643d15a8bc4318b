"""The fit model as a scorecard that a person can add up in the head: few lines, whole points.

The full model scores; the scorecard explains it. It is learned from what the model says of many
accounts, customers and prospects alike (Bucila, Caruana and Niculescu-Mizil, KDD 2006), so that it
rests on everything that the model learned and not on outcomes a second time. Attributes are chosen
greedily, numbers are cut into ranges where the model changes its mind, and points are rounded to
whole numbers together rather than one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from icploop.domain.predicate import Predicate, readable
from icploop.modeling.accounts.features import coverage
from icploop.modeling.statistics.capacity import pursued
from icploop.settings import Attribute

MOST_POINTS = 3
_MOST_LINES = 20
_BINS = 10
# One more range or group of levels must explain this share of what its attribute explains.
_LEAST_SPLIT = 0.01
_RAREST = 0.02
# An attribute is not worth a line when it explains less of the model's scores than this.
_LEAST_GAIN = 0.001
_RIDGE = 1e-3
_UNITS = np.linspace(0.15, 1.0, 18)
_ROUNDS = 4
_MOST_ACCOUNTS = 2500
_KNOWN_ENOUGH = 0.5
# Nobody writes "up to 4,299,999".
_MOST_COUNTED = 100_000


@dataclass(frozen=True)
class ScoredLine:
    """A condition on an attribute and its whole points, from -3 to 3 and never 0."""

    attribute: Attribute
    predicate: Predicate
    points: int


@dataclass(frozen=True)
class Scorecard:
    """Lines in the order of their weight; accounts with `cutoff` points or more fit.

    `unit` is what a point is worth in what accounts are ranked by (a ratio for NRR: .03 = three
    points of NRR), `fidelity` the share of the full model's lift that choosing by points keeps, on
    the accounts that it was learned from and by the model's own expectations.
    """

    lines: tuple[ScoredLine, ...]
    unit: float
    cutoff: int
    fidelity: float

    def points(self, features: pd.DataFrame) -> pd.Series:
        """The sum of points of each account."""
        total = np.zeros(len(features))
        for line in self.lines:
            total += line.points * line.predicate.holds(features).to_numpy()
        return pd.Series(total, index=features.index)


def learn_scorecard(
    features: pd.DataFrame, said: pd.Series, attributes: Sequence[Attribute], capacity: float
) -> Scorecard:
    """The scorecard that comes nearest to what a model `said` of accounts (rows of `features`).

    `capacity` is the share of accounts that are pursued. A model that says the same of everybody
    has a scorecard without lines.
    """
    # In the order of their ids, so that the order of rows changes nothing; a sample says enough.
    step = -(-len(features) // _MOST_ACCOUNTS) or 1
    features = features.sort_index(kind="stable").iloc[::step]
    said = said.loc[features.index]
    target = said.to_numpy(dtype="float64") - float(said.mean())
    if len(target) == 0 or target.std() < 1e-12:
        return Scorecard((), 0.0, 0, 0.0)
    lines = _candidates(features, target, attributes)
    if not lines:
        return Scorecard((), 0.0, 0, 0.0)
    held = np.column_stack([predicate.holds(features) for _, predicate in lines]).astype("float64")
    points = _whole_points(held, target, capacity)
    kept = [
        ScoredLine(attribute, predicate, int(p))
        for (attribute, predicate), p in zip(lines, points, strict=True)
        if p
    ]
    kept.sort(key=lambda line: (-abs(line.points), line.attribute.name, line.predicate.code()))
    card = Scorecard(tuple(kept), 0.0, 0, 0.0)
    total = card.points(features)
    unit = float(np.polyfit(total, target, 1)[0]) if total.std() > 0 else 0.0
    fidelity = share_kept(total, said, said, capacity)
    return Scorecard(card.lines, unit, _cutoff(total, capacity), fidelity)


def worth_asking_about(market: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    """The accounts that a model is asked about for its scorecard: attribute frames of both.

    Of the market only those are left of whom at least half as much is known as of the typical
    customer. Of a market that is known by name only, a model says next to nothing, and a page that
    explains that would not explain the model.
    """
    least = _KNOWN_ENOUGH * float(coverage(customers).median()) if len(customers) else 0.0
    others = market[coverage(market) >= least].drop(customers.index, errors="ignore")
    return pd.concat([others, customers[market.columns]])


def share_kept(points: pd.Series, model: pd.Series, worth: pd.Series, capacity: float) -> float:
    """How much of the lift of choosing by `model` is kept by choosing by `points`.

    Lift is what the chosen are worth above everybody. Accounts that tie at the edge share what is
    left of the capacity.
    """

    def lift(scores: pd.Series) -> float:
        share = pursued(scores, capacity).to_numpy()
        return float(np.average(worth, weights=share) - worth.mean())

    full = lift(model)
    return lift(points) / full if full > 0 else 0.0


def _candidates(
    features: pd.DataFrame, target: np.ndarray, attributes: Sequence[Attribute]
) -> list[tuple[Attribute, Predicate]]:
    """Conditions on the attributes that explain most of the target, chosen one after the other."""
    blocks = {a: _Block.of(a, features[a.name]) for a in attributes}
    blocks = {a: block for a, block in blocks.items() if block.columns.shape[1]}
    chosen: list[Attribute] = []
    rest, total = target, float(target @ target)
    while len(chosen) < min(len(blocks), _MOST_LINES):
        gains = {a: _explained(b.columns, rest) for a, b in blocks.items() if a not in chosen}
        best = max(gains, key=lambda a: (gains[a], a.name))
        if gains[best] < _LEAST_GAIN * total:
            break
        chosen.append(best)
        together = np.column_stack([blocks[a].columns for a in chosen])
        rest = target - together @ _ridge(together, target)
    effects = _ridge(together, target) if chosen else np.empty(0)
    lines, start = [], 0
    for attribute in chosen:
        block = blocks[attribute]
        width = block.columns.shape[1]
        found = block.predicates(attribute, effects[start : start + width])
        lines += [(attribute, predicate) for predicate in found]
        start += width
    return lines


@dataclass(frozen=True)
class _Block:
    """The finest pieces of an attribute as 0/1 columns: ranges, levels, members, yes.

    `ends` holds the lower end of each range of a number but the first, `levels` the level of each
    column otherwise.
    """

    columns: np.ndarray
    ends: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    whole: bool = False

    @classmethod
    def of(cls, attribute: Attribute, values: pd.Series) -> _Block:
        """The pieces that enough accounts have."""
        if attribute.kind == "flag":
            return cls(values.eq(1.0).to_numpy(dtype="float64")[:, None])
        if attribute.is_number_like:
            return cls._ranges(values.to_numpy(dtype="float64"))
        codes, distinct = pd.factorize(values)
        members = [
            frozenset(t.split("|") if attribute.kind == "set" else [t]) for t in map(str, distinct)
        ]
        # Counted before there is a column: of thousands of levels hardly any is common.
        accounts: Counter[str] = Counter()
        for own, count in zip(members, np.bincount(codes[codes >= 0]), strict=True):
            accounts.update(dict.fromkeys(own, int(count)))
        levels = sorted(level for level, n in accounts.items() if n / len(values) >= _RAREST)
        has = np.array([[*(level in m for m in members), False] for level in levels]).reshape(
            len(levels), len(members) + 1
        )
        return cls(has[:, codes].T.astype("float64"), levels=tuple(levels))

    @classmethod
    def _ranges(cls, values: np.ndarray) -> _Block:
        given = values[np.isfinite(values)]
        if len(given) == 0:
            return cls(np.empty((len(values), 0)))
        cuts = np.quantile(given, np.arange(1, _BINS) / _BINS)
        ends = sorted({readable(float(cut)) for cut in cuts})
        ends = [end for end in ends if given.min() < end <= given.max()]
        code = np.where(np.isfinite(values), np.searchsorted(ends, values, side="right"), -1)
        columns = (code[:, None] == np.arange(len(ends) + 1)).astype("float64")
        return cls(columns, ends=tuple(ends), whole=_are_counts(given))

    def predicates(self, attribute: Attribute, effects: np.ndarray) -> list[Predicate]:
        """Conditions that group pieces of like effect, but for the group nearest to the average."""
        counts = self.columns.sum(axis=0)
        if attribute.kind == "flag":
            return [Predicate(attribute.name, is_true=True)]
        if attribute.kind == "set":
            return [Predicate(attribute.name, any_of=(level,)) for level in self.levels]
        order = np.arange(len(effects)) if self.ends else np.argsort(effects, kind="stable")
        groups = _segments(effects[order], counts[order])
        means = [
            np.average(effects[order[g]], weights=np.maximum(counts[order[g]], 1)) for g in groups
        ]
        middle = float(np.average(effects, weights=np.maximum(counts, 1)))
        plain = int(np.argmin(np.abs(np.array(means) - middle)))
        told = [order[g] for i, g in enumerate(groups) if i != plain]
        if attribute.is_number_like:
            return [self._range(attribute.name, g) for g in told]
        return [
            Predicate(attribute.name, any_of=tuple(sorted(self.levels[i] for i in g))) for g in told
        ]

    def _range(self, name: str, pieces: np.ndarray) -> Predicate:
        """Neighbouring ranges as one. A value on an end belongs to the range above it.

        Among counts that people count one by one that is said as `up to 99`, else as `below`.
        """
        first, last = int(pieces.min()), int(pieces.max())
        low = self.ends[first - 1] if first > 0 else None
        if last == len(self.ends):
            return Predicate(name, between=(low, None))
        high = self.ends[last]
        if self.whole:
            return Predicate(name, between=(low, high - 1))
        return Predicate(name, between=(low, high), below=True)


def _are_counts(values: np.ndarray) -> bool:
    """Whether they are whole numbers of a size that people count one by one."""
    return bool((values == np.round(values)).all() and np.abs(values).max() < _MOST_COUNTED)


def _segments(effects: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Runs of pieces that differ least inside, by dynamic programming.

    One more run must explain a share of what there is to explain (Jackson et al., IEEE Signal
    Processing Letters 12, 2005).
    """
    n = len(effects)
    weight = np.maximum(counts, 1e-9)
    w, s, q = (np.concatenate([[0.0], np.cumsum(weight * effects**k)]) for k in (0, 1, 2))

    def inside(low: int, high: int) -> float:
        return float(q[high] - q[low] - (s[high] - s[low]) ** 2 / (w[high] - w[low]))

    price = _LEAST_SPLIT * inside(0, n)
    best, start = [0.0], [0]
    for high in range(1, n + 1):
        costs = [best[low] + inside(low, high) + price for low in range(high)]
        start.append(int(np.argmin(costs)))
        best.append(costs[start[-1]])
    runs, high = [], n
    while high:
        runs.append(np.arange(start[high], high))
        high = start[high]
    return runs[::-1]


def _explained(columns: np.ndarray, target: np.ndarray) -> float:
    return float(target @ target - ((target - columns @ _ridge(columns, target)) ** 2).sum())


def _ridge(columns: np.ndarray, target: np.ndarray) -> np.ndarray:
    centred = columns - columns.mean(axis=0)
    system = centred.T @ centred + _RIDGE * len(target) * np.eye(columns.shape[1])
    return np.linalg.solve(system, centred.T @ target)


def _whole_points(held: np.ndarray, target: np.ndarray, capacity: float) -> np.ndarray:
    """Whole points of each line that together rank most like the target.

    Starts from rounded effects at the best unit and changes points one by one; then the least
    useful lines go until few enough are left, and points are changed once more.
    """
    effects, aim = _ridge(held, target), _Aim.at(target, capacity)
    largest = float(np.abs(effects).max()) or 1.0

    def rounded(unit: float) -> np.ndarray:
        return np.clip(np.round(effects / (unit * largest)), -MOST_POINTS, MOST_POINTS)

    best_unit = max(_UNITS, key=lambda unit: aim.likeness(held @ rounded(unit)))
    points = _improved(held, rounded(best_unit), aim)
    while np.count_nonzero(points) > _MOST_LINES:
        used, total = np.flatnonzero(points), held @ points
        without = [aim.likeness(total - points[i] * held[:, i]) for i in used]
        points[used[int(np.argmax(without))]] = 0
    used = np.flatnonzero(points)
    points[used] = _improved(held[:, used], points[used], aim)
    return points


def _improved(held: np.ndarray, points: np.ndarray, aim: _Aim) -> np.ndarray:
    """Points that no change of a single one by a single point would make rank more like it."""
    points, total = points.copy(), held @ points
    best = aim.likeness(total)
    for _ in range(_ROUNDS):
        before = best
        for i in range(len(points)):
            for step in (-1, 1):
                if abs(points[i] + step) > MOST_POINTS:
                    continue
                found = aim.likeness(total + step * held[:, i])
                if found > best + 1e-9:
                    points[i] += step
                    total, best = total + step * held[:, i], found
        if best == before:
            break
    return points


@dataclass(frozen=True)
class _Aim:
    """What points are to rank like: a target of mean 0, and the share of accounts pursued."""

    target: np.ndarray
    capacity: float
    perfect: float
    norm: float

    @classmethod
    def at(cls, target: np.ndarray, capacity: float) -> _Aim:
        """The aim with what the target itself would reach."""
        aim = cls(target, capacity, 1.0, float(np.sqrt(target @ target)))
        return replace(aim, perfect=aim._lift(target))

    def likeness(self, points: np.ndarray) -> float:
        """Correlation with the target plus the share of its lift at capacity."""
        about = points - points.mean()
        spread = float(about @ about)
        if spread == 0:
            return -1.0
        correlation = float(about @ self.target) / (np.sqrt(spread) * self.norm)
        return correlation + self._lift(points) / self.perfect

    def _lift(self, scores: np.ndarray) -> float:
        """What the best share by score is above everybody; ties share what is left."""
        room = self.capacity * len(scores)
        at_edge = len(scores) - max(int(np.ceil(room)), 1)
        edge = np.partition(scores, at_edge)[at_edge]
        above, tied = scores > edge, scores == edge
        share = (room - np.count_nonzero(above)) / np.count_nonzero(tied)
        return float(above @ self.target + share * (tied @ self.target)) / room


def _cutoff(points: pd.Series, capacity: float) -> int:
    """The points from which the share of accounts is nearest to the capacity."""
    asked = range(int(points.min()), int(points.max()) + 2)
    return min(asked, key=lambda least: (abs(float((points >= least).mean()) - capacity), least))
