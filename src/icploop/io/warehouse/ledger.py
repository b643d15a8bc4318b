"""What was decided and why, each row sealed with the one before; and who was told of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pandas as pd

from icploop.domain.ledger import End, LedgerRow, Sealed, seal_of
from icploop.io.warehouse.file import transaction


@dataclass(frozen=True)
class Ledger:
    """The ledger, the deals that its verdicts used up, and the notices that were delivered."""

    db: duckdb.DuckDBPyConnection

    def append(self, end: End, rows: Sequence[LedgerRow], counted: Iterable[str]) -> End:
        """Add rows after its `end`, all or none, and return where it ends then.

        `counted` are used up for the lineage of the last one.
        """
        deals = pd.DataFrame({"deal_id": pd.Series(sorted(counted), dtype="str")})
        with transaction(self.db):
            for row in rows:
                end = self._seal(end, row)
            if len(deals):
                self.db.register("incoming", deals.assign(lineage=rows[-1].lineage))
                self.db.execute(
                    "INSERT OR IGNORE INTO counted_deals BY NAME SELECT * FROM incoming"
                )
                self.db.unregister("incoming")
        return end

    def sealed(self) -> list[Sealed]:
        """The rows of all lineages with their seals, oldest first."""
        found = self.db.execute(
            "SELECT number, written_at, event, motion, as_of, version, who, reason, details, seal "
            "FROM ledger ORDER BY number"
        ).fetchall()
        return [
            Sealed(
                number,
                at,
                LedgerRow(event, lineage, day, version, who, reason, _details(details)),
                seal,
            )
            for number, at, event, lineage, day, version, who, reason, details, seal in found
        ]

    def counted_deals(self, lineage: str) -> frozenset[str]:
        """The closed deals that judged rounds of a lineage have used up."""
        found = self.db.execute("SELECT deal_id FROM counted_deals WHERE lineage = ?", [lineage])
        return frozenset(deal for (deal,) in found.fetchall())

    def told(self, lineage: str) -> frozenset[str]:
        """The keys of the notices of a lineage that were delivered."""
        found = self.db.execute("SELECT key FROM notices WHERE lineage = ?", [lineage])
        return frozenset(key for (key,) in found.fetchall())

    def note_told(self, lineage: str, key: str) -> None:
        """Keep that a notice was delivered."""
        self.db.execute("INSERT OR IGNORE INTO notices VALUES (?, ?)", [lineage, key])

    def _seal(self, before: End, row: LedgerRow) -> End:
        number, at = before.number + 1, datetime.now(UTC).isoformat(timespec="seconds")
        seal = seal_of(before.seal, number, at, row)
        self.db.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                number,
                at,
                row.event,
                row.lineage,
                row.as_of,
                row.version,
                row.who,
                row.reason,
                json.dumps(row.details, sort_keys=True, ensure_ascii=False),
                seal,
            ],
        )
        return End(number, seal)


def _details(text: str | None) -> dict[str, Any]:
    """The details of a row; what is no JSON was never sealed, and no seal will fit it."""
    try:
        found: dict[str, Any] = json.loads(text or "")
    except ValueError:
        return {"unreadable": text}
    return found
