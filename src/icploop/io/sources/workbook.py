"""Sheets of Excel and LibreOffice workbooks, read by calamine."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from icploop.errors import DataError

KINDS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
# Excel keeps 15 digits of a number; what an id had behind them is lost.
_EXACT_DIGITS = 1e15


def read_sheet(path: Path, sheet: str | None) -> tuple[pd.DataFrame, str]:
    """The rows of a sheet (the first that holds any, where none is stated), and what is to be told.

    The first row that is not empty is the header; the index is the number of a row below it, from
    1. Numbers and dates keep their types. Raises DataError for what is no workbook, is protected by
    a password, or has no such sheet.
    """
    filled = _filled(path, sheet)
    if not filled:
        raise DataError(f"{path} is empty; it needs at least a header line")
    name, rows = next(iter(filled.items()))
    others = [other for other in filled if other != name]
    told = ""
    if others:
        told = (
            f"{path.name} has several sheets, of which {name!r} was read (not "
            f"{', '.join(others)}); for another, state `sheet: ...` beside its `file`"
        )
    return _table(rows), told


def read_sheets(path: Path) -> dict[str, pd.DataFrame]:
    """The rows of each sheet that holds any, by its name; faults as in `read_sheet`."""
    return {name: _table(rows) for name, rows in _filled(path, None).items()}


def _filled(path: Path, sheet: str | None) -> dict[str, list[list[Any]]]:
    """The rows of the sheet, or of each one, that hold anything."""
    # Loaded where it is used: most homes have no workbook.
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError  # noqa: PLC0415

    try:
        with CalamineWorkbook.from_path(path) as book:
            names = [sheet] if sheet is not None else list(book.sheet_names)
            if absent := [name for name in names if name not in book.sheet_names]:
                raise DataError(
                    f"{path} has no sheet {absent[0]!r}; it has {', '.join(book.sheet_names)}: "
                    "state one of them as `sheet` beside the table's `file`, or under "
                    f"`dialects: {{{path.name}: {{sheet: ...}}}}`"
                )
            filled = {}
            for name in names:
                rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
                if any(cell not in ("", None) for row in rows for cell in row):
                    filled[name] = rows
    except PasswordError as error:
        raise DataError(f"{path} is protected by a password; save it without one") from error
    except (CalamineError, OSError) as error:
        raise DataError(f"{path} cannot be read as a workbook: {error}; save it again") from error
    return filled


def _table(rows: list[list[Any]]) -> pd.DataFrame:
    head = next(i for i, row in enumerate(rows) if any(cell not in ("", None) for cell in row))
    width = max(i + 1 for i, cell in enumerate(rows[head]) if cell not in ("", None))
    names = [str(cell).strip() or f"column{i}" for i, cell in enumerate(rows[head][:width])]
    below = enumerate(rows[head + 1 :], start=1)
    kept = {n: row[:width] for n, row in below if any(cell not in ("", None) for cell in row)}
    columns = [_column([row[i] for row in kept.values()]) for i in range(width)]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
    return frame.set_axis(names, axis=1).set_axis(pd.Index(list(kept), dtype="int64"))


def _column(cells: list[Any]) -> pd.Series:
    """Cells of one column, by type where all are of one."""
    given = [None if cell == "" else _plain(cell) for cell in cells]
    kinds = {type(cell) for cell in given if cell is not None}
    if kinds and kinds <= {int, float}:
        return pd.Series(given, dtype="float64")
    if kinds and kinds <= {date, datetime}:
        return pd.Series(pd.to_datetime(pd.Series(given, dtype="object"), errors="coerce"))
    return pd.Series(given, dtype="str" if kinds <= {str} else "object")


def _plain(cell: Any) -> Any:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return cell if isinstance(cell, str | bool | date | datetime) else str(cell)
    return f"{cell:.14E}" if abs(cell) >= _EXACT_DIGITS else cell
