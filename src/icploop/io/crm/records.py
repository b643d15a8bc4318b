"""What is written to a CRM, in one spelling whichever CRM it is.

A value is text or None, spelled so that equal values are equal texts: what a CRM answers (`87.50`,
midnight in milliseconds, an empty text) is brought to that spelling before it is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from icploop.settings import CrmField

Values = dict[CrmField, str | None]
TIERS = ("A", "B", "C", "D", "anti", "unknown")


@dataclass(frozen=True)
class Record:
    """A company of the CRM: the CRM's own id, and what our properties hold there."""

    id: str
    held: Values


@dataclass(frozen=True)
class Change:
    """What differs for one account: the values there now and those that are to be there."""

    account_id: str
    record_id: str
    before: Values
    after: Values


class Crm(Protocol):
    """What writing back needs of a CRM; `batch` is how many companies one call may hold."""

    name: str
    batch: int

    def lacking(self) -> list[str]:
        """Our properties that the CRM does not have. Raises UsageError for those unfit for us."""

    def create(self, names: list[str]) -> None:
        """Create properties that are lacking. Raises UsageError where that cannot be."""

    def read(self, account_ids: list[str]) -> dict[str, list[Record]]:
        """The companies of each account that the CRM knows; more than one is ambiguous."""

    def write(self, changes: list[Change]) -> dict[str, str]:
        """Write a batch once and return by account why the CRM refused it.

        Raises RejectedError when the whole batch was refused, and UncertainError when nobody knows
        whether it took effect.
        """


def spelled(field: CrmField, raw: object) -> str | None:
    """A value of a CRM, or of a file of scores, as text or None."""
    text = "" if raw is None else str(raw).replace("\r\n", "\n").strip()
    if not text:
        return None
    if field == "score":
        return _number(text)
    if field == "scored_at":
        return _day(text)
    return text


def _number(text: str) -> str:
    try:
        return f"{round(float(text), 2):.10g}"
    except ValueError:
        return text


def _day(text: str) -> str:
    """The day of an ISO moment, or of milliseconds since 1970, which HubSpot may answer."""
    if not text.removeprefix("-").isdigit():
        return text[:10]
    try:
        return datetime.fromtimestamp(int(text) / 1000, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return text
