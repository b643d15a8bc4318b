import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from icploop.domain.profile import Profile
from icploop.errors import UsageError
from icploop.io import registry
from icploop.io.home import Home
from icploop.pipelines.diff import tiers
from icploop.pipelines.show import show
from icploop.report.icp_page import rules_of
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp
from tests.unit.planted import at
from tests.unit.registered import register_a_challenger

MOTION, DAY = planted.MOTION, planted.LAST_DAY


@pytest.mark.parametrize("which", ["champion", "1", "v1"])
def test_a_version_is_shown_by_number_or_alias(trained: Trained, which: str):
    shown = show(at(trained.home, DAY), which)
    assert shown.number == "1"
    assert shown.text == registry.describe(trained.home, MOTION, "1").description


def test_what_is_in_force_is_shown_by_default_as_readable_text(trained: Trained):
    answer = icp("show", "--as-of", DAY, home=trained.home)
    assert answer.status == 0
    first, *rest = answer.out.splitlines()
    assert first.startswith("ICP version 1, default, as of ")
    assert first.endswith("PROMOTE")
    assert "industry is health" in answer.out
    assert "industry is gaming" in answer.out.split("DO NOT PURSUE")[1]
    assert max(map(len, [first, *rest])) <= 80


def test_as_json_it_carries_the_profile_with_its_evidence(trained: Trained):
    told = icp("show", "1", "--as-of", DAY, "--json", home=trained.home).json
    assert (told["version"], told["tags"]["verdict"]) == ("1", "PROMOTE")
    assert told["markdown"].startswith("# ")
    points = {str(line["predicate"]["any_of"]): line["points"] for line in told["profile"]["lines"]}
    assert points["['health']"] > 0
    anti = told["profile"]["anti"]
    assert [line["predicate"]["any_of"] for line in anti] == [["gaming"]]
    assert anti[0]["evidence"]["nrr"] < anti[0]["evidence"]["nrr_outside"]


def test_an_unknown_version_is_wrong_usage(trained: Trained):
    with pytest.raises(UsageError, match="'9' is no version of icp-default; versions: 1"):
        show(at(trained.home, DAY), "9")


def test_before_the_first_version_it_says_what_to_run(trained: Trained):
    answer = icp("show", "--motion", "upsell", "--json", home=trained.home)
    assert answer.status == answer.json["exit_status"] == 4
    assert "train one with `icp retrain`" in answer.json["error"]


def test_what_if_shows_both_side_by_side(trained: Trained):
    words = ["show", "--as-of", DAY, "--set", "industry=retail"]
    told = icp(*words, "--json", home=trained.home).json
    assert told["what_if"]["nrr"] < told["consequences"]["nrr"]
    assert told["consequences"]["arr"] == told["what_if"]["arr"] > 0
    text = icp(*words, home=trained.home).out
    assert "industry=retail" in text
    assert "ARR in a year, all like these" in text


def test_a_change_that_is_none_is_wrong_usage(trained: Trained):
    answer = icp("show", "--as-of", DAY, "--set", "size=5", "--json", home=trained.home)
    assert answer.status == 2
    assert "write ATTRIBUTE=VALUE" in answer.json["error"]


@pytest.mark.parametrize("suffix", [".md", ".json", ".html"])
def test_the_page_is_written_as_it_was_registered(trained: Trained, tmp_path: Path, suffix: str):
    target = tmp_path / f"icp{suffix}"
    assert icp("show", "--as-of", DAY, "--out", target, home=trained.home).status == 0
    text = target.read_text(encoding="utf-8")
    assert "health" in text
    if suffix == ".md":
        rules = rules_of(text)
        assert rules.anti == show(at(trained.home, DAY), "1").profile.rules.anti
        assert text == registry.describe(trained.home, MOTION, "1").description
    if suffix == ".json":
        profile = Profile.from_dict(json.loads(text))
        assert profile == show(at(trained.home, DAY), "1").profile
    if suffix == ".html":
        assert text.lstrip().lower().startswith("<!doctype html>")
        assert text.count("<svg") == 3


def test_another_suffix_is_wrong_usage(trained: Trained, tmp_path: Path):
    answer = icp("show", "--out", tmp_path / "icp.pdf", "--json", home=trained.home)
    assert answer.status == 2
    assert "end it with .md, .json, .html" in answer.json["error"]


def test_lint_speaks_of_an_old_version(trained: Trained):
    later = date(DAY.year + 1, DAY.month, 28) + timedelta(days=40)
    codes = [
        f["code"] for f in icp("show", "--as-of", later, "--json", home=trained.home).json["lint"]
    ]
    assert "stale_icp" in codes


def test_a_diff_names_the_accounts_that_moved(own: Home):
    register_a_challenger(own)
    same = icp("diff", "1", "2", "--as-of", DAY, "--json", home=own).json
    assert (same["lines"], same["moved"]) == ([], [])
    text = icp("diff", "1", "2", "--as-of", DAY, home=own).out
    assert "No line is different." in text
    assert "0 of " in text


def test_a_diff_of_two_trainings_is_exact(own: Home):
    assert icp("retrain", "--force", "--as-of", "2024-06-30", home=own).status == 0
    told = icp("diff", "1", "2", "--as-of", DAY, "--json", home=own).json
    before, after = (tiers(at(own).sight, registry.load(own, MOTION, v)) for v in "12")
    moved = {row["account_id"]: (row["before"], row["after"]) for row in told["moved"]}
    assert moved == {a: (before[a], after[a]) for a in before.index if before[a] != after[a]}
    assert len(moved) > 0
    text = icp("diff", "1", "2", "--as-of", DAY, home=own).out
    assert f"{len(moved)} of {len(before)} accounts moved tier." in text


@pytest.mark.parametrize(
    ("words", "codes"),
    [(["mid-market B2B SaaS companies"], ["too_vague"]), ([], [])],
)
def test_lint_of_prose_and_of_settings_without_a_hypothesis(
    trained: Trained, words: list[str], codes: list[str]
):
    found = icp("lint", *words, "--json", home=trained.home).json["findings"]
    assert [finding["code"] for finding in found] == codes
    assert icp("lint", *words, home=trained.home).out.strip()
