"""The four tables as sources brought them, and the quarantine of what was not good enough."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd

from icploop.domain.identity import MERGED_INTO
from icploop.domain.tables import CONTRACTS, Known, Tables
from icploop.io.warehouse.batches import AnyBatch, BatchInParts, Changes, Retired
from icploop.io.warehouse.file import transaction
from icploop.io.warehouse.merging import merge, same_key
from icploop.io.warehouse.schema import columns_of, former
from icploop.settings import TABLES, TableName

# What says where a line of the quarantine comes from and which rule it broke.
LINES = ("table_name", "source", "row", "column_name", "rule", "kept")
# What says who an account is.
NAMES = ("account_id", "parent_id", "domain", "name")
# Who is shown what would be stored, and the tables as they would be.
Agree = Callable[[Changes, Callable[[], Tables]], None]


@dataclass(frozen=True)
class StoredTables:
    """The four tables and their quarantine."""

    db: duckdb.DuckDBPyConnection

    def store(
        self,
        batches: Sequence[AnyBatch],
        day: date | None,
        *,
        is_of_the_day: bool,
        retired: Retired | None,
        agree: Agree,
    ) -> Changes:
        """Bring the tables to what the sources say, all or nothing, if `agree` does not raise."""
        for file in {batch.file for batch in batches if isinstance(batch, BatchInParts)}:
            path = str(file).replace("'", "''")
            self.db.execute(f"ATTACH '{path}' AS waiting (READ_ONLY)")
        with transaction(self.db):
            changes = merge(self.db, batches, day, is_of_the_day=is_of_the_day, retired=retired)
            agree(changes, self.all)
        return changes

    def account_names(self, but_of: Collection[str]) -> pd.DataFrame:
        """NAMES of every stored account row, oldest first, and MERGED_INTO where it is known.

        Rows of the sources `but_of` are left out.
        """
        known = MERGED_INTO in columns_of(self.db, "accounts")
        columns = [*NAMES, MERGED_INTO] if known else NAMES
        found = self.db.execute(
            f"SELECT {', '.join(columns)} FROM accounts "
            "WHERE coalesce(_source, '') NOT IN (SELECT unnest(?)) "
            "ORDER BY account_id, observed_at NULLS FIRST",
            [list(but_of)],
        ).df()
        return found.astype("str")

    def all(self) -> Tables:
        """All that is stored, with what is known of it besides.

        Of revenue, which is long, account_id is a category in order.
        """
        self.db.execute(
            "CREATE TEMP TYPE billed AS ENUM (SELECT DISTINCT account_id FROM "
            "(SELECT account_id FROM revenue UNION ALL SELECT account_id FROM former_revenue) "
            "WHERE account_id IS NOT NULL ORDER BY account_id)"
        )
        frames = {name: self._stored(name, f"FROM {name}") for name in TABLES}
        former_rows = {name: self._former(name) for name in TABLES}
        self.db.execute("DROP TYPE billed")
        known = Known({n: rows for n, rows in former_rows.items() if len(rows)}, self._ahead())
        return Tables(
            frames["accounts"], frames["deals"], frames["revenue"], frames["signals"], known=known
        )

    def quarantine(self) -> pd.DataFrame:
        """The rows and cells in quarantine, with the rule that they broke and their source row."""
        return self.db.execute("FROM quarantine ORDER BY ALL").df()

    def quarantine_lines(self) -> pd.DataFrame:
        """The quarantine without values and records: LINES."""
        return self.db.execute(f"SELECT {', '.join(LINES)} FROM quarantine ORDER BY ALL").df()

    def _stored(self, table: TableName, rows: str) -> pd.DataFrame:
        billed = " REPLACE (account_id::billed AS account_id)" if table == "revenue" else ""
        found = self.db.execute(f"SELECT * EXCLUDE (_source, _came_on){billed} FROM ({rows})").df()
        texts = [c for c in CONTRACTS[table].texts if not (billed and c == "account_id")]
        return found.astype(dict.fromkeys(texts, "str"))

    def _former(self, table: TableName) -> pd.DataFrame:
        """The former rows of a table, with the day on which another one took their place."""
        key = CONTRACTS[table].key
        now = f"LEFT JOIN {table} m ON {same_key('f', 'm', key)}" if key else ""
        found = self._stored(
            table,
            f"SELECT f.*, {'m._came_on' if key else 'NULL::DATE'} AS _replaced_on, "
            f"NULL AS _came_on FROM {former(table)} f {now} ORDER BY ALL",
        )
        return found.astype(dict.fromkeys(("_since", "_until", "_replaced_on"), "datetime64[us]"))

    def _ahead(self) -> pd.DataFrame | None:
        """Of which months the revenue of an account was stored long before they began."""
        found = self.db.execute(
            "SELECT account_id, _came_on::TIMESTAMP AS came_on, min(number) AS first, "
            "max(number) AS last FROM (SELECT account_id, _came_on, "
            "year(month) * 12 + month(month) - 1 AS number FROM revenue WHERE month > _came_on "
            "AND _came_on IN (SELECT day FROM reads WHERE table_name = 'revenue')) "
            # Who is billed some days before a month begins has not paid ahead.
            "WHERE number >= year(_came_on) * 12 + month(_came_on) + 1 GROUP BY ALL ORDER BY ALL"
        ).df()
        return found if len(found) else None
