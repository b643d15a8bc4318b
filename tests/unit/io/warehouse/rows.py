"""Rows and batches as ingest hands them to the warehouse."""

import pandas as pd

from icploop.domain.tables import check_table
from icploop.io.warehouse import QUARANTINE_COLUMNS, Batch
from icploop.settings import TableName


def batch(table: TableName, rows: list[dict[str, object]], source: str = "crm") -> Batch:
    """Good rows of a table, typed as ingest types them; what is stored of others stays."""
    frame = check_table(table, pd.DataFrame(rows), max_money=1e9, place=source).rows
    nothing = pd.DataFrame(columns=QUARANTINE_COLUMNS)
    return Batch(table, source, frame, nothing, mode="increment")


def account(number: int = 1, observed: str | None = None, **more: object) -> dict[str, object]:
    return {"account_id": f"a{number}", "observed_at": observed, **more}


def ticket(value: float = 1.0, **more: object) -> dict[str, object]:
    return {"account_id": "a1", "at": "2024-01-01", "kind": "ticket", "value": value, **more}
