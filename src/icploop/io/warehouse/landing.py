"""Where pages of sources that are read over HTTP wait, with how far each was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pandas as pd

from icploop.io.warehouse.file import transaction

Record = dict[str, Any]


@dataclass(frozen=True)
class Position:
    """How far one thing of a source has been read.

    `asked` names what was asked for (which columns, of whom): when it changes, all is read again.
    `where` is the source's own account of it, as JSON-like values; None before the first page.
    """

    asked: str
    where: dict[str, Any] | None
    fresh: bool = False


@dataclass(frozen=True)
class LandedRecords:
    """The records of every source's things, as the source has them, and its positions."""

    db: duckdb.DuckDBPyConnection

    def land(
        self, source: str, thing: str, records: Mapping[str, Record], position: Position
    ) -> None:
        """Keep records by their id, and how far the thing has been read: both or neither."""
        with transaction(self.db):
            if position.fresh:
                self.db.execute(
                    "DELETE FROM landing WHERE source = ? AND thing = ?", [source, thing]
                )
            if records:
                self._replace(source, thing, records)
            self.db.execute("DELETE FROM cursors WHERE source = ? AND thing = ?", [source, thing])
            self.db.execute(
                "INSERT INTO cursors VALUES (?, ?, ?, ?)",
                [source, thing, position.asked, json.dumps(position.where)],
            )

    def position(self, source: str, thing: str) -> Position | None:
        """How far a thing of a source has been read; None before its first page."""
        found = self.db.execute(
            "SELECT asked, position FROM cursors WHERE source = ? AND thing = ?", [source, thing]
        ).fetchone()
        return Position(found[0], json.loads(found[1])) if found else None

    def of(self, source: str, thing: str) -> list[Record]:
        """The records of a thing that wait, in the order of their ids."""
        found = self.db.execute(
            "SELECT record FROM landing WHERE source = ? AND thing = ? ORDER BY id",
            [source, thing],
        ).fetchall()
        return [json.loads(record) for (record,) in found]

    def _replace(self, source: str, thing: str, records: Mapping[str, Record]) -> None:
        texts = [json.dumps(record, separators=(",", ":")) for record in records.values()]
        self.db.register("landed", pd.DataFrame({"id": list(records), "record": texts}))
        self.db.execute(
            "DELETE FROM landing l USING landed n "
            "WHERE l.source = ? AND l.thing = ? AND l.id = n.id",
            [source, thing],
        )
        self.db.execute("INSERT INTO landing SELECT ?, ?, id, record FROM landed", [source, thing])
        self.db.unregister("landed")
