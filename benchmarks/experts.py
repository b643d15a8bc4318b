"""People who believe something of a simulated company before it has data: some rightly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.worlds import Company
from icploop.domain.predicate import Predicate
from icploop.settings import HypothesisLine

_LINES = 6
_FEWEST = 0.08


def expert(c: Company, good: bool) -> tuple[HypothesisLine, ...]:
    """Six lines on six attributes, two points each.

    A good expert names six of the twelve attributes that matter most, with the condition that
    matters most and the right sign; a poor one names any attribute and any condition, and is right
    about the sign three times in five.
    """
    rng = np.random.default_rng(len(c.sold) + int(c.truth["expected_acv"].iloc[0]))
    nrr = c.truth["expected_nrr"].to_numpy()
    best: list[tuple[float, HypothesisLine]] = []
    any_line: list[HypothesisLine] = []
    for name, kind in c.kinds.items():
        lines = [
            (_effect(line, c.market, nrr), line) for line in _lines(name, kind, c.market[name])
        ]
        lines = [(effect, line) for effect, line in lines if effect != 0]
        if lines:
            effect, line = max(lines, key=lambda found: abs(found[0]))
            best.append((abs(effect), _pointed(line, effect > 0)))
            effect, line = lines[rng.integers(len(lines))]
            any_line.append(_pointed(line, (effect > 0) == (rng.random() < 0.6)))
    if good:
        matter = [line for _, line in sorted(best, key=lambda found: -found[0])[: 2 * _LINES]]
        return tuple(matter[i] for i in rng.permutation(len(matter))[:_LINES])
    return tuple(any_line[i] for i in rng.permutation(len(any_line))[:_LINES])


def _lines(name: str, kind: str, values: pd.Series) -> Iterator[HypothesisLine]:
    if kind == "flag":
        yield HypothesisLine(attribute=name, is_true=True, points=1)
    elif kind in ("number", "date"):
        ends = np.nanquantile(values.to_numpy(dtype="float64"), [0, 0.25, 0.5, 0.75, 1])
        for low, high in ((0, 1), (1, 3), (3, 4), (0, 2), (2, 4)):
            yield HypothesisLine(attribute=name, between=(ends[low], ends[high]), points=1)
    else:
        for level in sorted(values.dropna().str.split("|").explode().unique()):
            yield HypothesisLine(attribute=name, any_of=(level,), points=1)


def _effect(line: HypothesisLine, market: pd.DataFrame, nrr: np.ndarray) -> float:
    """How much more NRR accounts truly have where the line holds; 0 where it hardly ever does."""
    holds = Predicate.of_condition(line).holds(market).to_numpy(dtype=bool)
    if not _FEWEST <= holds.mean() <= 1 - _FEWEST:
        return 0.0
    return float(nrr[holds].mean() - nrr[~holds].mean())


def _pointed(line: HypothesisLine, positive: bool) -> HypothesisLine:
    return line.model_copy(update={"points": 2 if positive else -2})
