from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.errors import DataError, RefusedError
from icploop.io import frames
from icploop.io.home import Home
from icploop.modeling.scoring.version import SCORE_COLUMNS
from icploop.pipelines.score import score_file
from icploop.pipelines.target_list import target_list
from icploop.pipelines.write_back import read_scores
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp
from tests.unit.planted import at

MOTION, DAY = planted.MOTION, planted.LAST_DAY
ATTRIBUTES = ["industry", "employees", "tech", "has_sponsor", "funded_on"]


@pytest.fixture
def home(trained: Trained) -> Home:
    """The trained home, to be read only."""
    return trained.home


def leads() -> pd.DataFrame:
    """Five accounts that nobody knows: two good ones, a bad one, an average and an empty one."""
    return pd.DataFrame(
        {
            "account_id": ["x1", "x2", "x3", "x4", "x5"],
            "industry": ["health", "health", "gaming", "retail", None],
            "employees": [100.0, 200.0, 100.0, 300.0, None],
            "tech": ["crm", "crm|erp", "erp", "crm", None],
            "has_sponsor": [True, False, True, False, None],
            "funded_on": ["2020-01-01"] * 4 + [None],
        }
    )


def scored(home: Home, folder: Path, frame: pd.DataFrame, kind: str = "csv") -> pd.DataFrame:
    """The scores of a frame that went in and came out as files of a kind."""
    source, target = folder / f"in.{kind}", folder / f"out.{kind}"
    frame.to_csv(source, index=False) if kind == "csv" else frame.to_parquet(source)
    score_file(at(home, DAY), source, target)
    return pd.read_csv(target) if kind == "csv" else pd.read_parquet(target)


class TestScoring:
    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_the_columns_are_those_of_the_contract_in_their_order(
        self, home: Home, tmp_path: Path, kind: str
    ):
        scores = scored(home, tmp_path, leads(), kind)
        assert scores.columns.tolist() == SCORE_COLUMNS
        assert scores["account_id"].tolist() == leads()["account_id"].tolist()
        assert set(scores["scored_at"]) == {DAY.isoformat()}
        assert set(scores["icp_version"].astype("str")) == {"1"}

    def test_the_planted_truth_shows(self, home: Home, tmp_path: Path):
        scores = scored(home, tmp_path, leads()).set_index("account_id")
        expected = scores["expected_nrr"]
        assert expected["x1"] > 1.3
        assert expected["x3"] < expected["x4"] < 1.1
        assert scores.loc["x3", "tier"] == "anti"
        assert scores.loc["x5", "tier"] == "unknown"
        assert scores.loc["x1", "tier"] in ("A", "B")
        assert scores["fit_score"].between(0, 100).all()
        assert (scores["expected_nrr_low"] <= expected).all()
        assert (expected <= scores["expected_nrr_high"]).all()
        assert scores["coverage"].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
        assert scores.loc["x1", "reasons_for"].startswith("industry is health: +")
        assert scores.loc["x3", "reasons_against"].startswith("industry is gaming: -")

    def test_csv_and_parquet_give_the_same_scores(self, home: Home, tmp_path: Path):
        from_csv, from_parquet = (scored(home, tmp_path, leads(), k) for k in ("csv", "parquet"))
        numbers = from_parquet.select_dtypes("number").columns
        pd.testing.assert_frame_equal(
            from_csv[numbers], from_parquet[numbers], rtol=1e-5, check_dtype=False
        )
        assert from_csv["tier"].tolist() == from_parquet["tier"].tolist()

    def test_the_size_of_the_parts_changes_nothing(
        self, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        many = pd.concat([leads()] * 420, ignore_index=True)
        whole = scored(home, tmp_path, many, "parquet")
        monkeypatch.setattr(frames, "_ROWS", 2048)
        pd.testing.assert_frame_equal(scored(home, tmp_path, many, "parquet"), whole)

    def test_the_report_counts_tiers(self, home: Home, tmp_path: Path):
        leads().to_csv(tmp_path / "in.csv", index=False)
        answer = icp(
            "score",
            "--in",
            tmp_path / "in.csv",
            "--out",
            tmp_path / "out.csv",
            "--json",
            "--as-of",
            DAY,
            home=home,
        )
        told = answer.json
        assert (told["rows"], told["icp_version"]) == (5, "1")
        assert sum(told["tiers"].values()) == 5
        assert (told["tiers"]["anti"], told["tiers"]["unknown"]) == (1, 1)

    def test_attributes_that_the_file_lacks_are_missing_and_others_are_ignored(
        self, home: Home, tmp_path: Path
    ):
        few = leads()[["account_id", "industry"]].assign(shoe_size=42)
        scores = scored(home, tmp_path, few)
        assert scores["coverage"].tolist() == [0.2] * 4 + [0.0]

    def test_values_never_seen_and_ids_that_are_numbers_are_scored(
        self, home: Home, tmp_path: Path
    ):
        odd = leads().assign(account_id=range(5), industry="mining", employees=-1e12, tech="x|y")
        scores = scored(home, tmp_path, odd, "parquet")
        assert scores["account_id"].tolist() == list("01234")
        assert scores["expected_nrr"].notna().all()

    def test_ids_that_a_spreadsheet_would_run_are_defused(self, home: Home, tmp_path: Path):
        scores = scored(home, tmp_path, leads().assign(account_id="=cmd()"))
        assert set(scores["account_id"]) == {"'=cmd()"}

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_what_is_scored_or_listed_can_be_written_back(
        self, home: Home, tmp_path: Path, kind: str
    ):
        scores = scored(home, tmp_path, leads(), kind).set_index("account_id")
        found = read_scores(tmp_path / f"out.{kind}")
        assert [values["tier"] for values in found.values()] == scores["tier"].tolist()
        assert [float(values["score"] or -1) for values in found.values()] == pytest.approx(
            scores["fit_score"].tolist(), abs=0.005
        )
        report = target_list(at(home, DAY), tmp_path / f"list.{kind}")
        assert len(read_scores(tmp_path / f"list.{kind}")) == report.listed


class TestWhatCannotBeScored:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("id,industry\nx1,health\n", r"no column `account_id` \(found: id, industry\); rename"),
            ("account_id,industry\nx1,health\n ,retail\n", "row 2 has no account_id"),
            (
                "account_id,industry\nx1,health\nx2\n",
                r"row 2 \('x2'\) breaks the rule “the line has as many cells",
            ),
            ("account_id,industry\n", "there were no rows to write"),
            ("", "is empty"),
        ],
        ids=["no id column", "no id", "a ragged line", "no row", "an empty file"],
    )
    def test_bad_files_end_with_status_3_and_leave_no_file(
        self, home: Home, tmp_path: Path, content: str, told: str
    ):
        source, target = tmp_path / "in.csv", tmp_path / "out" / "scores.csv"
        source.write_text(content)
        with pytest.raises(DataError, match=told):
            score_file(at(home, DAY), source, target)
        assert list(target.parent.iterdir()) == []

    def test_the_row_is_counted_over_parts(
        self, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(frames, "_ROWS", 2048)
        ids = pd.Series([f"x{i}" for i in range(6000)], dtype="str")
        ids[4999] = None
        pd.DataFrame({"account_id": ids}).to_parquet(tmp_path / "in.parquet")
        with pytest.raises(DataError, match="row 5000 has no account_id"):
            score_file(at(home, DAY), tmp_path / "in.parquet", tmp_path / "out.parquet")

    def test_without_a_version_in_force_it_is_refused(self, home: Home, tmp_path: Path):
        leads().to_csv(tmp_path / "in.csv", index=False)
        with pytest.raises(RefusedError, match="No ICP version of `upsell` is in force yet"):
            score_file(at(home, DAY, "upsell"), tmp_path / "in.csv", tmp_path / "out.csv")


HYPOTHESIS = [
    {"attribute": "industry", "any_of": ["health"], "points": 2},
    {"attribute": "industry", "any_of": ["gaming"], "points": -2},
]


def young(home: Home, **more: Any) -> Home:
    """The home under an objective that nothing was trained for, and with too few for a model."""
    stated = {"objective": "retention", "hypothesis": HYPOTHESIS} | more
    policy = planted.SETTINGS["policy"] | {"min_matured": 5000}
    settings = planted.SETTINGS | stated | {"policy": policy}
    (home.root / "conf" / "icp.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return home


class TestHypothesisMode:
    def test_accounts_are_scored_by_the_hypothesis_and_nothing_is_claimed(
        self, own: Home, tmp_path: Path
    ):
        scores = scored(young(own), tmp_path, leads()).set_index("account_id")
        assert set(scores["icp_version"]) == {"hypothesis"}
        assert scores.loc["x1", "fit_score"] > scores.loc["x4", "fit_score"]
        assert scores.loc["x4", "fit_score"] > scores.loc["x3", "fit_score"]
        assert scores[["expected_nrr", "p_retained", "p_win"]].isna().all(axis=None)

    def test_it_says_so_for_people_and_for_machines(self, own: Home, tmp_path: Path):
        target = str(tmp_path / "list.csv")
        words = ["list", "--out", target, "--as-of", DAY]
        told = icp(*words, home=young(own))
        assert told.out.startswith("Hypothesis mode: only ")
        assert "nan" not in told.out
        answer = icp(*words, "--json", home=own).json
        assert answer["icp_version"] == "hypothesis"
        assert answer["note"].startswith("Hypothesis mode")

    def test_the_list_holds_the_best_by_points(self, own: Home, tmp_path: Path):
        report = target_list(at(young(own), DAY), tmp_path / "list.csv")
        assert report.listed > 10
        listed = pd.read_csv(tmp_path / "list.csv")
        best = listed[listed["chosen_by"] == "fit score"]
        assert len(best) > 0.9 * len(listed)
        assert best["reasons_for"].str.contains("health").all()

    def test_without_a_hypothesis_there_is_nothing_to_score_by(self, own: Home, tmp_path: Path):
        with pytest.raises(RefusedError, match="No ICP version"):
            target_list(at(young(own, hypothesis=[]), DAY), tmp_path / "list.csv")

    def test_with_enough_matured_customers_a_model_is_asked_for(self, own: Home, tmp_path: Path):
        home = young(own)
        settings = yaml.safe_load((home.root / "conf" / "icp.yaml").read_text())
        settings["policy"]["min_matured"] = 20
        (home.root / "conf" / "icp.yaml").write_text(yaml.safe_dump(settings))
        with pytest.raises(RefusedError, match="No ICP version"):
            target_list(at(home, DAY), tmp_path / "list.csv")
