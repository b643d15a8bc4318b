"""Ledger: every decision so far, and whether the record of it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icploop.domain.ledger import Sealed, first_broken
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.io.warehouse.head import head_of
from icploop.pipelines.mirror import seen_by_mlflow


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
    """The ledger of all lineages, its seals checked, and its end against those kept elsewhere."""
    settings = home.settings()
    rows, end = Warehouse(home.warehouse_file).ledger_as_it_lies()
    ends = {f"{head_of(home.warehouse_file).name} in data/": end}
    for motion in settings.motions:
        lineage = settings.lineage(motion)
        ends[f"MLflow, for {lineage}"] = seen_by_mlflow(home, lineage)
    missing = [
        f"by {place}, {lost}" for place, e in ends.items() if e and (lost := e.lost_from(rows))
    ]
    return LedgerReport(tuple(rows), first_broken(rows), tuple(missing))
