import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.entities import Run

from icploop.errors import DataError, RefusedError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.tracking import connect
from icploop.io.warehouse import Warehouse
from icploop.pipelines.retrain import RetrainReport, retrain
from icploop.settings import digest
from tests.unit import planted
from tests.unit.conftest import Trained, copied
from tests.unit.io_fixtures import icp, inbox, nothing_changes, tiny_home, write_csv
from tests.unit.planted import at

MOTION, DAY = planted.MOTION, planted.LAST_DAY
FILLED_LATE = "2025-01-15"


def runs(home: Home) -> list[Run]:
    client = connect(home)
    experiment = client.get_experiment_by_name(f"icp-{MOTION}")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def round_of(home: Home, run_id: str) -> tuple[Run, dict[str, Run]]:
    """A round's run, and its children by name."""
    children = {
        run.info.run_name: run
        for run in runs(home)
        if run.data.tags.get("mlflow.parentRunId") == run_id
    }
    return connect(home).get_run(run_id), children


class TestAPromotedRound:
    @pytest.fixture
    def answer(self, trained: Trained) -> dict[str, Any]:
        """What `icp watch` said of the round that it found due and ran."""
        assert trained.watched.status == 0
        return dict(trained.watched.json["round"])

    @pytest.fixture
    def run(self, trained: Trained, answer: dict[str, Any]) -> Run:
        return round_of(trained.home, answer["run_id"])[0]

    @pytest.fixture
    def children(self, trained: Trained, answer: dict[str, Any]) -> dict[str, Run]:
        return round_of(trained.home, answer["run_id"])[1]

    def test_watch_said_that_it_was_due(self, trained: Trained):
        told = trained.watched.json
        assert told["due"] is True
        assert told["closed_since"] == 300
        assert told["missing_deals"] == 0

    def test_the_answer_carries_the_keys_of_the_contract(self, answer: dict[str, Any]):
        keys = (
            "motion as_of version champion verdict reasons n_train n_matured n_holdout challenger "
            "champion_metrics uplift needed_matured run_id"
        )
        assert set(keys.split()) <= set(answer)
        assert (
            set(answer["challenger"])
            == set(answer["champion_metrics"])
            == {"nrr", "grr", "retention"}
        )
        assert {"estimate", "low", "high", "probability_better"} == set(answer["uplift"])

    def test_the_planted_signal_is_found(self, answer: dict[str, Any]):
        assert (answer["verdict"], answer["version"], answer["champion"]) == ("PROMOTE", "1", None)
        assert answer["rival"] == "the average customer profile"
        assert answer["challenger"]["nrr"] > 1.4
        uplift = answer["uplift"]
        assert 0.2 < uplift["low"] < uplift["estimate"] < uplift["high"]
        assert answer["n_holdout"] == answer["n_matured"] > 60

    def test_the_uplift_is_the_difference_of_the_two_rivals(self, answer: dict[str, Any]):
        difference = answer["challenger"]["nrr"] - answer["champion_metrics"]["nrr"]
        assert answer["uplift"]["estimate"] == pytest.approx(difference)

    def test_its_metrics_are_logged_under_the_names_of_the_contract(
        self, run: Run, answer: dict[str, Any]
    ):
        metrics = run.data.metrics
        for name, value in answer["challenger"].items():
            assert metrics[f"holdout.{name}"] == pytest.approx(value)
        uplift = answer["uplift"]
        assert metrics["uplift.nrr"] == pytest.approx(uplift["estimate"])
        for name in ("low", "high", "probability_better"):
            assert metrics[f"uplift.{name}"] == pytest.approx(uplift[name])
        assert metrics["n_holdout"] == answer["n_holdout"]

    def test_its_settings_and_policy_are_parameters(self, run: Run):
        params = run.data.params
        assert params["policy.min_matured"] == "60"
        assert params["outcome.horizon_months"] == "12"
        assert params["as_of"] == DAY.isoformat()
        assert "industry" in params["attributes"]

    def test_each_rival_is_a_child_run_on_the_same_holdout(
        self, children: dict[str, Run], answer: dict[str, Any]
    ):
        assert set(children) == {
            "challenger",
            "average customer profile",
            "the page's points",
            "random",
        }
        nrr = {name: child.data.metrics["holdout.nrr"] for name, child in children.items()}
        assert nrr["challenger"] == pytest.approx(answer["challenger"]["nrr"])
        assert nrr["average customer profile"] == pytest.approx(answer["champion_metrics"]["nrr"])
        assert nrr["random"] < nrr["challenger"]

    def test_the_data_are_its_dataset(self, run: Run, answer: dict[str, Any]):
        (used,) = run.inputs.dataset_inputs
        assert used.dataset.digest == answer["snapshot_hash"][:36]
        assert run.data.tags["snapshot_hash"] == answer["snapshot_hash"]
        codes = {f"finding.{found['code']}": found["severity"] for found in answer["findings"]}
        assert codes.items() <= run.data.tags.items()
        assert json.loads(used.dataset.profile)["num_rows"] == answer["n_matured"]

    def test_tables_and_pictures_are_its_artifacts(self, trained: Trained, run: Run):
        listed = {a.path for a in connect(trained.home).list_artifacts(run.info.run_id)}
        for name in ("icp.md", "comparison.md", "importances.csv", "deciles.csv"):
            assert name in listed
        for name in ("importances.png", "deciles.png", "calibration.png"):
            assert name in listed

    def test_the_planted_attribute_is_the_most_important(self, trained: Trained, run: Run):
        connect(trained.home)
        local = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="importances.csv"
        )
        table = pd.read_csv(local)
        assert table["attribute"].iloc[0] == "industry"
        assert {"gain", "permutation", "shap"} <= set(table.columns)

    def test_the_run_names_its_version_and_the_version_its_run(self, trained: Trained, run: Run):
        assert run.data.tags["version"] == "1"
        assert registry.describe(trained.home, MOTION, "1").run_id == run.info.run_id

    def test_the_ledger_has_its_trigger_and_its_verdict(
        self, trained: Trained, answer: dict[str, Any]
    ):
        trigger, verdict, *_ = Warehouse(trained.home.warehouse_file).ledger(MOTION)
        assert (trigger.event, trigger.reason) == (
            "trigger",
            "300 deals closed since the last round",
        )
        assert (verdict.event, verdict.version, verdict.as_of) == ("verdict", "1", DAY)
        assert verdict.reason == " ".join(answer["reasons"])
        holdout = verdict.details.pop("holdout")
        assert len(verdict.details.pop("round_key")) == 64
        assert len(holdout) == len(set(holdout)) == answer["n_holdout"]
        assert verdict.details == {
            "verdict": "PROMOTE",
            "closed_deals": 300,
            "newest_close": planted.company()["deals"]["closed_at"].max().date().isoformat(),
            "champion": None,
            "run_id": answer["run_id"],
            "content_hash": registry.describe(trained.home, MOTION, "1").tags["content_hash"],
            "settings_hash": trained.home.settings().judging_digest(),
            "page_hash": digest(registry.describe(trained.home, MOTION, "1").description),
        }
        assert trigger.who == verdict.who != ""


def test_a_round_that_is_not_due_is_refused_and_changes_nothing(trained: Trained):
    before = len(runs(trained.home))
    with (
        nothing_changes(trained.home),
        pytest.raises(RefusedError, match=r"60 more closed.*--force"),
    ):
        retrain(at(trained.home, DAY))
    assert len(runs(trained.home)) == before


@pytest.fixture(scope="module")
def too_early(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Any]:
    """A home of its own after a forced round on a day when few accounts have matured."""
    home = copied(trained.home, tmp_path_factory.mktemp("early") / "home")
    answer = icp("retrain", "--as-of", "2023-06-30", "--force", "--json", home=home)
    return home, answer


class TestTooFewMaturedAccounts:
    def test_it_is_inconclusive_and_says_how_many_more_are_needed(
        self, too_early: tuple[Home, Any]
    ):
        _, answer = too_early
        assert answer.status == 0
        told = answer.json
        assert (told["verdict"], told["version"], told["n_train"]) == ("INCONCLUSIVE", None, 0)
        assert told["needed_matured"] == 60 - told["n_matured"] > 0
        assert f"{told['needed_matured']} more are needed" in told["reasons"][0]

    def test_the_run_is_logged_all_the_same(self, too_early: tuple[Home, Any]):
        home, answer = too_early
        run, children = round_of(home, answer.json["run_id"])
        assert run.data.tags["verdict"] == "INCONCLUSIVE"
        assert run.data.metrics["n_matured"] == answer.json["n_matured"]
        assert children == {}

    def test_the_ledger_says_that_it_was_forced(self, too_early: tuple[Home, Any]):
        home, _ = too_early
        *_, trigger, verdict = Warehouse(home.warehouse_file).ledger(MOTION)
        assert (trigger.event, trigger.reason) == ("trigger", "forced")
        assert verdict.details["verdict"] == "INCONCLUSIVE"

    def test_nothing_waits_and_the_champion_stays(self, too_early: tuple[Home, Any]):
        home, _ = too_early
        assert registry.aliases(home, MOTION) == {"champion": "1"}


@pytest.fixture(scope="module")
def doubtful(
    trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Home, RetrainReport]:
    """A round with attributes that betray the outcome, come after the sale, or say nothing.

    `office` is filled in for those that stayed only, `plan` only after the sale, and `currency` is
    the same for all.
    """
    home = copied(trained.home, tmp_path_factory.mktemp("doubtful") / "home")
    frames = planted.company()
    revenue = frames["revenue"]
    ended = revenue.groupby("account_id")["month"].max()
    stayed = set(ended[ended == revenue["month"].max()].index)
    accounts = frames["accounts"]
    accounts["office"] = accounts["account_id"].map(lambda i: "here" if i in stayed else None)
    accounts["currency"] = "EUR"
    late = accounts.drop_duplicates("account_id").assign(observed_at=FILLED_LATE, plan="gold")
    write_csv(
        inbox(home),
        {"accounts": pd.concat([accounts, late[["account_id", "observed_at", "plan"]]])},
    )
    _declare(home, office="category", plan="category", currency="category")
    assert icp("ingest", home=home).status == 0
    return home, retrain(at(home, DAY), force=True)


class TestDoubtfulAttributes:
    def test_a_leak_makes_the_round_invalid_and_is_named(
        self, doubtful: tuple[Home, RetrainReport]
    ):
        told = doubtful[1].as_dict()
        assert told["verdict"] == "INVALID"
        (leak,) = (f for f in told["findings"] if f["code"] == "leak_filled_by_outcome")
        assert leak["message"] in told["reasons"]
        assert "`office` is filled in for 100%" in leak["message"]
        assert "finding.leak_filled_by_outcome" in registry.describe(doubtful[0], MOTION, "2").tags

    def test_it_may_be_allowed_with_a_reason_that_stands_on_record(
        self, doubtful: tuple[Home, RetrainReport], tmp_path: Path
    ):
        home = copied(doubtful[0], tmp_path / "allowed")
        words = ("retrain", "--as-of", DAY, "--force", "--allow-leak", "office", "--json")
        with nothing_changes(home):
            refused = icp(*words, home=home)
        assert refused.status == 2
        assert "--allow-leak and --reason go together" in refused.json["error"]
        answer = icp(*words, "--reason", "known from the first call", home=home)
        assert answer.status == 0
        on_record = {"office": "known from the first call"}
        assert answer.json["verdict"] != "INVALID"
        assert answer.json["allowed_leaks"] == on_record
        assert "leak_allowed" in [found["code"] for found in answer.json["findings"]]
        (*_, last) = Warehouse(home.warehouse_file).ledger(MOTION)
        assert last.details["allowed_leaks"] == on_record
        run, _ = round_of(home, answer.json["run_id"])
        assert json.loads(run.data.tags["allowed_leaks"]) == on_record

    def test_one_that_comes_after_the_sale_or_says_nothing_is_left_out_with_a_note(
        self, doubtful: tuple[Home, RetrainReport]
    ):
        plan, currency = sorted(doubtful[1].as_dict()["notes"], reverse=True)
        assert plan.startswith(
            "`plan` is left out: none of the matured accounts had a value before"
        )
        assert currency.startswith("`currency` is left out: every matured account has the same")
        version = doubtful[1].round.version
        assert version is not None
        assert {"plan", "currency"}.isdisjoint(a.name for a in version.attributes)

    def test_it_is_registered_with_its_verdict_and_does_not_wait_for_approval(
        self, doubtful: tuple[Home, RetrainReport]
    ):
        home, report = doubtful
        assert registry.describe(home, MOTION, "2").tags["verdict"] == "INVALID"
        assert registry.describe(home, MOTION, "2").tags["judged_against"] == "1"
        assert registry.aliases(home, MOTION) == {"champion": "1"}
        assert report.champion == "1"

    def test_the_champion_is_a_rival_now(self, doubtful: tuple[Home, RetrainReport]):
        home, report = doubtful
        _, children = round_of(home, report.run_id)
        assert "champion" in children


def test_an_attribute_that_is_declared_but_absent_stops_the_round(own: Home):
    _declare(own, phone_system="category")
    before = len(runs(own))
    with nothing_changes(own):
        answer = icp("retrain", "--as-of", DAY, "--force", "--json", home=own)
    assert answer.status == 3
    assert "conf/icp.yaml declares `phone_system`" in answer.json["error"]
    assert "take it out of dimensions" in answer.json["error"]
    assert len(runs(own)) == before


def test_a_motion_without_deals_is_inconclusive(own: Home):
    report = retrain(at(own, DAY, "upsell"), force=True)
    assert report.round.ruling.verdict == "INCONCLUSIVE"
    assert report.as_dict()["n_matured"] == 0


def test_before_the_first_ingest_it_says_what_to_run(tmp_path: Path, migrated: Path):
    home = tiny_home(tmp_path)
    home.mlruns.mkdir()
    shutil.copyfile(migrated, home.mlruns / "mlflow.db")
    with pytest.raises(DataError, match="run `icp ingest` first"):
        retrain(at(home, date(2024, 1, 1)))


def _declare(home: Home, **kinds: str) -> None:
    settings = yaml.safe_load(home.settings_file.read_text())
    settings["dimensions"]["pain_proof"] = kinds
    home.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))


def test_a_round_on_data_that_are_too_old_is_refused(own: Home):
    settings = yaml.safe_load(own.settings_file.read_text())
    settings["freshness"] = {"refuse_after_days": 200}
    own.settings_file.write_text(yaml.safe_dump(settings))
    with (
        nothing_changes(own),
        pytest.raises(RefusedError, match=r"freshness\.refuse_after_days 200.*--as-of"),
    ):
        retrain(at(own, date(2025, 12, 31)), force=True)
