"""One round: learn a challenger from what the as-of day could see, and judge it; write nothing.

The same round runs in `retrain`, which records it, and in `backtest`, which runs many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from icploop.domain.calendar import last_moment, month_start, seen_by
from icploop.domain.gate import Comparison, Decision, decide, too_few
from icploop.domain.outcomes import Kpis, kpis, of_motion, outcomes
from icploop.domain.profile import kinds_of
from icploop.domain.tables import CONTRACTS, Tables
from icploop.domain.trigger import closed_deals
from icploop.modeling.comparison import (
    at_capacity,
    compare,
    newest_matured,
    out_of_fold,
)
from icploop.modeling.features import attributes_at
from icploop.modeling.fit_model import FitModel
from icploop.modeling.leaks import filled_by_outcome, too_good
from icploop.modeling.profile_learning import learn_profile
from icploop.modeling.rivals import AverageCustomer, HypothesisScore, RandomChoice
from icploop.modeling.version import Bands, IcpVersion
from icploop.settings import TABLES, Attribute, Settings, digest

AVERAGE, HYPOTHESIS, RANDOM, CHAMPION, CHALLENGER = (
    "average customer profile",
    "hypothesis",
    "random",
    "champion",
    "challenger",
)
_FEWEST_REFERENCE = 50


@dataclass(frozen=True)
class Evidence:
    """What a round learned from and judged on.

    `features` and `matured` (rows of `outcomes`) are indexed by account_id; `scores` has a column
    for each rival with its fair score of every matured account; `holdout` names the judged ones.
    """

    features: pd.DataFrame
    matured: pd.DataFrame
    scores: pd.DataFrame
    p_retained: pd.Series
    holdout: pd.Index

    capacity: float

    @property
    def rivals(self) -> dict[str, Kpis]:
        """NRR, GRR and retention at capacity of each rival, on the same holdout accounts."""
        judged = self.matured.loc[self.holdout]
        return {
            name: at_capacity(judged, self.scores.loc[self.holdout, name], self.capacity)
            for name in self.scores.columns
        }

    @property
    def everyone(self) -> Kpis:
        """NRR, GRR and retention of the whole holdout."""
        return kpis(self.matured.loc[self.holdout])


@dataclass(frozen=True)
class Round:
    """A judged round. Without enough to learn from there is no version and no comparison."""

    motion: str
    as_of: date
    decision: Decision
    closed_deals: int
    n_matured: int
    snapshot_hash: str
    policy_hash: str
    version: IcpVersion | None = None
    comparison: Comparison | None = None
    evidence: Evidence | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)


def run_round(
    tables: Tables, settings: Settings, motion: str, as_of: date, champion: IcpVersion | None
) -> Round:
    """Train and judge a challenger as of a day. `tables` may hold later rows; they are not seen."""
    # On matrices of this size BLAS threads cost more than they bring, and folds run side by side.
    with threadpool_limits(1):
        return _judged(seen_by(tables, as_of), settings, motion, as_of, champion)


def _judged(
    seen: Tables, settings: Settings, motion: str, as_of: date, champion: IcpVersion | None
) -> Round:
    snapshot, policy = snapshot_hash(seen), settings.policy.digest()
    closed = closed_deals(seen, motion, settings.trigger)
    sold = outcomes(seen, motion, settings.outcome).set_index("account_id", drop=False)
    matured = sold[sold["matured"]].rename_axis(None)
    if decision := too_few(len(matured), settings.policy, _enough_by(sold, settings)):
        return Round(motion, as_of, decision, closed, len(matured), snapshot, policy)
    features = attributes_at(seen.accounts, matured, settings.attributes)
    usable, notes = _usable(features, settings.attributes)
    if not usable:
        invalid = Decision("INVALID", tuple(notes))
        return Round(
            motion, as_of, invalid, closed, len(matured), snapshot, policy, notes=tuple(notes)
        )
    capacity = capacity_share(settings, seen, motion)
    evidence = _scored(features, matured, usable, settings, champion, capacity)
    distrust = [str(leak) for leak in filled_by_outcome(features, matured)]
    distrust += too_good(evidence.scores[CHALLENGER], matured["retained"])
    comparison = _compared(evidence, settings, champion)
    version = _version(seen, settings, motion, as_of, usable, evidence, (snapshot, policy))
    return Round(
        motion=motion,
        as_of=as_of,
        decision=decide(comparison, settings.policy, distrust),
        closed_deals=closed,
        n_matured=len(matured),
        snapshot_hash=snapshot,
        policy_hash=policy,
        version=version,
        comparison=comparison,
        evidence=evidence,
        notes=tuple(notes),
    )


def _enough_by(sold: pd.DataFrame, settings: Settings) -> date | None:
    """The month in which enough of the accounts won so far will have matured for the policy."""
    months = sold["matured_month"].dropna().sort_values()
    if len(months) < settings.policy.min_matured:
        return None
    return month_start(int(months.iloc[settings.policy.min_matured - 1]))


def snapshot_hash(seen: Tables) -> str:
    """The SHA-256 of everything that a day could see, whatever the order it was stored in."""
    parts = {}
    for name in TABLES:
        table = getattr(seen, name)
        plain = table.astype("str").fillna("")
        rows = pd.util.hash_pandas_object(plain, index=False).to_numpy()
        # Signals have no key, so their order says nothing.
        ordered = rows if CONTRACTS[name].key else np.sort(rows)
        parts[name] = [list(map(str, table.columns)), ordered.tobytes().hex()]
    return digest(parts)


def capacity_share(settings: Settings, seen: Tables, motion: str) -> float:
    """How much of the market the team can pursue; a number of accounts is set against prospects."""
    if settings.capacity.accounts is None:
        return settings.capacity.share
    return min(settings.capacity.accounts / max(len(prospects(seen, motion)), 1), 0.99)


def prospects(seen: Tables, motion: str) -> pd.Series:
    """The accounts that never became a customer: no won deal of the motion, and never billed."""
    deals = seen.deals[of_motion(seen.deals, motion)]
    won = set(deals.loc[deals["outcome"] == "won", "account_id"])
    billed = set(seen.revenue.loc[seen.revenue["mrr"] > 0, "account_id"])
    ids = seen.accounts["account_id"].drop_duplicates()
    return ids[~ids.isin(won | billed)].reset_index(drop=True)


def _usable(
    features: pd.DataFrame, attributes: tuple[Attribute, ...]
) -> tuple[tuple[Attribute, ...], list[str]]:
    """The attributes that something can be learned from, and a note for each other one."""
    notes = []
    usable = []
    for attribute in attributes:
        values = features[attribute.name]
        if values.notna().sum() == 0:
            notes.append(
                f"`{attribute.name}` is left out: none of the matured accounts had a value before "
                "the sale (it may be filled in afterwards)."
            )
        elif values.notna().all() and (values == values.iloc[0]).all():
            notes.append(
                f"`{attribute.name}` is left out: every matured account has the same value."
            )
        else:
            usable.append(attribute)
    return tuple(usable), notes


def _scored(
    features: pd.DataFrame,
    matured: pd.DataFrame,
    usable: tuple[Attribute, ...],
    settings: Settings,
    champion: IcpVersion | None,
    capacity: float,
) -> Evidence:
    kinds = kinds_of(usable)
    seed = settings.seed
    predicted = out_of_fold(lambda: FitModel(kinds, seed=seed), features, matured, seed)
    scores = {CHALLENGER: predicted["expected_nrr"]}
    if champion is not None:
        scores[CHAMPION] = champion.judged_score(_for_champion(features, champion))
    scores[AVERAGE] = out_of_fold(lambda: AverageCustomer(kinds), features, matured, seed)
    if settings.hypothesis:
        scores[HYPOTHESIS] = HypothesisScore(settings.hypothesis).predict(features)
    scores[RANDOM] = RandomChoice().predict(features)
    holdout = newest_matured(matured, settings.policy.newest).index
    return Evidence(
        features, matured, pd.DataFrame(scores), predicted["p_retained"], holdout, capacity
    )


def _for_champion(features: pd.DataFrame, champion: IcpVersion) -> pd.DataFrame:
    """An attribute that has left the settings since is missing for the champion."""
    return features.reindex(columns=[a.name for a in champion.attributes])


def _compared(evidence: Evidence, settings: Settings, champion: IcpVersion | None) -> Comparison:
    rival = CHAMPION if champion else HYPOTHESIS if settings.hypothesis else AVERAGE
    judged = evidence.matured.loc[evidence.holdout]
    return compare(
        judged,
        evidence.scores[CHALLENGER],
        evidence.scores[rival],
        rival=f"the {rival}",
        capacity=evidence.capacity,
        interval=settings.policy.interval,
        draws=settings.policy.draws,
        seed=settings.seed,
    )


def _version(
    seen: Tables,
    settings: Settings,
    motion: str,
    as_of: date,
    usable: tuple[Attribute, ...],
    evidence: Evidence,
    hashes: tuple[str, str],
) -> IcpVersion:
    model = FitModel(kinds_of(usable), seed=settings.seed).fit(evidence.features, evidence.matured)
    market = prospects(seen, motion)
    if len(market) < _FEWEST_REFERENCE:
        market = seen.accounts["account_id"].drop_duplicates().reset_index(drop=True)
    moments = pd.DataFrame({"account_id": market, "at": last_moment(as_of)})
    reference = model.predict(attributes_at(seen.accounts, moments, usable))["expected_nrr"]
    archived = evidence.scores[CHALLENGER]
    return IcpVersion(
        motion=motion,
        as_of=as_of,
        attributes=usable,
        fit_model=model,
        profile=learn_profile(evidence.features, evidence.matured, usable),
        tiers=settings.tiers,
        outcome=settings.outcome,
        bands=Bands.measure(archived, evidence.matured, settings.policy.draws, settings.seed),
        reference=np.sort(reference.to_numpy()),
        archived=archived.sort_index(),
        snapshot_hash=hashes[0],
        policy_hash=hashes[1],
    )
