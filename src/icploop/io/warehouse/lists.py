"""The target lists that sales got: who could stand on one, with what chance, and who did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd

from icploop.io.warehouse.file import transaction

# What is kept of an account that could stand on a list, besides the list's day.
LISTING = ("account_id", "propensity", "listed", "chosen_by", "tier", "expected_nrr")


@dataclass(frozen=True)
class Lists:
    """The logged lists, one a lineage and day."""

    db: duckdb.DuckDBPyConnection

    def log(self, lineage: str, version: str, as_of: date, listing: pd.DataFrame) -> None:
        """Keep a list (columns of LISTING) in place of one of the same day."""
        rows = listing.reindex(columns=list(LISTING))
        self.db.register("incoming", rows.assign(lineage=lineage, version=version, as_of=as_of))
        with transaction(self.db):
            self.db.execute(
                "DELETE FROM listings WHERE lineage = ? AND as_of = ?", [lineage, as_of]
            )
            self.db.execute("INSERT INTO listings BY NAME SELECT * FROM incoming")
        self.db.unregister("incoming")

    def of(self, lineage: str) -> pd.DataFrame:
        """Every list of a lineage: as_of and the columns of LISTING."""
        found = self.db.execute(
            f"SELECT as_of, {', '.join(LISTING)} FROM listings WHERE lineage = ? "
            "ORDER BY as_of, account_id",
            [lineage],
        ).df()
        return found.astype({"as_of": "datetime64[us]", "account_id": "str"})


def no_lists() -> pd.DataFrame:
    """The lists of a lineage that has none."""
    return pd.DataFrame(columns=["as_of", *LISTING])
