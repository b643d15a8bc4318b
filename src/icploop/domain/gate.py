"""The gate: from a comparison on the same holdout accounts to one of four verdicts.

It fails closed: only PROMOTE lets a version go on, and a comparison that cannot be trusted is
INVALID, which is never read as KEEP.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import Literal

from icploop.domain.findings import Finding
from icploop.domain.outcomes import Kpis
from icploop.domain.posterior import Belief, matured_needed
from icploop.settings import GatePolicy, Objective

_NAMES = {
    "nrr": "NRR",
    "grr": "GRR",
    "retention": "logo retention",
    "value": "value of a deal, in average ACVs,",
}
# On fewer accounts nothing is read: one of them would decide.
FEWEST_READ = 20
Verdict = Literal["PROMOTE", "KEEP", "INCONCLUSIVE", "INVALID"]


@dataclass(frozen=True)
class Difference:
    """A paired difference, challenger minus rival, as a ratio (0.02 = two points).

    `low` and `high` bound it at the policy's level; `ahead` is the share of bootstrap draws in
    which the challenger is ahead. How probably it is better is another question, which a `Belief`
    answers.
    """

    estimate: float
    low: float
    high: float
    ahead: float
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

    `value` is judged for the objective of that name only. `belief` is how probably the challenger
    is better, and why; None where nothing is decided by it. `prospective` and `weighted` are the
    same uplift read in other ways; None without a champion, and where no list was in force.
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
    belief: Belief | None = None
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
) -> Ruling:
    """The verdict on a comparison that holds a belief.

    `distrust` lists why it cannot be trusted, if anything does, and `guards` what a winner would
    break. Raises ValueError without a belief.
    """
    belief = comparison.belief
    if belief is None:
        raise ValueError("nothing can be decided without a belief")
    if untrusted := [*distrust, *_missing_metrics(comparison, belief)]:
        return Ruling("INVALID", tuple(untrusted))
    asked, sure = policy.probability_better, belief.probability_better
    is_worse = sure <= 1 - asked
    if not is_worse and (short := _not_enough(comparison, belief, policy)):
        needed, size = matured_needed(belief, asked)
        more = f"About {needed} more matured customers would tell a difference of {size:.1f} points"
        code, why = short
        reason = f"{why} {_numbers(comparison, belief)} {more}."
        return Ruling("INCONCLUSIVE", (_refusal(code, reason),), needed)
    if doubt := _contradicted(comparison, asked):
        needed, _ = matured_needed(belief, asked)
        return Ruling("INCONCLUSIVE", (_refusal("earlier_lists", doubt),), needed)
    if is_worse:
        reason = f"It is probably worse than {comparison.rival}. {_numbers(comparison, belief)}"
        return Ruling("KEEP", (_refusal("worse", reason),))
    if failed := [*_failed_guards(comparison, belief, policy), *guards]:
        return Ruling("KEEP", tuple(failed))
    reason = f"It is probably better than {comparison.rival}. {_numbers(comparison, belief)}"
    return Ruling("PROMOTE", (Finding("better", "note", reason),))


def _refusal(code: str, reason: str) -> Finding:
    """Why no version may come into force by this comparison."""
    return Finding(code, "refusal", reason)


def _missing_metrics(comparison: Comparison, belief: Belief) -> list[Finding]:
    differences = (comparison.uplift, comparison.nrr, comparison.grr, comparison.retention)
    numbers = [number for d in differences for number in astuple(d)]
    numbers += [belief.gain, belief.probability_better, belief.evidence.points]
    if all(map(math.isfinite, numbers)):
        return []
    reason = "A metric of the holdout is missing: nothing was billed there."
    return [_refusal("metric_missing", reason)]


def _not_enough(
    comparison: Comparison, belief: Belief, policy: GatePolicy
) -> tuple[str, str] | None:
    """What is missing for a promotion (code and sentence), where it is not worse; else None."""
    asked, sure, rival = policy.probability_better, belief.probability_better, comparison.rival
    if sure < asked:
        return "too_close", f"Too close to tell from {rival}: the policy asks for {asked:.0%}."
    if belief.refit.skill_z <= 0:
        return (
            "no_skill",
            "Nothing shows yet that it knows good customers from others, so it is not put before "
            f"{rival}.",
        )
    if belief.gain < 100 * policy.min_uplift:
        return (
            "too_little",
            f"Probably better than {rival}, but by less than the {100 * policy.min_uplift:.1f} "
            "points that the policy asks for.",
        )
    alone, by_customers = policy.by_customers_alone, belief.evidence.probability
    if alone is not None and by_customers < alone:
        return (
            "customers_unsure",
            f"Probably better than {rival}, but by what customers did alone with "
            f"{by_customers:.0%} only, and the policy asks for {alone:.0%}.",
        )
    if policy.holdout == "must_agree" and not _holdout_speaks_for_it(comparison, belief):
        return (
            "holdout_disagrees",
            f"Probably better than {rival}, but the holdout does not speak for it, and the policy "
            "asks for that (policy.holdout: must_agree).",
        )
    return None


def _holdout_speaks_for_it(comparison: Comparison, belief: Belief) -> bool:
    """Whether it is ahead on the pursued, or customers did better where it rates them higher."""
    return comparison.uplift.estimate > 0 or belief.evidence.points > 0


def _numbers(comparison: Comparison, belief: Belief) -> str:
    """What was found, in one breath: the belief, and the raw difference beside it."""
    d, objective = comparison.uplift, comparison.objective
    ours, theirs = (
        getattr(comparison.challenger, objective),
        getattr(comparison.rival_kpis, objective),
    )
    return (
        f"{belief} On the {comparison.n_holdout} holdout accounts at equal capacity: "
        f"{_NAMES[objective]} {ours:.1%} against {theirs:.1%}, {100 * d.estimate:+.1f} points "
        f"({100 * d.low:+.1f} to {100 * d.high:+.1f})."
    )


def _contradicted(comparison: Comparison, asked: float) -> str | None:
    """Why the verdict would rest on whom earlier lists chose, where it would."""
    weighted, naive = comparison.weighted, comparison.uplift
    if weighted is None or weighted.uplift.estimate * naive.estimate >= 0:
        return None
    sure = weighted.uplift.ahead
    if max(sure, 1 - sure) < asked:
        return None
    other = weighted.uplift
    return (
        f"Earlier lists decide this: {weighted.listed:.0%} of the {comparison.n_holdout} holdout "
        f"accounts stood on one when their sale began. As they are, the uplift over "
        f"{comparison.rival} is {100 * naive.estimate:+.1f} points; weighted by how unlikely each "
        f"was to be pursued it is {100 * other.estimate:+.1f} ({100 * other.low:+.1f} to "
        f"{100 * other.high:+.1f}, ahead in {sure:.0%} of bootstrap draws, worth "
        f"{weighted.n_effective:.0f} accounts). Customers from outside the list would tell: "
        "see targets.explore."
    )


def _failed_guards(comparison: Comparison, belief: Belief, policy: GatePolicy) -> list[Finding]:
    guards = (
        ("guard_grr", "GRR", comparison.grr, policy.grr_margin),
        ("guard_retention", "logo retention", comparison.retention, policy.retention_margin),
    )
    failed = [
        _refusal(
            code,
            f"Guard: {name} falls by {-100 * d.estimate:.1f} points, more than the "
            f"{100 * margin:.1f} points that the policy allows.",
        )
        for code, name, d, margin in guards
        if d.estimate < -margin
    ]
    if belief.change and belief.change.probability <= 1 - policy.probability_better:
        reason = (
            "Guard: the change of recipe makes it worse. "
            f"{belief} Undo the change, and the next round refits the old recipe."
        )
        failed.append(_refusal("guard_recipe", reason))
    return failed
