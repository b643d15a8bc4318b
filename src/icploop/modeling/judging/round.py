"""One round: learn a challenger from what the as-of day could see, and judge it; write nothing.

The same round runs in `retrain`, which records it, and in `backtest`, which runs many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from icploop.domain.calendar import last_ended_month, last_moment, month_start
from icploop.domain.findings import Finding
from icploop.domain.follow_up import follow_up
from icploop.domain.gate import (
    FEWEST_READ,
    Comparison,
    Difference,
    Prospective,
    Ruling,
    Weighted,
    decide,
    too_few,
)
from icploop.domain.identity import families, under_one_account
from icploop.domain.looks import Looks
from icploop.domain.outcomes import LeftOut, of_motion
from icploop.domain.posterior import Belief
from icploop.domain.profile import Profile, kinds_of
from icploop.domain.tables import CONTRACTS, Tables
from icploop.domain.tiers import percentile_against
from icploop.domain.trigger import closed_deals
from icploop.errors import UsageError
from icploop.modeling.accounts.market import Sight
from icploop.modeling.judging.belief import Lists, believe, evidence, wants_control
from icploop.modeling.judging.comparison import compare, reading
from icploop.modeling.judging.guards import broken, deal_changes, missing_slices
from icploop.modeling.judging.selection import LISTING_COLUMNS, Selection, selection
from icploop.modeling.judging.tier_outcomes import out_of_order
from icploop.modeling.judging.trial import (
    AVERAGE,
    CHALLENGER,
    CHAMPION,
    HYPOTHESIS,
    ChallengerSpec,
    ClosedDeals,
    Control,
    Trial,
    for_version,
    gather,
)
from icploop.modeling.learning.rivals import AverageCustomer, HypothesisScore
from icploop.modeling.page.after_the_sale import after_the_sale
from icploop.modeling.page.profile import Customers, learn_profile
from icploop.modeling.page.scorecard import learn_scorecard, worth_asking_about
from icploop.modeling.scoring.learned import ChangedOutcomes, Learned, Recipe
from icploop.modeling.scoring.version import Bands, IcpVersion
from icploop.modeling.statistics.folds import folds_by_parent
from icploop.modeling.trust.leaks import (
    Sales,
    best_alone,
    find_leaks,
    shared_parents,
    too_good,
)
from icploop.settings import TABLES, Attribute, GatePolicy, Learning, Settings, digest

_FEWEST_REFERENCE = 50
_NEWEST_DEALS = 1500
# Fewer outcomes than these may change without anything being broken.
_FEWEST_CHANGED = 3
_HYPOTHESIS_MODE = Finding(
    "hypothesis_mode",
    "note",
    "Hypothesis mode: there is no model yet. Until there is, `icp score` and `icp list` go by the "
    "hypothesis stated in the settings, and claim nothing about NRR or retention.",
)


@dataclass(frozen=True)
class Round:
    """A judged round. Without enough to learn from there is no version and no comparison.

    `market` has a row for each reference prospect (index account_id) as the version sees it:
    points, fit_score, tier, and whether the page selects it. `allowed_leaks` are the columns that
    the operator allowed in spite of a leak, with the reason of each; `left_out` is who does not
    count. `changed_outcomes` says how outcomes that had matured at the champion's training read
    now; None where nobody can tell.
    """

    motion: str
    as_of: date
    ruling: Ruling
    closed_deals: int
    n_matured: int
    snapshot_hash: str
    policy_hash: str
    version: IcpVersion | None = None
    comparison: Comparison | None = None
    trial: Trial | None = None
    market: pd.DataFrame | None = None
    notes: tuple[Finding, ...] = ()
    allowed_leaks: Mapping[str, str] = field(default_factory=dict)
    left_out: LeftOut | None = None
    changed_outcomes: ChangedOutcomes | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What decided the verdict, then what is worth knowing."""
        return (*self.ruling.findings, *self.notes)


@dataclass(frozen=True)
class Before:
    """What came before a round: the champion, other versions, the looks so far, and the lists.

    A challenger is judged against the `champion`, and may not fall behind any of the
    `earlier_champions` either (by name). `looks` says what earlier rounds have looked at.
    `listings` are the target lists so far (`modeling/judging/selection.py`), which may have decided
    who became a customer.
    """

    champion: IcpVersion | None = None
    earlier_champions: Mapping[str, IcpVersion] = field(default_factory=dict)
    looks: Looks = field(default_factory=Looks)
    listings: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LISTING_COLUMNS))


def run_round(
    sight: Sight, before: Before | None = None, *, allowed_leaks: Mapping[str, str] | None = None
) -> Round:
    """Train and judge a challenger on what a day sees.

    `allowed_leaks` names columns that are learned from even if they leak, with the reason of each.
    Raises UsageError for an allowed column that is not declared.
    """
    allowed = dict(allowed_leaks or {})
    declared = [a.name for a in sight.settings.attributes]
    if strangers := sorted(set(allowed) - set(declared)):
        raise UsageError(
            f"`{strangers[0]}` is to be allowed as a leak, but conf/icp.yaml does not declare it; "
            f"declared: {', '.join(declared)}"
        )
    # On matrices of this size BLAS threads cost more than they bring.
    with threadpool_limits(1):
        return _judged(sight, before or Before(), allowed)


def _judged(sight: Sight, before: Before, allowed: Mapping[str, str]) -> Round:
    settings, champion, snapshot = sight.settings, before.champion, snapshot_hash(sight.seen)
    matured = int(sight.sold["matured"].sum())
    opened = partial(
        Round,
        motion=sight.motion,
        as_of=sight.as_of,
        closed_deals=len(closed_deals(sight.seen, sight.motion, settings.trigger)),
        n_matured=matured,
        snapshot_hash=snapshot,
        policy_hash=settings.policy.digest(),
        allowed_leaks=allowed,
        left_out=sight.left_out,
    )
    stale = sight.age.finding(settings.freshness)
    old = [stale] if stale else []
    if sight.left_out.share:
        old.append(Finding("left_out", "note", str(sight.left_out)))
    if ruling := too_few(matured, settings.policy, _enough_by(sight), sight.as_of):
        notes = (_HYPOTHESIS_MODE,) if settings.hypothesis and champion is None else ()
        return opened(ruling=ruling, notes=(*old, *notes))
    customers = _followed(sight)
    features = sight.history.at(customers, settings.attributes)
    usable, said = _usable(features[customers["matured"]], settings.attributes)
    if not usable:
        nothing = tuple(replace(why, severity="refusal") for why in said)
        return opened(ruling=Ruling("INVALID", nothing), notes=tuple(old))
    deals = ClosedDeals.of(sight, customers)
    challenger = ChallengerSpec(usable, settings)
    reference = _reference(sight, usable)
    trial = gather(
        challenger,
        reference,
        features,
        customers,
        deals,
        champion,
        before.earlier_champions,
        sight.capacity,
        control := _control(sight, customers, reference.index, champion),
    )
    distrust, minded = _leaking(sight, trial, deals, usable, allowed)
    said += minded
    distrust += missing_slices(trial, settings.policy)
    past = _changed_outcomes(trial, settings, champion)
    if past and past.changed:
        (distrust if _is_rewritten(past, settings.policy) else said).append(
            _of_the_past(past, settings.policy)
        )
    rival = CHAMPION if champion else HYPOTHESIS if settings.hypothesis else AVERAGE
    found = _selection(sight, trial, before.listings)
    comparison = replace(
        _compared(trial, settings, rival),
        prospective=_prospective(trial, settings, champion),
        weighted=_weighted(trial, settings, rival, found),
    )
    version, market = _version(sight, reference, challenger, deals, trial, snapshot)
    lists = Lists(
        version.ranked(reference),
        _ranked_by_rival(sight, reference, rival, champion),
        control.ranked() if control else None,
    )
    belief = believe(trial, lists, rival, settings, champion)
    comparison = replace(comparison, belief=belief)
    changes = deal_changes(_scored_deals(deals, version, champion, rival, settings), sight.capacity)
    guards = broken(trial, rival, version, market["tier"], changes, settings.policy)
    guards += _behind(trial, settings, before.earlier_champions)
    if belief.refit.is_unusual and not (belief.is_first or belief.refit.changed):
        said.append(Finding("unusual_turnover", "warning", f"Mind that {_turnover(belief)}."))
    said += [Finding("deals_worse", "warning", f"Mind that {change}.") for change in changes]
    if alarm := before.looks.used_up(list(trial.holdout), settings.policy):
        said.append(alarm)
    said += _tiers_out_of_order(trial, version, settings)
    if not trial.skill.is_shown:
        said.append(trial.skill.finding)
    if not version.deal_model.knows_p_win:
        unknown = "P(win) is unknown: it takes both won and lost deals to learn it."
        said.append(Finding("p_win_unknown", "note", unknown))
    return opened(
        ruling=decide(comparison, settings.policy, distrust, guards),
        version=version,
        comparison=comparison,
        trial=trial,
        market=market,
        notes=(*old, *said),
        changed_outcomes=past,
    )


def _leaking(
    sight: Sight,
    trial: Trial,
    deals: ClosedDeals,
    usable: tuple[Attribute, ...],
    allowed: Mapping[str, str],
) -> tuple[list[Finding], list[Finding]]:
    """Why the comparison cannot be trusted as far as columns go, and what to mind besides."""
    sales = Sales(trial.matured_features, trial.matured, deals.features, deals.rows, sight.history)
    found = find_leaks(sales, usable, sight.settings.seed)
    refused, notes = found.but_for(allowed)
    parents = trial.customers["parent"]
    known = families(sight.seen.accounts).reindex(parents.index)
    apart, minded = shared_parents(parents, known, sight.settings.seed)
    suspicious = _too_good(trial, ChallengerSpec(usable, sight.settings))
    notes += [*found.notes, *minded]
    reasons = [leak.finding for leak in [*refused, *apart]]
    # What an allowed column knows is in every score.
    if len(refused) < len(found.leaks):
        return reasons, notes + [replace(why, severity="warning") for why in suspicious]
    return reasons + suspicious, notes


def _too_good(trial: Trial, challenger: ChallengerSpec) -> list[Finding]:
    """Whether scores are too good to be true, and which columns make them."""
    retained, features = trial.matured["retained"], trial.matured_features
    scores = trial.expected.loc[trial.matured.index, "expected_nrr"]
    # The model that looks forward is learned only where the folds give reason to.
    if not too_good(scores, retained, scores):
        return []
    order = trial.matured["at"].rank(method="first", pct=True)
    older, newer = order.index[order <= 1 / 2], order.index[order > 1 / 2]
    # What comes of an older customer later than a newer one began is no secret of the column's.
    model = challenger.fit_model().fit(features.loc[older], trial.customers.loc[older])
    forward = model.predict(features.loc[newer])["expected_nrr"]
    found = too_good(scores, retained, forward)
    fold = folds_by_parent(trial.matured["parent"], challenger.settings.seed)
    best = best_alone(features, retained, challenger.attributes, fold)[:3]
    names = ", ".join(f"`{name}` (AUC {alone:.2f})" for name, alone in best)
    return [replace(f, message=f"{f.message}; by themselves tell most: {names}.") for f in found]


def _followed(sight: Sight) -> pd.DataFrame:
    """The customers of whom a month or more has been seen, and how much each counts."""
    followed = sight.sold.join(follow_up(sight.seen, sight.sold, sight.settings.outcome))
    weighed = _weighed(followed, sight.as_of, sight.settings.learning)
    return weighed[weighed["months_at_risk"] >= 1]


def _weighed(customers: pd.DataFrame, as_of: date, learning: Learning) -> pd.DataFrame:
    """Customers with how much each counts, which is the same for all without a half-life."""
    if learning.half_life_months is None:
        return customers.drop(columns="weight", errors="ignore")
    months = (last_moment(as_of) - customers["at"]).dt.days / (365.25 / 12)
    return customers.assign(weight=0.5 ** (months / learning.half_life_months))


def _enough_by(sight: Sight) -> date | None:
    """The month in which enough of the accounts won so far will have matured for the policy."""
    months = sight.sold["matured_month"].dropna().sort_values()
    enough = sight.settings.policy.min_matured
    return month_start(int(months.iloc[enough - 1])) if len(months) >= enough else None


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


def _usable(
    features: pd.DataFrame, attributes: tuple[Attribute, ...]
) -> tuple[tuple[Attribute, ...], list[Finding]]:
    """The attributes that something can be learned from, and a note for each other one."""
    notes = []
    usable = []
    for attribute in attributes:
        values = features[attribute.name]
        if values.notna().sum() == 0:
            notes.append(
                Finding(
                    "attribute_empty",
                    "note",
                    f"`{attribute.name}` is left out: none of the matured accounts had a value "
                    "before the sale (it may be filled in afterwards).",
                )
            )
        elif values.notna().all() and (values == values.iloc[0]).all():
            notes.append(
                Finding(
                    "attribute_constant",
                    "note",
                    f"`{attribute.name}` is left out: every matured account has the same value.",
                )
            )
        else:
            usable.append(attribute)
    return tuple(usable), notes


def _compared(trial: Trial, settings: Settings, rival: str) -> Comparison:
    """The challenger against a rival on the holdout."""
    judged = trial.judged.loc[trial.holdout]
    ours, theirs = trial.scores[CHALLENGER], trial.scores[rival]
    return compare(
        judged,
        ours,
        theirs,
        rival=f"the {rival}",
        objective=settings.objective,
        capacity=trial.capacity,
        interval=settings.policy.interval,
        draws=settings.policy.draws,
        seed=settings.seed,
    )


def _reading(
    trial: Trial,
    settings: Settings,
    rival: str,
    accounts: pd.Index,
    weight: pd.Series | None = None,
) -> Difference:
    return reading(
        trial.judged.loc[accounts],
        trial.scores[CHALLENGER],
        trial.scores[rival],
        objective=settings.objective,
        weight=weight,
        capacity=trial.capacity,
        interval=settings.policy.interval,
        draws=settings.policy.draws,
        seed=settings.seed,
    )


def _prospective(
    trial: Trial, settings: Settings, champion: IcpVersion | None
) -> Prospective | None:
    """The uplift on the accounts whose outcome nobody could know when the champion was trained."""
    if champion is None:
        return None
    held = trial.customers.loc[trial.holdout.intersection(trial.customers.index)]
    later = held.index[held["matured_month"] > last_ended_month(champion.as_of)]
    if len(later) < FEWEST_READ:
        return Prospective(len(later), None)
    return Prospective(len(later), _reading(trial, settings, CHAMPION, later))


def _selection(sight: Sight, trial: Trial, listings: pd.DataFrame) -> Selection | None:
    """What earlier lists had to do with the holdout."""
    deals = sight.seen.deals[of_motion(sight.seen.deals, sight.motion)]
    held = trial.judged.loc[trial.holdout]
    lists = under_one_account(listings, sight.seen.same_as)
    return selection(held, deals, lists, last_moment(sight.as_of))


def _weighted(
    trial: Trial, settings: Settings, rival: str, found: Selection | None
) -> Weighted | None:
    if found is None:
        return None
    uplift = _reading(trial, settings, rival, trial.holdout, found.weight)
    return Weighted(found.listed, found.because, found.n_effective, uplift)


def _behind(
    trial: Trial, settings: Settings, earlier_champions: Mapping[str, IcpVersion]
) -> list[Finding]:
    """The earlier champions that the challenger has fallen behind, as broken guards.

    Versions that are each no worse than the last can slide down together; against one that stands
    still this shows.
    """
    limit = 1 - settings.policy.probability_better
    said = []
    for name in earlier_champions:
        against = _compared(trial, settings, name).uplift
        did = evidence(trial, CHALLENGER, name, settings)
        if against.estimate < 0 and did.probability <= limit:
            said.append(
                Finding(
                    "guard_behind",
                    "refusal",
                    f"Guard: it has fallen behind {name}: {100 * against.estimate:+.1f} points "
                    f"({100 * against.low:+.1f} to {100 * against.high:+.1f}), and by what "
                    f"customers did ({did}) it is better with {did.probability:.0%}; the limit is "
                    f"{limit:.0%}.",
                )
            )
    return said


def _reference(sight: Sight, usable: tuple[Attribute, ...]) -> pd.DataFrame:
    """The attribute frame of the reference prospects; of all accounts where these are too few."""
    declared = sight.settings.attributes
    few = len(sight.prospects) < _FEWEST_REFERENCE
    frame = sight.everybody(declared) if few else sight.market(declared)
    return frame[[attribute.name for attribute in usable]]


def _control(
    sight: Sight, customers: pd.DataFrame, reference: pd.Index, champion: IcpVersion | None
) -> Control | None:
    """The control arm, where another recipe is tried and the old one can be learned again."""
    settings = sight.settings
    recipe = wants_control(settings, champion)
    if recipe is None or not {a.name for a in recipe.attributes} <= set(sight.seen.accounts):
        return None
    features = sight.history.at(customers, recipe.attributes)
    usable, _ = _usable(features[customers["matured"]], recipe.attributes)
    if not usable:
        return None
    old = settings.model_copy(update={"hypothesis": recipe.hypothesis, "learning": recipe.learning})
    names = [a.name for a in usable]
    return Control(
        ChallengerSpec(usable, old),
        features[names],
        _weighed(customers, sight.as_of, recipe.learning),
        sight.everybody(recipe.attributes).loc[reference, names],
    )


def _ranked_by_rival(
    sight: Sight, reference: pd.DataFrame, rival: str, champion: IcpVersion | None
) -> pd.Series | None:
    """What the rival ranks the reference prospects by; None of the average customer profile."""
    if champion is not None:
        seen = sight.everybody(champion.attributes).loc[reference.index]
        return champion.ranked(seen)
    if rival == HYPOTHESIS:
        seen = sight.everybody(sight.settings.attributes).loc[reference.index]
        return HypothesisScore(sight.settings.hypothesis).predict(seen)
    return None


def _changed_outcomes(
    trial: Trial, settings: Settings, champion: IcpVersion | None
) -> ChangedOutcomes | None:
    """How what had matured at the champion's training reads now; None where nobody can tell."""
    learned = champion.learned if champion else None
    if learned is None or learned.recipe.outcome != settings.outcome:
        return None
    return learned.changed_outcomes(trial.matured["nrr"])


def _is_rewritten(past: ChangedOutcomes, policy: GatePolicy) -> bool:
    return past.share > policy.max_changed_outcomes and past.changed >= _FEWEST_CHANGED


def _of_the_past(past: ChangedOutcomes, policy: GatePolicy) -> Finding:
    limit = f"{policy.max_changed_outcomes:.0%} (policy.max_changed_outcomes)"
    if _is_rewritten(past, policy):
        return Finding(
            "past_changed",
            "refusal",
            f"The past has changed: {past}, and the limit is {limit}. See what billing exported; "
            "where it was restated on purpose, raise the limit for this round.",
        )
    said = f"Mind that {past}; more than {limit} would make a round invalid."
    return Finding("past_restated", "warning", said)


def _turnover(belief: Belief) -> str:
    return (
        f"{belief.refit.turnover:.0%} of the list changes, where a refit ordinarily changes "
        f"{belief.refit.ordinary_turnover:.0%}"
    )


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


def _tiers_out_of_order(trial: Trial, version: IcpVersion, settings: Settings) -> list[Finding]:
    unseen = trial.scores[CHALLENGER].loc[trial.matured.index]
    fit_score = pd.Series(percentile_against(version.reference, unseen.to_numpy()), unseen.index)
    tier = version.tier(trial.matured_features, fit_score)
    return out_of_order(tier, trial.matured, settings.policy.draws, settings.seed)


def _version(
    sight: Sight,
    market: pd.DataFrame,
    challenger: ChallengerSpec,
    deals: ClosedDeals,
    trial: Trial,
    snapshot: str,
) -> tuple[IcpVersion, pd.DataFrame]:
    """The version, and how it sees the reference prospects (`Round.market`)."""
    settings, usable = challenger.settings, challenger.attributes
    version = IcpVersion(
        motion=sight.motion,
        as_of=sight.as_of,
        objective=settings.objective,
        terms=deals.terms,
        attributes=usable,
        fit_model=challenger.fit_model().fit(trial.features, trial.customers),
        deal_model=challenger.deal_model().fit(deals.features, deals.rows),
        profile=Profile((), (), len(trial.matured)),
        tiers=settings.tiers,
        outcome=settings.outcome,
        bands=Bands.measure(
            trial.expected.loc[trial.matured.index, "expected_nrr"],
            trial.matured,
            settings.policy.draws,
            settings.seed,
        ),
        reference=np.empty(0),
        archived=trial.scores[CHALLENGER].sort_index(),
        snapshot_hash=snapshot,
        policy_hash=settings.policy.digest(),
        learned=Learned(
            Recipe.of(settings), len(trial.customers), trial.matured["nrr"].astype("float64")
        ),
    )
    ranked = version.ranked(market)
    fit_score = percentile_against(np.sort(ranked.to_numpy()), ranked.to_numpy())
    customers = Customers(
        trial.matured_features,
        trial.matured,
        after_the_sale(trial.matured, sight.seen.signals),
        sight.as_of,
    )
    asked = worth_asking_about(market, customers.features)
    card = learn_scorecard(asked, version.ranked(asked), usable, trial.capacity)
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
