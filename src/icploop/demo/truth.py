"""What makes an account of the simulated company buy, stay and grow, and what to expect of it.

Three quantities of an account are sums of effects of its true attribute values: the log of its
churn hazard over twelve months, the log of its yearly growth while it stays, and the log odds that
a deal with it is won. A hidden friction that nobody records raises churn and lowers growth. The
expectations given here average over that friction and over all chance: they are what an oracle
would say who sees every attribute value without gaps, and nothing else.
"""

from dataclasses import dataclass
from functools import cache
from math import erf, exp, sqrt

import numpy as np
import numpy.typing as npt
import pandas as pd

from icploop.demo.market import Booleans, Floats
from icploop.demo.traits import TraitScale

NEVER_BILLED = 0.03  # share of wins where onboarding fails, whoever they are
STEP_CHANCE = 0.25  # chance that the revenue of a living account changes in a month
STEP_NOISE = 0.08  # spread of the log of such a change
DISCOUNTS = (0.0, 0.0, 0.0, 0.05, 0.10, 0.15, 0.20, 0.25)  # all equally likely

CHURN, GROWTH, WIN = range(3)  # the columns of every table of effects


@dataclass(frozen=True)
class Trap:
    """The bad segment: small companies of one industry without one tool. Easy to win, soon gone."""

    industry: str
    tool: str
    below_employees: int = 80

    def catches(self, market: pd.DataFrame) -> Booleans:
        """Which accounts of a market are in the segment."""
        small = market["employees"] < self.below_employees
        without = ~market[f"tech={self.tool}"]
        return (small & without & (market["industry"] == self.industry)).to_numpy(dtype=bool)


@dataclass(frozen=True)
class Truth:
    """One truth: the effects of traits, of pairs of traits and of the trap, in rows."""

    constant: Floats
    single: Floats
    pairs: npt.NDArray[np.int_]  # the two traits of each row of `paired`
    paired: Floats
    trapped: Floats

    def fate(self, traits: Floats, trapped: Booleans) -> Floats:
        """Log churn hazard in twelve months, log growth in a year, log odds of a win."""
        of_pairs = total_effect(together(traits, self.pairs), self.paired)
        of_traits = total_effect(traits, self.single) + of_pairs
        return self.constant + of_traits + np.outer(trapped, self.trapped)


@dataclass(frozen=True)
class Nature:
    """All that decides the fate of accounts, before and after the shift of the market.

    Attributes:
        scale: How attribute values become traits.
        trap: The bad segment, where the world has one.
        before: The truth for deals created before `shift_day`.
        after: The truth for deals created from then on.
        shift_day: The day of the shift.
        friction: What one spread of the hidden friction adds to log hazard and to log growth.
    """

    scale: TraitScale
    trap: Trap | None
    before: Truth
    after: Truth
    shift_day: pd.Timestamp
    friction: Floats

    def trapped(self, market: pd.DataFrame) -> Booleans:
        """Which accounts are of the bad segment."""
        return self.trap.catches(market) if self.trap else np.zeros(len(market), dtype=bool)

    def fate(self, market: pd.DataFrame, days: pd.DatetimeIndex) -> Floats:
        """Log churn hazard, log growth and log odds of a win for each account on its day."""
        traits, trapped = self.scale.traits(market, days), self.trapped(market)
        is_shifted = np.asarray(days >= self.shift_day)[:, None]
        before, after = self.before.fate(traits, trapped), self.after.fate(traits, trapped)
        return np.where(is_shifted, after, before)

    def expectations(self, market: pd.DataFrame, days: pd.DatetimeIndex) -> pd.DataFrame:
        """What to expect of each account on its day, were it won: ratios after twelve months.

        `expected_nrr` is the mean of NRR, `expected_grr` that of GRR, `p_retained` the chance to be
        billed still, all with the wins that are never billed; `p_win` is the chance that a deal is
        won, `expected_acv` its mean value in money a year.
        """
        log_hazard, log_growth, log_odds = self.fate(market, days).T
        nrr, grr = expected_nrr_and_grr(log_hazard, log_growth, self.friction)
        return pd.DataFrame(
            {
                "expected_nrr": nrr,
                "p_retained": expected_retention(log_hazard, self.friction),
                "expected_grr": grr,
                "p_win": chance(log_odds),
                "expected_acv": list_price(market) * (1 - np.mean(DISCOUNTS)),
            }
        )


def together(traits: Floats, pairs: npt.NDArray[np.int_]) -> Floats:
    """How far accounts have both traits of each pair."""
    return traits[:, pairs[:, 0]] * traits[:, pairs[:, 1]]


def total_effect(traits: Floats, effects: Floats) -> Floats:
    """The matrix product, summed trait by trait.

    So it is the same to the last bit wherever an account stands in the table and however many
    processors there are, which a fast matrix product does not promise.
    """
    total = np.zeros((len(traits), effects.shape[1]))
    for trait in np.flatnonzero(effects.any(axis=1)):
        total += np.outer(traits[:, trait], effects[trait])
    return total


def chance(log_odds: Floats) -> Floats:
    """Probability of given log odds."""
    return 1 / (1 + np.exp(-log_odds))


def list_price(market: pd.DataFrame) -> Floats:
    """Price in money a year before discount: more for larger companies and more users."""
    employees, users = market[["employees", "team_size_using"]].to_numpy(dtype=float).T
    return 18_000 * (employees / 180) ** 0.35 * (users / 14) ** 0.15


def expected_retention(log_hazard: Floats, friction: Floats) -> Floats:
    """Exact chance to be billed twelve months after the first bill."""
    nodes, weights = _friction_nodes()
    return np.asarray((_still_billed(log_hazard, friction, nodes) * weights).sum(axis=1))


def expected_nrr_and_grr(
    log_hazard: Floats, log_growth: Floats, friction: Floats
) -> tuple[Floats, Floats]:
    """Exact means of NRR and GRR twelve months after the first bill."""
    nodes, weights = _friction_nodes()
    billed = _still_billed(log_hazard, friction, nodes) * weights
    growth = log_growth[:, None] + friction[GROWTH] * nodes
    held = np.interp(growth, *_held_share_curve())
    return (billed * np.exp(growth)).sum(axis=1), (billed * held).sum(axis=1)


def step_factor(log_growth: Floats) -> Floats:
    """Mean factor of one change of revenue, so that a year of such chances grows as told."""
    return np.asarray(np.maximum(1 + np.expm1(log_growth / 12) / STEP_CHANCE, 0.02))


def _friction_nodes() -> tuple[Floats, Floats]:
    """Points and weights (summing to one) that average over a standard normal friction."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(25)
    return nodes, weights / weights.sum()


def _still_billed(log_hazard: Floats, friction: Floats, nodes: Floats) -> Floats:
    hazard = np.exp(log_hazard[:, None] + friction[CHURN] * nodes)
    return np.asarray((1 - NEVER_BILLED) * np.exp(-hazard))


@cache
def _held_share_curve() -> tuple[Floats, Floats]:
    """Share of starting revenue held, growth not counted, as a function of log growth."""
    log_growth = np.linspace(-2.5, 2.5, 2001)
    drift = np.log(step_factor(log_growth)) - STEP_NOISE**2 / 2
    return log_growth, np.array([_held_share(float(each)) for each in drift])


def _held_share(drift: float) -> float:
    """Mean of min(factor of a year, 1), summed over how many of the twelve months bring a step.

    After some steps the log of the factor is normal, and the mean of min(., 1) has a closed form.
    """
    share = (1 - STEP_CHANCE) ** 12
    held = share
    for steps in range(1, 13):
        share *= STEP_CHANCE / (1 - STEP_CHANCE) * (13 - steps) / steps
        mean, spread = steps * drift, STEP_NOISE * sqrt(steps)
        shrunk = exp(mean + spread**2 / 2) * _normal_cdf(-mean / spread - spread)
        held += share * (shrunk + _normal_cdf(mean / spread))
    return held


def _normal_cdf(value: float) -> float:
    return (1 + erf(value / sqrt(2))) / 2
