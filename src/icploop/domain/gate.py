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

from icploop.domain.findings import Finding
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
    (`modeling/judging/advantage.py`), else it is the share of bootstrap draws in which the
    challenger is ahead.
    """

    estimate: float
    low: float
    high: float
    probability_better: float
    standard_error: float


@dataclass(frozen=True)
class Prospective:
    """The uplift on the `n` holdout accounts that matured after the champion was trained.

    `uplift` is None where they are too few to say anything.
    """

    n: int
    uplift: Difference | None


@dataclass(frozen=True)
class Weighted:
    """The uplift with each account weighed by how unlikely earlier lists made it.

    `listed` is the share of the holdout that stood on a list when its sale began, `because` the
    share that would not have been pursued without (0..1), `n_effective` how many unweighted
    accounts the weighted ones are worth.
    """

    listed: float
    because: float
    n_effective: float
    uplift: Difference


@dataclass(frozen=True)
class Comparison:
    """Challenger and rival on the same matured holdout accounts at equal capacity.

    `value` is judged for the objective of that name only. `z` is what all customers that can tell
    say of the two (`modeling/judging/advantage.py`), in standard errors for the challenger; None
    where they were not asked. `prospective` and `weighted` are the same uplift read in other ways;
    None without a champion, and where no list was in force.
    """

    rival: str
    n_holdout: int
    challenger: Kpis
    rival_kpis: Kpis
    nrr: Difference
    grr: Difference
    retention: Difference
    value: Difference | None = None
    objective: Objective = "nrr"
    z: float | None = None
    prospective: Prospective | None = None
    weighted: Weighted | None = None

    @property
    def uplift(self) -> Difference:
        """The difference in what the versions are judged by."""
        found = {"nrr": self.nrr, "grr": self.grr, "retention": self.retention, "value": self.value}
        judged = found[self.objective]
        if judged is None:
            raise ValueError(f"the comparison does not hold {self.objective}")
        return judged


@dataclass(frozen=True)
class Ruling:
    """A verdict, why, and how many more matured accounts it would take to tell (0: none)."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    needed_matured: int = 0

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences of the findings."""
        return tuple(map(str, self.findings))


def too_few(
    matured: int, policy: GatePolicy, enough_by: date | None = None, as_of: date | None = None
) -> Ruling | None:
    """INCONCLUSIVE when there are fewer matured accounts than the policy asks for.

    `enough_by` is the month in which enough of those won so far will have matured, if known. Where
    it has ended by `as_of`, what they paid then has not been seen.
    """
    missing = policy.min_matured - matured
    if missing <= 0:
        return None
    reason = (
        f"Only {matured} won accounts have matured; the policy asks for {policy.min_matured}, "
        f"{missing} more are needed"
    )
    if enough_by is None:
        reason += "."
    elif as_of and (enough_by.year, enough_by.month) < (as_of.year, as_of.month):
        reason += (
            f". Those won so far would do, but revenue of {enough_by:%Y-%m} has not been seen yet: "
            "ingest newer revenue."
        )
    else:
        reason += f", which those won so far give by {enough_by:%Y-%m} at the earliest."
    return Ruling("INCONCLUSIVE", (_refusal("too_few_matured", reason),), missing)


def decide(
    comparison: Comparison,
    policy: GatePolicy,
    distrust: Sequence[Finding] = (),
    guards: Sequence[Finding] = (),
    required: float | None = None,
) -> Ruling:
    """The verdict on a comparison.

    `distrust` lists why it cannot be trusted, if anything does, and `guards` what a winner would
    break. `required` is the probability that the round asks for, by default the policy's.
    """
    asked = policy.probability_better if required is None else required
    if untrusted := [*distrust, *_missing_metrics(comparison)]:
        return Ruling("INVALID", tuple(untrusted))
    uplift = comparison.uplift
    is_worse = uplift.estimate <= 0 and uplift.probability_better <= 1 - asked
    is_better = uplift.estimate > policy.min_uplift and uplift.probability_better >= asked
    if not is_worse and not is_better:
        return _cannot_tell(comparison, policy, asked)
    if doubt := _contradicted(comparison, asked):
        return Ruling("INCONCLUSIVE", (_refusal("earlier_lists", doubt),))
    if is_worse:
        return Ruling("KEEP", (_refusal("worse", f"It is worse than {_against(comparison)}."),))
    if failed := [*_failed_guards(comparison, policy), *guards]:
        return Ruling("KEEP", tuple(failed))
    return Ruling("PROMOTE", (Finding("better", "note", f"It beats {_against(comparison)}."),))


def _refusal(code: str, reason: str) -> Finding:
    """Why no version may come into force by this comparison."""
    return Finding(code, "refusal", reason)


def _missing_metrics(comparison: Comparison) -> list[Finding]:
    differences = (comparison.uplift, comparison.nrr, comparison.grr, comparison.retention)
    if all(math.isfinite(number) for d in differences for number in astuple(d)):
        return []
    reason = "A metric of the holdout is missing: nothing was billed there."
    return [_refusal("metric_missing", reason)]


def _against(comparison: Comparison) -> str:
    d, objective = comparison.uplift, comparison.objective
    ours, theirs = (
        getattr(comparison.challenger, objective),
        getattr(comparison.rival_kpis, objective),
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


def _contradicted(comparison: Comparison, asked: float) -> str | None:
    """Why the verdict would rest on whom earlier lists chose, where it would."""
    weighted, naive = comparison.weighted, comparison.uplift
    if weighted is None or weighted.uplift.estimate * naive.estimate >= 0:
        return None
    sure = weighted.uplift.probability_better
    if max(sure, 1 - sure) < asked:
        return None
    other = weighted.uplift
    return (
        f"Earlier lists decide this: {weighted.listed:.0%} of the {comparison.n_holdout} holdout "
        f"accounts stood on one when their sale began. As they are, the uplift over "
        f"{comparison.rival} is {100 * naive.estimate:+.1f} points; weighted by how unlikely each "
        f"was to be pursued it is {100 * other.estimate:+.1f} ({100 * other.low:+.1f} to "
        f"{100 * other.high:+.1f}, probability better {sure:.0%}, worth "
        f"{weighted.n_effective:.0f} accounts). Customers from outside the list would tell: "
        "see targets.explore."
    )


def _cannot_tell(comparison: Comparison, policy: GatePolicy, asked: float) -> Ruling:
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
    return Ruling("INCONCLUSIVE", (_refusal("too_close", reason),), needed)


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


def _failed_guards(comparison: Comparison, policy: GatePolicy) -> list[Finding]:
    guards = (
        ("guard_grr", "GRR", comparison.grr, policy.grr_margin),
        ("guard_retention", "logo retention", comparison.retention, policy.retention_margin),
    )
    return [
        _refusal(
            code,
            f"Guard: {name} falls by {-100 * d.estimate:.1f} points, more than the "
            f"{100 * margin:.1f} points that the policy allows.",
        )
        for code, name, d, margin in guards
        if d.estimate < -margin
    ]
