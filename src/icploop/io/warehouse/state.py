"""What the warehouse held for a lineage at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from icploop.domain.ledger import LedgerRow, Sealed
from icploop.domain.tables import Tables
from icploop.errors import DataError


@dataclass(frozen=True)
class State:
    """What a warehouse held for a lineage at one moment; what is written later is not in it.

    `ledger` is that of all lineages. `counted` are the closed deals that judged rounds of the
    lineage have used up, `quarantine` the lines there without the records, `listings` the logged
    lists of the lineage where they were asked for.
    """

    path: Path
    stored: Tables | None
    ledger: tuple[Sealed, ...]
    counted: frozenset[str]
    quarantine: pd.DataFrame
    listings: pd.DataFrame

    @property
    def tables(self) -> Tables:
        """All that is stored. Raises DataError before the first ingest."""
        if self.stored is None:
            raise DataError(f"{self.path} does not exist; run `icp ingest` first")
        return self.stored

    def rows_of(self, lineage: str) -> list[LedgerRow]:
        """The ledger of a lineage, oldest first."""
        return [sealed.row for sealed in self.ledger if sealed.row.lineage == lineage]
