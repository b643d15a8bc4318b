import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.domain.ledger import Event, LedgerRow
from icploop.errors import RefusedError, UnavailableError, UsageError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.lock import one_at_a_time
from icploop.io.releases import Releases
from icploop.io.tracking import connect
from icploop.io.versions import model_name
from icploop.io.warehouse import Warehouse
from icploop.modeling.scoring.version import content_hash
from icploop.pipelines.decide import AUTO, approve, reject, rollback, settle
from icploop.pipelines.promote import publish
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import held, icp, nothing_changes
from tests.unit.planted import at
from tests.unit.registered import pieces, register_a_challenger

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
    return approve(at(home, TODAY), "2", who=who, reason=reason)


def published(home: Home) -> dict[str, bytes]:
    """What everybody reads: every file through the link."""
    folder = home.root / "data" / "published" / MOTION
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class TestApproval:
    def test_the_first_version_comes_into_force_and_replaces_nothing(self, trained: Trained):
        where = trained.home.root / "data" / "published" / MOTION
        assert trained.approved.json == {
            "motion": "default",
            "champion": "1",
            "previous": None,
            "approved_by": "Ada",
            "reason": "reviewed",
            "published": str(where),
            "already_done": False,
        }
        assert registry.aliases(trained.home, MOTION) == {"champion": "1"}

    def test_it_publishes_scores_list_and_page_as_one_release(self, trained: Trained):
        files = published(trained.home)
        assert set(files) == {
            "draw.parquet",
            "icp.md",
            "release.json",
            "scores.parquet",
            "targets.csv",
            "targets-excluded.csv",
        }
        folder = trained.home.root / "data" / "published" / MOTION
        scores = pd.read_parquet(folder / "scores.parquet")
        targets = pd.read_csv(folder / "targets.csv")
        assert set(scores["icp_version"]) == {"1"}
        assert set(targets["account_id"]) <= set(scores["account_id"])
        assert len(Warehouse(trained.home.warehouse_file).listings(MOTION)) > len(targets) > 0
        assert b"# ICP of" in files["icp.md"]

    def test_the_next_one_replaces_it_and_nothing_waits_any_more(self, waiting: Home):
        report = approve_2(waiting)
        assert (report.version, report.replaced, report.approved_by) == ("2", "1", "Ada")
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
        folder = waiting.root / "data" / "published" / MOTION
        assert approval.details == {
            "content_hash": tags["content_hash"],
            "replaced": "1",
            "release": "00002-v2-2025-02-03",
            "release_hash": sha256((folder / "release.json").read_bytes()).hexdigest(),
        }
        assert promotion.details == approval.details

    def test_every_row_of_the_ledger_is_a_tag_in_mlflow(self, waiting: Home):
        approve_2(waiting)
        tags = registry.describe(waiting, MOTION, "2").tags
        rows = Warehouse(waiting.warehouse_file).sealed_ledger()
        for sealed in rows:
            place = tags if sealed.row.version == "2" else None
            place = place or (
                registry.describe(waiting, MOTION, "1").tags
                if sealed.row.version
                else registry.tags_of_model(waiting, MOTION)
            )
            assert sealed.seal[:12] in place[f"ledger.{sealed.number:05}.{sealed.row.event}"]
        end = registry.tags_of_model(waiting, MOTION)["ledger_end"]
        assert end == f"{len(rows)} {rows[-1].seal}"

    def test_a_second_approval_of_the_same_version_was_already_done(self, waiting: Home):
        approve_2(waiting)
        with nothing_is_decided(waiting):
            for again in ("2", "challenger"):
                report = approve(at(waiting, TODAY), again, who="Ada", reason="reviewed")
                assert (report.version, report.replaced, report.already_done) == ("2", "1", True)
            with pytest.raises(RefusedError, match="nothing is"):
                reject(at(waiting, TODAY), "2", who="Ada", reason="reviewed")
            with pytest.raises(RefusedError, match="is waiting for approval"):
                approve(at(waiting, TODAY), "challenger", who="Ada", reason="another reason")

    @pytest.mark.parametrize("which", ["challenger", "v2"])
    def test_a_version_is_named_by_number_or_alias(self, waiting: Home, which: str):
        report = approve(at(waiting, TODAY), which, who="Ada", reason="r")
        assert report.version == "2"

    def test_without_a_list_of_approvers_anyone_may(self, waiting: Home):
        _set(waiting, owners={"approvers": []})
        assert approve_2(waiting, who="Bob").approved_by == "Bob"


def _set(home: Home, **sections: Any) -> None:
    settings = yaml.safe_load(home.settings_file.read_text())
    for name, section in sections.items():
        settings[name] = {**settings.get(name, {}), **section}
    home.settings_file.write_text(yaml.safe_dump(settings))


def _altered(home: Home) -> None:
    path = pieces(home, 2) / "version.json"
    document = json.loads(path.read_bytes())
    document["tiers"]["A"] = 0.2
    path.write_text(json.dumps(document, indent=1))


def _altered_with_its_tag(home: Home) -> None:
    _altered(home)
    parts = {path.name: path.read_bytes() for path in pieces(home, 2).iterdir()}
    registry.tag_version(home, MOTION, "2", {"content_hash": content_hash(parts)})


def _appended(event: Event, version: str | None = None, **details: str) -> Callable[[Home], None]:
    row = LedgerRow(event, MOTION, TODAY, version, "Ada", "r", details)
    return lambda home: Warehouse(home.warehouse_file).append(row)


REFUSALS: dict[str, tuple[Callable[[Home], None], str]] = {
    "it was rejected": (_appended("rejection", "2"), "not waiting for approval; nothing is"),
    "another one waits": (
        _appended("verdict", "3", verdict="PROMOTE", champion="1"),
        "Version 2 is not waiting for approval; version 3 is",
    ),
    "the champion has changed": (
        _appended("promotion", "7"),
        "judged against champion 1, but 7 is in force now; the next `icp watch` judges again",
    ),
    "its pieces were altered": (_altered, r"Version 2 .*altered after its verdict.*train again"),
    "its pieces and its tag were altered": (_altered_with_its_tag, "altered after its verdict"),
    "the settings were changed": (
        lambda home: _set(home, policy={"min_uplift": 0.01}),
        r"conf/icp\.yaml was changed since the verdict on version 2",
    ),
    "its verdict expired": (
        lambda home: _set(home, policy={"expires_days": 3}),
        r"has waited since 2025-01-31, and its verdict expired after 3 days",
    ),
}


class TestRefusal:
    @pytest.mark.parametrize(("prepare", "told"), REFUSALS.values(), ids=REFUSALS.keys())
    def test_it_says_why_and_changes_nothing(
        self, waiting: Home, prepare: Callable[[Home], object], told: str
    ):
        prepare(waiting)
        with nothing_is_decided(waiting), pytest.raises(RefusedError, match=told):
            approve_2(waiting)

    @pytest.mark.parametrize("verdict", ["KEEP", "INCONCLUSIVE", "INVALID"])
    def test_only_what_passed_can_be_approved(self, waiting: Home, verdict: str):
        _appended("rejection", "2")(waiting)
        registry.tag_version(waiting, MOTION, "2", {"verdict": verdict, "reasons": "It is so."})
        told = rf"has the verdict {verdict}, so it cannot be approved: It is so\."
        with nothing_is_decided(waiting), pytest.raises(RefusedError, match=told):
            approve_2(waiting)

    def test_who_trained_it_may_not_approve_it_where_two_persons_are_asked_for(self, waiting: Home):
        _set(waiting, policy={"two_persons": True}, owners={"approvers": ["Ada", "Trainer"]})
        with nothing_is_decided(waiting), pytest.raises(RefusedError, match="somebody else"):
            approve_2(waiting, who="Trainer")
        assert approve_2(waiting, who="Ada").version == "2"

    def test_a_second_person_is_no_other_spelling_of_the_first(self, waiting: Home):
        _set(waiting, policy={"two_persons": True}, owners={"approvers": ["Trainer", "Ada"]})
        for same in ("trainer", "TRAINER ", "Tra\u200biner", "\uff34rainer", "Tra iner"):
            with nothing_is_decided(waiting), pytest.raises(RefusedError, match="somebody else"):
                approve_2(waiting, who=same)
        assert approve_2(waiting, who="ada").approved_by == "Ada"

    def test_two_persons_are_not_asked_for_where_anyone_may_approve(self, waiting: Home):
        _set(waiting, policy={"two_persons": True}, owners={"approvers": []})
        with nothing_is_decided(waiting):
            answer = icp("approve", 2, "--by", "Bob", "--reason", "r", home=waiting)
        assert (answer.status, "two_persons: it needs owners.approvers" in answer.err) == (2, True)

    def test_another_day_on_paper_does_not_revive_a_verdict_that_really_expired(
        self, waiting: Home
    ):
        now = at(waiting, planted.LAST_DAY)
        later = replace(now, today=now.today + timedelta(days=31))
        with nothing_is_decided(waiting), pytest.raises(RefusedError, match="expired after 30"):
            approve(later, "2", who="Ada", reason="r")

    def test_nobody_is_called_like_the_policy(self, waiting: Home):
        _set(waiting, owners={"approvers": []})
        with pytest.raises(RefusedError, match="is no person"):
            approve_2(waiting, who="Policy.Approval: AUTO")

    def test_a_page_that_is_not_the_judged_one_is_not_approved(self, waiting: Home):
        client = connect(waiting)
        client.update_model_version(model_name(MOTION), "2", description="# All is well")
        with nothing_is_decided(waiting), pytest.raises(RefusedError, match="is not the one of it"):
            approve_2(waiting)
        client.update_model_version(model_name(MOTION), "1", description="# All is well")
        with nothing_is_decided(waiting), pytest.raises(RefusedError, match="page of version 1"):
            publish(at(waiting, TODAY))

    def test_settings_that_no_verdict_rests_on_may_change(self, waiting: Home):
        _set(waiting, policy={"overdue_days": 3}, trigger={"closed_deals": 99})
        assert approve_2(waiting).version == "2"

    def test_only_an_approver_may(self, waiting: Home):
        with nothing_is_decided(waiting):
            answer = icp("approve", 2, "--by", "Bob", "--reason", "r", "--json", home=waiting)
        assert answer.status == answer.json["exit_status"] == 4
        assert "'Bob' may not decide" in answer.json["error"]
        assert "owners.approvers in conf/icp.yaml names Ada" in answer.json["error"]

    @pytest.mark.parametrize(("who", "reason"), [("", "r"), ("  ", "r"), ("Ada", ""), ("Ada", " ")])
    def test_a_name_and_a_reason_are_needed(self, waiting: Home, who: str, reason: str):
        with nothing_is_decided(waiting), pytest.raises(UsageError, match="a name and a reason"):
            approve_2(waiting, who=who, reason=reason)

    def test_an_unknown_version_is_wrong_usage(self, trained: Trained):
        with pytest.raises(UsageError, match="'7' is no version of icp-default; versions: 1"):
            approve(at(trained.home, TODAY), "7", who="Ada", reason="r")

    def test_while_another_process_holds_the_warehouse_nothing_is_decided(
        self, waiting: Home, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("icploop.io.warehouse.file.PATIENCE_SECONDS", 0.2)
        before = registry.aliases(waiting, MOTION)
        with held(waiting.warehouse_file), pytest.raises(RefusedError, match="another process"):
            approve_2(waiting)
        assert registry.aliases(waiting, MOTION) == before
        assert "approved_by" not in registry.describe(waiting, MOTION, "2").tags

    def test_while_a_round_runs_a_decision_waits_and_is_refused_when_it_takes_too_long(
        self, waiting: Home, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("icploop.pipelines.decide.PATIENCE_SECONDS", 0.2)
        with (
            nothing_is_decided(waiting),
            one_at_a_time(waiting, MOTION),
            pytest.raises(RefusedError, match=r"Another act on `default` is running \(process \d+"),
        ):
            approve_2(waiting)


class TestRejection:
    def test_a_rejected_version_waits_no_more_and_says_who_and_why(self, waiting: Home):
        answer = icp("reject", 2, "--by", "Ada", "--reason", "too narrow", "--json", home=waiting)
        assert answer.json == {
            "motion": "default",
            "rejected": "2",
            "rejected_by": "Ada",
            "reason": "too narrow",
            "already_done": False,
        }
        again = icp("reject", 2, "--by", "Ada", "--reason", "too narrow", home=waiting)
        assert (again.status, "was already done" in again.out) == (0, True)
        assert registry.aliases(waiting, MOTION) == {"champion": "1"}
        assert registry.describe(waiting, MOTION, "2").tags["rejection_reason"] == "too narrow"
        with pytest.raises(RefusedError, match="nothing is"):
            approve_2(waiting)


class TestPublication:
    def test_what_is_published_is_on_record_once_with_its_hash(self, waiting: Home):
        for _ in range(2):
            publish(at(waiting, date(2025, 2, 1)))
        *_, row = Warehouse(waiting.warehouse_file).ledger(MOTION)
        folder = waiting.root / "data" / "published" / MOTION
        assert (row.event, row.version, row.as_of) == ("publication", "1", date(2025, 2, 1))
        assert row.details["release"] == folder.readlink().name
        manifest = (folder / "release.json").read_bytes()
        assert row.details["release_hash"] == sha256(manifest).hexdigest()
        events = [r.event for r in Warehouse(waiting.warehouse_file).ledger(MOTION)]
        assert events.count("publication") == 1


class TestRollback:
    def test_it_restores_alias_scores_and_list_byte_for_byte(self, waiting: Home):
        before, aliases = published(waiting), registry.aliases(waiting, MOTION)
        approve_2(waiting)
        assert published(waiting) != before
        answer = icp(
            "rollback", "--by", "Ada", "--reason", "sales cannot use it", "--json", home=waiting
        )
        assert (answer.status, answer.json["champion"], answer.json["left"]) == (0, "1", "2")
        assert published(waiting) == before
        assert registry.aliases(waiting, MOTION) == {
            alias: number for alias, number in aliases.items() if alias != "challenger"
        }
        *_, decided, done = Warehouse(waiting.warehouse_file).ledger(MOTION)
        assert (decided.event, done.event, done.reason) == (
            "rollback",
            "restoration",
            "sales cannot use it",
        )

    def test_it_restores_what_the_version_last_published(self, waiting: Home):
        publish(at(waiting, date(2025, 2, 1)))
        before = published(waiting)
        approve_2(waiting)
        rollback(at(waiting, TODAY), who="Ada", reason="r")
        assert published(waiting) == before

    def test_the_restored_list_is_the_one_that_later_rounds_know_of(self, waiting: Home):
        listings = Warehouse(waiting.warehouse_file).listings
        first = listings(MOTION).drop(columns="as_of")
        approve_2(waiting)
        rollback(at(waiting, date(2025, 2, 9)), who="Ada", reason="r")
        found = listings(MOTION)
        again = found[found["as_of"] == "2025-02-09"].drop(columns="as_of")
        assert again.reset_index(drop=True).equals(first.reset_index(drop=True))

    def test_the_same_words_of_the_same_person_go_back_once(self, waiting: Home):
        approve_2(waiting)
        register_a_challenger(waiting, champion="2")
        approve(at(waiting, TODAY), "3", who="Ada", reason="reviewed")
        first = rollback(at(waiting, TODAY), who="Ada", reason="r")
        with nothing_is_decided(waiting):
            for which, who in ((None, " ADA"), ("2", "Ada"), ("previous", "Ada")):
                again = rollback(at(waiting, TODAY), which, who=who, reason="r")
                assert (again.version, again.left, again.already_done) == ("2", "3", True)
        assert (first.version, first.already_done) == ("2", False)
        further = rollback(at(waiting, TODAY), who="Ada", reason="still not")
        assert (further.version, further.already_done) == ("1", False)

    def test_from_the_first_version_there_is_no_way_back(self, waiting: Home):
        with pytest.raises(RefusedError, match="the first of `default` that came into force"):
            rollback(at(waiting, TODAY), who="Ada", reason="r")

    def test_a_version_that_is_none_is_wrong_usage(self, waiting: Home):
        with pytest.raises(UsageError, match="'abc' is no version of icp-default"):
            rollback(at(waiting, TODAY), "abc", who="Ada", reason="r")

    def test_only_to_a_version_that_was_in_force(self, waiting: Home):
        approve_2(waiting)
        with pytest.raises(RefusedError, match=r"Version 2 was not in force before.*such were: 1"):
            rollback(at(waiting, TODAY), "2", who="Ada", reason="r")

    def test_a_release_that_was_altered_is_not_restored(self, waiting: Home):
        first = (waiting.root / "data" / "published" / MOTION).resolve()
        approve_2(waiting)
        (first / "targets.csv").write_text("rank\n1\n")
        with pytest.raises(RefusedError, match=r"targets\.csv was altered after it was published"):
            rollback(at(waiting, TODAY), who="Ada", reason="r")
        assert registry.aliases(waiting, MOTION)["champion"] == "2"

    def test_only_an_approver_may(self, waiting: Home):
        approve_2(waiting)
        with pytest.raises(RefusedError, match="'Bob' may not decide"):
            rollback(at(waiting, TODAY), who="Bob", reason="r")


class TestWhatWasDecidedElsewhere:
    @pytest.mark.parametrize(
        ("tag", "aliases"),
        [("approve", {"champion": "2", "previous": "1"}), ("reject", {"champion": "1"})],
    )
    def test_a_tag_in_mlflow_decides(self, waiting: Home, tag: str, aliases: dict[str, str]):
        registry.tag_version(waiting, MOTION, "2", {tag: "Ada: seen in the UI"})
        report = settle(at(waiting, TODAY))
        assert report.done == (f"Version 2: {tag} by Ada, from MLflow",)
        assert registry.aliases(waiting, MOTION) == aliases
        assert tag not in registry.describe(waiting, MOTION, "2").tags
        assert settle(at(waiting, TODAY)).done == ()

    @pytest.mark.parametrize(
        ("written", "told"),
        [("Ada", "name and a reason"), ("Bob: fine", "'Bob' may not decide"), ("", "WHO: REASON")],
    )
    def test_a_tag_that_does_not_decide_is_answered_there(
        self, waiting: Home, written: str, told: str
    ):
        registry.tag_version(waiting, MOTION, "2", {"approve": written})
        settle(at(waiting, TODAY))
        tags = registry.describe(waiting, MOTION, "2").tags
        assert told in tags["approve_refused"]
        assert "approve" not in tags
        assert registry.aliases(waiting, MOTION)["champion"] == "1"

    def test_a_tag_on_a_version_that_does_not_wait_is_answered_too(self, waiting: Home):
        registry.tag_version(waiting, MOTION, "1", {"approve": "Ada: again"})
        (said,) = settle(at(waiting, TODAY)).done
        assert said == "Version 1: approve by Ada, from MLflow; it was already done"
        assert "approve" not in registry.describe(waiting, MOTION, "1").tags
        registry.tag_version(waiting, MOTION, "1", {"reject": "Ada: again"})
        (said,) = settle(at(waiting, TODAY)).done
        assert said.startswith("Version 1: reject was refused. Version 1 is not waiting")
        tags = registry.describe(waiting, MOTION, "1").tags
        assert (tags["reject_refused"], "reject" in tags) == (said, False)
        assert registry.aliases(waiting, MOTION)["challenger"] == "2"

    def test_where_the_policy_asks_nobody_what_passed_comes_into_force(self, waiting: Home):
        _set(waiting, policy={"approval": "auto"})
        settle(at(waiting, TODAY))
        assert registry.aliases(waiting, MOTION) == {"champion": "2", "previous": "1"}
        assert registry.describe(waiting, MOTION, "2").tags["approved_by"] == AUTO

    def test_an_alias_that_was_moved_by_hand_is_put_back_once_and_goes_on_record(
        self, waiting: Home
    ):
        registry.set_aliases(waiting, MOTION, {"champion": "2"})
        assert at(waiting, TODAY).version("champion")[1] == "1"
        (told,) = settle(at(waiting, TODAY)).done
        assert told.startswith("The alias champion was moved by hand to 2; it is 1 again")
        assert registry.aliases(waiting, MOTION)["champion"] == "1"
        last = Warehouse(waiting.warehouse_file).ledger(MOTION)[-1]
        assert (last.event, last.reason) == ("failure", told)
        assert settle(at(waiting, TODAY)).done == ()

    def test_a_champion_deleted_in_mlflow_is_told_and_a_rollback_helps(self, waiting: Home):
        approve_2(waiting)
        registry.delete_version(waiting, MOTION, "2")
        with pytest.raises(RefusedError, match=r"2 of `default` is in force, but was deleted in"):
            at(waiting, TODAY).version("champion")
        for _ in range(2):
            settle(at(waiting, TODAY))
        failures = [
            row
            for row in Warehouse(waiting.warehouse_file).ledger(MOTION)
            if row.event == "failure"
        ]
        assert [row.reason for row in failures] == [
            "Version 2, the champion, was deleted in MLflow."
        ]
        rollback(at(waiting, TODAY), who="Ada", reason="it was deleted")
        assert at(waiting, TODAY).version("champion")[1] == "1"
        assert registry.aliases(waiting, MOTION) == {"champion": "1"}


class TestWhatWasLeftHalfDone:
    @pytest.fixture
    def begun(self, waiting: Home) -> Home:
        """A home in which an approval is on record, and the disk gave out before its effect."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Releases, "point_to", _fails(UnavailableError("the disk is full")))
            with pytest.raises(UnavailableError):
                approve_2(waiting)
        return waiting

    def test_an_approval_that_was_not_carried_out_is_finished_by_the_next_act(self, begun: Home):
        assert icp("status", "--json", home=begun).json["unfinished"] == "approval"
        assert settle(at(begun, TODAY)).done == ("The approval of version 2 was finished",)
        assert registry.aliases(begun, MOTION) == {"champion": "2", "previous": "1"}
        assert icp("status", "--json", home=begun).json["unfinished"] is None

    def test_its_repeat_finishes_it_and_says_so(self, begun: Home):
        assert approve_2(begun).already_done
        assert registry.aliases(begun, MOTION) == {"champion": "2", "previous": "1"}

    def test_one_that_cannot_be_carried_out_any_more_is_undone(self, begun: Home):
        before = published(begun)
        _altered(begun)
        (told,) = settle(at(begun, TODAY)).done
        assert told.startswith("The approval of version 2 was undone: Version 2 of icp-default was")
        assert registry.aliases(begun, MOTION)["champion"] == "1"
        assert published(begun) == before
        assert settle(at(begun, TODAY)).done == ()

    def test_a_fault_of_the_program_in_what_is_published_decides_nothing_and_blocks_nobody(
        self, waiting: Home
    ):
        with pytest.MonkeyPatch.context() as patch, nothing_is_decided(waiting):
            fault = _fails(ZeroDivisionError("a fault"))
            patch.setattr("icploop.pipelines.promote.write_release", fault)
            with pytest.raises(ZeroDivisionError):
                approve_2(waiting)
            assert settle(at(waiting, TODAY)).done == ()
        assert not approve_2(waiting).already_done


def _fails(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail
