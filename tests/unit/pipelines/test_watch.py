from datetime import date, timedelta

import pytest

from icploop.domain.ledger import LedgerRow
from icploop.errors import DataError
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.watch import check, last_round, watch
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp, nothing_changes, tiny_home

DAY = planted.LAST_DAY


def test_after_a_round_the_count_starts_again(trained: Trained):
    due = watch(trained.home, planted.MOTION, DAY)
    assert (due.is_due, due.closed_since, due.missing) == (False, 0, 60)


def test_without_a_round_all_deals_closed_by_the_day_count(trained: Trained):
    tables = Warehouse(trained.home.warehouse_file).tables()
    settings = trained.home.settings()
    closed = planted.company()["deals"]["closed_at"].dropna().sort_values(ignore_index=True)
    for missing in (59, 1, 0):
        day = closed[59 - missing].date()
        due = check(tables, [], settings, planted.MOTION, day)
        assert due.closed_since == (closed < str(day + timedelta(days=1))).sum()
        assert due.is_due == (due.closed_since >= 60)
        assert due.missing == max(0, 60 - due.closed_since)


def test_deals_of_other_motions_do_not_count(trained: Trained):
    due = watch(trained.home, "upsell", DAY)
    assert (due.is_due, due.closed_since, due.missing) == (False, 0, 60)


def test_of_the_ledger_the_last_verdict_counts():
    rows = [
        LedgerRow("verdict", "m", date(2024, 1, 1), details={"closed_deals": 10}),
        LedgerRow("verdict", "m", date(2024, 2, 1), details={"closed_deals": 20}),
        LedgerRow("approval", "m", date(2024, 3, 1)),
        LedgerRow("trigger", "m", date(2024, 4, 1)),
    ]
    found = last_round(rows)
    assert found is not None
    assert (found.as_of, found.closed_deals) == (date(2024, 2, 1), 20)
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
    tables = Warehouse(trained.home.warehouse_file).tables()
    settings = trained.home.settings().model_copy(update={"motions": ("new-business",)})
    with pytest.raises(DataError, match=r"belongs to the motions new-business; motions found: \w+"):
        check(tables, [], settings, "new-business", DAY)
