"""The motion and the day that a flow's parameters name."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from icploop.domain.calendar import known_day
from icploop.io.home import Home
from icploop.pipelines.as_of import AsOf


def on_day(home: Path, motion: str, as_of: date | None) -> AsOf:
    """The motion on a day; today without one."""
    return AsOf.of(Home(home), motion, known_day(as_of) if as_of else today())


def today() -> date:
    """The day of UTC."""
    return datetime.now(UTC).date()
