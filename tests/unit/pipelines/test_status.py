from datetime import date
from pathlib import Path

import pytest

from icploop.errors import DataError
from icploop.io.home import Home
from icploop.pipelines.status import status
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp, inbox, tiny_home
from tests.unit.planted import at

MOTION, DAY = planted.MOTION, planted.LAST_DAY


def test_it_tells_what_is_in_force_and_how_fresh_the_data_are(trained: Trained):
    deals = planted.company()["deals"]
    assert icp("status", "--as-of", DAY, "--json", home=trained.home).json == {
        "motion": "default",
        "as_of": "2025-01-31",
        "champion": "1",
        "champion_as_of": "2025-01-31",
        "pending_approval": None,
        "pending_note": None,
        "unfinished": None,
        "published": "00001-v1-2025-01-31",
        "closed_since": 0,
        "missing_deals": 60,
        "round_due": False,
        "matured_accounts": trained.watched.json["round"]["n_matured"],
        "min_matured": 60,
        "last_round": "2025-01-31",
        "newest_deal": deals["created_at"].max().date().isoformat(),
        "newest_revenue_month": "2025-01-01",
        "last_complete_month": "2025-01-01",
        "data_age_days": (DAY - deals["closed_at"].max().date()).days,
        "quarantined_rows": 0,
        "left_out": {
            "customers": 180,
            "counted": 180,
            "reasons": {"already_customer": 0, "other_motion": 0, "no_won_deal": 0},
        },
        "findings": [],
    }


def test_old_data_are_told(trained: Trained):
    (found,) = status(at(trained.home, date(2025, 10, 31))).findings
    assert (found.code, found.severity) == ("stale_data", "warning")
    answer = icp("status", "--as-of", date(2025, 10, 31), "--json", home=trained.home)
    assert answer.json["findings"][0]["code"] == "stale_data"


def test_a_version_that_waits_is_named(waiting: Home):
    assert status(at(waiting, DAY)).pending_approval == "2"
    assert "waits for approval    version 2" in icp("status", "--as-of", DAY, home=waiting).out


def test_it_sees_nothing_that_is_dated_later(trained: Trained):
    found = status(at(trained.home, date(2023, 6, 30)))
    assert found.newest_revenue_month == "2023-06-01"
    assert found.newest_deal is not None
    assert "2023-05" < found.newest_deal <= "2023-06-30"
    assert 0 < found.matured_accounts < 60


def test_a_motion_without_deals_has_a_status(trained: Trained):
    found = status(at(trained.home, DAY, "upsell"))
    assert (found.champion, found.closed_since, found.matured_accounts) == (None, 0, 0)
    assert found.last_round is None


def test_rows_in_quarantine_are_counted_once_however_many_rules_they_break(own: Home):
    deals = inbox(own) / "deals.csv"
    lines = deals.read_text().splitlines()
    broken = lines[1].replace("12000.0", "-1").replace("won", "?").replace("lost", "?")
    deals.write_text("\n".join([lines[0], broken, "ragged", *lines[2:]]))
    assert icp("ingest", home=own).status == 0
    assert status(at(own, DAY)).quarantined_rows == 2


def test_before_the_first_ingest_it_says_what_to_run(tmp_path: Path):
    with pytest.raises(DataError, match="run `icp ingest` first"):
        status(at(tiny_home(tmp_path), DAY))


class TestTheLedger:
    def test_every_decision_is_listed_and_the_chain_is_sound(self, trained: Trained):
        answer = icp("status", "--log", "--json", home=trained.home)
        assert answer.status == 0
        assert {row["motion"] for row in answer.json["rows"]} == {"default"}
        events = [row["event"] for row in answer.json["rows"]]
        assert events == ["trigger", "verdict", "approval", "promotion"]
        assert answer.json["sound"] is True
        assert "The ledger is sound: 4 rows" in icp("status", "--log", home=trained.home).out
