from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from icploop.domain.ledger import LedgerRow
from icploop.errors import DataError
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.watch import last_round, watch
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp, nothing_changes, tiny_home
from tests.unit.planted import at

DAY = planted.LAST_DAY


def test_after_a_round_the_count_starts_again(trained: Trained):
    due = watch(at(trained.home, DAY))
    assert (due.is_due, due.closed_since, due.missing) == (False, 0, 60)


def test_without_a_round_all_deals_closed_by_the_day_count(trained: Trained, tmp_path: Path):
    known = at(trained.home)
    without = replace(known, home=Home(tmp_path), given=known.tables)
    closed = planted.company()["deals"]["closed_at"].dropna().sort_values(ignore_index=True)
    for missing in (59, 1, 0):
        day = closed[59 - missing].date()
        due = watch(replace(without, day=day))
        assert due.closed_since == (closed < str(day + timedelta(days=1))).sum()
        assert due.is_due == (due.closed_since >= 60)
        assert due.missing == max(0, 60 - due.closed_since)


def test_deals_of_other_motions_do_not_count(trained: Trained):
    due = watch(at(trained.home, DAY, "upsell"))
    assert (due.is_due, due.closed_since, due.missing) == (False, 0, 60)


def test_of_the_ledger_the_last_verdict_counts():
    rows = [
        LedgerRow("verdict", "m", date(2024, 1, 1), details={"newest_close": "2023-12-30"}),
        LedgerRow("verdict", "m", date(2024, 2, 1), details={"newest_close": "2024-01-30"}),
        LedgerRow("approval", "m", date(2024, 3, 1)),
        LedgerRow("trigger", "m", date(2024, 4, 1)),
    ]
    found = last_round(rows)
    assert found is not None
    assert (found.as_of, found.newest_close) == (date(2024, 2, 1), date(2024, 1, 30))
    assert last_round(rows[2:]) is None


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_round_that_is_not_due_is_done_and_changes_nothing(trained: Trained, words: list[str]):
    with nothing_changes(trained.home):
        answer = icp("watch", "--as-of", DAY, *words, home=trained.home)
    assert answer.status == 0
    if words:
        assert answer.json == {
            "due": False,
            "closed_since": 0,
            "missing_deals": 60,
            "reason": "60 more closed deals are needed",
            "round": None,
        }
    else:
        assert answer.out == "No round is due: 60 more closed deals are needed.\n"


def test_before_the_first_ingest_it_says_what_to_run(tmp_path):
    home: Home = tiny_home(tmp_path)
    answer = icp("watch", home=home)
    assert answer.status == 3
    assert "run `icp ingest` first" in answer.err


def test_deals_of_no_configured_motion_are_named_with_the_motions_found(trained: Trained):
    known = at(trained.home)
    settings = known.settings.model_copy(update={"motions": ("new-business",)})
    with pytest.raises(DataError, match=r"belongs to the motions new-business; motions found: \w+"):
        watch(replace(known, settings=settings, motion="new-business"))


def fresh(known: AsOf, root: Path, counted: list[str], reopened: str | None = None) -> int:
    tables = known.tables
    deals = tables.deals[tables.deals["deal_id"] != reopened]
    found = replace(known, home=Home(root), given=replace(tables, deals=deals))
    found.warehouse.append(LedgerRow("trigger", known.lineage, DAY), counted=counted)
    return watch(found).closed_since


def test_a_deal_that_a_round_used_up_never_counts_again(trained: Trained, tmp_path: Path):
    known = at(trained.home)
    used = sorted(known.state.counted)
    assert len(used) == 300
    assert fresh(known, tmp_path / "all", used) == 0
    # One that is gone, or open again, takes none of the later ones with it.
    assert fresh(known, tmp_path / "first", used[:-10], reopened=used[0]) == 10
    assert fresh(known, tmp_path / "last", used[:-10], reopened=used[-1]) == 9


def test_a_version_that_waits_for_another_champion_makes_a_round_due(waiting: Home):
    lineage = planted.MOTION
    assert not watch(at(waiting, DAY)).is_due
    version = LedgerRow("promotion", lineage, DAY, "3", details={"content_hash": "x"})
    Warehouse(waiting.warehouse_file).append(version)
    due = watch(at(waiting, DAY))
    assert due.is_due
    assert due.reason == "version 2 waits, but was judged against 1 while 3 is in force"
