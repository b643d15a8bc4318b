import pytest

from icploop.errors import UsageError
from icploop.io import registry
from icploop.pipelines.show import show
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp

MOTION = planted.MOTION


@pytest.mark.parametrize("which", ["champion", "1", "v1"])
def test_a_version_is_shown_by_number_or_alias(trained: Trained, which: str):
    shown = show(trained.home, MOTION, which)
    assert shown.number == "1"
    assert shown.text == registry.describe(trained.home, MOTION, "1").description


def test_what_is_in_force_is_shown_by_default_as_readable_text(trained: Trained):
    answer = icp("show", home=trained.home)
    assert answer.status == 0
    assert "Planted" in answer.out.splitlines()[0]
    assert "industry is health" in answer.out
    assert "**PROMOTE.**" in answer.out


def test_as_json_it_carries_the_profile_with_its_evidence(trained: Trained):
    told = icp("show", "1", "--json", home=trained.home).json
    assert (told["version"], told["tags"]["verdict"]) == ("1", "PROMOTE")
    assert told["markdown"].startswith("# ")
    best, *_ = told["profile"]["lines"]
    assert best["predicate"]["attribute"] == "industry"
    assert best["predicate"]["any_of"] == ["health"]
    anti = told["profile"]["anti"]
    assert [line["predicate"]["any_of"] for line in anti] == [["gaming"]]
    assert anti[0]["evidence"]["nrr"] < anti[0]["evidence"]["nrr_outside"]


def test_an_unknown_version_is_wrong_usage(trained: Trained):
    with pytest.raises(UsageError, match="'9' is no version of icp-default; versions: 1"):
        show(trained.home, MOTION, "9")


def test_before_the_first_version_it_says_what_to_run(trained: Trained):
    answer = icp("show", "--motion", "upsell", "--json", home=trained.home)
    assert answer.status == answer.json["exit_status"] == 4
    assert "train one with `icp retrain`" in answer.json["error"]
