"""Sources: one file a kind. Each turns its settings into raw frames, one for each table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icploop.io.sources import files, hubspot, salesforce, sql, stripe
from icploop.io.sources.landing import Landing
from icploop.io.sources.raw import GivenTable, RawTable, TableInParts
from icploop.io.staging import Staging
from icploop.settings import FilesSource, HubSpotSource, SalesforceSource, Source, SqlSource

__all__ = ["GivenTable", "Landing", "RawTable", "TableInParts", "pull"]


def pull(
    source: Source, home: Path, place: str, landing: Landing, staging: Staging | None = None
) -> Sequence[GivenTable]:
    """Everything that a source has, as raw tables mapped onto canonical columns and values.

    `place` names the source's settings in errors; `landing` is where a source that is read page by
    page keeps what it has; `staging` is where large tables wait (none: all are read at once).
    Raises DataError for what cannot be read.
    """
    if isinstance(source, FilesSource):
        return files.pull(source, home, place, staging)
    if isinstance(source, SqlSource):
        return sql.pull(source, place)
    if isinstance(source, HubSpotSource):
        return hubspot.pull(source, place, landing)
    if isinstance(source, SalesforceSource):
        return salesforce.pull(source, place, landing)
    return stripe.pull(source, place, landing)
