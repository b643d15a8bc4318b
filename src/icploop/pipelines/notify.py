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
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.settings import Settings

_log = logging.getLogger("icploop.notices")


@dataclass(frozen=True)
class Notice:
    """Something to tell; `key` is the same whenever it is derived, so that it is told once."""

    key: str
    event: str
    text: str
    version: str | None
    as_of: date


def notices_of(
    ledger: Sequence[Sealed], settings: Settings, lineage: str, as_of: date
) -> Iterator[Notice]:
    """Everything there is to tell of a lineage, oldest first."""
    rows = [sealed for sealed in ledger if sealed.row.motion == lineage]
    standing = standing_of([sealed.row for sealed in rows])
    waiting = standing.pending.version if standing.pending else None
    for sealed in rows:
        row, said = sealed.row, _text(sealed.row, lineage)
        # What was decided meanwhile asks for nothing any more.
        if said and (said[0] != "pending" or row.version == waiting):
            yield Notice(f"{sealed.number}", *said, row.version, row.as_of)
    yield from _of_standing(standing, settings, lineage, as_of)


def send_notices(home: Home, settings: Settings, lineage: str, as_of: date) -> None:
    """Send what was not told yet, where a webhook is configured; what fails stays to be told."""
    if not webhook.is_configured(settings.notify):
        return
    warehouse = Warehouse(home.warehouse_file)
    told = warehouse.told(lineage)
    for notice in notices_of(warehouse.sealed_ledger(), settings, lineage, as_of):
        if notice.key in told:
            continue
        try:
            webhook.post(settings.notify, _body(notice, settings, lineage))
        except IcpError as error:
            _log.warning("A notice was not delivered: %s", error)
            return
        warehouse.note_told(lineage, notice.key)


def _body(notice: Notice, settings: Settings, lineage: str) -> dict[str, object]:
    return {
        "text": notice.text,
        "id": webhook.digest_of(f"{settings.company}/{lineage}/{notice.key}"),
        "event": notice.event,
        "company": settings.company,
        "lineage": lineage,
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


def _of_standing(
    stands: Standing, settings: Settings, lineage: str, as_of: date
) -> Iterator[Notice]:
    pending = stands.pending
    if pending is None:
        return
    version = f"ICP version {pending.version} of {lineage}"
    if stands.stale:
        current = stands.in_force.version if stands.in_force else "none"
        text = f"{version} is stale: {current} came into force meanwhile. It is judged again."
        yield Notice(f"stale:{pending.version}:{current}", "stale", text, pending.version, as_of)
        return
    expires = pending.expires_on(settings.policy)
    if as_of >= expires:
        text = f"{version} was not decided on, and expired on {expires}. Train again."
        yield Notice(f"expired:{pending.version}", "expired", text, pending.version, as_of)
    elif as_of >= pending.since + timedelta(days=settings.policy.overdue_days):
        text = f"{version} has waited for approval since {pending.since}; it expires on {expires}."
        yield Notice(f"overdue:{pending.version}", "overdue", text, pending.version, as_of)
