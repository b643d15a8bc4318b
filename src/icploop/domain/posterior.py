"""How probably a challenger is better: what a refit usually brings, joined with what customers did.

An ordinary refit of the same recipe on more customers is truly better 7 times in 10 after a quarter
and 9 in 10 after a year, and a holdout of a few hundred customers cannot see so small a gain. How
much of the list changes shows, without any outcome, what kind of round it is. So the gate starts
from a prior by the turnover of the list and the growth of the data, adds what customers did with
its error, and judges by the posterior (two normal numbers, weighted by their precisions). Where
something other than customers has changed, the prior says nothing and the evidence decides.

All gains and errors are points of what versions are judged by. The constants, with their source,
are `icploop.settings.Refits`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from icploop.settings import REFITS, Objective

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Gain:
    """An estimate of how much better the challenger is, in points, with its standard error."""

    points: float
    error: float

    @property
    def probability(self) -> float:
        """How probably it is above zero, by this estimate alone."""
        if not math.isfinite(self.points) or not math.isfinite(self.error):
            return math.nan
        if self.error <= 0:
            return 0.5 if self.points == 0 else float(self.points > 0)
        return _NORMAL.cdf(self.points / self.error)

    def joined(self, other: Gain) -> Gain:
        """Both estimates of the same thing as one, each weighted by its precision."""
        if not math.isfinite(self.error):
            return other
        if not math.isfinite(other.error):
            return self
        ours, theirs = (max(g.error, 1e-9) ** -2 for g in (self, other))
        total = ours + theirs
        return Gain((ours * self.points + theirs * other.points) / total, total**-0.5)

    def then(self, other: Gain) -> Gain:
        """Two steps one after the other."""
        return Gain(self.points + other.points, math.hypot(self.error, other.error))

    def __str__(self) -> str:
        return f"{self.points:+.1f} +- {self.error:.1f}"


# An estimate that says nothing.
UNKNOWN = Gain(0.0, math.inf)


@dataclass(frozen=True)
class Refit:
    """What kind of round it is, as far as it shows without any outcome.

    `turnover` is the share of the challenger's best capacity share of today's prospects that is not
    in the rival's (0..1). `learned_then` and `learned_now` count the customers, a month or more at
    risk, that champion and challenger learned from; `learned_then` is None without a champion.
    `skill_z` is the challenger's out-of-fold skill in standard errors. `changed` names what differs
    in the recipe besides customers, and is empty where nothing does.
    """

    turnover: float
    learned_now: int
    skill_z: float
    learned_then: int | None = None
    changed: tuple[str, ...] = ()

    @property
    def growth(self) -> float:
        """The log of customers learned from now over then, at least 0."""
        if not self.learned_then or self.learned_now <= 0:
            return 0.0
        return max(math.log(self.learned_now / self.learned_then), 0.0)

    @property
    def ordinary_turnover(self) -> float:
        """What a refit of the same recipe changes of the list with so many more customers."""
        return min(REFITS.turnover * math.sqrt(self.growth), 1.0)

    @property
    def is_unusual(self) -> bool:
        """Whether more of the list changes than more customers explain."""
        usual = REFITS.unusual_from * self.ordinary_turnover
        return self.turnover > max(usual, REFITS.least_turnover)

    @property
    def trust(self) -> float:
        """How far the prior counts (0..1): not at all for a version without any skill."""
        return min(max(self.skill_z, 0.0) / REFITS.shown_skill, 1.0)


def prior(refit: Refit, objective: Objective = "nrr") -> Gain:
    """What such a challenger brings over its champion, before any outcome is looked at.

    The gain has been measured for NRR; for GRR and retention only its scatter is taken over, and of
    `value`, whose points are of another size, nothing is known.
    """
    if objective == "value":
        return UNKNOWN
    turnover = max(refit.turnover, REFITS.least_turnover)
    spread = math.hypot(REFITS.spread * turnover, REFITS.spread_squared * turnover**2)
    if refit.changed or refit.is_unusual or refit.growth == 0 or objective != "nrr":
        return Gain(0.0, spread)
    relative = min(turnover / refit.ordinary_turnover, REFITS.most_turnover)
    return Gain(REFITS.gain * refit.growth * relative * refit.trust, spread)


def first_prior(refit: Refit, objective: Objective = "nrr") -> Gain:
    """What a first version brings over the average customer profile, before any outcome."""
    if objective == "value":
        return UNKNOWN
    gain = REFITS.first_gain * refit.trust if objective == "nrr" else 0.0
    return Gain(gain, REFITS.first_spread)


@dataclass(frozen=True)
class Belief:
    """What the gate believes of a challenger and its rival, and what it rests on.

    `prior` is what such rounds usually bring, `evidence` what customers did says, on `n_matured`
    matured ones and others; `posterior` joins them. With a control arm (the champion's recipe
    refitted on today's customers) all three are of the change of recipe and of the refit together,
    and `change` is the part of the change alone.
    """

    refit: Refit
    prior: Gain
    evidence: Gain
    posterior: Gain
    n_matured: int
    change: Gain | None = None

    @classmethod
    def of(cls, refit: Refit, before: Gain, evidence: Gain, n_matured: int) -> Belief:
        """The belief from a prior and the evidence."""
        return cls(refit, before, evidence, before.joined(evidence), n_matured)

    def after(self, refitted: Belief) -> Belief:
        """The belief in a changed recipe: the refit of the old one, and then this change.

        This belief is of the challenger against the control, `refitted` of the control against the
        champion.
        """
        return Belief(
            self.refit,
            refitted.prior.then(self.prior),
            refitted.evidence.then(self.evidence),
            refitted.posterior.then(self.posterior),
            self.n_matured,
            self.posterior,
        )

    @property
    def probability_better(self) -> float:
        """How probably the challenger is better."""
        return self.posterior.probability

    @property
    def gain(self) -> float:
        """The expected gain, in points."""
        return self.posterior.points

    @property
    def is_first(self) -> bool:
        """Whether there is no version in force yet."""
        return self.refit.learned_then is None

    def __str__(self) -> str:
        refit, sure = self.refit, f"Probability better {self.probability_better:.0%}"
        sentence = f"{sure}, expected gain {self.gain:+.1f} points."
        did = f"what customers did says {self.evidence}"
        if self.is_first:
            usual = (
                f"First versions gain {self.prior} over the average customer profile"
                if self.prior.points
                else "What first versions gain does not count here"
            )
            return f"{sentence} {usual}; {did}."
        changes = f"It changes {refit.turnover:.0%} of the list"
        more = refit.learned_now - (refit.learned_then or 0)
        if self.change is not None:
            return (
                f"{sentence} {_and(refit.changed)} changed since the champion, so the old recipe "
                f"was refitted on the same customers: against it the new one gains {self.change}, "
                f"probability better {self.change.probability:.0%}."
            )
        if refit.changed:
            return (
                f"{sentence} {changes}. {_and(refit.changed)} changed since the champion, so what "
                f"refits usually gain does not count; {did}."
            )
        if refit.is_unusual:
            return (
                f"{changes} where a refit with {more} more customers ordinarily changes "
                f"{refit.ordinary_turnover:.0%}: something other than customers has changed, and "
                f"only what customers did counts: {self.evidence}. {sure}."
            )
        if not math.isfinite(self.prior.error):
            return f"{sentence} {changes}. What refits usually gain is not known here; {did}."
        return (
            f"{sentence} {changes}; a refit with {more} more customers ordinarily changes "
            f"{refit.ordinary_turnover:.0%}. Such refits gain {self.prior}; {did}."
        )


def matured_needed(belief: Belief, asked: float) -> tuple[int, float]:
    """How many more matured accounts would tell, and a difference of how many points.

    The error of what customers did falls with the square root of their number. A difference of less
    than a point is not worth waiting for, so at least that is taken to be there.
    """
    size = max(abs(belief.evidence.points), 1.0)
    for_it = belief.evidence.points >= 0
    start, error = belief.prior, belief.evidence.error
    if not math.isfinite(error) or error <= 0 or belief.n_matured <= 0:
        return max(belief.n_matured, 1), size

    def tells(times: float) -> bool:
        told = Gain(size if for_it else -size, error / math.sqrt(times))
        sure = start.joined(told).probability
        return sure >= asked if for_it else sure <= 1 - asked

    low, high = 1.0, 2.0
    while not tells(high) and high < 1e6:
        low, high = high, high * 2
    while high - low > 0.005 * low:
        middle = (low + high) / 2
        low, high = (low, middle) if tells(middle) else (middle, high)
    return max(1, math.ceil((high - 1) * belief.n_matured)), size


def _and(names: tuple[str, ...]) -> str:
    said = names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}"
    return said[:1].upper() + said[1:]
