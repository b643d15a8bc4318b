"""Backtest: replay the loop over history as if it had been running, and say what it would have won.

Ops are taken to approve every PROMOTE. Nothing is written to MLflow or the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from icploop.domain.calendar import seen_by
from icploop.domain.gate import FEWEST_READ, Comparison
from icploop.domain.looks import Looks
from icploop.domain.outcomes import of_motion
from icploop.domain.profile import kinds_of
from icploop.domain.tables import Tables
from icploop.domain.tiers import percentile_against
from icploop.domain.trigger import LastRound, due
from icploop.errors import DataError, UsageError
from icploop.modeling.accounts.market import Sight
from icploop.modeling.judging.comparison import compare
from icploop.modeling.judging.round import Before, Round, run_round
from icploop.modeling.learning.rivals import AverageCustomer
from icploop.modeling.scoring.version import IcpVersion
from icploop.pipelines.as_of import AsOf
from icploop.settings import Settings

# The true uplift of a challenger over its rival in the whole market, where the truth is known.
TrueUplift = Callable[[Round, IcpVersion | None], float | None]
OnRound = Callable[[Round, int, int], None]


@dataclass(frozen=True)
class InForce:
    """A version that came into force, and the average customer profile of the same day."""

    version: IcpVersion
    average: AverageCustomer
    average_reference: np.ndarray


@dataclass(frozen=True)
class BacktestReport:
    """The replayed rounds, and what the versions in force would have been worth.

    `rounds` has one row a round: as_of, n_matured, verdict, rival, uplift, low, high (ratios),
    probability_better, champion (as-of day of the version in force after the round), true_uplift.
    `prospective` compares, on accounts acquired after the first promotion, the score of the version
    in force when each deal was created with the average customer profile of the same day.
    """

    rounds: pd.DataFrame
    prospective: Comparison | None
    everyone_nrr: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        rounds = self.rounds.astype("object").where(self.rounds.notna(), None)
        found = self.prospective
        return {
            "rounds": rounds.to_dict(orient="records"),
            "prospective": found
            and {
                "accounts": found.n_holdout,
                "icp_nrr": found.challenger.nrr,
                "average_customer_nrr": found.rival_kpis.nrr,
                "everyone_nrr": self.everyone_nrr,
                "uplift": {
                    "estimate": found.nrr.estimate,
                    "low": found.nrr.low,
                    "high": found.nrr.high,
                    "ahead": found.nrr.ahead,
                },
            },
        }


def backtest(
    at: AsOf,
    *,
    first: date | None = None,
    true_uplift: TrueUplift = lambda *_: None,
    on_round: OnRound = lambda *_: None,
) -> BacktestReport:
    """Replay the loop from `first` (the first deal, by default) to the day.

    Raises DataError when no deal of the motion was created by then, and UsageError when `first`
    comes after it.
    """
    last, settings, motion = at.day, at.settings, at.motion
    seen = seen_by(at.tables, last)
    if first and first > last:
        raise UsageError(f"--from {first} comes after --to {last}; swap them")
    start = max(first or date.min, _first_day(seen, motion))
    rows: list[dict[str, Any]] = []
    in_force: list[InForce] = []
    looks = Looks()
    total = max((last - start).days, 1)
    for day, closed in days_when_due(seen, settings, motion, start, last):
        champion = in_force[-1].version if in_force else None
        # The first version that came into force may not be fallen behind either.
        earlier = {"the first version in force": in_force[0].version} if len(in_force) > 1 else {}
        judged = run_round(Sight.of(seen, settings, motion, day), Before(champion, earlier, looks))
        truth = true_uplift(judged, champion)
        promoted = judged.ruling.verdict == "PROMOTE" and judged.version is not None
        if judged.trial is not None:
            looks = looks.after(judged.trial.holdout)
        if promoted and judged.version is not None:
            in_force.append(_come_into_force(judged, judged.version))
        rows.append(_row(judged, in_force, truth) | {"closed_deals": closed})
        on_round(judged, (day - start).days, total)
    prospective, everyone = _prospective(at.sight, in_force)
    return BacktestReport(pd.DataFrame(rows), prospective, everyone)


def _first_day(seen: Tables, motion: str) -> date:
    deals = seen.deals[of_motion(seen.deals, motion)]
    if deals.empty:
        known = ", ".join(sorted(seen.deals["motion"].fillna("default").unique()))
        raise DataError(
            f"No deal of the motion `{motion}` was created by then (motions found: "
            f"{known or 'none'}); see `motions` in conf/icp.yaml, or give another --to"
        )
    return deals["created_at"].min().date()


def days_when_due(
    seen: Tables, settings: Settings, motion: str, start: date, last: date
) -> Iterator[tuple[date, int]]:
    """The days on which a round is due, with the deals closed by then."""
    deals = seen.deals[of_motion(seen.deals, motion)]
    kinds = ["won"] if settings.trigger.count == "won" else ["won", "lost"]
    decided = deals[deals["outcome"].isin(kinds)]
    # A deal is seen once it has been created and closed, whatever order a blemish puts them in.
    moments = decided[["created_at", "closed_at"]].max(axis=1).dt.normalize().sort_values()
    closings = moments.to_numpy(dtype="datetime64[D]")
    previous: LastRound | None = None
    counted = 0
    for offset in range((last - start).days + 1):
        day = start + timedelta(days=offset)
        closed = int(np.searchsorted(closings, np.datetime64(day), side="right"))
        if due(closed - counted, previous, day, settings.trigger).is_due:
            yield day, closed
            previous, counted = LastRound(day, day), closed


def _come_into_force(judged: Round, version: IcpVersion) -> InForce:
    if judged.trial is None:
        raise ValueError("a promoted round has a trial")
    features = judged.trial.matured_features
    average = AverageCustomer(kinds_of(version.attributes)).fit(features, judged.trial.matured)
    return InForce(version, average, np.sort(average.predict(features).to_numpy()))


def _row(judged: Round, in_force: list[InForce], truth: float | None) -> dict[str, Any]:
    comparison = judged.comparison
    uplift = comparison.uplift if comparison else None
    belief = comparison.belief if comparison else None
    return {
        "as_of": judged.as_of.isoformat(),
        "n_matured": judged.n_matured,
        "verdict": judged.ruling.verdict,
        "rival": comparison.rival if comparison else None,
        "uplift": uplift.estimate if uplift else None,
        "low": uplift.low if uplift else None,
        "high": uplift.high if uplift else None,
        "probability_better": belief.probability_better if belief else None,
        "champion": in_force[-1].version.as_of.isoformat() if in_force else None,
        "true_uplift": truth,
        "reason": " ".join(judged.ruling.reasons),
    }


def _prospective(sight: Sight, in_force: list[InForce]) -> tuple[Comparison | None, float | None]:
    """What the version in force at each sale said, against what the account then did."""
    settings, matured = sight.settings, sight.sold[sight.sold["matured"]]
    if not in_force:
        return None, None
    starts = np.array([np.datetime64(f.version.as_of) for f in in_force])
    which = np.searchsorted(starts, matured["at"].to_numpy(dtype="datetime64[D]"), side="left") - 1
    later = matured[which >= 0]
    if len(later) < FEWEST_READ:
        return None, None
    icp, average = [], []
    for number, version_in_force in enumerate(in_force):
        members = matured[which == number]
        if members.empty:
            continue
        version = version_in_force.version
        features = sight.history.at(members, version.attributes)
        expected = version.ranked(features)
        likeness = version_in_force.average.predict(features)
        icp.append(_percentiles(version.reference, expected))
        average.append(_percentiles(version_in_force.average_reference, likeness))
    comparison = compare(
        later,
        pd.concat(icp),
        pd.concat(average),
        rival="the average customer profile",
        # Lost deals are not replayed, so what is judged here is the revenue of those who bought.
        objective="nrr" if settings.objective == "value" else settings.objective,
        capacity=sight.capacity,
        interval=settings.policy.interval,
        draws=settings.policy.draws,
        seed=settings.seed,
    )
    start = float(later["start_mrr"].sum())
    return comparison, float(later["end_mrr"].sum()) / start if start else None


def _percentiles(reference: np.ndarray, scores: pd.Series) -> pd.Series:
    """Scores of different versions are compared by where they stand among their own references."""
    return pd.Series(percentile_against(reference, scores.to_numpy()), index=scores.index)
