"""What accounts were before: the history of sources that bring accounts without `observed_at`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd

from icploop.domain.calendar import last_moment
from icploop.io.warehouse.schema import columns_of, quoted, the_number

# Earlier releases named the file or query too.
_OF_SOURCE = "(source = ? OR starts_with(source, ? || ':'))"


@dataclass(frozen=True)
class AccountHistory:
    """Since when changes of undated accounts are kept, and which rows of `accounts` they made."""

    db: duckdb.DuckDBPyConnection

    def since(self) -> date | None:
        """The day since which changes are kept; None where they are not."""
        found = self.db.execute("SELECT max(day) FROM states WHERE table_name = 'accounts'")
        newest = found.fetchone()
        return newest[0] if newest else None

    def forgotten_by(self, source: str, mapping: str) -> int:
        """How many snapshots of a source another mapping would make forgotten."""
        read = self.db.execute(
            "SELECT count(*) FROM states WHERE source = ? AND table_name = 'accounts' "
            "AND mapping = ?",
            [source, mapping],
        )
        if the_number(read):
            return 0
        found = f"SELECT count(*) FROM snapshots WHERE {_OF_SOURCE}"
        return the_number(self.db.execute(found, [source, source]))

    def forget(self, source: str) -> None:
        """Take back what was dated of a source: until now it was read wrongly, or today."""
        self.db.execute(
            "DELETE FROM accounts a USING (SELECT account_id, observed_at FROM snapshots "
            f"WHERE {_OF_SOURCE}) s WHERE a.account_id = s.account_id "
            "AND a.observed_at = s.observed_at",
            [source, source],
        )
        self.db.execute(f"DELETE FROM snapshots WHERE {_OF_SOURCE}", [source, source])

    def dated(self, source: str, day: date, rows: pd.DataFrame) -> pd.DataFrame:
        """Undated rows of accounts as history: what differs from what is known is dated.

        `accounts` must have all columns of `rows`.
        """
        undated, account = rows["observed_at"].isna(), rows["account_id"]
        if not undated.any():
            return rows
        fresh, changed = self._fresh_and_changed(rows)
        dated = rows[undated & account.isin(changed)].assign(observed_at=last_moment(day))
        self.db.register("dated", dated)
        self.db.execute(
            "INSERT OR IGNORE INTO snapshots SELECT ?, account_id, observed_at FROM dated", [source]
        )
        self.db.unregister("dated")
        return pd.concat([rows[~undated | account.isin(fresh)], dated])

    def _fresh_and_changed(self, rows: pd.DataFrame) -> tuple[set[str], set[str]]:
        """Accounts of undated rows that are not stored, and those that are and differ.

        An empty cell says nothing, as everywhere among the rows of an account.
        """
        self.db.register("arriving", rows)
        ours = ("account_id", "observed_at")
        columns = [quoted(name) for name in columns_of(self.db, "arriving") if name not in ours]
        moment = "coalesce(observed_at, TIMESTAMP '0001-01-01')"
        latest = ", ".join(f"arg_max({c}, {moment}) AS {c}" for c in columns)
        differs = " OR ".join(
            f"(i.{c} IS NOT NULL AND i.{c}::VARCHAR IS DISTINCT FROM s.{c}::VARCHAR)"
            for c in columns
        )
        found = self.db.execute(
            f"WITH s AS (SELECT account_id, {latest} FROM accounts GROUP BY account_id) "
            f"SELECT i.account_id, s.account_id IS NULL, {differs or 'false'} "
            "FROM arriving i LEFT JOIN s USING (account_id) WHERE i.observed_at IS NULL"
        ).fetchall()
        self.db.unregister("arriving")
        fresh = {account for account, is_new, _ in found if is_new}
        return fresh, {account for account, is_new, other in found if other and not is_new}
