"""Found a home: a commented `conf/`, mapped onto the exports of a folder where one is given."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icploop.domain.guess.as_yaml import settings_text, source_text
from icploop.domain.guess.plan import Plan, plan
from icploop.errors import UsageError
from icploop.io.home import create, starter_settings
from icploop.io.sources.exports import read_exports
from icploop.settings import parse_settings, parse_source


@dataclass(frozen=True)
class InitReport:
    """Where the home is, which files were written, and what was guessed of the exports, if any."""

    home: Path
    written: tuple[Path, ...]
    folder: Path | None = None
    guessed: Plan | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        facts: dict[str, Any] = {
            "home": str(self.home),
            "written": [str(path) for path in self.written],
        }
        if self.guessed is None:
            return facts
        made = self.guessed
        return facts | {
            "from": str(self.folder),
            "tables": {
                name: {
                    "file": one.file,
                    "by": "query" if one.query else "file",
                    "columns": {mapped.ours: mapped.theirs for mapped in one.columns},
                    "dates": one.dates,
                    "numbers": one.numbers,
                    "stated": {key: value for key, value, _ in one.stated},
                }
                for name, one in made.tables.items()
            },
            "stages": {
                one.name: {"outcome": one.outcome, "deals": one.deals} for one in made.stages
            },
            "attributes": {
                one.name: {"column": one.column, "dimension": one.dimension, "kind": one.kind}
                for one in made.attributes
            },
            "left_out": {one.column: one.why for one in made.left_out},
            "currency": made.currency,
            "unused": dict(made.unused),
            "unsure": list(made.unsure),
        }

    def kinds(self) -> dict[str, int]:
        """How many attributes there are of each dimension."""
        return (
            dict(Counter(one.dimension for one in self.guessed.attributes)) if self.guessed else {}
        )


def init(root: Path, exports: Path | None = None) -> InitReport:
    """Write a commented `conf/` into `root`, mapped onto the exports in a folder, if one is given.

    The exports stay where they are: the settings name their folder, seen from the home. Raises
    UsageError where settings are there already or the folder is none, DataError where no export
    looks like accounts or deals, two look like the same table, or nothing can be learned from.
    Nothing is written then.
    """
    if exports is None:
        return InitReport(root, tuple(create(root)))
    if not exports.is_dir():
        raise UsageError(
            f"{exports} is not a folder; `--from` wants the one that holds the exports"
        )
    found, others = read_exports(exports)
    guessed = plan(found)
    guessed = Plan(**{**vars(guessed), "unused": {**guessed.unused, **others}})
    texts = {
        "icp.yaml": settings_text(guessed, starter_settings(), root.resolve().name),
        "sources/files.yaml": source_text(guessed, _seen_from(root, exports)),
    }
    # What is written is what will be read: a guess that is no setting must not be left behind.
    parse_settings(texts["icp.yaml"], "conf/icp.yaml")
    parse_source(texts["sources/files.yaml"], "conf/sources/files.yaml")
    return InitReport(root, tuple(create(root, texts)), exports, guessed)


def _seen_from(root: Path, exports: Path) -> str:
    """The folder as a path from the home: both may move together."""
    try:
        return Path(os.path.relpath(exports.resolve(), root.resolve())).as_posix()
    except ValueError:  # another drive
        return exports.resolve().as_posix()
