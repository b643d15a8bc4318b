from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.ledger import Event, LedgerRow
from icploop.domain.standing import Standing, standing_of
from icploop.settings import GatePolicy

DAY = date(2024, 3, 1)


def row(event: Event, version: str | None = None, **details: Any) -> LedgerRow:
    return LedgerRow(event, "default", DAY, version, "Ada", "r", details)


def passed(version: str, champion: str | None) -> LedgerRow:
    return row("verdict", version, verdict="PROMOTE", champion=champion, content_hash=f"h{version}")


def into_force(version: str) -> list[LedgerRow]:
    return [
        row("approval", version),
        row("promotion", version, content_hash=f"h{version}", release=f"r{version}"),
    ]


FIRST = [passed("1", None), *into_force("1")]
SECOND = [*FIRST, passed("2", "1"), *into_force("2")]


def test_nothing_is_in_force_before_the_first_promotion() -> None:
    assert standing_of([]) == Standing()
    assert standing_of([row("verdict", "1", verdict="KEEP")]).aliases() == {}


def test_what_passed_waits_and_what_was_promoted_is_in_force() -> None:
    assert standing_of(FIRST[:1]).aliases() == {"challenger": "1"}
    assert standing_of(SECOND).aliases() == {"champion": "2", "previous": "1"}
    assert standing_of([*SECOND, passed("3", "2")]).aliases()["challenger"] == "3"


def test_a_decision_is_unfinished_until_it_was_carried_out_or_undone() -> None:
    begun = standing_of(SECOND[:-1])
    assert begun.unfinished is not None
    assert (begun.unfinished.event, begun.unfinished.version) == ("approval", "2")
    assert begun.aliases() == {"champion": "1", "challenger": "2"}
    assert standing_of(SECOND).unfinished is None
    undone = [*SECOND[:-1], row("failure", "2", undone="approval")]
    assert standing_of(undone).unfinished is None
    assert standing_of([*SECOND[:-1], row("failure")]).unfinished is not None


def test_a_rejected_version_waits_no_more() -> None:
    rejected = [*FIRST, passed("2", "1"), row("rejection", "2")]
    assert standing_of(rejected).aliases() == {"champion": "1"}


def test_a_rollback_leads_back_to_what_was_before() -> None:
    third = [*SECOND, passed("3", "2"), *into_force("3")]
    back = [*third, row("rollback", "2"), row("restoration", "2", content_hash="h2", release="r2")]
    found = standing_of(back)
    assert found.aliases() == {"champion": "2", "previous": "1"}
    assert found.in_force is not None
    assert found.in_force.release == "r2"
    far = [*third, row("rollback", "1"), row("restoration", "1", content_hash="h1", release="r1")]
    assert standing_of(far).aliases() == {"champion": "1"}


def test_a_version_is_stale_once_another_came_into_force_and_until_a_round_judged_again() -> None:
    waits = [*FIRST, passed("2", "1"), passed("3", "1")]
    assert not standing_of(waits).stale
    back = [*SECOND, passed("3", "2"), row("rollback", "1"), row("restoration", "1")]
    assert standing_of(back).stale
    judged = standing_of([*back, row("verdict", "4", verdict="KEEP", champion="1")])
    assert (judged.stale, judged.pending) == (False, None)


def test_a_round_that_keeps_leaves_what_waits() -> None:
    kept = [*FIRST, passed("2", "1"), row("verdict", "3", verdict="KEEP", champion="1")]
    assert standing_of(kept).aliases()["challenger"] == "2"


@pytest.mark.parametrize(("days", "expected"), [(1, date(2024, 3, 2)), (30, date(2024, 3, 31))])
def test_a_verdict_expires(days: int, expected: date) -> None:
    pending = standing_of(FIRST[:1]).pending
    assert pending is not None
    assert pending.expires_on(GatePolicy(expires_days=days)) == expected


def test_only_what_was_in_force_before_can_be_gone_back_to() -> None:
    stands = standing_of([*SECOND, passed("3", "2")])
    former = stands.once_in_force("1")
    assert former is not None
    assert former.content_hash == "h1"
    assert stands.once_in_force("2") is None
    assert stands.once_in_force("3") is None


EVENTS = st.sampled_from(
    ["verdict", "approval", "rejection", "promotion", "rollback", "restoration", "failure"]
)


@given(st.lists(st.tuples(EVENTS, st.sampled_from("123")), max_size=12))
def test_any_ledger_has_a_standing_and_triggers_change_none(rows: list[tuple[Event, str]]) -> None:
    ledger = [row(event, version, verdict="PROMOTE") for event, version in rows]
    with_triggers = [each for one in ledger for each in (row("trigger"), one)]
    assert standing_of(ledger) == standing_of(with_triggers)
    promoted = any(event in ("promotion", "restoration") for event, _ in rows)
    assert (standing_of(ledger).in_force is not None) == promoted
