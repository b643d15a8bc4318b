"""What accounts were before: the history of sources that bring accounts without `observed_at`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd

from icploop.domain.calendar import last_moment
from icploop.io.warehouse.schema import columns_of, quoted


@dataclass(frozen=True)
class SourceReading:
    """The day on which a source was read whose accounts have no `observed_at`, and its settings."""

    day: date
    mapping: str


@dataclass(frozen=True)
class AccountHistory:
    """Since when changes of undated accounts are kept, and which rows of `accounts` they made."""

    db: duckdb.DuckDBPyConnection

    def since(self) -> date | None:
        """The day since which changes are kept; None where they are not."""
        found = self.db.execute("SELECT max(day) FROM baselines").fetchone()
        return found[0] if found else None

    def forgotten_by(self, source: str, mapping: str) -> int:
        """How many snapshots of a source another mapping would make forgotten."""
        found = self.db.execute(
            "SELECT count(*) FROM snapshots JOIN baselines USING (source) "
            "WHERE source = ? AND mapping <> ?",
            [source, mapping],
        ).fetchone()
        return int(found[0]) if found else 0

    def dated(self, source: str, reading: SourceReading, incoming: pd.DataFrame) -> pd.DataFrame:
        """Undated rows of accounts as history: what differs from what is known is dated.

        What a source brings first, or on the same day, or under another mapping, counts as known
        always: until then nothing was learned from it, or it was read wrongly. `incoming` is what
        SQL sees under that name.
        """
        known = self.db.execute(
            "SELECT mapping, day FROM baselines WHERE source = ?", [source]
        ).fetchone()
        if known is None or known[0] != reading.mapping or known[1] == reading.day:
            self._begin(source, reading)
            return incoming
        fresh, changed = self._fresh_and_changed()
        undated, account = incoming["observed_at"].isna(), incoming["account_id"]
        dated = incoming[undated & account.isin(changed)].assign(
            observed_at=last_moment(reading.day)
        )
        self.db.register("dated", dated)
        self.db.execute(
            "INSERT OR IGNORE INTO snapshots SELECT ?, account_id, observed_at FROM dated", [source]
        )
        self.db.unregister("dated")
        return pd.concat([incoming[~undated | account.isin(fresh)], dated])

    def _begin(self, source: str, reading: SourceReading) -> None:
        """Forget what was dated of a source, and let its history begin with a reading."""
        self.db.execute(
            "DELETE FROM accounts a USING snapshots s WHERE s.source = ? "
            "AND a.account_id = s.account_id AND a.observed_at = s.observed_at",
            [source],
        )
        self.db.execute("DELETE FROM snapshots WHERE source = ?", [source])
        self.db.execute(
            "INSERT OR REPLACE INTO baselines VALUES (?, ?, ?)",
            [source, reading.mapping, reading.day],
        )

    def _fresh_and_changed(self) -> tuple[set[str], set[str]]:
        """Accounts of undated incoming rows that are not stored, and those that are and differ.

        An empty cell says nothing, as everywhere among the rows of an account.
        """
        ours = ("account_id", "observed_at")
        columns = [quoted(name) for name in columns_of(self.db, "incoming") if name not in ours]
        moment = "coalesce(observed_at, TIMESTAMP '0001-01-01')"
        latest = ", ".join(f"arg_max({c}, {moment}) AS {c}" for c in columns)
        differs = " OR ".join(
            f"(i.{c} IS NOT NULL AND i.{c}::VARCHAR IS DISTINCT FROM s.{c}::VARCHAR)"
            for c in columns
        )
        found = self.db.execute(
            f"WITH s AS (SELECT account_id, {latest} FROM accounts GROUP BY account_id) "
            f"SELECT i.account_id, s.account_id IS NULL, {differs or 'false'} "
            "FROM incoming i LEFT JOIN s USING (account_id) WHERE i.observed_at IS NULL"
        ).fetchall()
        fresh = {account for account, is_new, _ in found if is_new}
        return fresh, {account for account, is_new, other in found if other and not is_new}
