"""What the cells of a source say: text, keys, numbers, flags, sets and moments, or nothing at all.

A cell that says nothing is missing, however the source spells it (`--`, `N/A`, `(No value)`),
unless the settings say that the word is meant. What cannot be read is missing too, and
`check_table` tells why.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from icploop.settings import Kind
from icploop.settings.formats import PLAIN, CellFormat

_NOTHING_WORDS = """
- -- --- – — n/a n.a. n.a na n/v #n/a #na null (null) [null] <null> \\n none (none) -none- --none--
<none> nil nan <na> unknown (unknown) undefined (blank) (empty) [] {} #value! #ref! #div/0! #name?
#null! #num!
"""
NOTHING = frozenset({*_NOTHING_WORDS.split(), "", "no value", "(no value)", "not available"})

_TRUE = {"true", "t", "yes", "y", "1", "1.0"}
_FALSE = {"false", "f", "no", "n", "0", "0.0"}

# A spreadsheet, or a float, leaves this of a long id.
_CUT = r"[+-]?\d(?:[.,]\d+)?[eE]\+?\d{1,3}"
_EXACT_FLOATS = 2**53
# Blanks within, what is not seen, and letters that Unicode can write in several ways.
_FOLDABLE = r"[^\x21-\x7e]"
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"

_PLAIN_IN_TWO_WAYS = r"[+-]?[1-9]\d{0,2}\.\d{3}"
_PLAIN_IN_ONE_WAY = (
    r"[+-]?(?:\d{4,}\.\d+|0?\.\d+|0\d*\.\d+|\d+\.(?:\d{1,2}|\d{4,}))(?:[eE][+-]?\d+)?"
)
_WITH_COMMAS = r"[+-]?\d{1,3}(?:\.\d{3})*,\d+|[+-]?\d+,\d+|[+-]?\d{1,3}(?:\.\d{3}){2,}"


def as_text(values: pd.Series) -> pd.Series:
    """Trimmed text; empty and blank cells are missing. Whole numbers lose a trailing `.0`."""
    if pd.api.types.is_float_dtype(values.dtype) or _holds_floats(values):
        values = values.map(_number_as_text, "ignore")
    text = values.astype("str").str.strip()
    return text.mask(text == "", None)


def read_text(values: pd.Series, how: CellFormat = PLAIN) -> pd.Series:
    """Trimmed text; cells that say nothing are missing."""
    text = as_text(values)
    return text.mask(says_nothing(text, how), None)


def says_nothing(text: pd.Series, how: CellFormat = PLAIN) -> pd.Series:
    """Which of trimmed texts say nothing; those that are missing do not say so."""
    words = {*NOTHING, *(word.lower() for word in how.nothing)}
    # Few cells are so short.
    is_short = text.str.len().le(max(map(len, words)))
    found = is_short.to_numpy(dtype=bool, na_value=False, copy=True)
    found[found] = text[found].str.lower().isin(words)
    says = pd.Series(found, index=text.index)
    return says & ~text.isin(how.keep) if how.keep else says


def read_key(values: pd.Series, how: CellFormat = PLAIN) -> pd.Series:
    """Keys (`account_id`, ...): text in one Unicode form, without blanks at its ends or in rows."""
    text = read_text(values, how)
    odd = text.str.contains(_FOLDABLE, regex=True, na=False)
    if odd.any():
        folded = by_distinct(text[odd], folded_key)
        text = text.astype("object").where(~odd, folded).astype("str")
        text = text.mask(text == "", None)
    return text


def folded_key(text: str) -> str:
    """A key as it is compared: composed letters, nothing unseen, single blanks."""
    return " ".join(_UNSEEN.sub("", unicodedata.normalize("NFC", text)).split())


def cut_keys(values: pd.Series) -> pd.Series:
    """Which keys a spreadsheet or a float has cut: `8.12346E+12`, or more digits than it keeps."""
    if pd.api.types.is_float_dtype(values.dtype):
        return values.abs() >= _EXACT_FLOATS
    text = values.astype("str")
    cut = text.str.fullmatch(rf"\s*{_CUT}\s*", na=False) & text.str.contains("+", regex=False)
    if _holds_floats(values):
        cut |= values.map(lambda v: isinstance(v, float) and abs(v) >= _EXACT_FLOATS)
    return cut


def has_control_characters(values: pd.Series) -> pd.Series:
    """Which texts hold a NUL or another character that no text has."""
    return values.astype("str").str.contains(_CONTROL, regex=True, na=False)


def read_moment(values: pd.Series, how: CellFormat = PLAIN) -> pd.Series:
    """Moments in UTC without a zone; unreadable ones are missing. Default format: ISO 8601."""
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = read_text(values, how)
    moments = pd.to_datetime(values, format=how.dates or "ISO8601", errors="coerce", utc=True)
    return moments.dt.tz_localize(None).astype("datetime64[us]")


def read_number(values: pd.Series, how: CellFormat = PLAIN) -> pd.Series:
    """Finite numbers, written as `how` says; everything else is missing."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = read_text(values, how)
        if how.numbers is not None:
            values = by_distinct(values, how.numbers.read)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def in_two_ways(values: pd.Series) -> str | None:
    """A cell of a column of numbers that could be thousands or a fraction; None if there is none.

    `1.200` is one thousand two hundred to some, and one and a fifth to others. A column in which
    another cell has decimals after a stop (`12.5`), and none after a comma, is certain.
    """
    if not pd.api.types.is_string_dtype(values.dtype) and values.dtype != object:
        return None
    text = as_text(values[values.map(lambda v: isinstance(v, str))])
    doubtful = text.str.fullmatch(_PLAIN_IN_TWO_WAYS, na=False)
    if not doubtful.any():
        return None
    certain = text.str.fullmatch(_PLAIN_IN_ONE_WAY, na=False).any()
    commas = text.str.fullmatch(_WITH_COMMAS, na=False).any()
    return None if certain and not commas else str(text[doubtful].iloc[0])


def read_flag(values: pd.Series, how: CellFormat = PLAIN) -> pd.Series:
    """1.0 for true, 0.0 for false (true/false, yes/no, 1/0 in any case), missing otherwise."""

    def flag(word: str) -> float:
        return 1.0 if word.lower() in _TRUE else 0.0 if word.lower() in _FALSE else np.nan

    return by_distinct(read_text(values, how), flag).astype("float64")


def read_set(values: pd.Series, how: CellFormat = PLAIN) -> pd.Series:
    """Sets as text `a|b|c`, sorted and without repeats, from such text, `a;b;c`, or lists.

    Members that say nothing are none.
    """
    if values.dtype == object:
        values = values.map(
            lambda v: "|".join(map(str, v)) if isinstance(v, list | np.ndarray) else v
        )
    return as_text(by_distinct(as_text(values), lambda text: set_in_order(text, how)))


def by_distinct(texts: pd.Series, function: Callable[[str], Any]) -> pd.Series:
    """The function of each text, missing where the text is; called once for each distinct text."""
    distinct = texts.dropna().unique()
    return texts.map(dict(zip(distinct, map(function, distinct), strict=True)))


def set_in_order(text: str, how: CellFormat = PLAIN) -> str:
    """A set as text `a|b|c`, sorted and without repeats, from `c|a;b`; empty without members."""
    members = {part.strip() for part in re.split(r"[|;]", text)}
    return "|".join(sorted(member for member in members if not is_nothing(member, how)))


def is_nothing(word: str, how: CellFormat = PLAIN) -> bool:
    """Whether a trimmed word says nothing."""
    if word in how.keep:
        return False
    return word.lower() in NOTHING or word.lower() in {other.lower() for other in how.nothing}


def read_kind(values: pd.Series, kind: Kind, how: CellFormat = PLAIN) -> pd.Series:
    """The values of a declared attribute, typed by its kind; what cannot be read is missing."""
    readers: dict[Kind, Callable[[pd.Series, CellFormat], pd.Series]] = {
        "category": read_text,
        "number": read_number,
        "flag": read_flag,
        "set": read_set,
        "date": read_moment,
    }
    return readers[kind](values, how)


def spelling_key(word: str) -> str:
    """What spellings of one level have in common: `Retail`, `RETAIL ` and `retail` are `retail`."""
    return folded_key(unicodedata.normalize("NFKC", word)).casefold()


def one_spelling(texts: pd.Series, kind: Kind) -> pd.Series:
    """Categories or sets in which each level is spelled as most cells spell it."""
    codes, distinct = pd.factorize(texts)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct)).tolist()
    members = [text.split("|") if kind == "set" else [text] for text in distinct]
    often: Counter[str] = Counter()
    for words, count in zip(members, counts, strict=True):
        for word in words:
            often[word] += count
    shown = commonest_spellings(often.items())
    if len(shown) == len(often):
        return texts
    spelled = ["|".join(sorted({shown[spelling_key(word)] for word in words})) for words in members]
    return pd.Series(np.array([*spelled, None], dtype=object)[codes], texts.index, dtype="str")


def commonest_spellings(words: Iterable[tuple[str, int]]) -> dict[str, str]:
    """The spelling of each level that most cells have, by its key; of equals the first.

    `words` are spellings with the number of their cells.
    """
    best: dict[str, tuple[int, str]] = {}
    for word, cells in words:
        key, rank = spelling_key(word), (-cells, word)
        best[key] = min(best.get(key, rank), rank)
    return {key: word for key, (_, word) in best.items()}


def _holds_floats(values: pd.Series) -> bool:
    if values.dtype != object:
        return False
    kind = pd.api.types.infer_dtype(values, skipna=True)
    is_mixed = "mixed" in kind and any(isinstance(v, float) and not math.isnan(v) for v in values)
    return is_mixed or "float" in kind


def _number_as_text(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:.0f}" if value.is_integer() else repr(float(value))
