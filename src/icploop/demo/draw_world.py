"""Draws the truths of a world from its seed and settles its rates.

The constants here are the same for all seeds; they make worlds about as hard to learn as the
customers of a real company are.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from math import sqrt

import numpy as np
import numpy.typing as npt
import pandas as pd

from icploop.demo.market import Booleans, Floats, draw_market
from icploop.demo.traits import MATTERING, TRAITS, TraitScale
from icploop.demo.truth import (
    WIN,
    Nature,
    Trap,
    Truth,
    chance,
    expected_nrr_and_grr,
    expected_retention,
    list_price,
    together,
    total_effect,
)
from icploop.demo.world_spec import Structure, WorldSpec

WIN_RATE = 0.22
RETENTION = 0.85  # share of wins that are still billed twelve months after their first bill
NRR = 1.03  # revenue twelve months on over revenue at the start, of all that was won

_SPREAD = np.array([1.1, 0.12, 0.7])  # between accounts, of their churn, growth and win
# What wins deals also loses customers: easy sales and good customers are different accounts.
_TOGETHER = np.array([[1.0, -0.45, 0.4], [-0.45, 1.0, -0.3], [0.4, -0.3, 1.0]])
# Everybody sells to the common traits, and serves them worst.
_BEING_COMMON = np.array([0.9, -0.9, 0.45])
_TRAP = np.array([2.1, -0.15, 0.8])
_ATTRIBUTES = 7
_NEXT_IN_WEIGHT = 0.8  # how much each attribute matters, relative to the one before it
_PAIRS = 6
_PAIRED_SHARE = {"mixed": 0.22, "main": 0.0, "interactions": 1.0, "noise": 0.0}
_REDRAWN_BY_SHIFT = slice(0, None, 3)  # one effect in three, the largest first
_REFERENCE_ACCOUNTS = 12_000
_REFERENCE_LEAD = pd.Timedelta(days=90)


def draw_nature(spec: WorldSpec) -> Nature:
    """Draw the effects of a world and settle its rates.

    Effects are scaled, and the constants solved, on a reference market of the seed's own, so that
    the truth of an account does not depend on how many accounts the world happens to have.
    """
    rng = spec.stream("nature")
    seen = spec.first_day + pd.to_timedelta(rng.integers(0, 900, _REFERENCE_ACCOUNTS), unit="D")
    market = draw_market(rng, seen)
    scale = TraitScale.of_market(market)
    traits = scale.traits(market, seen + _REFERENCE_LEAD)
    trap = _draw_trap(rng, spec.structure)
    trapped = trap.catches(market) if trap else np.zeros(len(market), dtype=bool)
    friction = _SPREAD[:WIN] * [1, -1] * sqrt(spec.hidden / (1 - spec.hidden))
    before, after = (
        _settle_rates(_scale(truth, traits, spec), traits, trapped, list_price(market), friction)
        for truth in _draw_truths(rng, traits)
    )
    return Nature(scale, trap, before, after, spec.shift_day, friction)


def _draw_trap(rng: np.random.Generator, structure: Structure) -> Trap | None:
    """A trap is an interaction, so only worlds that have interactions have one."""
    industry = str(rng.choice(["Healthcare", "Professional services", "Retail", "Logistics"]))
    tool = str(rng.choice(["okta", "confluence", "crowdstrike", "snowflake"]))
    return Trap(industry, tool) if _PAIRED_SHARE[structure] else None


def _draw_truths(rng: np.random.Generator, traits: Floats) -> tuple[Truth, Truth]:
    """The truth before and after the shift, not yet scaled."""
    attributes = [str(name) for name in rng.permutation(MATTERING)[:_ATTRIBUTES]]
    pairs = _draw_pairs(rng, traits, attributes)
    weights = _NEXT_IN_WEIGHT ** np.arange(_ATTRIBUTES)
    columns = [_columns_of(name) for name in attributes]
    both = together(traits, pairs)

    def draw() -> tuple[list[Floats], list[Floats]]:
        effects = [_draw_effects(rng, traits[:, own]) for own in columns]
        of_attributes = [weight * own for weight, own in zip(weights, effects, strict=True)]
        return of_attributes, [_draw_effects(rng, pair[:, None]) for pair in both.T]

    def truth(of_attributes: list[Floats], of_pairs: list[Floats]) -> Truth:
        single = np.zeros((len(TRAITS), 3))
        for own, effects in zip(columns, of_attributes, strict=True):
            single[own] = effects
        return Truth(np.zeros(3), single, pairs, np.vstack(of_pairs), _TRAP)

    old, new = draw(), draw()
    shifted = tuple(list(effects) for effects in old)
    for effects, redrawn in zip(shifted, new, strict=True):
        effects[_REDRAWN_BY_SHIFT] = redrawn[_REDRAWN_BY_SHIFT]
    return truth(*old), truth(*shifted)


def _columns_of(attribute: str) -> list[int]:
    return [column for column, (name, _) in enumerate(TRAITS) if name == attribute]


def _draw_pairs(
    rng: np.random.Generator, traits: Floats, attributes: list[str]
) -> npt.NDArray[np.int_]:
    """Pairs of traits of different attributes that many accounts have, and many have not."""
    share, both = traits.mean(axis=0), traits.T @ traits / len(traits)
    pairs = [
        (one, other)
        for one, other in combinations(range(len(TRAITS)), 2)
        if {TRAITS[one][0], TRAITS[other][0]} <= set(attributes)
        and TRAITS[one][0] != TRAITS[other][0]
        and max(share[one], share[other]) < 0.7
        and both[one, other] > 0.06
    ]
    return np.array(pairs)[rng.choice(len(pairs), _PAIRS, replace=False)]


def _draw_effects(rng: np.random.Generator, traits: Floats) -> Floats:
    """Effects of the traits of one attribute, which spread the accounts by one on average.

    An attribute may matter for churn and hardly for growth, or the other way round.
    """
    share = traits.mean(axis=0)
    commonness = 2 * share - 1 if len(share) == 1 else (share - share.mean()) / share.std()
    effects = rng.multivariate_normal(np.zeros(3), _TOGETHER, size=len(share))
    effects += np.outer(commonness, _BEING_COMMON)
    return np.asarray(effects / np.sqrt(total_effect(traits, effects).var(axis=0).mean()))


def _scale(truth: Truth, traits: Floats, spec: WorldSpec) -> Truth:
    """The truth with the spread that the spec asks for, and only the effects of its structure."""
    spread = _SPREAD * [spec.signal, spec.signal, 1]
    if spec.structure == "noise":
        return replace(
            truth, single=0 * truth.single, paired=0 * truth.paired, trapped=0 * truth.trapped
        )
    of_pairs = _PAIRED_SHARE[spec.structure]
    both = together(traits, truth.pairs)
    single = truth.single / total_effect(traits, truth.single).std(axis=0) * sqrt(1 - of_pairs)
    paired = truth.paired / total_effect(both, truth.paired).std(axis=0) * sqrt(of_pairs)
    total = total_effect(traits, single) + total_effect(both, paired)
    blend = _blend_to_correlations(total) * spread
    trapped = truth.trapped * [spec.signal, spec.signal, 1]
    return replace(truth, single=single @ blend, paired=paired @ blend, trapped=trapped)


def _blend_to_correlations(total: Floats) -> Floats:
    """How to mix drawn churn, growth and win so that their correlations are the ones wanted.

    Left to chance, they would make some seeds easy and others hard.
    """
    drawn, wanted = np.linalg.cholesky(np.cov(total.T)), np.linalg.cholesky(_TOGETHER)
    return np.linalg.inv(drawn).T @ wanted.T


def _settle_rates(
    truth: Truth, traits: Floats, trapped: Booleans, price: Floats, friction: Floats
) -> Truth:
    """The truth with the constants that give the rates told above, whatever was drawn."""
    churn, growth, win = truth.fate(traits, trapped).T
    of_win = _root(lambda at: float(chance(win + at).mean()) - WIN_RATE)
    won = chance(win + of_win)

    def leaving(at: float) -> float:
        return 1 - float(np.average(expected_retention(churn + at, friction), weights=won))

    of_churn = _root(lambda at: leaving(at) - (1 - RETENTION))
    nrr, _ = expected_nrr_and_grr(churn + of_churn, growth, friction)
    of_growth = np.log(NRR / np.average(nrr, weights=won * price))
    return replace(truth, constant=np.array([of_churn, of_growth, of_win]))


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function crosses zero, by bisection."""
    low, high = -12.0, 12.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
