"""Retrain: run a round, log it to MLflow, register the version, write the ledger."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from icploop.domain.findings import as_tags
from icploop.domain.gate import Comparison
from icploop.domain.ledger import DECISIONS, LedgerRow
from icploop.domain.looks import looks_of
from icploop.domain.outcomes import Kpis
from icploop.domain.posterior import Belief
from icploop.domain.trigger import Due, closed_deals
from icploop.errors import IcpError, RefusedError, UnavailableError
from icploop.io import registry
from icploop.io.lock import one_at_a_time
from icploop.io.tracking import (
    ROUND_KEY,
    Dataset,
    RunRecord,
    delete_run,
    log_run,
    tag_run,
    unknown_runs,
)
from icploop.io.versions import CHAMPION, Registered, model_name
from icploop.modeling.accounts.features import plain
from icploop.modeling.insight.insights import Insights, insights_of
from icploop.modeling.judging.round import Before, Round, run_round, snapshot_hash
from icploop.modeling.judging.trial import Trial
from icploop.modeling.learning.importance import importances
from icploop.modeling.scoring.version import IcpVersion, content_hash
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.decide import AUTO, PromotionReport, put_in_force_by_policy
from icploop.pipelines.health import with_health
from icploop.pipelines.notify import send_notices
from icploop.pipelines.promote import finish, show_and_notify
from icploop.pipelines.watch import fresh_deals, watch
from icploop.report import plots
from icploop.report.html_page import html_page
from icploop.report.icp_page import comparison_table, page
from icploop.report.icp_plots import pictures
from icploop.report.insights_page import kpi_card_page
from icploop.settings import Settings, digest

Say = Callable[[str], None]
# Who trains when nobody says so.
SCHEDULE = "schedule"


@dataclass(frozen=True)
class RetrainReport:
    """What `icp retrain` answers: the round, and where it is recorded.

    `promoted` says what came into force with it, where the policy asks nobody. `already_done`: the
    very same round is the last one on record, and nothing was written again.
    """

    round: Round
    version: str | None
    champion: str | None
    run_id: str
    page: str
    promoted: PromotionReport | None = None
    already_done: bool = False

    @property
    def waits(self) -> bool:
        """Whether its version waits for approval now."""
        passed = self.version is not None and self.round.ruling.verdict == "PROMOTE"
        return passed and self.promoted is None

    def as_dict(self) -> dict[str, Any]:
        """The keys that the contract's section 4 asks for, and some more."""
        r = self.round
        comparison = r.comparison
        uplift = comparison.uplift if comparison else None
        belief = comparison.belief if comparison else None
        return {
            "motion": r.motion,
            "objective": comparison.objective if comparison else None,
            "as_of": r.as_of.isoformat(),
            "version": self.version,
            "in_force": self.promoted is not None,
            "already_done": self.already_done,
            "champion": self.champion,
            "verdict": r.ruling.verdict,
            "reasons": list(r.ruling.reasons),
            "n_train": len(r.trial.customers) if r.trial else 0,
            "n_matured": r.n_matured,
            "n_holdout": comparison.n_holdout if comparison else 0,
            "challenger": _kpis(comparison.challenger if comparison else None),
            "champion_metrics": _kpis(comparison.rival_kpis if comparison else None),
            "rival": comparison.rival if comparison else None,
            "uplift": {
                "estimate": uplift.estimate if uplift else None,
                "low": uplift.low if uplift else None,
                "high": uplift.high if uplift else None,
                "probability_better": belief.probability_better if belief else None,
            },
            "belief": _belief(belief) if belief else None,
            "changed_outcomes": asdict(r.changed_outcomes) if r.changed_outcomes else None,
            "prospective": asdict(comparison.prospective)
            if comparison and comparison.prospective
            else None,
            "weighted": asdict(comparison.weighted) if comparison and comparison.weighted else None,
            "needed_matured": r.ruling.needed_matured,
            "notes": [str(note) for note in r.notes],
            "findings": [found.as_dict() for found in r.findings],
            "allowed_leaks": dict(r.allowed_leaks),
            "left_out": asdict(r.left_out) if r.left_out else None,
            "snapshot_hash": r.snapshot_hash,
            "run_id": self.run_id,
        }


@dataclass(frozen=True)
class WatchReport:
    """What `icp watch` answers: whether a round was due, and the round if it was."""

    due: Due
    retrain: RetrainReport | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values; `round` is what `icp retrain` answers, or null."""
        return {
            "due": self.due.is_due,
            "closed_since": self.due.closed_since,
            "missing_deals": self.due.missing,
            "reason": self.due.reason,
            "round": self.retrain.as_dict() if self.retrain else None,
        }


def retrain_if_due(at: AsOf, *, who: str = SCHEDULE, say: Say = lambda _: None) -> WatchReport:
    """Retrain where a round is due; otherwise say what is missing.

    One of several that watch at the same time runs the round, the others are refused, and so is a
    round on data older than `freshness.refuse_after_days`.
    """
    with one_at_a_time(at.home, at.lineage):
        finish(at)
        at = at.anew(with_lists=True)
        due = watch(at)
        if not due.is_due:
            show_and_notify(at)
            return WatchReport(due, None)
        return WatchReport(due, _retrained(at, due.reason, who, {}, say))


def retrain(
    at: AsOf,
    *,
    force: bool = False,
    who: str = SCHEDULE,
    allowed_leaks: Mapping[str, str] | None = None,
    say: Say = lambda _: None,
) -> RetrainReport:
    """Train a challenger, judge it, log it, register it. `who` trains it.

    `allowed_leaks` are columns that are learned from even if they leak, with the reason of each,
    which goes on record. Raises RefusedError when no round is due yet and `force` is not given
    (each look at the holdout costs some of its honesty), while another act on the lineage is
    running, and where the data are older than `freshness.refuse_after_days`.
    """
    with one_at_a_time(at.home, at.lineage):
        finish(at)
        at = at.anew(with_lists=True)
        due = watch(at)
        if not due.is_due and not force:
            raise RefusedError(
                f"No round is due for `{at.motion}` on {at.day}: {due.reason}. Nothing was "
                "changed; use --force to train all the same"
            )
        trigger = due.reason if due.is_due else "forced"
        return _retrained(at, trigger, who, allowed_leaks or {}, say)


def _retrained(
    at: AsOf, trigger: str, who: str, allowed_leaks: Mapping[str, str], say: Say
) -> RetrainReport:
    """The round; where a store stops answering on the way, that goes on record if it can."""
    stale = at.sight.age.finding(at.settings.freshness)
    if stale and stale.severity == "refusal":
        raise RefusedError(f"{stale.message} Nothing was changed")
    try:
        return _round(at, trigger, who, allowed_leaks, say)
    except UnavailableError as error:
        _put_on_record(at, str(error))
        raise


def _put_on_record(at: AsOf, failure: str) -> None:
    row = LedgerRow("failure", at.lineage, at.day, reason=failure)
    try:
        if at.warehouse.ledger(at.lineage)[-1:] != [row]:
            at.warehouse.append(row)
        send_notices(at)
    except IcpError as error:
        say_why = "The failure could not be put on record: %s"
        logging.getLogger("icploop").warning(say_why, error)


def _round(
    at: AsOf, trigger: str, who: str, allowed_leaks: Mapping[str, str], say: Say
) -> RetrainReport:
    champion, number = _champion(at)
    say("training and judging a challenger")
    known = _on_record(at, _key(at, snapshot_hash(at.seen), number, allowed_leaks))
    before = Before(
        champion,
        earlier_champions=_earlier_champions(at),
        # A round that is repeated is judged as it was: it has not looked before itself.
        looks=looks_of([row for row in at.ledger if row is not known]),
        listings=at.listings,
    )
    judged = run_round(at.sight, before, allowed_leaks=allowed_leaks)
    say("logging to MLflow")
    report = record(at, judged, number, trigger=trigger, who=who)
    if report.waits:
        report = replace(report, promoted=put_in_force_by_policy(at))
    show_and_notify(at)
    return report


def _champion(at: AsOf) -> tuple[IcpVersion, str] | tuple[None, None]:
    return at.version(CHAMPION) if at.standing.in_force else (None, None)


def _earlier_champions(at: AsOf) -> dict[str, IcpVersion]:
    """The first version that came into force and the last that a person approved.

    Each only where it is not the champion itself, and was not rolled back.
    """
    stands = at.standing
    kept = [known.version for known in stands.history]
    by_persons = {row.version for row in at.ledger if row.event == "approval" and row.who != AUTO}
    approved = [number for number in kept if number in by_persons]
    names: dict[str, str] = {}
    for number in kept[:1]:
        names[number] = "the first in force"
    for number in approved[-1:]:
        names.setdefault(number, "the last approved by a person")
    return {
        f"version {number}, {name}": at.version(number)[0]
        for number, name in names.items()
        if stands.in_force is None or number != stands.in_force.version
    }


def record(
    at: AsOf, judged: Round, champion: str | None, *, trigger: str, who: str
) -> RetrainReport:
    """Log a judged round to MLflow, register its version, and write its verdict to the ledger.

    `at` is what it was judged on, `champion` the number of the version that it was judged against,
    None without one. The verdict is the last thing written: what a killed process left in MLflow
    before it is taken up again where it is the same round, and deleted where it is not.
    """
    settings = at.settings
    fresh = fresh_deals(at)
    key = _key(at, judged.snapshot_hash, champion, judged.allowed_leaks)
    if known := _on_record(at, key):
        run_id = known.details["run_id"]
        return RetrainReport(judged, known.version, champion, run_id, "", already_done=True)
    report, content = _log(at, judged, champion, key)
    newest = closed_deals(at.seen, at.motion, settings.trigger).max()
    details = {
        "verdict": judged.ruling.verdict,
        "round_key": key,
        "page_hash": digest(report.page),
        "closed_deals": judged.closed_deals,
        "newest_close": None if pd.isna(newest) else newest.date().isoformat(),
        "champion": report.champion,
        "run_id": report.run_id,
        "content_hash": content,
        "settings_hash": settings.judging_digest(),
        "holdout": sorted(judged.trial.holdout) if judged.trial else [],
        **_allowed(judged),
    }
    at.warehouse.append(
        LedgerRow("trigger", at.lineage, judged.as_of, who=who, reason=trigger),
        LedgerRow(
            "verdict",
            at.lineage,
            judged.as_of,
            version=report.version,
            who=who,
            reason=" ".join(judged.ruling.reasons),
            details=details,
        ),
        counted=fresh.index,
    )
    return report


def _key(at: AsOf, snapshot: str, champion: str | None, allowed_leaks: Mapping[str, str]) -> str:
    """What a round hangs on: two with the same key are one and the same."""
    return digest(
        [
            at.lineage,
            at.day.isoformat(),
            snapshot,
            at.settings.judging_digest(),
            champion,
            dict(allowed_leaks),
        ]
    )


def _on_record(at: AsOf, key: str) -> LedgerRow | None:
    """The verdict of the very same round, where nothing was decided since; None where it is new."""
    last = next((r for r in reversed(at.ledger) if r.event in ("verdict", *DECISIONS)), None)
    same = last is not None and last.event == "verdict" and last.details.get("round_key") == key
    return last if same else None


def _log(
    at: AsOf, judged: Round, champion: str | None, key: str
) -> tuple[RetrainReport, str | None]:
    """What MLflow keeps of a round: its report, and the hash of its version's content."""
    home, settings = at.home, at.settings
    experiment = model_name(at.lineage)
    version = judged.version
    left = _left_behind(at, key)
    if version is None or judged.trial is None:
        run = with_health(_run(settings, judged, champion, key), at, version)
        run_id = log_run(run, experiment, home)
        return RetrainReport(judged, None, champion, run_id, ""), None
    content = content_hash(version.parts())
    if left and left.tags.get("content_hash") == content:
        report = RetrainReport(judged, left.number, champion, left.run_id, left.description)
        return report, content
    insights = insights_of(
        judged.trial.matured_features,
        judged.trial.matured,
        at.sight.decided,
        at.seen,
        version.attributes,
        settings.seed,
    )
    text = page(version, settings, judged, insights)
    run = with_health(_run(settings, judged, champion, key), at, version)
    run_id = log_run(_with_page(run, settings, judged, version, text, insights), experiment, home)
    registered = registry.register(
        home,
        version,
        run_id=run_id,
        description=text,
        tags=_tags(judged, champion),
        example=_example(judged, version),
    )
    tag_run(home, run_id, {"version": registered.number})
    return RetrainReport(judged, registered.number, champion, run_id, text), content


def _left_behind(at: AsOf, key: str) -> Registered | None:
    """The version that a killed process registered in this very round, if it came so far.

    Whatever else never reached the ledger is deleted.
    """
    home, lineage = at.home, at.lineage
    known = {row.details.get("run_id") for row in at.ledger if row.event == "verdict"}
    remains = unknown_runs(home, model_name(lineage), known)
    if not remains:
        return None
    found = None
    registered = registry.versions(home, lineage)
    for run_id, round_key in remains.items():
        own = [version for version in registered.values() if version.run_id == run_id]
        if round_key == key and own and found is None:
            found = own[0]
            continue
        for version in own:
            registry.delete_version(home, lineage, version.number)
        delete_run(home, run_id)
    return found


def _tags(judged: Round, champion: str | None) -> dict[str, str]:
    return {
        "verdict": judged.ruling.verdict,
        "reasons": " ".join(judged.ruling.reasons),
        "as_of": judged.as_of.isoformat(),
        "motion": judged.motion,
        "judged_against": champion or "none",
        "snapshot_hash": judged.snapshot_hash,
        "policy_hash": judged.policy_hash,
        **as_tags(judged.findings),
        **{name: json.dumps(why, ensure_ascii=False) for name, why in _allowed(judged).items()},
    }


def _allowed(judged: Round) -> dict[str, dict[str, str]]:
    """The leaks that were allowed, for the record; nothing where none was."""
    return {"allowed_leaks": dict(judged.allowed_leaks)} if judged.allowed_leaks else {}


def _with_page(
    run: RunRecord,
    settings: Settings,
    judged: Round,
    version: IcpVersion,
    text: str,
    insights: Insights,
) -> RunRecord:
    """The run with the readable ICP in all its forms."""
    title = f"ICP of {settings.company}, {judged.motion}, {judged.as_of}"
    profile = json.dumps(version.profile.as_dict(), indent=1, allow_nan=False, ensure_ascii=False)
    return replace(
        run,
        tags={**run.tags, "mlflow.note.content": text},
        texts={
            **run.texts,
            "icp.md": text,
            "icp.json": profile,
            "icp.html": html_page(title, text, pictures(judged)),
            "kpi-cards.md": kpi_card_page(insights),
        },
    )


def _run(settings: Settings, judged: Round, champion: str | None, key: str) -> RunRecord:
    version = judged.version
    name = f"round {judged.as_of}"
    tags = _tags(judged, champion) | {ROUND_KEY: key}
    params = _params(settings, judged)
    metrics = {"n_matured": float(judged.n_matured), "closed_deals": float(judged.closed_deals)}
    if version is None or judged.trial is None or judged.comparison is None:
        return RunRecord(name, params=params, metrics=metrics, tags=tags)
    trial, uplift = judged.trial, judged.comparison.uplift
    importance = importances(
        version.fit_model,
        trial.matured_features[[a.name for a in version.attributes]],
        trial.matured,
        settings.seed,
    )
    deciles = plots.deciles(trial)
    calibrations = trial.calibrations
    metrics |= _holdout(judged.comparison.challenger) | {
        "n_holdout": float(judged.comparison.n_holdout),
        "n_train": float(len(trial.customers)),
        f"uplift.{settings.objective}": uplift.estimate,
        "uplift.low": uplift.low,
        "uplift.high": uplift.high,
    }
    metrics |= _of_belief(judged) | _other_readings(judged.comparison) | _honesty(trial)
    return RunRecord(
        name,
        params=params,
        metrics=metrics,
        tags=tags,
        texts={"comparison.md": comparison_table(judged)},
        tables={
            "importances.csv": importance,
            "deciles.csv": deciles,
            "reliability.csv": pd.concat(
                {name: found.table for name, found in calibrations.items()}, names=["of", "group"]
            ).reset_index(),
        },
        figures={
            "importances.png": plots.importance_figure(importance),
            "deciles.png": plots.decile_figure(deciles),
            "calibration.png": plots.calibration_figure(calibrations),
        },
        dataset=Dataset(
            plain(trial.matured_features).join(trial.matured[["nrr", "grr", "retained"]]),
            f"{judged.motion} matured accounts",
            judged.snapshot_hash,
        ),
        children=tuple(
            RunRecord(
                rival,
                params={"rival": rival, "capacity": trial.capacity},
                metrics=_holdout(found),
                tags={"as_of": judged.as_of.isoformat(), "motion": judged.motion},
            )
            for rival, found in trial.rivals.items()
        ),
    )


def _params(settings: Settings, judged: Round) -> dict[str, object]:
    policy = {f"policy.{k}": v for k, v in settings.policy.model_dump().items()}
    outcome = {f"outcome.{k}": v for k, v in settings.outcome.model_dump().items()}
    return {
        "motion": judged.motion,
        "as_of": judged.as_of,
        "seed": settings.seed,
        "objective": settings.objective,
        "learning.half_life_months": settings.learning.half_life_months,
        "capacity.share": settings.capacity.share,
        "attributes": ", ".join(a.name for a in settings.attributes),
        "settings_hash": digest(settings.model_dump(mode="json")),
        **policy,
        **outcome,
    }


def _belief(belief: Belief) -> dict[str, Any]:
    """What the gate believes, as JSON-like values (gains and errors in points)."""
    refit = belief.refit
    return {
        "probability_better": belief.probability_better,
        "gain": asdict(belief.posterior),
        "usual": asdict(belief.prior) if math.isfinite(belief.prior.error) else None,
        "by_customers": asdict(belief.evidence),
        "turnover": refit.turnover,
        "ordinary_turnover": refit.ordinary_turnover,
        "unusual": not belief.is_first and refit.is_unusual,
        "changed": list(refit.changed),
        "change": asdict(belief.change) if belief.change else None,
        "learned_then": refit.learned_then,
        "learned_now": refit.learned_now,
    }


def _of_belief(judged: Round) -> dict[str, float]:
    """What the gate believes, and how the past reads now, as metrics."""
    belief = judged.comparison.belief if judged.comparison else None
    if belief is None:
        return {}
    metrics = {
        "uplift.probability_better": belief.probability_better,
        "gain.points": belief.gain,
        "gain.error": belief.posterior.error,
        "gain.usual": belief.prior.points,
        "gain.by_customers": belief.evidence.points,
        "turnover": belief.refit.turnover,
        "turnover.ordinary": belief.refit.ordinary_turnover,
    }
    if past := judged.changed_outcomes:
        metrics["changed_outcomes.share"] = past.share
    return {name: number for name, number in metrics.items() if math.isfinite(number)}


def _other_readings(comparison: Comparison) -> dict[str, float]:
    """The uplift where outcomes came after the champion, and weighted for earlier lists."""
    metrics: dict[str, float] = {}
    if (prospective := comparison.prospective) and prospective.uplift:
        metrics |= {
            "prospective.n": float(prospective.n),
            "prospective.uplift": prospective.uplift.estimate,
            "prospective.ahead": prospective.uplift.ahead,
        }
    if weighted := comparison.weighted:
        metrics |= {
            "weighted.listed": weighted.listed,
            "weighted.n_effective": weighted.n_effective,
            "weighted.uplift": weighted.uplift.estimate,
            "weighted.ahead": weighted.uplift.ahead,
        }
    return {name: number for name, number in metrics.items() if math.isfinite(number)}


def _honesty(trial: Trial) -> dict[str, float]:
    """Skill and calibration on accounts that training did not see."""
    metrics = {
        "skill.correlation": trial.skill.correlation,
        "skill.low": trial.skill.low,
        "skill.high": trial.skill.high,
    }
    for name, found in trial.calibrations.items():
        metrics |= {
            f"calibration.{name}.error": found.error,
            f"calibration.{name}.error_by_chance": found.by_chance,
            f"calibration.{name}.slope": found.slope,
            f"calibration.{name}.slope_error": found.slope_error,
        }
    return {name: number for name, number in metrics.items() if math.isfinite(number)}


def _holdout(found: Kpis) -> dict[str, float]:
    return {
        "holdout.nrr": found.nrr,
        "holdout.grr": found.grr,
        "holdout.retention": found.retention,
    }


def _example(judged: Round, version: IcpVersion) -> pd.DataFrame:
    """Three raw accounts, as a caller of the served model would send them."""
    if judged.trial is None:
        return pd.DataFrame()
    frame = plain(judged.trial.features.head(3)[[a.name for a in version.attributes]])
    for attribute in version.attributes:
        values = frame[attribute.name]
        if attribute.kind == "flag":
            frame[attribute.name] = values.map({1.0: True, 0.0: False})
        elif attribute.kind == "date":
            days = pd.to_timedelta(values, unit="D")
            dates = pd.Timestamp(judged.as_of) - days
            frame[attribute.name] = dates.dt.strftime("%Y-%m-%d")
    return frame.reset_index(names="account_id")


def _kpis(found: Kpis | None) -> dict[str, float | None]:
    return {
        "nrr": found.nrr if found else None,
        "grr": found.grr if found else None,
        "retention": found.retention if found else None,
    }
