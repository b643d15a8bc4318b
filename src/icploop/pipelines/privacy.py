"""Before anything is checked or stored: columns that look like a person's stay outside."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from icploop.domain.privacy import PersonalColumn, by_name, every, personal_columns
from icploop.domain.tables import CONTRACTS
from icploop.errors import DataError, UsageError
from icploop.io.sources import GivenTable, RawTable
from icploop.settings import Settings

_LINE = "(not kept: the table has columns that look like a person's)"


def company_data_only(
    raw: list[tuple[str, GivenTable]], settings: Settings
) -> tuple[list[tuple[str, GivenTable]], list[str]]:
    """The tables without columns that look like a person's, and a sentence for each such column.

    Raises UsageError where a declared attribute is named like one, and DataError where a canonical
    column or a declared attribute holds what a person's column holds: neither can be left out.
    """
    allowed = settings.privacy.allow
    declared = {a.name for a in settings.attributes}
    for name in sorted(declared - set(allowed)):
        if rule := by_name(name):
            raise UsageError(
                f"conf/icp.yaml declares `{name}`, which {rule}; {_remedy(name, 'declaration')}"
            )
    kept, said = [], []
    for source, table in raw:
        found = personal_columns(table.every(every(len(table))), allowed)
        place = f"{source} ({table.origin})"
        for one in found:
            fixed = set(CONTRACTS[table.table].columns)
            fixed |= declared if table.table == "accounts" else set()
            if one.column in fixed:
                raise DataError(
                    f"{place}: `{table.table}` {one}. Nothing was changed; "
                    f"{_remedy(one.column, 'column')}"
                )
            said.append(f"{table.table}.{one.column} {one.rule}; {_remedy(one.column, 'column')}")
        kept.append((source, _without(table, found)))
    return kept, list(dict.fromkeys(said))


def _without(table: GivenTable, found: list[PersonalColumn]) -> GivenTable:
    if not found:
        return table
    named = {one.column for one in found}

    def without(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.drop(columns=[column for column in rows if str(column) in named])

    kept: GivenTable
    if isinstance(table, RawTable):
        kept = table.changed(without)
    else:
        columns = {column: own for column, own in table.columns.items() if column not in named}
        kept = table.changed(without, columns)
    # A line that could not be split stands in quarantine as a whole.
    return replace(kept, unreadable=kept.unreadable.assign(value=_LINE))


def _remedy(column: str, what: str) -> str:
    return (
        f"take the {what} out, or answer for it by `privacy: {{allow: [{column}]}}` in "
        "conf/icp.yaml"
    )
