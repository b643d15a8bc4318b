"""The demo: the loop replayed over four simulated years, its last round on record in Prefect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flows.ingest import ingest
from flows.promote import promote
from flows.score import target_list
from flows.watch import watch
from icploop.pipelines import demo as pipeline
from icploop.pipelines.backtest import OnRound
from icploop.pipelines.demo import APPROVER, MOTION, DemoReport


def demo(root: Path, seed: int, on_round: OnRound, say: Callable[[str], None]) -> DemoReport:
    """Found the company, replay its history, run the last round as flows, list its targets."""
    say("founding a simulated company")
    company = pipeline.found_company(root, seed)
    ingest(root)
    say("replaying the loop over its history")
    replayed = pipeline.replay(company, on_round)
    say("recording the replay in MLflow")
    in_force = pipeline.record_replay(company, replayed)
    promote(root, MOTION, in_force, APPROVER, "won the replay of the demo", replayed.last_promoted)
    say("running the last round as Prefect flows")
    last = watch(root, MOTION, company.last_day)
    if last.retrain and last.retrain.round.ruling.verdict == "PROMOTE":
        challenger = str(last.retrain.version)
        promote(root, MOTION, challenger, APPROVER, "beats the champion", company.last_day)
    listed = target_list(root, MOTION, root / "target-accounts.csv", company.last_day)
    return pipeline.report(company, replayed, last, listed)
