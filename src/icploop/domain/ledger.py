"""Rows of the append-only ledger: every trigger, verdict, approval, promotion and rollback."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

Event = Literal["trigger", "verdict", "approval", "rejection", "promotion", "rollback", "failure"]


@dataclass(frozen=True)
class LedgerRow:
    """One decision. `details` holds JSON-like values only; `as_of` is the day it was made for."""

    event: Event
    motion: str
    as_of: date
    version: str | None = None
    who: str | None = None
    reason: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
