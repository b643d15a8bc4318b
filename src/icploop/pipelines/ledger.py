"""Ledger: every decision so far, and whether the record of it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icploop.domain.ledger import Sealed, first_broken
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.mirror import MIRRORED


@dataclass(frozen=True)
class LedgerReport:
    """The ledger, and whether it is as it was written."""

    rows: tuple[Sealed, ...]
    first_broken: int | None
    missing: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether every row is as it was written, and none is missing."""
        return self.first_broken is None and not self.missing

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "rows": [
                {"number": s.number, "at": s.at, **s.row.as_dict(), "seal": s.seal}
                for s in self.rows
            ],
            "sound": self.is_sound,
            "first_broken": self.first_broken,
            "missing": list(self.missing),
        }


def ledger_report(home: Home) -> LedgerReport:
    """The ledger of all lineages, its seals checked, and its length against what MLflow saw."""
    settings = home.settings()
    rows = tuple(Warehouse(home.warehouse_file).sealed_ledger())
    missing = []
    for motion in settings.motions:
        lineage = settings.lineage(motion)
        seen = int((registry.tags_of_model(home, lineage) or {}).get(MIRRORED, 0))
        if seen > len(rows):
            missing.append(f"MLflow saw row {seen} of {lineage}; the ledger ends at {len(rows)}")
    return LedgerReport(rows, first_broken(rows), tuple(missing))
