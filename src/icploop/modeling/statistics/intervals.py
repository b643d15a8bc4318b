"""Intervals that stay honest when there are few accounts, for what is looked at many times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval, and how many accounts it rests on."""

    estimate: float
    low: float
    high: float
    n: int

    def lies_beyond(self, limit: float) -> bool:
        """Whether the whole interval is further from zero than `limit`, on either side."""
        return self.low > limit or self.high < -limit


def z_among(looks: int, error: float) -> float:
    """The half width, in standard errors, at which any of `looks` intervals errs by `error`."""
    return float(norm.ppf(1 - error / (2 * max(looks, 1))))


def share(hits: int, n: int, z: float) -> Interval:
    """A share of `n` (Wilson 1927)."""
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0, 0)
    p = hits / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Interval(p, float(middle - half), float(middle + half), n)


def gap(ours: pd.Series, theirs: pd.Series, z: float) -> Interval:
    """By how much the share of true values differs between two groups (Newcombe 1998, method 10).

    Between -1 and 1; it says nothing, and reaches from -1 to 1, where a group is empty.
    """
    a = share(int(ours.sum()), len(ours), z)
    b = share(int(theirs.sum()), len(theirs), z)
    if a.n == 0 or b.n == 0:
        return Interval(float("nan"), -1.0, 1.0, a.n + b.n)
    found = a.estimate - b.estimate
    low = found - np.hypot(a.estimate - a.low, b.high - b.estimate)
    high = found + np.hypot(a.high - a.estimate, b.estimate - b.low)
    return Interval(float(found), float(low), float(high), a.n + b.n)


def auc(scores: pd.Series, is_one: pd.Series, z: float) -> Interval:
    """The chance that a score of the one group is above one of the other, ties counting half.

    Hanley and McNeil (1982) on the scale of log odds, drawn towards .5 by one account of the
    smaller group, since a perfect order among a few accounts proves little.
    """
    ones = int(is_one.sum())
    others = len(is_one) - ones
    if ones == 0 or others == 0:
        return Interval(float("nan"), 0.0, 1.0, len(is_one))
    ranks = rankdata(scores.to_numpy(dtype="float64"))
    ahead = ranks[is_one.to_numpy(dtype=bool)].sum() - ones * (ones + 1) / 2
    seen = float(ahead / (ones * others))
    if seen < 0.5:
        # Their formula is not the same seen from the other side.
        mirrored = auc(-scores, is_one, z)
        return Interval(seen, 1 - mirrored.high, 1 - mirrored.low, mirrored.n)
    fewest = min(ones, others)
    drawn = (seen * fewest + 0.5) / (fewest + 1)
    both_ones, both_others = drawn / (2 - drawn), 2 * drawn**2 / (1 + drawn)
    variance = drawn * (1 - drawn)
    variance += (ones - 1) * (both_ones - drawn**2) + (others - 1) * (both_others - drawn**2)
    error = np.sqrt(variance / (ones * others)) / (drawn * (1 - drawn))
    odds = np.log(drawn / (1 - drawn))
    low, high = (1 / (1 + np.exp(-(odds + side * z * error))) for side in (-1, 1))
    return Interval(seen, float(low), float(high), len(is_one))


def rank_correlation(one: pd.Series, other: pd.Series, z: float) -> Interval:
    """Spearman's correlation with Fisher's interval (Bonett and Wright 2000)."""
    return _correlation(rankdata(one.to_numpy()), rankdata(other.to_numpy()), z)


def rank_correlation_given(
    one: pd.Series, other: pd.Series, known: pd.Series, z: float
) -> Interval:
    """Spearman's correlation of what `known` leaves unexplained of both."""
    a, b, c = (rankdata(values.to_numpy()) for values in (one, other, known))
    return _correlation(_left_over(a, c), _left_over(b, c), z)


def _left_over(ranks: np.ndarray, known: np.ndarray) -> np.ndarray:
    centred, by = ranks - ranks.mean(), known - known.mean()
    spread = float(by @ by)
    return centred - by * (float(by @ centred) / spread) if spread > 0 else centred


def _correlation(one: np.ndarray, other: np.ndarray, z: float) -> Interval:
    n = len(one)
    a, b = one - one.mean() if n else one, other - other.mean() if n else other
    spread = float(np.sqrt((a @ a) * (b @ b)))
    # Rounding leaves crumbs of a constant.
    if n < 5 or spread < 1e-9 * n:
        return Interval(float("nan"), -1.0, 1.0, n)
    found = float(np.clip(a @ b / spread, -1, 1))
    # One account more or less of a perfect order, so that the scale stays finite.
    bounded = np.clip(found, -1 + 1 / n, 1 - 1 / n) if n > 1 else found
    error = np.sqrt((1 + bounded**2 / 2) / (n - 3))
    low, high = (np.tanh(np.arctanh(bounded) + side * z * error) for side in (-1, 1))
    return Interval(found, float(low), float(high), n)
