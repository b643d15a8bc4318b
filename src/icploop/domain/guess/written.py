"""How the cells of a column are written: as dates, as numbers, or as neither."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from icploop.domain.cells import in_two_ways, read_moment, read_number, read_text
from icploop.settings.formats import CellFormat, number_format, suggested

# So many of the filled cells must be readable: exports have slips, and totals below their rows.
ENOUGH = 0.9
_MOST = 3000
_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y")
_RARE_DAYS = ("%m/%d/%y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%y")
_TIMES = ("", " %H:%M", " %H:%M:%S", ", %H:%M", ", %H:%M:%S", " %I:%M %p", ", %I:%M %p")
# A month without a day.
_MONTHS = ("%m/%Y", "%m.%Y", "%b %Y", "%B %Y", "%b-%y", "%b %y", "%Y/%m", "%Y%m", "%m-%Y")
_DATE_FORMATS = (*(day + time for day in (*_DAYS, *_RARE_DAYS) for time in _TIMES), *_MONTHS)
# They differ by their decimal mark: thousands may be set off by any other.
_NUMBERS = ("1.234,56", "1,234.56")
# Two numbers with a sign between them, or the name of a month.
_MAY_BE_A_DATE = re.compile(
    r"\d{1,4}[./-]\d{1,4}|(?:19|20)\d{4}|[a-z]{3,9}[ .-]|\d [a-z]{3,9}", re.IGNORECASE
).search
_EARLIEST, _LATEST = pd.Timestamp(1900, 1, 1), pd.Timestamp(2101, 1, 1)


@dataclass(frozen=True)
class Written:
    """How a column is written.

    `formats` are those by which the most cells can be read, the likeliest first: strptime formats
    for dates (empty: ISO 8601), examples for numbers (empty: `1234.56`). More than one means that
    the cells themselves do not tell. `share` of the filled cells can be read by them, and `example`
    is a cell that shows it.
    """

    formats: tuple[str, ...]
    share: float
    example: str = ""

    @property
    def format(self) -> str:
        """The likeliest format."""
        return self.formats[0]

    def __bool__(self) -> bool:
        return self.share >= ENOUGH

    def preferring(self, known: Sequence[str]) -> Written:
        """The same with the formats first that other columns are certain of, where it may be."""
        first = [one for one in known if one in self.formats]
        rest = [one for one in self.formats if one not in first]
        return Written((*dict.fromkeys(first), *rest), self.share, self.example)


NOT_SO = Written((), 0.0)


def as_dates(values: pd.Series) -> Written:
    """How dates are written; NOT_SO where there are none."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return Written(("",), 1.0)
    if pd.api.types.is_numeric_dtype(values.dtype) or values.dtype == bool:
        return NOT_SO
    texts = _sample(values)
    # A number alone is a date only if it is a whole one: 20240131.
    is_number = texts.str.fullmatch(r"[\d.,]+", na=False)
    is_whole = texts.str.fullmatch(r"(?:19|20)\d\d(?:0\d|1[0-2])(?:[0-3]\d)?", na=False)
    dotted = texts.str.fullmatch(r"\d\d?\.\d\d?\.\d\d(?:\d\d)?|\d\d?\.(?:19|20)\d\d", na=False)
    texts = texts.mask(is_number & ~is_whole & ~dotted, "no date")
    if texts.empty or not texts.str.contains(r"\d", na=False).any():
        return NOT_SO
    shares = {"": _share(read_moment(texts))}
    if shares[""] < 1:
        few = [text for text in texts.head(20) if _MAY_BE_A_DATE(text)]
        for one in _DATE_FORMATS if few else ():
            if any(_is_date(text, one) for text in few):
                shares[one] = _share(_dates(texts, one))
    best = max(shares.values())
    if best < ENOUGH:
        return NOT_SO
    fits = [one for one, share in shares.items() if share == best]
    return Written(tuple(_by_first_days(texts, fits)), best, str(texts.iloc[0]))


def as_numbers(values: pd.Series) -> Written:
    """How numbers are written; NOT_SO where there are none."""
    is_flag = pd.api.types.is_bool_dtype(values.dtype)
    if pd.api.types.is_numeric_dtype(values.dtype) and not is_flag:
        return Written(("",), 1.0)
    if is_flag or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return NOT_SO
    texts = _sample(values)
    if texts.empty:
        return NOT_SO
    if (plain := _share(read_number(texts))) >= ENOUGH and in_two_ways(texts) is None:
        return Written(("",), plain, _telling(texts))
    shares = {
        example: _share(read_number(texts, CellFormat(numbers=number_format(example))))
        for example in _number_examples(texts)
    }
    best = max(shares.values(), default=0.0)
    fits = tuple(one for one, share in shares.items() if share == best)
    return Written(fits, best, _telling(texts)) if best >= ENOUGH else NOT_SO


def read_dates(values: pd.Series, written: Written) -> pd.Series:
    """The moments of a column, by its likeliest format."""
    return read_moment(values, CellFormat(dates=(written.format or None) if written else None))


def read_numbers(values: pd.Series, written: Written) -> pd.Series:
    """The numbers of a column, by its likeliest format."""
    example = written.format if written else ""
    return read_number(values, CellFormat(numbers=number_format(example) if example else None))


def _sample(values: pd.Series) -> pd.Series:
    """Distinct texts of a column, at even distances."""
    texts = pd.Series(read_text(values).dropna().unique(), dtype="str")
    return texts.iloc[:: max(1, len(texts) // _MOST)].reset_index(drop=True)


def _share(read: pd.Series) -> float:
    return float(read.notna().mean()) if len(read) else 0.0


def _dates(texts: pd.Series, one: str) -> pd.Series:
    read = pd.to_datetime(texts, format=one, errors="coerce")
    return read.where(read.between(_EARLIEST, _LATEST))


def _is_date(text: str, one: str) -> bool:
    try:
        datetime.strptime(text, one)  # noqa: DTZ007 - whether it can be read at all
    except ValueError:
        return False
    return True


def _by_first_days(texts: pd.Series, fits: list[str]) -> list[str]:
    """Formats in the order in which they are likely: months begin with their first day."""

    def firsts(one: str) -> float:
        read = _dates(texts, one) if one else read_moment(texts)
        return float((read.dt.day == 1).mean())

    if len(fits) < 2 or len(texts) < 3:
        return fits
    known = {one: firsts(one) for one in fits}
    only = [one for one in fits if known[one] == 1]
    return only if len(only) == 1 else fits


def _number_examples(texts: pd.Series) -> list[str]:
    """Formats that some of the cells are written in, with what stands beside them."""
    few = texts.iloc[:: max(1, len(texts) // 40)]
    shown: dict[str, None] = {}
    for text in few:
        for example in filter(None, suggested(text).split(" or ")):
            shown[example] = None
    plain = [one for one in _NUMBERS if few.map(lambda t, o=one: _reads(t, o)).any()]
    return list(dict.fromkeys([*plain, *shown]))


def _telling(texts: pd.Series) -> str:
    """A cell that shows the format, if one does."""
    marked = texts[texts.str.contains(r"[^\d]", na=False)]
    return str((marked if len(marked) else texts).iloc[0])


def _reads(text: str, example: str) -> bool:
    return not np.isnan(number_format(example).read(text))
