"""What a winner must not break: each guard names the number that decided.

A guard that compares customers fails only on clear harm (one-sided 1%), because parts of a holdout
are small; a guard that counts accounts fails on its limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from icploop.domain.findings import Finding
from icploop.modeling.judging.advantage import advantage
from icploop.modeling.judging.trial import CHALLENGER, Trial
from icploop.modeling.scoring.version import IcpVersion
from icploop.modeling.statistics.capacity import pursued
from icploop.settings import Attribute, GatePolicy

_CLEAR_Z = 2.33
_LEAST_SLOPE = 0.5
# What deals are looked at beside revenue: the column, its name, and whether more is better.
_DEAL_NUMBERS = (
    ("won", "win rate", True),
    ("gross_margin", "gross margin", True),
    ("cycle_days", "sales cycle in days", False),
)


def broken(
    trial: Trial,
    rival: str,
    version: IcpVersion,
    tiers: pd.Series,
    changes: Sequence[DealChange],
    policy: GatePolicy,
) -> list[Finding]:
    """The guards that a challenger would break.

    `rival` names the column of `trial.scores` that it is compared with, `tiers` holds the tier
    of each reference prospect, `changes` is what `deal_changes` found.
    """
    return [
        *_harmed_parts(trial, rival, version, policy),
        *(
            _broken(
                "guard_deals",
                f"{change}, which is worse by {change.worse:.0%}; the policy allows "
                f"{policy.deal_margin:.0%}.",
            )
            for change in changes
            if change.worse > policy.deal_margin
        ),
        *_overconfident(trial),
        *_refused(trial, version, policy),
        *_narrow(tiers, version.tiers.min_coverage, policy),
    ]


def missing_slices(trial: Trial, policy: GatePolicy) -> list[Finding]:
    """The declared slices that cannot be judged, as reasons for distrust."""
    return [
        Finding(
            "slice_unjudged",
            "refusal",
            f"Slice: no level of `{name}` has {policy.slice_min} holdout customers, so what the "
            "challenger does to it cannot be judged; take it out of policy.slices, or lower "
            "policy.slice_min.",
        )
        for name in policy.slices
        if not list(_levels(trial.features.loc[_held(trial), name], policy.slice_min))
    ]


def _broken(code: str, what: str) -> Finding:
    return Finding(code, "refusal", f"Guard: {what}")


def _held(trial: Trial) -> pd.Index:
    return trial.holdout.intersection(trial.customers.index)


def _levels(values: pd.Series, fewest: int) -> Iterator[tuple[str, pd.Index]]:
    """The levels of an attribute that enough accounts have; a number is cut at its median."""
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > 2:
        middle = values.median()
        parts = {f"up to {middle:,.6g}": values <= middle, f"over {middle:,.6g}": values > middle}
    else:
        parts = {str(level): values == level for level in sorted(values.dropna().unique())}
    for level, inside in parts.items():
        if inside.sum() >= fewest:
            yield level, values.index[inside.to_numpy(dtype=bool)]


def _parts(
    trial: Trial, attributes: tuple[Attribute, ...], policy: GatePolicy
) -> Iterator[tuple[str, pd.Index]]:
    """Parts of the holdout: its older and newer half, small and large accounts, declared slices."""
    held = trial.customers.loc[_held(trial)]
    order = held["at"].rank(method="first") > len(held) / 2
    yield "the older half of the holdout", held.index[~order]
    yield "the newer half of the holdout", held.index[order]
    large = held["start_mrr"].rank(method="first") > len(held) / 2
    yield "the smaller half by starting MRR", held.index[~large]
    yield "the larger half by starting MRR", held.index[large]
    labels = {a.name: a.label for a in attributes}
    for name in policy.slices:
        for level, accounts in _levels(trial.features.loc[held.index, name], policy.slice_min):
            yield f"{labels.get(name, name)} {level}", accounts


def _harmed_parts(
    trial: Trial, rival: str, version: IcpVersion, policy: GatePolicy
) -> Iterator[Finding]:
    for name, accounts in _parts(trial, version.attributes, policy):
        if len(accounts) < policy.slice_min:
            continue
        scores = trial.scores.loc[accounts]
        found = advantage(
            trial.customers.loc[accounts],
            scores[CHALLENGER],
            scores[rival],
            "nrr",
            version.outcome,
        )
        if found.z < -_CLEAR_Z:
            yield _broken(
                "guard_part",
                f"in {name} ({len(accounts)} customers) outcomes are clearly worse where "
                f"the challenger rates higher than the {rival}: z {found.z:.1f}, and the limit is "
                f"-{_CLEAR_Z}.",
            )


@dataclass(frozen=True)
class DealChange:
    """How a number of the deals that would be pursued changes, from the rival's to ours."""

    name: str
    before: float
    after: float
    n: int
    z: float
    more_is_better: bool

    @property
    def worse(self) -> float:
        """By which share it gets worse; below zero where it gets better."""
        fall = self.before - self.after
        return (fall if self.more_is_better else -fall) / self.before if self.before else 0.0

    def __str__(self) -> str:
        return (
            f"the {self.name} of the deals it would pursue goes from {self.before:.3g} to "
            f"{self.after:.3g} (n = {self.n}, z {self.z:.1f})"
        )


def deal_changes(deals: pd.DataFrame, capacity: float) -> list[DealChange]:
    """What clearly changes for the worse in the deals that would be pursued.

    `deals` are closed deals (rows of `decided_deals`) with two scores in the columns challenger and
    rival; each pursues its best share.
    """
    found = []
    for column, name, more_is_better in _DEAL_NUMBERS:
        known = deals[deals[column].notna()]
        if len(known) < 2 or known[column].nunique() < 2:
            continue
        numbers = known[column].to_numpy(dtype="float64")
        ours, theirs = (pursued(known[who], capacity).to_numpy() for who in ("challenger", "rival"))
        ours, theirs = ours / ours.sum(), theirs / theirs.sum()
        error = float(np.sqrt((((ours - theirs) * (numbers - numbers.mean())) ** 2).sum()))
        before, after = float(theirs @ numbers), float(ours @ numbers)
        z = (after - before) / error if error > 0 else 0.0
        change = DealChange(name, before, after, len(known), z, more_is_better)
        if (-z if more_is_better else z) > _CLEAR_Z:
            found.append(change)
    return found


def _overconfident(trial: Trial) -> Iterator[Finding]:
    found = trial.calibrations["expected_nrr"]
    if found.slope + _CLEAR_Z * found.slope_error < _LEAST_SLOPE:
        yield _broken(
            "guard_calibration",
            f"expectations of NRR are too far apart: realised rises by {found.slope:.2f} "
            f"for each 1 expected (standard error {found.slope_error:.2f}), and the limit is "
            f"{_LEAST_SLOPE}.",
        )


def _refused(trial: Trial, version: IcpVersion, policy: GatePolicy) -> Iterator[Finding]:
    good = trial.matured.index[trial.matured["nrr"] >= 1]
    if len(good) == 0:
        return
    refused = float(version.profile.rules.is_anti(trial.features.loc[good]).mean())
    if refused > policy.max_refused_good:
        yield _broken(
            "guard_refuses_good",
            f"its anti-ICP refuses {refused:.0%} of the {len(good)} customers who did not "
            f"shrink, more than the {policy.max_refused_good:.0%} that the policy allows.",
        )


def _narrow(tiers: pd.Series, min_coverage: float, policy: GatePolicy) -> Iterator[Finding]:
    if tiers.empty:
        return
    left = float(tiers.isin(["A", "B", "C", "D"]).mean())
    if left < policy.min_width:
        yield _broken(
            "guard_narrow",
            f"only {left:.0%} of the {len(tiers)} prospects are neither refused nor too "
            f"thinly known (coverage at least {min_coverage:.0%}), less than the "
            f"{policy.min_width:.0%} that the policy asks for.",
        )
    for tier in ("A", "B", "C"):
        if not (tiers == tier).any():
            yield _broken(
                "guard_empty_tier",
                f"tier {tier} would be empty among the {len(tiers)} prospects.",
            )
