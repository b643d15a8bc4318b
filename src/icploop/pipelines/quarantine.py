"""The quarantine for people: what was refused, by rule, and its rows as a file to mend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from icploop.errors import UsageError
from icploop.io.frames import writer_to
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.settings import TableName

_SAMPLES = 3
# What stands before the cells of a row as its source has them; a line that is no row has no cells.
_BEFORE = ("quarantined_in", "source", "row", "reason", "kept")
_LINE = "line"


@dataclass(frozen=True)
class BrokenRule:
    """A rule that rows of one table of a source broke, with up to three of them.

    `kept` says that only a cell was emptied, and its row is stored all the same. A sample is the
    row's number in the source (from 1, without the header) and the value.
    """

    table: str
    source: str
    rule: str
    rows: int
    kept: bool
    samples: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class QuarantineReport:
    """What is in quarantine: `rows` that are not stored, rows with `emptied` cells, and why."""

    rows: int
    emptied: int
    rules: tuple[BrokenRule, ...]
    out: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)


def quarantine(
    home: Home, out: Path | None = None, table: TableName | None = None
) -> QuarantineReport:
    """What the last ingest of each source refused; as a file too, where `out` says (.csv, ...).

    A later ingest replaces what its sources had in quarantine. `table` asks for one table only.
    Raises UsageError for another ending, and where there is nothing to write.
    """
    found = Warehouse(home.warehouse_file).quarantine() if home.warehouse_file.exists() else None
    lines = pd.DataFrame(columns=["table_name", "kept"]) if found is None else found
    if table is not None:
        lines = lines[lines["table_name"] == table]
    kept = lines["kept"].astype("bool")
    if out is not None:
        if lines.empty:
            raise UsageError(f"--out {out}: nothing is in quarantine, so there is nothing to write")
        with writer_to(out) as write:
            write(_rows(lines))
    rules = sorted(_rules(lines), key=lambda rule: (-rule.rows, rule.table, rule.rule))
    return QuarantineReport(
        rows=_count(lines[~kept]),
        emptied=_count(lines[kept]),
        rules=tuple(rules),
        out=None if out is None else str(out),
    )


def _count(lines: pd.DataFrame) -> int:
    """Rows are counted once, however many rules they broke."""
    return 0 if lines.empty else len(lines[["table_name", "source", "row"]].drop_duplicates())


def _rules(lines: pd.DataFrame) -> Iterator[BrokenRule]:
    if lines.empty:
        return
    for (name, source, rule, kept), group in lines.groupby(
        ["table_name", "source", "rule", "kept"]
    ):
        first = group.drop_duplicates("row").sort_values("row")
        samples = first.head(_SAMPLES)[["row", "value"]].astype("object")
        plain = samples.where(samples.notna(), None).to_dict("records")
        yield BrokenRule(
            str(name),
            str(source),
            str(rule),
            len(first),
            bool(kept),
            tuple({str(key): value for key, value in sample.items()} for sample in plain),
        )


def _rows(lines: pd.DataFrame) -> pd.DataFrame:
    """A row for each row of a source, with all that is wrong with it, then its cells."""
    key = ["table_name", "source", "row"]
    whole = lines.sort_values([*key, "rule"]).groupby(key, as_index=False, sort=True)
    rows = whole.agg(
        reason=("rule", lambda rules: "; ".join(dict.fromkeys(rules))),
        kept=("kept", "all"),
        record=("record", "first"),
    )
    cells = pd.DataFrame([_cells(record) for record in rows["record"]], index=rows.index)
    cells = cells.rename(columns={name: f"{name} (cell)" for name in _BEFORE if name in cells})
    place = rows.rename(columns={"table_name": "quarantined_in"})[list(_BEFORE)]
    last = [name for name in cells if name != _LINE] + [name for name in cells if name == _LINE]
    return pd.concat([place, cells[last]], axis=1)


def _cells(record: object) -> dict[str, Any]:
    """The cells of a row as its source has them; a line that could not be split as it is."""
    try:
        found = json.loads(str(record))
    except ValueError:
        return {_LINE: record}
    return found if isinstance(found, dict) else {_LINE: record}
