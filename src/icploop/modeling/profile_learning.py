"""Learning the readable ICP from matured accounts: few lines, each with its evidence.

Every attribute offers candidate conditions; a condition is worth its difference in mean NRR inside
against outside, measured in standard errors. The best condition of each attribute competes for a
place on the page, and a line that the data do not support at all is not written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from icploop.domain.outcomes import WINSORISED_AT, kpis
from icploop.domain.profile import Evidence, Line, Predicate, Profile
from icploop.settings import Attribute

_FEWEST_INSIDE = 20
_LINES_PER_DIMENSION = 2
_SUPPORTED_Z = 1.5
# Refusing customers costs money, so the anti-ICP asks for more: clear, large, not half the market.
_ANTI_Z = -3.0
_ANTI_EFFECT = -0.1
_ANTI_WIDEST = 0.25
_MOST_ANTI_LINES = 3
_GOOD_REFUSED = 0.1
_Z_90 = 1.645


def learn_profile(
    features: pd.DataFrame, matured: pd.DataFrame, attributes: Sequence[Attribute]
) -> Profile:
    """The ICP and anti-ICP that `matured` accounts (rows of `outcomes`) support."""
    best: list[_Tested] = []
    worst: list[_Tested] = []
    nrr = matured["nrr"].clip(upper=WINSORISED_AT).to_numpy(dtype="float64")
    for attribute in attributes:
        tested = [
            _test(predicate, attribute, predicate.holds(features).to_numpy(dtype=bool), nrr)
            for predicate in _candidates(attribute, features[attribute.name])
        ]
        known = [t for t in tested if t is not None]
        if known:
            best.append(max(known, key=lambda t: t.z))
            worst.append(min(known, key=lambda t: t.z))
    supported = sorted((t for t in best if t.z >= _SUPPORTED_Z), key=lambda t: -t.z)
    refused = sorted((t for t in worst if _is_anti(t)), key=lambda t: t.z)
    return Profile(
        lines=tuple(_line(t, matured) for t in _page(supported)),
        anti=tuple(_line(t, matured) for t in _affordable(refused, nrr)),
        matured=len(matured),
    )


@dataclass(frozen=True)
class _Tested:
    """A condition, who fulfils it, and its difference in mean NRR with standard error."""

    predicate: Predicate
    attribute: Attribute
    inside: np.ndarray
    effect: float
    error: float

    @property
    def z(self) -> float:
        return self.effect / self.error


def _page(tested: Sequence[_Tested]) -> list[_Tested]:
    kept: list[_Tested] = []
    for t in tested:
        same = sum(k.attribute.dimension == t.attribute.dimension for k in kept)
        if same < _LINES_PER_DIMENSION:
            kept.append(t)
    return kept


def _affordable(tested: Sequence[_Tested], nrr: np.ndarray) -> list[_Tested]:
    """The worst conditions that together refuse few customers who did not shrink."""
    kept: list[_Tested] = []
    refused = np.zeros(len(nrr), dtype=bool)
    for t in tested:
        if len(kept) < _MOST_ANTI_LINES and (refused | t.inside)[nrr >= 1].mean() <= _GOOD_REFUSED:
            kept.append(t)
            refused |= t.inside
    return kept


def _is_anti(t: _Tested) -> bool:
    return t.z <= _ANTI_Z and t.effect <= _ANTI_EFFECT and t.inside.mean() <= _ANTI_WIDEST


def _candidates(attribute: Attribute, values: pd.Series) -> Iterator[Predicate]:
    if attribute.kind == "flag":
        yield Predicate(attribute.name, is_true=True)
        yield Predicate(attribute.name, is_true=False)
    elif attribute.is_number_like:
        yield from (Predicate(attribute.name, between=ends) for ends in _ranges(values))
    else:
        given = values.dropna()
        if attribute.kind == "set":
            given = given.str.split("|").explode()
        for level in sorted(given.unique()):
            yield Predicate(attribute.name, any_of=(level,))


def _ranges(values: pd.Series) -> list[tuple[float | None, float | None]]:
    """Ranges between fifths of the data, with ends that a person would write down.

    The outermost ranges are open: a prospect may be larger than every customer so far.
    """
    given = values.dropna().to_numpy()
    if len(given) == 0:
        return []
    fifths = np.quantile(given, [0.2, 0.4, 0.6, 0.8])
    ends = sorted({_round_number(float(end)) for end in fifths})
    return [*((None, end) for end in ends), *combinations(ends, 2), *((end, None) for end in ends)]


def _round_number(value: float) -> float:
    return float(f"{value:.2g}")


def _test(
    predicate: Predicate, attribute: Attribute, inside: np.ndarray, nrr: np.ndarray
) -> _Tested | None:
    within, without = nrr[inside], nrr[~inside]
    if min(len(within), len(without)) < _FEWEST_INSIDE:
        return None
    error = np.sqrt(within.var(ddof=1) / len(within) + without.var(ddof=1) / len(without))
    if error == 0:
        return None
    effect = float(within.mean() - without.mean())
    return _Tested(predicate, attribute, inside, effect, float(error))


def _line(t: _Tested, matured: pd.DataFrame) -> Line:
    here, elsewhere = kpis(matured[t.inside]), kpis(matured[~t.inside])
    evidence = Evidence(
        accounts=here.accounts,
        of=len(matured),
        nrr=here.nrr,
        nrr_outside=elsewhere.nrr,
        retention=here.retention,
        retention_outside=elsewhere.retention,
        low=t.effect - _Z_90 * t.error,
        high=t.effect + _Z_90 * t.error,
    )
    # A point for each five points of NRR, so that a page adds up in the head.
    points = int(np.sign(t.effect) * np.clip(round(abs(t.effect) / 0.05), 1, 3))
    return Line(t.attribute.dimension, t.predicate, points, evidence)
