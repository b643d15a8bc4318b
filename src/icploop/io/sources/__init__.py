"""Sources: one file a kind. Each turns its settings into raw frames, one for each table."""

from __future__ import annotations

from pathlib import Path

from icploop.io.sources import files, hubspot, salesforce, sql, stripe
from icploop.io.sources.landing import Landing
from icploop.io.sources.raw import RawTable
from icploop.settings import FilesSource, HubSpotSource, SalesforceSource, Source, SqlSource

__all__ = ["Landing", "RawTable", "pull"]


def pull(source: Source, home: Path, place: str, landing: Landing) -> list[RawTable]:
    """Everything that a source has, as raw tables mapped onto canonical columns and values.

    `place` names the source's settings in errors; `landing` is where a source that is read page by
    page keeps what it has. Raises DataError for what cannot be read.
    """
    if isinstance(source, FilesSource):
        return files.pull(source, home, place)
    if isinstance(source, SqlSource):
        return sql.pull(source, place)
    if isinstance(source, HubSpotSource):
        return hubspot.pull(source, place, landing)
    if isinstance(source, SalesforceSource):
        return salesforce.pull(source, place, landing)
    return stripe.pull(source, place, landing)
