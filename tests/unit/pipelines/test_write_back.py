import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.cli.use import write_back_text
from icploop.errors import (
    DataError,
    RefusedError,
    UnavailableError,
    UnfinishedError,
    UsageError,
)
from icploop.io.crm.journal import Journal
from icploop.io.home import Home
from icploop.io.http import WAITS
from icploop.pipelines.write_back import WriteBackReport, read_scores, write_back
from tests.unit.crm_homes import HUBSPOT, held, home_of, hubspot, scores_file, scores_of
from tests.unit.crm_servers import TOKEN, Crm, Faults, serving
from tests.unit.io_fixtures import icp

KINDS = ["drop", "drop after", "500", "500 after", "502 after", "429", "garbage after", "423"]


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_TOKEN", TOKEN)


def no_wait(_seconds: float) -> None:
    pass


def put(home: Home, scores: Path, *, apply: bool = True, **more: Any) -> WriteBackReport:
    return write_back(home, scores, apply=apply, sleep=no_wait, **more)


def one_in(share: float, seed: int) -> Faults:
    """One call of so many fails, in one of the ways that calls fail."""
    draw = random.Random(seed)
    return lambda _number, _path: draw.choice(KINDS) if draw.random() < share else None


def ids_of(count: int) -> list[str]:
    return [str(1001 + i) for i in range(count)]


def updates(crm: Crm) -> int:
    return sum(call.endswith("/batch/update") for call in crm.calls)


class TestExactlyOnce:
    @pytest.mark.parametrize("first", range(10))
    def test_a_thousand_companies_through_a_server_that_fails_one_call_in_ten(
        self, tmp_path: Path, first: int
    ):
        # Every tenth call, beginning with another one each time, each time in another way.
        failed: list[str] = []

        def every_tenth(number: int, _path: str) -> str | None:
            if number % 10 != first:
                return None
            failed.append(KINDS[(number // 10 + first) % len(KINDS)])
            return failed[-1]

        frame = scores_of(ids_of(1000))
        with serving(hubspot(1000, faults=every_tenth)) as crm:
            report = put(home_of(tmp_path, crm), scores_file(tmp_path, frame))
        assert len(failed) >= len(crm.calls) // 10 >= 3
        assert report.changed == 1000
        assert (report.refused, report.unknown, report.ambiguous) == ({}, [], [])
        assert held(crm, frame, HUBSPOT, {i: i for i in crm.records}) == []
        assert Counter(crm.changes.values()) == {1: 1000}
        assert crm.written == set(HUBSPOT.values())

    @pytest.mark.parametrize("kind", KINDS)
    def test_each_kind_of_failure_of_a_write_is_found_out_by_reading(
        self, tmp_path: Path, kind: str
    ):
        failed: list[str] = []

        def first_update(_number: int, path: str) -> str | None:
            if path.endswith("/update") and not failed:
                failed.append(path)
                return kind
            return None

        with serving(hubspot(150, faults=first_update)) as crm:
            put(home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(150))))
        assert failed
        assert Counter(crm.changes.values()) == {1: 150}
        took_effect = kind.endswith("after")
        # What took effect is not sent again; what did not is.
        assert updates(crm) == (2 if took_effect else 3)

    @settings(max_examples=10)
    @given(seed=st.integers(0, 10_000), share=st.floats(0, 0.4))
    def test_whatever_fails_nothing_is_changed_twice(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int, share: float
    ):
        folder = tmp_path_factory.mktemp("any")
        with serving(hubspot(210, faults=one_in(share, seed))) as crm:
            home, scores = home_of(folder, crm), scores_file(folder, scores_of(ids_of(210)))
            for _ in range(20):
                try:
                    put(home, scores)
                    break
                except UnfinishedError:
                    continue
        assert Counter(crm.changes.values()) == {1: 210}

    def test_partial_refusals_that_pass_are_written_on_the_next_try(self, tmp_path: Path):
        with serving(hubspot(100, partial=30)) as crm:
            report = put(home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(100))))
        assert (report.changed, report.refused) == (100, {})
        assert Counter(crm.changes.values()) == {1: 100}

    def test_a_second_run_writes_nothing(self, tmp_path: Path):
        with serving(hubspot(120)) as crm:
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(120)))
            put(home, scores)
            written = updates(crm)
            again = put(home, scores)
        assert (again.changed, again.unchanged, updates(crm)) == (0, 120, written)


class TestResuming:
    def test_after_kill_9_it_goes_on_and_reads_nothing_twice_that_was_verified(
        self, tmp_path: Path
    ):
        # The third update takes effect and its answer never comes: there the process is killed.
        seen: list[str] = []

        def third_update(_number: int, path: str) -> str | None:
            seen.append(path)
            return "hold after" if sum(p.endswith("/update") for p in seen) == 3 else None

        with serving(hubspot(500, faults=third_update, hold=threading.Event())) as crm:
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(500)))
            code = "import sys; from icploop.cli import main; main()"
            given = ["write-back", "--in", str(scores), "--apply", "--home", str(home.root)]
            with subprocess.Popen([sys.executable, "-c", code, *given]) as process:
                assert crm.hold is not None
                assert crm.hold.wait(30)
                os.kill(process.pid, signal.SIGKILL)
            crm.hold = None
            crm.faults = lambda _number, _path: None
            crm.asked.clear()
            report = put(home, scores)
        assert (report.resumed, report.changed, report.unchanged) == (200, 300, 0)
        assert Counter(crm.changes.values()) == {1: 500}
        assert not set(crm.asked) & set(ids_of(200))

    def test_a_journal_whose_last_line_was_cut_is_gone_on_with(self, tmp_path: Path):
        path = tmp_path / "x.jsonl"
        with Journal(path) as journal:
            journal.found_right({"a": "1"})
        path.write_bytes(path.read_bytes() + b'{"verified": {"b')
        with Journal(path) as journal:
            assert journal.verified == {"a": "1"}
            journal.found_right({"c": "3"})
        with Journal(path) as journal:
            assert journal.verified == {"a": "1", "c": "3"}

    def test_two_processes_do_not_write_the_same_scores(self, tmp_path: Path):
        with Journal(tmp_path / "x.jsonl"), pytest.raises(RefusedError, match="Another process"):
            Journal(tmp_path / "x.jsonl")

    def test_when_the_days_calls_are_used_up_it_stops_and_goes_on_later(self, tmp_path: Path):
        with serving(hubspot(300)) as crm:
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(300)))
            crm.faults = lambda number, _path: "daily" if number >= 6 else None
            with pytest.raises(UnfinishedError, match="no calls left today") as stopped:
                put(home, scores)
            calls = len(crm.calls)
            crm.faults = lambda _number, _path: None
            report = put(home, scores)
        assert "So far 100 of 300 accounts" in str(stopped.value)
        assert calls == 6
        assert (report.resumed, report.changed) == (100, 200)
        assert Counter(crm.changes.values()) == {1: 300}

    def test_it_leaves_a_share_of_the_days_calls_to_others(self, tmp_path: Path):
        left = {"X-HubSpot-RateLimit-Daily": "1000", "X-HubSpot-RateLimit-Daily-Remaining": "99"}
        with serving(hubspot(10, headers=left)) as crm:
            scores = scores_file(tmp_path, scores_of(ids_of(10)))
            with pytest.raises(UnfinishedError, match="99 of 1000 calls left today"):
                put(home_of(tmp_path, crm), scores)
        assert (len(crm.calls), crm.changes) == (1, {})

    def test_another_pace_goes_on_with_the_same_journal(self, tmp_path: Path):
        with serving(hubspot(300)) as crm:
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(300)))
            crm.faults = lambda number, _path: "daily" if number >= 6 else None
            with pytest.raises(UnfinishedError):
                put(home, scores)
            crm.faults = lambda _number, _path: None
            slower = home.crm_file.read_text().replace("1000", "100")
            home.crm_file.write_text(slower)
            assert put(home, scores).resumed == 100

    def test_a_home_that_cannot_be_written_to_is_told_before_anything_is_sent(self, tmp_path: Path):
        with serving(hubspot(1)) as crm:
            home = home_of(tmp_path, crm)
            (home.root / "data").write_text("a file where a folder should be")
            with pytest.raises(UnavailableError, match="cannot be written"):
                put(home, scores_file(tmp_path, scores_of(ids_of(1))))
        assert crm.changes == {}

    def test_other_scores_have_another_journal_and_a_finished_one_is_kept(self, tmp_path: Path):
        with serving(hubspot(10)) as crm:
            home = home_of(tmp_path, crm)
            first = put(home, scores_file(tmp_path, scores_of(ids_of(10))))
            second = put(home, scores_file(tmp_path, scores_of(ids_of(10), tier="B")))
        assert first.journal != second.journal
        lines = [json.loads(line) for line in Path(second.journal).read_text().splitlines()]
        sent = next(line["sending"] for line in lines if "sending" in line)
        assert sent["1001"] == {"id": "1001", "before": {"tier": "A"}, "after": {"tier": "B"}}
        assert len(list(home.crm_folder.iterdir())) == 2


class TestDryRun:
    def test_it_writes_nothing_and_says_what_would_change(self, tmp_path: Path):
        frame = scores_of(ids_of(30))
        with serving(hubspot(25)) as crm:
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, frame)
            for record_id in ids_of(5):
                row = frame.set_index("account_id").loc[record_id]
                crm.records[record_id] |= {n: str(row[c]) or None for c, n in HUBSPOT.items()}
            crm.records["1006"]["icp_tier"] = "A"
            before = json.dumps(crm.records)
            report = put(home, scores, apply=False)
        assert (report.changed, report.unchanged) == (20, 5)
        assert report.unknown == ids_of(30)[25:]
        assert report.by_property["icp_tier"] == 20
        assert len(report.examples) == 10
        assert report.examples[0].before["tier"] == "A"
        assert report.examples[0].after["tier"] == "unknown"
        assert json.dumps(crm.records) == before
        assert updates(crm) == 0
        assert not home.crm_folder.exists()

    def test_it_announces_what_apply_then_does(self, tmp_path: Path):
        with serving(hubspot(40)) as crm:
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(40)))
            said = put(home, scores, apply=False).as_dict()
            did = put(home, scores).as_dict()
        same = ["changed", "unchanged", "unknown", "changed_values", "examples", "accounts"]
        assert {key: said[key] for key in same} == {key: did[key] for key in same}

    def test_the_command_prints_a_diff_and_how_to_write_it(self, tmp_path: Path):
        with serving(hubspot(12)) as crm:
            home = home_of(tmp_path, crm)
            scores = scores_file(tmp_path, scores_of([*ids_of(12), "77"]))
            text = icp("write-back", "--in", scores, home=home)
            answer = icp("write-back", "--in", scores, "--apply", "--json", home=home)
        assert text.status == answer.status == 0
        assert "12  would change" in text.out
        assert "1  are not in HubSpot: 77" in text.out
        assert "icp_tier (empty) → A" in text.out
        assert f"icp write-back --in {scores} --apply" in text.out
        assert answer.json["applied"] is True
        assert answer.json["changed"] == 12
        assert answer.json["unknown"] == ["77"]


class TestWhatIsRefused:
    def test_one_company_does_not_stop_its_batch(self, tmp_path: Path):
        with serving(hubspot(100, refuses={"1050": "Enter a number"})) as crm:
            report = put(home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(100))))
        assert "1  were refused by HubSpot: 1050" in write_back_text(report)
        assert "Refused (1): Enter a number" in write_back_text(report)
        assert report.refused == {"1050": "Enter a number"}
        assert report.changed == 99
        assert Counter(crm.changes.values()) == {1: 99}

    def test_the_one_for_which_a_batch_is_refused_is_found(self, tmp_path: Path):
        with serving(hubspot(100, refuses={"1050": "batch"})) as crm:
            report = put(home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(100))))
        assert list(report.refused) == ["1050"]
        assert "Property values were not valid" in report.refused["1050"]
        assert Counter(crm.changes.values()) == {1: 99}

    @pytest.mark.parametrize("how", ["batch", "Enter a number"])
    def test_a_crm_that_refuses_everything_is_not_asked_for_ever(self, tmp_path: Path, how: str):
        with serving(hubspot(400, refuses=dict.fromkeys(ids_of(400), how))) as crm:
            scores = scores_file(tmp_path, scores_of(ids_of(400)))
            with pytest.raises(UnfinishedError, match="accepted none"):
                put(home_of(tmp_path, crm), scores)
        assert len(crm.calls) < 60

    def test_a_value_that_the_crm_does_not_keep_is_reported_and_not_written_again(
        self, tmp_path: Path
    ):
        with serving(hubspot(3)) as crm:
            home = home_of(tmp_path, crm)
            keep = crm.change
            crm.change = lambda key, values: keep(key, values | {"icp_tier": "?"})  # type: ignore[method-assign]
            report = put(home, scores_file(tmp_path, scores_of(ids_of(3))))
        assert report.refused["1001"] == "accepted, but tier 'A' reads back as '?'"
        assert updates(crm) == 1

    def test_a_crm_that_never_answers_well_is_given_up_after_waiting_ever_longer(
        self, tmp_path: Path
    ):
        waited: list[float] = []
        with serving(hubspot(3, faults=lambda _number, _path: "500")) as crm:
            scores = scores_file(tmp_path, scores_of(ids_of(3)))
            with pytest.raises(UnfinishedError, match="fault 500"):
                write_back(home_of(tmp_path, crm), scores, sleep=waited.append)
        assert tuple(wait for wait in waited if wait >= 0.05) == WAITS


class TestTheToken:
    def test_it_is_in_no_log_no_message_no_journal(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        caplog.set_level(logging.DEBUG)
        with serving(hubspot(20)) as crm:
            home, scores = home_of(tmp_path, crm), scores_file(tmp_path, scores_of(ids_of(20)))
            put(home, scores)
            crm.faults = lambda _number, _path: "500"
            with pytest.raises(UnfinishedError) as failed:
                put(home, scores)
        assert crm.tokens == {TOKEN}
        assert "fault 500 of ***" in str(failed.value)
        kept = [p.read_text() for p in home.root.rglob("*") if p.is_file()]
        assert TOKEN not in caplog.text + str(failed.value) + "".join(kept)

    @pytest.mark.parametrize(
        ("token", "said"),
        [
            ("", "CRM_TOKEN is empty"),
            ("two words", "CRM_TOKEN has a blank as character 4"),
            ("gehe\u0308im", "CRM_TOKEN has a character that is not ASCII"),
            ("another", "does not accept the token in CRM_TOKEN"),
        ],
    )
    def test_one_that_cannot_do_is_told_by_the_name_of_its_variable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, said: str
    ):
        monkeypatch.setenv("CRM_TOKEN", token)
        with serving(hubspot(3)) as crm:
            scores = scores_file(tmp_path, scores_of(ids_of(3)))
            with pytest.raises(UsageError, match=said) as refused:
                put(home_of(tmp_path, crm), scores)
        assert not token or token not in str(refused.value)
        assert len(crm.calls) <= 1


class TestTheFile:
    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_csv_and_parquet_say_the_same(self, tmp_path: Path, kind: str):
        frame = scores_of(["=1+1", "007", "a"], reasons_for=["-x", "'quoted'", "@y"])
        found = read_scores(scores_file(tmp_path, frame, f"s.{kind}"))
        assert list(found) == ["=1+1", "007", "a"]
        assert [v["reasons_for"] for v in found.values()] == ["-x", "'quoted'", "@y"]
        assert found["007"] == {
            "score": "50",
            "tier": "B",
            "reasons_for": "'quoted'",
            "reasons_against": None,
            "version": "3",
            "scored_at": "2025-12-31",
        }

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            ({"account_id": ["a", "a"]}, r"row 2: account_id 'a' stands there twice"),
            ({"account_id": ["a", None]}, "row 2: there is no account_id"),
            ({"tier": ["A", "E"]}, "row 2: tier 'E' is none of A, B, C, D, anti, unknown"),
            ({"fit_score": ["1", "101"]}, "fit_score '101' is not between 0 and 100"),
            ({"fit_score": ["1", "nan"]}, "fit_score 'nan' is not between 0 and 100"),
            ({"fit_score": ["1", "high"]}, "fit_score 'high' is no number"),
            ({"scored_at": ["2025-12-31", "soon"]}, "scored_at 'soon' is no day"),
        ],
    )
    def test_rows_that_make_no_sense_are_named(
        self, tmp_path: Path, columns: dict[str, Any], said: str
    ):
        frame = scores_of(["a", "b"]).astype({"fit_score": "object"})
        path = scores_file(tmp_path, frame.assign(**columns))
        with pytest.raises(DataError, match=said):
            read_scores(path)

    def test_a_file_of_something_else_is_refused(self, tmp_path: Path):
        path = scores_file(tmp_path, pd.DataFrame({"account_id": ["a"], "tier": ["A"]}))
        with pytest.raises(DataError, match="has no column `fit_score`"):
            read_scores(path)

    def test_without_settings_the_command_says_what_to_write(self, tmp_path: Path):
        with serving(hubspot(1)) as crm:
            home = home_of(tmp_path, crm)
        home.crm_file.unlink()
        answer = icp("write-back", "--in", tmp_path / "x.csv", home=home)
        assert answer.status == 2
        assert "kind: hubspot" in answer.err
