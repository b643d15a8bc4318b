"""How the cells of a source are written, as its settings state it.

A number is stated by an example: `1.234,56` says that the comma is the decimal mark, `EUR 1.234,56`
that its money is in euros, `12,5 %` that a number is a share of a hundred.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from icploop.settings.base import Frozen, Spread

# What sets off thousands somewhere: stops, commas, apostrophes, blanks of several widths.
_MARKS = ".,'’_ \u00a0\u2009\u202f"
_CORE = re.compile(rf"\d(?:[\d{_MARKS}]*\d)?")
# What may stand beside money; a `k` or `Mio.` would multiply it.
_CURRENCY = re.compile(r"[A-Z]{3}|[$€£¥₹₩₺₽₪฿₫]|[A-Z]{1,2}\$|kr|zł|Kč|Ft|лв|R")
# One mark before three digits sets off thousands, or parts of one.
_IN_TWO_WAYS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written: the decimal mark, what may stand beside them, and a hundred's share.

    `example` is what the settings say. Thousands may be set off by any one other mark. `beside` is
    the word or sign that may stand before or after a number (`EUR`, `$`); with any other it is none
    of this format. Numbers in `percent` are divided by a hundred.
    """

    example: str
    decimal: str
    beside: str = ""
    percent: bool = False

    def read(self, text: str) -> float:
        """The number; NaN where the text is not written so."""
        found = self._shape.fullmatch(text)
        if found is None or not (found["whole"] or found["part"]):
            return float("nan")
        digits = re.sub(rf"[{_MARKS}]", "", found["whole"])
        number = float(f"{digits or 0}.{found['part'] or 0}")
        below = any(found[sign] for sign in ("open", "before", "within", "after"))
        share = 100 if self.percent else 1
        return (-number if below else number) / share

    @cached_property
    def _shape(self) -> re.Pattern[str]:
        decimal = re.escape(self.decimal)
        mark = "[" + re.escape(_MARKS.replace(self.decimal, "")) + "]"
        beside = f"(?:{re.escape(self.beside)})?" if self.beside else ""
        percent = "%?" if self.percent else ""
        # Bookkeepers write what is owed in brackets, and some systems its sign at the end.
        return re.compile(
            rf"\s*(?P<open>\()?\s*(?P<before>[-−])?\s*{beside}\s*(?P<within>[-−])?\s*"
            rf"(?P<whole>\d{{1,3}}(?P<mark>{mark})(?:\d{{2,3}}(?P=mark))*\d{{3}}|\d*)"
            rf"(?:{decimal}(?P<part>\d+))?"
            rf"\s*(?P<after>[-−])?\s*{percent}\s*{beside}\s*(?(open)\))\s*"
        )


def number_format(example: str) -> NumberFormat:
    """The format that an example shows. Raises ValueError where it shows none, or may be two."""
    found = _CORE.search(example)
    if found is None:
        raise ValueError(f"{example!r} is no number; give an example such as 1.234,56")
    core = found[0]
    around = f"{example[: found.start()]} {example[found.end() :]}"
    beside = around.replace("%", "").strip()
    percent = "%" in around
    if beside and not _CURRENCY.fullmatch(beside):
        raise ValueError(
            f"{example!r} has {beside!r} beside the number, which is no currency (EUR, $, ...)"
        )
    marks = [char for char in core if char in _MARKS]
    kinds = list(dict.fromkeys(marks))
    if not marks or (len(marks) == 1 and _IN_TWO_WAYS.fullmatch(core)) or len(kinds) > 2:
        raise ValueError(
            f"{example!r} does not say what the decimal mark is; give an example with thousands "
            "and decimals, such as 1.234,56 or 1,234.56"
        )
    last = marks[-1]
    if marks.count(last) > 1 or last not in ".,":
        # Thousands alone were shown: the decimal mark is the other one.
        last = "," if last == "." else "."
    shown = NumberFormat(example, last, beside, percent)
    if math.isnan(shown.read(example)):
        raise ValueError(f"{example!r} is no number in any format; give one such as 1.234,56")
    return shown


def suggested(text: str) -> str:
    """An example of the format in which a text that is no plain number is one; empty if in none.

    For `1.200` there are two, joined by " or ".
    """
    found = _CORE.search(text)
    if found is None:
        return ""
    before, after = (
        text[: found.start()].strip(" (-−\u00a0"),
        text[found.end() :].strip(" )-−\u00a0"),
    )
    percent = "%" in before + after
    examples = ["1.234,56", "1,234.56"]
    if percent:
        examples = ["12,5 %", "12.5 %"]
    elif before:
        blank = " " if before[-1].isalpha() else ""
        examples = [f"{before}{blank}{example}" for example in examples]
    elif after:
        examples = [f"{example} {after}" for example in examples]
    fits = [example for example in examples if _reads(example, text)]
    return " or ".join(fits)


def _reads(example: str, text: str) -> bool:
    try:
        number = number_format(example).read(text)
    except ValueError:
        return False
    return not math.isnan(number)


@dataclass(frozen=True)
class CellFormat:
    """How the cells of one column are written.

    `dates` is a strptime format (none: ISO 8601) and `numbers` how numbers are written (none:
    `1234.56`). `keep` are words that otherwise mean nothing (`NA`, `unknown`) and mean something in
    this column; `nothing` are further words that mean nothing in it.
    """

    dates: str | None = None
    numbers: NumberFormat | None = None
    keep: frozenset[str] = frozenset()
    nothing: frozenset[str] = frozenset()

    def keeping(self, words: Iterable[str]) -> CellFormat:
        """The format in which these words mean something too."""
        return CellFormat(self.dates, self.numbers, self.keep | set(words), self.nothing)


PLAIN = CellFormat()


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise ValueError(
            f"{name!r} is no encoding; give one such as utf-8, utf-16, cp1252, cp1250 or shift_jis"
        ) from error


class Dialect(Frozen):
    """How a file is written, where it is not as most are.

    `encoding` is a codec's name (none: UTF-8, UTF-16 with its mark, or Windows-1252), `delimiter`
    stands between cells (none: whichever of `, ; | tab` the header has most), `quote` around them
    (none: `"`; empty: nothing is quoted), and `sheet` is that of a workbook (none: the first).
    """

    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    quote: Annotated[str, Field(max_length=1)] | None = None
    sheet: str | None = None


AS_MOST_FILES = Dialect()


@dataclass(frozen=True)
class TableFormat:
    """How the columns of one table are written: `plain` ones, and those that are written otherwise.

    `acv_per` is what the acv of a deal is for: its `term` where the deal has one (`term_months` or
    `term_years`) and a year otherwise, always a `year`, or a `month`. `mrr_per` is what an amount
    of revenue is for, and `spread` for how many months each one is, where they are bills.
    """

    plain: CellFormat = PLAIN
    columns: Mapping[str, CellFormat] = field(default_factory=dict)
    acv_per: Literal["term", "year", "month"] = "term"
    mrr_per: Literal["month", "year"] = "month"
    spread: Spread | None = None

    def of(self, column: str) -> CellFormat:
        """How a column is written."""
        return self.columns.get(column, self.plain)


AS_IT_IS = TableFormat()
