"""The gate: from a comparison on the same holdout accounts to one of four verdicts.

It fails closed: only PROMOTE lets a version go on, and a comparison that cannot be trusted is
INVALID, which is never read as KEEP.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date
from statistics import NormalDist
from typing import Literal

from icploop.domain.outcomes import Kpis
from icploop.settings import GatePolicy, Objective

_NAMES = {
    "nrr": "NRR",
    "grr": "GRR",
    "retention": "logo retention",
    "value": "value of a deal, in average ACVs,",
}
Verdict = Literal["PROMOTE", "KEEP", "INCONCLUSIVE", "INVALID"]


@dataclass(frozen=True)
class Difference:
    """A paired difference, challenger minus rival, as a ratio (0.02 = two points).

    `low` and `high` bound it at the policy's level; `probability_better` is how sure it is that the
    challenger is better: for what versions are judged by it rests on all customers that can tell
    (`modeling/advantage.py`), else it is the share of bootstrap draws in which the challenger is
    ahead.
    """

    estimate: float
    low: float
    high: float
    probability_better: float
    standard_error: float


@dataclass(frozen=True)
class Comparison:
    """Challenger and rival on the same matured holdout accounts at equal capacity.

    `value` is judged for the objective of that name only. `z` is what all customers that can tell
    say of the two (`modeling/advantage.py`), in standard errors for the challenger; None where they
    were not asked.
    """

    rival: str
    n_holdout: int
    challenger: Kpis
    champion: Kpis
    nrr: Difference
    grr: Difference
    retention: Difference
    value: Difference | None = None
    objective: Objective = "nrr"
    z: float | None = None

    @property
    def uplift(self) -> Difference:
        """The difference in what the versions are judged by."""
        found = {"nrr": self.nrr, "grr": self.grr, "retention": self.retention, "value": self.value}
        judged = found[self.objective]
        if judged is None:
            raise ValueError(f"the comparison does not hold {self.objective}")
        return judged


@dataclass(frozen=True)
class Decision:
    """A verdict, why, and how many more matured accounts it would take to tell (0: none)."""

    verdict: Verdict
    reasons: tuple[str, ...]
    needed_matured: int = 0


def too_few(matured: int, policy: GatePolicy, enough_by: date | None = None) -> Decision | None:
    """INCONCLUSIVE when there are fewer matured accounts than the policy asks for.

    `enough_by` is the month in which enough of those won so far will have matured, if known.
    """
    missing = policy.min_matured - matured
    if missing <= 0:
        return None
    reason = (
        f"Only {matured} won accounts have matured; the policy asks for {policy.min_matured}, "
        f"{missing} more are needed"
        + (
            f", which those won so far give by {enough_by:%Y-%m} at the earliest."
            if enough_by
            else "."
        )
    )
    return Decision("INCONCLUSIVE", (reason,), missing)


def decide(
    comparison: Comparison,
    policy: GatePolicy,
    distrust: Sequence[str] = (),
    guards: Sequence[str] = (),
    required: float | None = None,
) -> Decision:
    """The verdict on a comparison.

    `distrust` lists why it cannot be trusted, if anything does, and `guards` what a winner would
    break. `required` is the probability that the round asks for, by default the policy's.
    """
    asked = policy.probability_better if required is None else required
    if distrust:
        return Decision("INVALID", tuple(distrust))
    differences = (comparison.uplift, comparison.nrr, comparison.grr, comparison.retention)
    if not all(math.isfinite(number) for d in differences for number in astuple(d)):
        return Decision(
            "INVALID", ("A metric of the holdout is missing: nothing was billed there.",)
        )
    uplift = comparison.uplift
    if uplift.estimate <= 0 and uplift.probability_better <= 1 - asked:
        return Decision("KEEP", (f"It is worse than {_against(comparison)}.",))
    if uplift.estimate <= policy.min_uplift or uplift.probability_better < asked:
        return _cannot_tell(comparison, policy, asked)
    if failed := [*_failed_guards(comparison, policy), *guards]:
        return Decision("KEEP", tuple(failed))
    return Decision("PROMOTE", (f"It beats {_against(comparison)}.",))


def _against(comparison: Comparison) -> str:
    d, objective = comparison.uplift, comparison.objective
    ours, theirs = (
        getattr(comparison.challenger, objective),
        getattr(comparison.champion, objective),
    )
    return (
        f"{comparison.rival} on {comparison.n_holdout} holdout accounts at equal capacity: "
        f"{_NAMES[objective]} {ours:.1%} against {theirs:.1%}, "
        f"{100 * d.estimate:+.1f} points ({100 * d.low:+.1f} to {100 * d.high:+.1f}), "
        f"probability better {d.probability_better:.0%}"
        + (
            f" (do customers do better where it rates them higher? z {comparison.z:+.1f})"
            if comparison.z is not None
            else ""
        )
    )


def _cannot_tell(comparison: Comparison, policy: GatePolicy, asked: float) -> Decision:
    needed = accounts_needed(comparison, policy, asked)
    more = (
        f"about {needed} more matured accounts would tell an uplift of that size"
        if needed
        else "no number of accounts would tell so small a difference"
    )
    reason = (
        f"Too close to tell from {_against(comparison)}; the policy asks for more than "
        f"{100 * policy.min_uplift:.1f} points and {asked:.0%}; {more}."
    )
    return Decision("INCONCLUSIVE", (reason,), needed)


def accounts_needed(comparison: Comparison, policy: GatePolicy, asked: float) -> int:
    """How many more matured accounts would make the uplift seen pass; 0 where none would.

    Standard errors fall with the square root of the accounts, so a probability that lies z standard
    errors above a half reaches the one that is asked for, at z', with n * (z' / z)^2 accounts.
    """
    uplift = comparison.uplift
    if uplift.estimate <= policy.min_uplift or not 0.5 < uplift.probability_better < 1:
        return 0
    normal = NormalDist()
    short = normal.inv_cdf(asked) / normal.inv_cdf(uplift.probability_better)
    return max(1, math.ceil(comparison.n_holdout * short**2) - comparison.n_holdout)


def _failed_guards(comparison: Comparison, policy: GatePolicy) -> list[str]:
    guards = (
        ("GRR", comparison.grr, policy.grr_margin),
        ("logo retention", comparison.retention, policy.retention_margin),
    )
    return [
        f"Guard: {name} falls by {-100 * d.estimate:.1f} points, more than the "
        f"{100 * margin:.1f} points that the policy allows."
        for name, d, margin in guards
        if d.estimate < -margin
    ]
