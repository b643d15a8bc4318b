"""The landing of one source: what has been read of it, page by page, and how far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from icploop.io.warehouse import Position, Record, Warehouse
from icploop.settings import digest

Where = dict[str, Any]
Pages = Callable[[Where | None], Iterator["Page"]]

# Opening the warehouse costs as much as some hundred records; a kill costs so many at most.
_TOGETHER = 2000


@dataclass(frozen=True)
class Page:
    """Records by their id, and where to go on after them. None as `where` starts all over."""

    records: dict[str, Record]
    where: Where


@dataclass(frozen=True)
class Landing:
    """Where the records of a source wait until they are mapped onto the tables."""

    warehouse: Warehouse
    source: str

    def read(
        self, thing: str, asked: Any, pages: Pages, remembered: timedelta | None = None
    ) -> list[Record]:
        """Read on from where the last run stopped, keep every page, and return all that is there.

        `pages` gives the pages from a position on (None for the first). `asked` is what they are
        asked for, as JSON-like values: when it is not what it was, all is read again, and so it is
        when the last whole reading (`read_at` in its position) is longer ago than the source
        remembers what it deleted.
        """
        asked = digest(asked)
        before = self.warehouse.position(self.source, thing)
        where = before.where if before is not None and before.asked == asked else None
        if remembered and where and _is_older(where.get("read_at"), remembered):
            where = None
        fresh = where is None
        records: dict[str, Record] = {}
        for page in pages(where):
            records |= page.records
            where = page.where
            if len(records) >= _TOGETHER:
                self._keep(thing, records, Position(asked, where, fresh))
                fresh, records = False, {}
        self._keep(thing, records, Position(asked, where, fresh))
        return self.warehouse.landed(self.source, thing)

    def _keep(self, thing: str, records: dict[str, Record], position: Position) -> None:
        self.warehouse.land(self.source, thing, records, position)


def _is_older(moment: str | None, age: timedelta) -> bool:
    return moment is not None and datetime.now(UTC) - datetime.fromisoformat(moment) > age
