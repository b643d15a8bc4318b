"""The demo: a simulated company with known truth, its history replayed, its last round real."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from icploop.demo.world import World, WorldSpec, simulate
from icploop.domain.calendar import seen_by
from icploop.domain.ledger import LedgerRow
from icploop.domain.tables import Tables, check_table
from icploop.domain.trigger import closed_deals
from icploop.errors import UsageError
from icploop.io.home import Home, create
from icploop.io.tracking import RunRecord, log_run
from icploop.io.versions import CHAMPION, model_name
from icploop.io.warehouse import Warehouse
from icploop.io.whole_file import private_folder, text_to
from icploop.modeling.judging.round import Round
from icploop.modeling.learning.rivals import HypothesisScore
from icploop.modeling.scoring.version import IcpVersion
from icploop.modeling.statistics.capacity import pursued
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.backtest import BacktestReport, OnRound, backtest, days_when_due
from icploop.pipelines.retrain import WatchReport, record
from icploop.pipelines.show import ShownVersion, show
from icploop.pipelines.target_list import ListReport
from icploop.settings import TABLES, Settings

MOTION = "new-business"
APPROVER = "demo ops"
_WINS = 400


@dataclass(frozen=True)
class Company:
    """The simulated company in its home folder. `last_day` is when its last round is due."""

    home: Home
    world: World
    tables: Tables
    settings: Settings
    last_day: date

    def on(self, day: date) -> AsOf:
        """The company on a day, as it is simulated, whatever was ingested of it."""
        return AsOf(self.home, self.settings, MOTION, day, given=self.tables)


@dataclass(frozen=True)
class Replay:
    """The replayed loop, and the round whose version is in force at its end."""

    report: BacktestReport
    in_force: Round

    @property
    def last_promoted(self) -> date:
        """The day on which the version in force was promoted."""
        return self.in_force.as_of


@dataclass(frozen=True)
class DemoReport:
    """What the demo did: the replay, the last round, the final ICP and the target list."""

    home: Path
    replay: BacktestReport
    last: WatchReport
    last_true_uplift: float | None
    version: str
    shown: ShownVersion
    targets: ListReport

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "home": str(self.home),
            "replay": self.replay.as_dict(),
            "last_round": self.last.as_dict(),
            "last_true_uplift": self.last_true_uplift,
            "champion": self.version,
            "icp": self.shown.text,
            "targets": self.targets.as_dict(),
        }


def prepare_prefect(root: Path) -> None:
    """Keep the demo's flow runs in its own folder. Call it before Prefect is imported.

    Without a server named by PREFECT_API_URL, Prefect starts one for as long as the demo lasts.
    """
    own = (root / ".prefect").resolve()
    private_folder(own)
    os.environ.setdefault("PREFECT_HOME", str(own))
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


def found_company(root: Path, seed: int, wins: int = _WINS) -> Company:
    """Simulate a company and write its exports and settings into a new home folder.

    Raises UsageError when the folder holds a company already: nothing is overwritten.
    """
    home = Home(root)
    if home.settings_file.exists():
        raise UsageError(
            f"{root} holds a company already; take another folder with --home, or delete it"
        )
    world = simulate(WorldSpec(seed=seed, wins=wins))
    create(root)
    text_to(home.settings_file, _settings_text(world))
    with (home.sources_folder / "files.yaml").open("a", encoding="utf-8") as sources:
        sources.write("  signals:\n    file: signals.csv\n")
    for name in TABLES:
        table: pd.DataFrame = getattr(world, name)
        table.to_csv(root / "data" / "inbox" / f"{name}.csv", index=False)
    settings = home.settings()
    end = (world.spec.end - pd.Timedelta(days=1)).date()
    tables = _tables(world)
    days = days_when_due(seen_by(tables, end), settings, MOTION, world.spec.start, end)
    return Company(home, world, tables, settings, list(days)[-1][0])


def replay(company: Company, on_round: OnRound) -> Replay:
    """Run the loop over the company's history, up to the day before its last round."""
    promoted: list[Round] = []

    def keep(judged: Round, done: int, total: int) -> None:
        if judged.ruling.verdict == "PROMOTE":
            promoted.append(judged)
        on_round(judged, done, total)

    report = backtest(
        company.on(company.last_day - timedelta(days=1)),
        first=company.world.spec.start,
        true_uplift=lambda judged, champion: true_uplift(company, judged, champion),
        on_round=keep,
    )
    if not promoted:
        raise UsageError("No version was promoted in this simulated company; try another --seed")
    return Replay(report, promoted[-1])


def record_replay(company: Company, replayed: Replay) -> str:
    """Log every replayed round to MLflow, register the version in force, and return its number.

    The ledger gets the verdict of every round, so that the next one is due when it would have been.
    """
    registered = record(
        company.on(replayed.last_promoted),
        replayed.in_force,
        None,
        trigger="replayed",
        who="the replay of the demo",
    )
    rows = []
    for _, row in replayed.report.rounds.iterrows():
        run_id = log_run(_replayed_round(row), model_name(MOTION), company.home)
        rows.append(_verdict(row, run_id))
    seen = seen_by(company.tables, rows[-1].as_of)
    counted = closed_deals(seen, MOTION, company.settings.trigger).index
    Warehouse(company.home.warehouse_file).append(*rows, counted=counted)
    return str(registered.version)


def true_uplift(company: Company, judged: Round, champion: IcpVersion | None) -> float | None:
    """By how much the challenger truly beats its rival among all prospects (ratio of NRR).

    Both pursue their best share of the market; what a pursued set is worth is its true expected
    NRR, weighted by what the accounts would pay. The rival is the champion, or the hypothesis.
    """
    version, trial = judged.version, judged.trial
    if version is None or trial is None:
        return None
    features = company.on(judged.as_of).sight.market(company.settings.attributes)
    truth = company.world.truth_at(pd.Series(features.index), judged.as_of)
    ours = version.ranked(features)
    theirs = (
        champion.ranked(features)
        if champion
        else HypothesisScore(company.settings.hypothesis).predict(features)
    )
    return _true_nrr(truth, ours, trial.capacity) - _true_nrr(truth, theirs, trial.capacity)


def report(
    company: Company, replayed: Replay, last: WatchReport, targets: ListReport
) -> DemoReport:
    """Everything that the demo shows at its end."""
    page = show(AsOf.of(company.home, MOTION, company.last_day), CHAMPION)
    judged = last.retrain.round if last.retrain else None
    return DemoReport(
        company.home.root,
        replayed.report,
        last,
        true_uplift(company, judged, replayed.in_force.version) if judged else None,
        page.number,
        page,
        targets,
    )


def _true_nrr(truth: pd.DataFrame, scores: pd.Series, capacity: float) -> float:
    chosen = pursued(scores, capacity).to_numpy()
    money = truth["expected_acv"].to_numpy() * chosen
    return float((money * truth["expected_nrr"].to_numpy()).sum() / money.sum())


def _tables(world: World) -> Tables:
    """The world as the warehouse would hand it out, without the way through files."""
    checked = {
        name: check_table(name, getattr(world, name), max_money=1e12, place="the demo").rows
        for name in TABLES
    }
    return Tables(checked["accounts"], checked["deals"], checked["revenue"], checked["signals"])


def _replayed_round(row: pd.Series) -> RunRecord:
    metrics = {
        "n_matured": row["n_matured"],
        "closed_deals": row["closed_deals"],
        "uplift.nrr": row["uplift"],
        "uplift.low": row["low"],
        "uplift.high": row["high"],
        "uplift.probability_better": row["probability_better"],
        "true_uplift.nrr": row["true_uplift"],
    }
    return RunRecord(
        f"{row['as_of']} replayed",
        params={"as_of": row["as_of"], "motion": MOTION},
        metrics={name: float(value) for name, value in metrics.items() if pd.notna(value)},
        tags={"verdict": row["verdict"], "reasons": row["reason"], "replayed": "true"},
    )


def _verdict(row: pd.Series, run_id: str) -> LedgerRow:
    return LedgerRow(
        "verdict",
        MOTION,
        date.fromisoformat(row["as_of"]),
        reason=row["reason"],
        details={
            "verdict": row["verdict"],
            "closed_deals": int(row["closed_deals"]),
            "run_id": run_id,
            "replayed": True,
        },
    )


def _settings_text(world: World) -> str:
    """The demo company's conf/icp.yaml: its attributes, and what its founders believed."""
    stated = {
        "company": "Demo company (simulated)",
        "currency": "USD",
        "motions": [MOTION],
        "dimensions": world.attributes,
        "trigger": {"closed_deals": 120},
        "capacity": {"share": 0.25},
        "hypothesis": [
            {"attribute": "employees", "between": [200, 2000], "points": 2},
            {"attribute": "industry", "any_of": ["Software"], "points": 1},
            {"attribute": "hired_vp_compliance", "is_true": True, "points": 1},
        ],
        "owners": {"icp": "RevOps", "approvers": [APPROVER]},
        "seed": world.spec.seed,
    }
    head = (
        "# The simulated company of `icp demo`. `icp init` writes a commented file for your own.\n"
    )
    return head + yaml.safe_dump(stated, sort_keys=False, allow_unicode=True)
