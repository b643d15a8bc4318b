"""Notify: tell people what waits, came into force, was refused or failed. It never fails an act.

Notices follow from the ledger and the day: each is sent once, and again by later acts until it was
delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from icploop.domain.ledger import LedgerRow, Sealed
from icploop.domain.standing import Standing, standing_of
from icploop.errors import IcpError
from icploop.io import webhook
from icploop.pipelines.as_of import AsOf
from icploop.report.markdown import notice as in_notice

_log = logging.getLogger("icploop.notices")


@dataclass(frozen=True)
class Notice:
    """Something to tell; `key` is the same whenever it is derived, so that it is told once."""

    key: str
    event: str
    text: str
    version: str | None
    as_of: date


def notices_of(at: AsOf, ledger: Sequence[Sealed]) -> Iterator[Notice]:
    """Everything there is to tell of a lineage by the rows of a ledger, oldest first."""
    rows = [sealed for sealed in ledger if sealed.row.lineage == at.lineage]
    standing = standing_of([sealed.row for sealed in rows])
    waiting = standing.pending.version if standing.pending else None
    for sealed in rows:
        row, said = sealed.row, _text(sealed.row, at.lineage)
        # What was decided meanwhile asks for nothing any more.
        if said and (said[0] != "pending" or row.version == waiting):
            yield Notice(f"{sealed.number}", *said, row.version, row.as_of)
    yield from _of_standing(at, standing)


def send_notices(at: AsOf) -> None:
    """Send what was not told yet, where a webhook is configured; what fails stays to be told."""
    notify, warehouse = at.settings.notify, at.warehouse
    if not webhook.is_configured(notify):
        return
    told = warehouse.told(at.lineage)
    for notice in notices_of(at, warehouse.sealed_ledger()):
        if notice.key in told:
            continue
        try:
            webhook.post(notify, _body(at, notice))
        except IcpError as error:
            _log.warning("A notice was not delivered: %s", error)
            return
        warehouse.note_told(at.lineage, notice.key)


def _body(at: AsOf, notice: Notice) -> dict[str, object]:
    return {
        "text": in_notice(notice.text),
        "id": webhook.digest_of(f"{at.settings.company}/{at.lineage}/{notice.key}"),
        "event": notice.event,
        "company": at.settings.company,
        "lineage": at.lineage,
        "version": notice.version,
        "as_of": notice.as_of.isoformat(),
    }


def _text(row: LedgerRow, lineage: str) -> tuple[str, str] | None:
    version = f"ICP version {row.version} of {lineage}"
    if row.event == "verdict" and row.details.get("verdict") == "PROMOTE":
        return "pending", (
            f"{version} passed the gate and waits for approval. {row.reason or ''} "
            f'Decide with: icp approve {row.version} --by WHO --reason "..."'
        )
    said: dict[str, tuple[str, str]] = {
        "promotion": ("promoted", f"{version} is in force, approved by {row.who}: {row.reason}"),
        "rejection": ("refused", f"{version} was rejected by {row.who}: {row.reason}"),
        "restoration": (
            "rolled back",
            f"{version} is in force again; {row.who} rolled back: {row.reason}",
        ),
        "failure": ("failed", f"{lineage}: {row.reason}"),
    }
    return said.get(row.event)


def _of_standing(at: AsOf, stands: Standing) -> Iterator[Notice]:
    pending = stands.pending
    if pending is None:
        return
    version = f"ICP version {pending.version} of {at.lineage}"
    if stands.stale:
        current = stands.in_force.version if stands.in_force else "none"
        text = f"{version} is stale: {current} came into force meanwhile. It is judged again."
        yield Notice(f"stale:{pending.version}:{current}", "stale", text, pending.version, at.day)
        return
    expires = pending.expires_on(at.settings.policy)
    if at.day >= expires:
        text = f"{version} was not decided on, and expired on {expires}. Train again."
        yield Notice(f"expired:{pending.version}", "expired", text, pending.version, at.day)
    elif at.day >= pending.since + timedelta(days=at.settings.policy.overdue_days):
        text = f"{version} has waited for approval since {pending.since}; it expires on {expires}."
        yield Notice(f"overdue:{pending.version}", "overdue", text, pending.version, at.day)
