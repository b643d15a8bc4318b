"""One round: learn a challenger from what the as-of day could see, and judge it; write nothing.

The same round runs in `retrain`, which records it, and in `backtest`, which runs many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from icploop.domain.calendar import last_ended_month, last_moment, month_start
from icploop.domain.follow_up import follow_up
from icploop.domain.gate import (
    Comparison,
    Decision,
    Difference,
    Prospective,
    Weighted,
    decide,
    too_few,
)
from icploop.domain.identity import companies_seen_by, families, under_one_account
from icploop.domain.looks import Looks, required_probability
from icploop.domain.outcomes import of_motion, outcomes
from icploop.domain.profile import Profile, kinds_of
from icploop.domain.tables import CONTRACTS, Tables
from icploop.domain.tiers import percentile_against
from icploop.domain.trigger import closed_deals
from icploop.errors import UsageError
from icploop.modeling.accounts.features import attributes_at
from icploop.modeling.judging.advantage import advantage
from icploop.modeling.judging.comparison import Skill, compare, reading
from icploop.modeling.judging.evidence import (
    AVERAGE,
    CHALLENGER,
    CHAMPION,
    HYPOTHESIS,
    Challenger,
    ClosedDeals,
    Evidence,
    for_version,
    gather,
)
from icploop.modeling.judging.guards import broken, deal_changes, missing_slices
from icploop.modeling.judging.selection import LISTING_COLUMNS, Selection, selection
from icploop.modeling.judging.tier_outcomes import out_of_order
from icploop.modeling.learning.rivals import AverageCustomer, HypothesisScore
from icploop.modeling.page.after_the_sale import troubles
from icploop.modeling.page.profile import Customers, learn_profile
from icploop.modeling.page.scorecard import learn_scorecard, worth_asking_about
from icploop.modeling.scoring.version import Bands, IcpVersion
from icploop.modeling.trust.leaks import Sales, find_leaks, shared_parents, too_good
from icploop.settings import TABLES, Attribute, Settings, digest

_FEWEST_REFERENCE = 50
_NEWEST_DEALS = 1500
_FEWEST_READ = 20
_HYPOTHESIS_MODE = (
    "Hypothesis mode: there is no model yet. Until there is, `icp score` and `icp list` go by the "
    "hypothesis stated in the settings, and claim nothing about NRR or retention."
)


@dataclass(frozen=True)
class Round:
    """A judged round. Without enough to learn from there is no version and no comparison.

    `market` has a row for each reference prospect (index account_id) as the version sees it:
    points, fit_score, tier, and whether the page selects it. `allowed_leaks` are the columns that
    the operator allowed in spite of a leak, with the reason of each.
    """

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
    market: pd.DataFrame | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    allowed_leaks: Mapping[str, str] = field(default_factory=dict)


def run_round(
    tables: Tables,
    settings: Settings,
    motion: str,
    as_of: date,
    champion: IcpVersion | None,
    *,
    looks: Looks | None = None,
    elders: Mapping[str, IcpVersion] | None = None,
    listings: pd.DataFrame | None = None,
    allowed_leaks: Mapping[str, str] | None = None,
) -> Round:
    """Train and judge a challenger as of a day. `tables` may hold later rows; they are not seen.

    `looks` says what earlier rounds have looked at, and `elders` holds versions besides the
    champion that a challenger may not fall behind, by name. `listings` are the target lists so far
    (`modeling/judging/selection.py`), which may have decided who became a customer. `allowed_leaks`
    names columns that are learned from even if they leak, with the reason of each. Raises
    UsageError for an allowed column that is not declared.
    """
    allowed = dict(allowed_leaks or {})
    if strangers := sorted(set(allowed) - {a.name for a in settings.attributes}):
        raise UsageError(
            f"`{strangers[0]}` is to be allowed as a leak, but conf/icp.yaml does not declare it; "
            f"declared: {', '.join(a.name for a in settings.attributes)}"
        )
    # On matrices of this size BLAS threads cost more than they bring.
    with threadpool_limits(1):
        judged = _judged(
            companies_seen_by(tables, as_of, settings.identity),
            settings,
            motion,
            as_of,
            champion,
            looks or Looks(),
            elders or {},
            pd.DataFrame(columns=LISTING_COLUMNS) if listings is None else listings,
            allowed,
        )
    return replace(judged, allowed_leaks=allowed)


def _judged(
    seen: Tables,
    settings: Settings,
    motion: str,
    as_of: date,
    champion: IcpVersion | None,
    looks: Looks,
    elders: Mapping[str, IcpVersion],
    listings: pd.DataFrame,
    allowed: Mapping[str, str],
) -> Round:
    snapshot, policy = snapshot_hash(seen), settings.policy.digest()
    closed = len(closed_deals(seen, motion, settings.trigger))
    sold = outcomes(seen, motion, settings.outcome).set_index("account_id", drop=False)
    sold = sold.rename_axis(None)
    matured = int(sold["matured"].sum())
    if decision := too_few(matured, settings.policy, _enough_by(sold, settings), as_of):
        notes = (_HYPOTHESIS_MODE,) if settings.hypothesis and champion is None else ()
        return Round(motion, as_of, decision, closed, matured, snapshot, policy, notes=notes)
    customers = _followed(seen, sold, settings, as_of)
    features = attributes_at(seen.accounts, customers, settings.attributes)
    usable, said = _usable(features[customers["matured"]], settings.attributes)
    if not usable:
        invalid = Decision("INVALID", tuple(said))
        return Round(motion, as_of, invalid, closed, matured, snapshot, policy, notes=tuple(said))
    deals = ClosedDeals.of(seen, motion, settings, customers)
    challenger = Challenger(usable, settings)
    capacity = capacity_share(settings, seen, motion)
    reference = _market(seen, usable, motion, as_of)
    evidence = gather(challenger, reference, features, customers, deals, champion, elders, capacity)
    distrust, minded = _leaking(seen, evidence, deals, usable, settings, allowed)
    said += minded
    distrust += missing_slices(evidence, settings.policy)
    rival = CHAMPION if champion else HYPOTHESIS if settings.hypothesis else AVERAGE
    comparison = replace(
        _compared(evidence, settings, rival),
        prospective=_prospective(evidence, settings, champion),
        weighted=_weighted(
            evidence, settings, rival, _selection(evidence, seen, motion, listings, as_of)
        ),
    )
    version, market = _version(
        seen, reference, challenger, motion, as_of, deals, evidence, (snapshot, policy)
    )
    changes = deal_changes(_scored_deals(deals, version, champion, rival, settings), capacity)
    guards = broken(evidence, rival, version, market["tier"], changes, settings.policy)
    guards += _behind(evidence, settings, elders)
    required = required_probability(settings.policy, looks)
    said += [f"Mind that {change}." for change in changes]
    if alarm := looks.used_up(list(evidence.holdout), settings.policy):
        said.append(alarm)
    said += _tiers_out_of_order(evidence, version, settings)
    if not evidence.skill.is_shown:
        said.append(_no_skill(evidence.skill))
    if not version.deal_model.knows_p_win:
        said.append("P(win) is unknown: it takes both won and lost deals to learn it.")
    return Round(
        motion=motion,
        as_of=as_of,
        decision=decide(comparison, settings.policy, distrust, guards, required),
        closed_deals=closed,
        n_matured=matured,
        snapshot_hash=snapshot,
        policy_hash=policy,
        version=version,
        comparison=comparison,
        evidence=evidence,
        market=market,
        notes=tuple(said),
    )


def _leaking(
    seen: Tables,
    evidence: Evidence,
    deals: ClosedDeals,
    usable: tuple[Attribute, ...],
    settings: Settings,
    allowed: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """Why the comparison cannot be trusted as far as columns go, and what to mind besides."""
    sales = Sales(
        evidence.matured_features, evidence.matured, deals.features, deals.rows, seen.accounts
    )
    found = find_leaks(sales, usable, settings.seed)
    refused, notes = found.but_for(allowed)
    parents = evidence.customers["parent"]
    known = families(seen.accounts).reindex(parents.index)
    apart, minded = shared_parents(parents, known, settings.seed)
    suspicious = too_good(
        evidence.expected.loc[evidence.matured.index, "expected_nrr"], evidence.matured["retained"]
    )
    notes += [*found.notes, *([minded] if minded else [])]
    reasons = [str(leak) for leak in [*refused, *apart]]
    # What an allowed column knows is in every score.
    if len(refused) < len(found.leaks):
        return reasons, notes + suspicious
    return reasons + suspicious, notes


def _followed(seen: Tables, sold: pd.DataFrame, settings: Settings, as_of: date) -> pd.DataFrame:
    """The customers of whom a month or more has been seen, and how much each counts."""
    followed = sold.join(follow_up(seen, sold, settings.outcome))
    half_life = settings.learning.half_life_months
    if half_life is not None:
        months = (last_moment(as_of) - followed["at"]).dt.days / (365.25 / 12)
        followed["weight"] = 0.5 ** (months / half_life)
    return followed[followed["months_at_risk"] >= 1]


def _no_skill(found: Skill) -> str:
    return (
        "No better than the average customer: on accounts that training did not see, the "
        f"challenger's expectations cannot be told from chance (correlation with NRR "
        f"{found.correlation:+.2f}, {found.low:+.2f} to {found.high:+.2f}, n = {found.n})."
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
    billed = set(seen.revenue.loc[seen.revenue["mrr"] > 0, "account_id"].unique())
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


def _compared(evidence: Evidence, settings: Settings, rival: str) -> Comparison:
    """The challenger against a rival on the holdout, with what younger customers tell."""
    judged = evidence.judged.loc[evidence.holdout]
    ours, theirs = evidence.scores[CHALLENGER], evidence.scores[rival]
    tell = judged if settings.objective == "value" else evidence.recent
    return compare(
        judged,
        ours,
        theirs,
        rival=f"the {rival}",
        objective=settings.objective,
        evidence=advantage(tell, ours, theirs, settings.objective, settings.outcome),
        capacity=evidence.capacity,
        interval=settings.policy.interval,
        draws=settings.policy.draws,
        seed=settings.seed,
    )


def _reading(
    evidence: Evidence,
    settings: Settings,
    rival: str,
    accounts: pd.Index,
    weight: pd.Series | None = None,
) -> Difference:
    return reading(
        evidence.judged.loc[accounts],
        evidence.scores[CHALLENGER],
        evidence.scores[rival],
        objective=settings.objective,
        weight=weight,
        capacity=evidence.capacity,
        interval=settings.policy.interval,
        draws=settings.policy.draws,
        seed=settings.seed,
    )


def _prospective(
    evidence: Evidence, settings: Settings, champion: IcpVersion | None
) -> Prospective | None:
    """The uplift on the accounts whose outcome nobody could know when the champion was trained."""
    if champion is None:
        return None
    held = evidence.customers.loc[evidence.holdout.intersection(evidence.customers.index)]
    later = held.index[held["matured_month"] > last_ended_month(champion.as_of)]
    if len(later) < _FEWEST_READ:
        return Prospective(len(later), None)
    return Prospective(len(later), _reading(evidence, settings, CHAMPION, later))


def _selection(
    evidence: Evidence, seen: Tables, motion: str, listings: pd.DataFrame, as_of: date
) -> Selection | None:
    """What earlier lists had to do with the holdout."""
    deals = seen.deals[of_motion(seen.deals, motion)]
    held = evidence.judged.loc[evidence.holdout]
    lists = under_one_account(listings, seen.same_as)
    return selection(held, deals, lists, last_moment(as_of))


def _weighted(
    evidence: Evidence, settings: Settings, rival: str, found: Selection | None
) -> Weighted | None:
    if found is None:
        return None
    uplift = _reading(evidence, settings, rival, evidence.holdout, found.weight)
    return Weighted(found.listed, found.because, found.n_effective, uplift)


def _behind(evidence: Evidence, settings: Settings, elders: Mapping[str, IcpVersion]) -> list[str]:
    """The elders that the challenger has fallen behind, as broken guards.

    Versions that are each no worse than the last can slide down together; against one that stands
    still this shows.
    """
    sure = 1 - settings.policy.probability_better
    said = []
    for name in elders:
        against = _compared(evidence, settings, name).uplift
        if against.estimate < 0 and against.probability_better <= sure:
            said.append(
                f"Guard: it has fallen behind {name}: {100 * against.estimate:+.1f} points "
                f"({100 * against.low:+.1f} to {100 * against.high:+.1f}), probability better "
                f"{against.probability_better:.0%}, and the limit is {sure:.0%}."
            )
    return said


def _market(seen: Tables, usable: tuple[Attribute, ...], motion: str, as_of: date) -> pd.DataFrame:
    """The attribute frame of the reference prospects; of all accounts where these are too few."""
    ids = prospects(seen, motion)
    if len(ids) < _FEWEST_REFERENCE:
        ids = seen.accounts["account_id"].drop_duplicates().reset_index(drop=True)
    names = ids.to_numpy()
    moments = pd.DataFrame({"account_id": names, "at": last_moment(as_of)}, index=names)
    return attributes_at(seen.accounts, moments, usable)


def _scored_deals(
    deals: ClosedDeals,
    version: IcpVersion,
    champion: IcpVersion | None,
    rival: str,
    settings: Settings,
) -> pd.DataFrame:
    """The newest closed deals with fair scores of both; empty without lost deals."""
    rows = deals.rows.tail(_NEWEST_DEALS)
    if rows["won"].nunique() < 2:
        return rows.head(0).assign(challenger=0.0, rival=0.0)
    of_deals = deals.features.loc[rows.index]
    features = of_deals.set_axis(rows["account_id"].to_numpy())
    theirs: pd.Series
    if champion is not None:
        theirs = champion.judged_score(for_version(features, champion))
    elif rival == HYPOTHESIS:
        theirs = HypothesisScore(settings.hypothesis).predict(features)
    else:
        average = AverageCustomer(kinds_of(version.attributes)).fit(of_deals, rows)
        theirs = average.predict(features)
    ours = version.judged_score(features)
    return rows.assign(challenger=ours.to_numpy(), rival=theirs.to_numpy())


def _tiers_out_of_order(evidence: Evidence, version: IcpVersion, settings: Settings) -> list[str]:
    unseen = evidence.scores[CHALLENGER].loc[evidence.matured.index]
    fit_score = pd.Series(percentile_against(version.reference, unseen.to_numpy()), unseen.index)
    tier = version.tier(evidence.matured_features, fit_score)
    return out_of_order(tier, evidence.matured, settings.policy.draws, settings.seed)


def _version(
    seen: Tables,
    market: pd.DataFrame,
    challenger: Challenger,
    motion: str,
    as_of: date,
    deals: ClosedDeals,
    evidence: Evidence,
    hashes: tuple[str, str],
) -> tuple[IcpVersion, pd.DataFrame]:
    """The version, and how it sees the reference prospects (`Round.market`)."""
    settings, usable = challenger.settings, challenger.attributes
    version = IcpVersion(
        motion=motion,
        as_of=as_of,
        objective=settings.objective,
        terms=deals.terms,
        attributes=usable,
        fit_model=challenger.fit_model().fit(evidence.features, evidence.customers),
        deal_model=challenger.deal_model().fit(deals.features, deals.rows),
        profile=Profile((), (), len(evidence.matured)),
        tiers=settings.tiers,
        outcome=settings.outcome,
        bands=Bands.measure(
            evidence.expected.loc[evidence.matured.index, "expected_nrr"],
            evidence.matured,
            settings.policy.draws,
            settings.seed,
        ),
        reference=np.empty(0),
        archived=evidence.scores[CHALLENGER].sort_index(),
        snapshot_hash=hashes[0],
        policy_hash=hashes[1],
    )
    ranked = version.ranked(market)
    fit_score = percentile_against(np.sort(ranked.to_numpy()), ranked.to_numpy())
    customers = Customers(
        evidence.matured_features,
        evidence.matured,
        troubles(evidence.matured, seen.signals),
        as_of,
    )
    asked = worth_asking_about(market, customers.features)
    card = learn_scorecard(asked, version.ranked(asked), usable, evidence.capacity)
    version = replace(
        version,
        reference=np.sort(ranked.to_numpy()),
        profile=learn_profile(customers, card, usable, market, ranked, settings),
    )
    rules = version.profile.rules
    scored = pd.DataFrame(
        {
            "points": rules.points(market),
            "fit_score": fit_score,
            "selected": rules.selects(market),
        },
        index=market.index,
    )
    return version, scored.assign(tier=version.tier(market, scored["fit_score"]))
