import csv
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.modeling.scoring.version import SCORE_COLUMNS
from icploop.pipelines.target_list import ListReport, target_list
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp
from tests.unit.planted import at
from tests.unit.registered import register_a_challenger

MOTION, DAY = planted.MOTION, planted.LAST_DAY


@pytest.fixture
def home(trained: Trained) -> Home:
    """The trained home, to be read only."""
    return trained.home


@pytest.fixture(scope="module")
def listed(
    trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ListReport, pd.DataFrame, pd.DataFrame]:
    """The report, the list, and those who were left out."""
    target = tmp_path_factory.mktemp("list") / "targets.csv"
    report = target_list(at(trained.home, DAY), target)
    return report, pd.read_csv(target), pd.read_csv(report.excluded_out)


class TestTheTargetList:
    def test_it_is_ranked_best_first_and_carries_every_score(self, listed: Any):
        _, targets, _ = listed
        assert set(SCORE_COLUMNS) <= set(targets.columns)
        assert targets["rank"].tolist() == list(range(1, len(targets) + 1))
        best = targets[targets["chosen_by"] == "fit score"]
        assert best["fit_score"].is_monotonic_decreasing
        assert targets["account_id"].is_unique

    def test_some_are_drawn_at_random_and_stand_at_its_end(self, listed: Any):
        _, targets, _ = listed
        # 3% of 71 places.
        assert targets["chosen_by"].tolist() == ["fit score"] * 69 + ["exploration"] * 2

    def test_it_is_kept_who_could_stand_there_and_with_what_chance(
        self, trained: Trained, listed: Any
    ):
        _, targets, _ = listed
        kept = Warehouse(trained.home.warehouse_file).listings(MOTION)
        of_day = kept[kept["as_of"] == pd.Timestamp(DAY)].set_index("account_id")
        on_list = of_day.index[of_day["listed"]]
        assert set(on_list) == set(targets["account_id"].astype("str"))
        assert of_day["propensity"].sum() == pytest.approx(len(targets))

    def test_what_another_version_would_list_is_not_kept(self, own: Home, tmp_path: Path):
        register_a_challenger(own)
        before = Warehouse(own.warehouse_file).listings(MOTION)
        day = DAY + timedelta(days=1)
        target_list(at(own, day), tmp_path / "list.csv", "challenger")
        assert Warehouse(own.warehouse_file).listings(MOTION).equals(before)

    def test_it_is_as_long_as_the_capacity(self, listed: Any):
        report, targets, _ = listed
        # A quarter of the 285 accounts that never bought.
        assert report.listed == len(targets) == 71

    def test_every_account_is_either_listed_or_left_out_with_a_reason(self, listed: Any):
        report, targets, left_out = listed
        ids = pd.concat([targets["account_id"], left_out["account_id"]])
        assert sorted(ids) == sorted(planted.company()["accounts"]["account_id"].unique())
        assert left_out["excluded_because"].value_counts().to_dict() == report.excluded

    @pytest.mark.parametrize(
        ("account", "reason"),
        [
            ("o1", "open deal"),
            ("p3", "its parent is a customer"),
            ("p4", "too little is known"),
            ("p5", "anti-ICP"),
            ("w2", "customer, now or before"),
        ],
    )
    def test_who_cannot_be_pursued_is_left_out(self, listed: Any, account: str, reason: str):
        _, _, left_out = listed
        assert left_out.set_index("account_id")["excluded_because"][account] == reason

    def test_customers_that_left_are_left_out_too(self, listed: Any):
        revenue = planted.company()["revenue"]
        ended = revenue.groupby("account_id")["month"].max()
        churned = set(ended[ended < revenue["month"].max()].index)
        assert len(churned) > 5
        _, _, left_out = listed
        assert churned <= set(
            left_out.loc[left_out["excluded_because"] == "customer, now or before", "account_id"]
        )

    def test_of_two_accounts_with_one_parent_at_most_the_better_is_listed(self, listed: Any):
        _, targets, left_out = listed
        scores = pd.concat([targets, left_out]).set_index("account_id")
        worse = scores.loc[["p1", "p2"], "fit_score"].idxmin()
        assert scores.loc[worse, "excluded_because"] == "another account of its parent is listed"

    def test_lost_deals_do_not_keep_an_account_out(self, listed: Any):
        _, targets, _ = listed
        assert targets["account_id"].str.startswith("l").any()

    def test_the_names_are_the_last_that_are_known(self, listed: Any):
        _, targets, left_out = listed
        names = pd.concat([targets, left_out]).set_index("account_id")["name"]
        assert names["p6"] == "Company p6"
        assert names.notna().all()

    def test_no_cell_starts_a_formula(self, listed: Any):
        report, *_ = listed
        cells = []
        for path in (report.out, report.excluded_out):
            with Path(path).open(newline="") as stream:
                cells += [cell for row in csv.reader(stream) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
        assert """'=HYPERLINK("http://x")""" in cells

    def test_a_number_of_accounts_can_be_the_capacity(self, own: Home, tmp_path: Path):
        _capacity(own, accounts=7)
        report = target_list(at(own, DAY), tmp_path / "t.csv")
        assert report.listed == len(pd.read_csv(tmp_path / "t.csv")) == 7

    def test_capacity_beyond_the_market_lists_all_that_may_be_pursued(
        self, own: Home, tmp_path: Path
    ):
        _capacity(own, accounts=10_000)
        report = target_list(at(own, DAY), tmp_path / "t.parquet")
        assert "beyond capacity" not in report.excluded
        assert report.listed > 150

    def test_a_length_outside_the_band_is_told(self, listed: Any, own: Home, tmp_path: Path):
        report, *_ = listed
        assert "71 accounts, fewer than the 800 to 1500 of targets.band" in report.warnings[0]
        _settings(own, targets={"band": [71, 71]})
        assert target_list(at(own, DAY), tmp_path / "t.csv").warnings == ()

    def test_as_json_it_is_a_list_of_records(self, own: Home, tmp_path: Path):
        report = target_list(at(own, DAY), tmp_path / "t.json")
        records = json.loads((tmp_path / "t.json").read_text())
        assert [record["rank"] for record in records] == list(range(1, report.listed + 1))
        assert Path(report.excluded_out).name == "t-excluded.json"

    def test_it_sees_what_the_day_could_see(self, home: Home, tmp_path: Path):
        before_the_move = date(2024, 11, 1)
        report = target_list(at(home, before_the_move), tmp_path / "t.csv")
        left_out = pd.read_csv(report.excluded_out).set_index("account_id")["excluded_because"]
        assert left_out["p6"] == "anti-ICP"

    def test_without_a_version_in_force_it_is_refused_and_writes_nothing(
        self, home: Home, tmp_path: Path
    ):
        answer = icp("list", "--motion", "upsell", "--out", tmp_path / "t.csv", home=home)
        assert answer.status == 4
        assert "train one with `icp retrain`" in answer.err
        assert list(tmp_path.iterdir()) == []

    def test_it_is_shown_with_names_and_reasons(self, home: Home, tmp_path: Path):
        answer = icp("list", "--out", tmp_path / "t.csv", "--as-of", DAY, home=home)
        assert answer.out.startswith(f"71 accounts in {tmp_path / 't.csv'} (version 1)")
        assert "industry is health: +" in answer.out
        assert "nan" not in answer.out.lower()


def _settings(home: Home, **changed: Any) -> None:
    settings = yaml.safe_load(home.settings_file.read_text())
    home.settings_file.write_text(yaml.safe_dump(settings | changed))


def _capacity(home: Home, **capacity: Any) -> None:
    _settings(home, capacity=capacity)


class TestOverrides:
    """p5 is anti-ICP, o1 has an open deal, p4 is unknown, w2 is a customer, p1 or p2 is listed."""

    def listed_with(self, own: Home, tmp_path: Path, *lines: str) -> tuple[ListReport, Any, Any]:
        header = "account_id,decision,owner,reason,expires"
        own.overrides_file.write_text("\n".join([header, *lines]))
        report = target_list(at(own, DAY), tmp_path / "t.csv")
        targets = pd.read_csv(report.out).set_index("account_id")
        left_out = pd.read_csv(report.excluded_out).set_index("account_id")
        return report, targets, left_out

    def test_an_included_account_stands_there_whatever_its_score(self, own: Home, tmp_path: Path):
        lines = [f"{account},include,Ada,strategic,2025-12-31" for account in ("p5", "o1", "p4")]
        report, targets, _ = self.listed_with(own, tmp_path, *lines)
        assert (targets.loc[["p5", "o1", "p4"], "chosen_by"] == "override").all()
        assert targets.loc["p5", "override"] == "Ada: strategic (until 2025-12-31)"
        assert report.listed == len(targets) == 71

    def test_an_excluded_account_is_left_out_with_the_reason(
        self, own: Home, tmp_path: Path, listed: Any
    ):
        best = listed[1]["account_id"].iloc[0]
        _, targets, left_out = self.listed_with(
            own, tmp_path, f"{best},exclude,Bo,lawsuit,2025-12-31"
        )
        assert best not in targets.index
        assert left_out.loc[best, "excluded_because"] == "override"
        assert left_out.loc[best, "override"] == "Bo: lawsuit (until 2025-12-31)"

    def test_what_people_chose_was_no_chance(self, own: Home, tmp_path: Path, listed: Any):
        best = listed[1]["account_id"].iloc[0]
        lines = [f"p5,include,Ada,x,{DAY}", f"{best},exclude,Ada,x,{DAY}"]
        self.listed_with(own, tmp_path, *lines)
        kept = Warehouse(own.warehouse_file).listings(MOTION)
        of_day = kept[kept["as_of"] == pd.Timestamp(DAY)].set_index("account_id")
        assert of_day.loc[["p5", best], "propensity"].tolist() == [1, 0]
        assert of_day.loc[["p5", best], "chosen_by"].tolist() == ["override"] * 2
        assert of_day.loc["p5", "tier"] == "anti"
        assert of_day["expected_nrr"].notna().all()

    def test_of_one_parent_the_included_account_is_listed(self, own: Home, tmp_path: Path):
        for account, sibling in (("p1", "p2"), ("p2", "p1")):
            line = f"{account},include,Ada,x,2025-12-31"
            _, targets, _ = self.listed_with(own, tmp_path, line)
            assert account in targets.index
            assert sibling not in targets.index

    def test_what_has_no_effect_is_told(self, own: Home, tmp_path: Path):
        lines = [
            "p5,include,Ada,x,2025-01-30",
            "nobody,include,Ada,x,2025-12-31",
            "w2,include,Ada,x,2025-12-31",
        ]
        report, targets, left_out = self.listed_with(own, tmp_path, *lines)
        assert report.warnings[1:] == (
            "Expired in conf/overrides.csv: p5",
            "No account is named as conf/overrides.csv says: nobody",
            "Customers stay off the list, whatever conf/overrides.csv says: w2",
        )
        assert left_out.loc["p5", "excluded_because"] == "anti-ICP"
        assert "w2" not in targets.index

    def test_more_included_than_there_are_places_are_all_listed(self, own: Home, tmp_path: Path):
        _capacity(own, accounts=2)
        lines = [f"{account},include,Ada,x,2025-12-31" for account in ("p5", "o1", "p4")]
        _, targets, _ = self.listed_with(own, tmp_path, *lines)
        assert sorted(targets.index) == ["o1", "p4", "p5"]

    def test_a_wrong_line_stops_the_list_with_its_number(self, own: Home, tmp_path: Path):
        own.overrides_file.write_text("account_id,decision,owner,reason,expires\np5,include,,x,y")
        answer = icp("list", "--out", tmp_path / "t.csv", "--as-of", DAY, home=own)
        assert (answer.status, "conf/overrides.csv, line 2: owner is empty" in answer.err) == (
            2,
            True,
        )
        assert not (tmp_path / "t.csv").exists()
