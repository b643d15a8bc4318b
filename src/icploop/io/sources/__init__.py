"""Sources: one file a kind. Each turns its settings into raw frames, one for each table."""

from __future__ import annotations

from pathlib import Path

from icploop.io.sources import files, sql
from icploop.io.sources.raw import RawTable
from icploop.settings import FilesSource, Source

__all__ = ["RawTable", "pull"]


def pull(source: Source, home: Path, place: str) -> list[RawTable]:
    """Everything that a source has, as raw tables mapped onto canonical columns and values.

    `place` names the source's settings in errors. Raises DataError for what cannot be read.
    """
    if isinstance(source, FilesSource):
        return files.pull(source, home, place)
    return sql.pull(source, place)
