import json
from datetime import date

import pytest

from icploop.domain.ledger import LedgerRow
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.decide import approve, settle
from icploop.pipelines.notify import Notice, notices_of
from tests.unit import planted
from tests.unit.io.test_webhook import Receiver, receiver  # noqa: F401 - a fixture
from tests.unit.planted import at

MOTION = planted.MOTION
WAITING_SINCE = planted.LAST_DAY


def notices(home: Home, as_of: date) -> list[Notice]:
    return list(notices_of(at(home, as_of), Warehouse(home.warehouse_file).sealed_ledger()))


def test_what_nobody_decided_on_in_time_is_told(waiting: Home):
    last = notices(waiting, date(2025, 3, 2))[-1]
    assert (last.event, last.version) == ("expired", "2")
    assert "expired on 2025-03-02. Train again" in last.text


@pytest.mark.parametrize(("days", "expected"), [(6, False), (7, True), (29, True)])
def test_ops_are_reminded_of_what_waits_too_long(waiting: Home, days: int, expected: bool):
    day = date.fromordinal(WAITING_SINCE.toordinal() + days)
    found = [notice.event for notice in notices(waiting, day)]
    # Version 1 was decided on, so nobody is asked about it any more.
    assert found[:2] == ["promoted", "pending"]
    assert ("overdue" in found) == expected


def test_what_another_version_made_stale_is_told(waiting: Home):
    row = LedgerRow("promotion", MOTION, WAITING_SINCE, "7", "Ada", "r", {"content_hash": "x"})
    Warehouse(waiting.warehouse_file).append(row)
    last = notices(waiting, WAITING_SINCE)[-1]
    assert last.event == "stale"
    assert last.text.startswith("ICP version 2 of default is stale: 7 came into force")


def test_each_is_sent_once(waiting: Home, receiver: Receiver):  # noqa: F811
    settle(at(waiting, WAITING_SINCE))
    approve(at(waiting, WAITING_SINCE), "2", who="Ada", reason="reviewed by <!channel>")
    settle(at(waiting, WAITING_SINCE))
    sent = [json.loads(body) for _, body in receiver.got]
    assert [notice["event"] for notice in sent] == ["promoted", "pending", "promoted"]
    # Slack would call everybody.
    assert sent[-1]["text"] == (
        "ICP version 2 of default is in force, approved by Ada: reviewed by &lt;!channel&gt;"
    )
    assert len({notice["id"] for notice in sent}) == 3
    assert {notice["lineage"] for notice in sent} == {"default"}


def test_a_receiver_that_is_down_fails_nothing_and_gets_it_later(
    waiting: Home,
    receiver: Receiver,  # noqa: F811
):
    receiver.answers = [500] * 3
    report = approve(at(waiting, WAITING_SINCE), "2", who="Ada", reason="reviewed")
    assert report.version == "2"
    assert len(receiver.got) == 3
    settle(at(waiting, WAITING_SINCE))
    delivered = [json.loads(body)["event"] for _, body in receiver.got[3:]]
    assert delivered == ["promoted", "promoted"]
