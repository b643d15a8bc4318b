import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
import yaml

from icploop.errors import RefusedError, UsageError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.promote import approve
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import held, icp, nothing_changes
from tests.unit.registered import pieces

MOTION = planted.MOTION
TODAY = date(2025, 2, 3)


@contextmanager
def nothing_is_decided(home: Home) -> Iterator[None]:
    """Fails where the block changes an alias, a tag of a version, or the ledger."""

    def decided() -> Any:
        aliases = registry.aliases(home, MOTION)
        return aliases, [registry.describe(home, MOTION, n).tags for n in ("1", "2")]

    before = decided()
    with nothing_changes(home):
        yield
    assert decided() == before


def approve_2(home: Home, who: str = "Ada", reason: str = "reviewed") -> Any:
    return approve(home, MOTION, "2", who=who, reason=reason, as_of=TODAY)


class TestApproval:
    def test_the_first_version_comes_into_force_and_replaces_nothing(self, trained: Trained):
        assert trained.approved.json == {
            "motion": "default",
            "champion": "1",
            "previous": None,
            "approved_by": "Ada",
            "reason": "reviewed",
        }
        assert registry.aliases(trained.home, MOTION) == {"champion": "1"}

    def test_the_next_one_replaces_it_and_nothing_waits_any_more(self, waiting: Home):
        assert approve_2(waiting).as_dict() == {
            "motion": "default",
            "champion": "2",
            "previous": "1",
            "approved_by": "Ada",
            "reason": "reviewed",
        }
        assert registry.aliases(waiting, MOTION) == {"champion": "2", "previous": "1"}

        tags = registry.describe(waiting, MOTION, "2").tags
        assert tags["approved_by"] == "Ada"
        assert tags["approval_reason"] == "reviewed"
        assert tags["approved_on"] == tags["promoted_on"] == "2025-02-03"

        *_, approval, promotion = Warehouse(waiting.warehouse_file).ledger(MOTION)
        for row, event in ((approval, "approval"), (promotion, "promotion")):
            assert (row.event, row.version, row.who, row.reason, row.as_of) == (
                event,
                "2",
                "Ada",
                "reviewed",
                TODAY,
            )
        assert approval.details == {"content_hash": tags["content_hash"]}
        assert promotion.details == {"replaced": "1"}

    def test_a_second_approval_of_the_same_version_is_refused(self, waiting: Home):
        approve_2(waiting)
        with nothing_is_decided(waiting), pytest.raises(RefusedError, match="nothing is"):
            approve_2(waiting)

    @pytest.mark.parametrize("which", ["challenger", "v2"])
    def test_a_version_is_named_by_number_or_alias(self, waiting: Home, which: str):
        report = approve(waiting, MOTION, which, who="Ada", reason="r", as_of=TODAY)
        assert report.version == "2"

    def test_without_a_list_of_approvers_anyone_may(self, waiting: Home):
        _own(waiting, approvers=[])
        assert approve_2(waiting, who="Bob").approved_by == "Bob"


def _own(home: Home, **owners: Any) -> None:
    settings = yaml.safe_load(home.settings_file.read_text())
    home.settings_file.write_text(yaml.safe_dump(settings | {"owners": owners}))


def _altered(home: Home) -> None:
    path = pieces(home, 2) / "version.json"
    document = json.loads(path.read_bytes())
    document["tiers"]["A"] = 0.2
    path.write_text(json.dumps(document, indent=1))


def tagged(**tags: str) -> Callable[[Home], None]:
    return lambda home: registry.tag_version(home, MOTION, "2", tags)


def challenger(number: str | None) -> Callable[[Home], None]:
    return lambda home: registry.set_alias(home, MOTION, registry.CHALLENGER, number)


REFUSALS: dict[str, tuple[Callable[[Home], None], str]] = {
    "KEEP": (
        tagged(verdict="KEEP", reasons="It is worse."),
        r"has the verdict KEEP, so it cannot be approved: It is worse\.",
    ),
    "INCONCLUSIVE": (tagged(verdict="INCONCLUSIVE"), "has the verdict INCONCLUSIVE"),
    "INVALID": (tagged(verdict="INVALID"), "has the verdict INVALID"),
    "it does not wait": (
        challenger(None),
        "Version 2 is not waiting for approval; nothing is",
    ),
    "another one waits": (
        challenger("1"),
        "Version 2 is not waiting for approval; version 1 is",
    ),
    "the champion has changed": (
        tagged(judged_against="none"),
        "judged against champion none, but 1 is in force now; train again",
    ),
    "its pieces were altered": (_altered, r"Version 2 .*altered after its verdict.*train again"),
}


class TestRefusal:
    @pytest.mark.parametrize(("prepare", "told"), REFUSALS.values(), ids=REFUSALS.keys())
    def test_it_says_why_and_changes_nothing(
        self, waiting: Home, prepare: Callable[[Home], object], told: str
    ):
        prepare(waiting)
        with nothing_is_decided(waiting), pytest.raises(RefusedError, match=told):
            approve_2(waiting)

    def test_only_an_approver_may(self, waiting: Home):
        with nothing_is_decided(waiting):
            answer = icp("approve", 2, "--by", "Bob", "--reason", "r", "--json", home=waiting)
        assert answer.status == answer.json["exit_status"] == 4
        assert "'Bob' may not approve" in answer.json["error"]
        assert "owners.approvers in conf/icp.yaml names Ada" in answer.json["error"]

    @pytest.mark.parametrize(("who", "reason"), [("", "r"), ("  ", "r"), ("Ada", ""), ("Ada", " ")])
    def test_a_name_and_a_reason_are_needed(self, waiting: Home, who: str, reason: str):
        with nothing_is_decided(waiting), pytest.raises(UsageError, match="a name and a reason"):
            approve_2(waiting, who=who, reason=reason)

    def test_an_unknown_version_is_wrong_usage(self, trained: Trained):
        with pytest.raises(UsageError, match="'7' is no version of icp-default; versions: 1"):
            approve(trained.home, MOTION, "7", who="Ada", reason="r", as_of=TODAY)

    def test_while_another_process_holds_the_warehouse_nothing_is_decided(self, waiting: Home):
        before = registry.aliases(waiting, MOTION)
        with held(waiting.warehouse_file), pytest.raises(RefusedError, match="another process"):
            approve_2(waiting)
        assert registry.aliases(waiting, MOTION) == before
        assert "approved_by" not in registry.describe(waiting, MOTION, "2").tags
