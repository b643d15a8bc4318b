"""Which columns of accounts may be learned from, and why the others are left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd

from icploop.domain.guess.looks import Column
from icploop.domain.guess.words import (
    AFTER_THE_SALE,
    DIMENSIONS,
    NO,
    OF_THE_SYSTEM,
    USUAL,
    YES,
    phrase,
    plain_words,
)
from icploop.domain.guess.written import ENOUGH
from icploop.domain.privacy import personal_columns
from icploop.settings import Dimension, Kind

# Filled in fewer rows than this, nothing can be learned from a column.
_SELDOM = 0.02
_FEWEST_CELLS = 10
# A level that fewer accounts have than this is no level; so many cells must be of one that is.
_FEWEST_OF_A_LEVEL = 3
_REPEATED = 0.5
# What is filled for customers, and for hardly anybody else, was filled in because they are.
_FEWEST_WON = 20
_FEWEST_OTHERS = 20
_OFTEN, _HARDLY = 0.3, 0.03
# A level that nearly all customers have, and hardly anybody else.
_NEARLY_ALL = 0.8
_NEVER = 0.03
_IDS = frozenset(("id", "ids", "uuid", "guid", "nr", "nummer", "number", "key", "code"))
# Signs between the members of a set; ours are | and ;.
_BETWEEN = {"": r"[|;]", ",": r",\s*"}
_FEWEST_SETS = 0.1
_PLAIN_FLAGS = frozenset(("true", "t", "yes", "y", "1", "false", "f", "no", "n", "0"))


@dataclass(frozen=True)
class Proposed:
    """An attribute to declare: under which name and dimension, of which kind, and why.

    `words` are source values that have to be read as others (`ja` as `yes`).
    """

    name: str
    column: str
    dimension: Dimension
    kind: Kind
    why: str
    words: Mapping[str, str]
    splits: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A column that is not declared, and why."""

    column: str
    why: str


@dataclass(frozen=True)
class Standing:
    """Which accounts were won, and since when, among those whom any deal or bill names.

    `known` are accounts with a deal that was not won, or without any; `won_on` the day of the first
    won deal of those that were won.
    """

    won_on: Mapping[str, pd.Timestamp]


def propose(
    columns: Mapping[str, Column],
    ids: pd.Series,
    standing: Standing,
    taken: Collection[str],
) -> tuple[list[Proposed], list[LeftOut]]:
    """The attributes to declare, and the columns that are left out.

    `ids` are the accounts' ids by row, `taken` the columns that are something else already.
    """
    proposed: list[Proposed] = []
    left: list[LeftOut] = []
    names: set[str] = set()
    frame = pd.DataFrame(
        {name: column.cells for name, column in columns.items() if name not in taken}
    )
    personal = {one.column: one.rule for one in personal_columns(frame)}
    won_on = ids.map(standing.won_on)
    for name, column in columns.items():
        if name in taken:
            continue
        if name in personal:
            left.append(LeftOut(name, f"a person's: it {personal[name]}"))
            continue
        if why := _why_not(column, won_on):
            left.append(LeftOut(name, why))
            continue
        found = _kind_of(column)
        if found.kind is None:
            left.append(LeftOut(name, found.why))
            continue
        own = _distinct(attribute_name(name), names)
        names.add(own)
        dimension = dimension_of(name)
        proposed.append(
            Proposed(own, name, dimension, found.kind, found.why, found.words, found.splits)
        )
    return proposed, left


def attribute_name(column: str) -> str:
    """`Anzahl Mitarbeiter` is `anzahl_mitarbeiter`; the usual names of the usual ones are short."""
    given = phrase(column)
    for short, known in USUAL.items():
        if given in known:
            return short
    name = "_".join(plain_words(column)) or "column"
    return f"c_{name}" if name[0].isdigit() else name


def dimension_of(column: str) -> Dimension:
    """The dimension that the words of a column's name speak of; firmographic where none does."""
    words = plain_words(column)
    pairs = {f"{one} {two}" for one, two in pairwise(words)}
    for dimension, known in DIMENSIONS.items():
        if known & {*words, *pairs}:
            return dimension
    return "firmographic"


def _why_not(column: Column, won_on: pd.Series) -> str:
    """Why a column that is nobody's cannot be learned from; empty where it may be."""
    return (
        _by_name(phrase(column.name))
        or _too_few(column)
        or _after_the_sale(column, won_on)
        or _names_one(column)
    )


def _by_name(given: str) -> str:
    if given in AFTER_THE_SALE or _ends_like(given, AFTER_THE_SALE):
        return "named like what is known after the sale only"
    if given in OF_THE_SYSTEM:
        return "named like a note of the system, or of who works on the account"
    return ""


def _too_few(column: Column) -> str:
    cells = int(column.texts.notna().sum())
    if column.filled < _SELDOM or cells < _FEWEST_CELLS:
        return f"filled in {cells} of {len(column.texts)} rows only"
    if len(column.counts) == 1:
        return f"the same in every row: {str(column.counts.index[0])[:40]!r}"
    return ""


def _names_one(column: Column) -> str:
    """Whether the cells name, or describe, each company by itself."""
    if column.is_unique and not column.numbers and not column.dates:
        return "differs in every row: an identifier, or free text"
    # `Customer number`, not `Number of employees`.
    is_named = plain_words(column.name)[-1:] and plain_words(column.name)[-1] in _IDS
    if is_named and len(column.counts) > 0.5 * column.texts.notna().sum():
        return "an identifier"
    if column.texts.dropna().head(200).str.match(r"(?:https?://|www\.)\S+$").mean() > ENOUGH:
        return "addresses in the web"
    return "free text" if column.is_prose else ""


def _ends_like(given: str, known: Collection[str]) -> bool:
    """Whether a longer name (`account health score`) ends like one of several words."""
    return any(" " in one and given.endswith(f" {one}") for one in known)


def _after_the_sale(column: Column, won_on: pd.Series) -> str:
    """Whether the cells say who was won, which was not known before; empty where they do not."""
    won = won_on.notna().to_numpy()
    filled = column.texts.notna().to_numpy()
    if won.sum() < _FEWEST_WON or (~won).sum() < _FEWEST_OTHERS:
        return ""
    of_won, of_others = float(filled[won].mean()), float(filled[~won].mean())
    if of_won >= _OFTEN and of_others <= _HARDLY * of_won:
        return (
            f"filled after the sale only: for {of_won:.0%} of the {won.sum()} won accounts, and "
            f"{of_others:.0%} of the others"
        )
    if column.dates:
        return _dated_later(column, filled, won_on)
    if column.numbers or len(column.counts) > 50:
        return ""
    return _says_who_was_won(column.texts[filled], won[filled])


def _dated_later(column: Column, filled: np.ndarray, won_on: pd.Series) -> str:
    of_won = filled & won_on.notna().to_numpy()
    later = column.moments()[of_won] >= won_on[of_won]
    if later.sum() >= _FEWEST_WON / 2 and later.mean() >= ENOUGH:
        return f"dated after the sale for {later.mean():.0%} of the won accounts that have it"
    return ""


def _says_who_was_won(texts: pd.Series, won: np.ndarray) -> str:
    """Levels that only customers have, such as `Active customer` and `Former customer`."""
    by_level = pd.Series(won, index=texts.index).groupby(texts).agg(["sum", "size"])
    only = by_level[by_level["sum"] >= (1 - _NEVER) * by_level["size"]]
    if len(only) < len(by_level) and only["sum"].sum() >= _NEARLY_ALL * won.sum():
        told = ", ".join(repr(str(level)) for level in only.index[:3])
        return f"says who was won: {told} stand for nearly all won accounts and for no others"
    return ""


@dataclass(frozen=True)
class _Kind:
    """The kind of a column's values and why (or why nothing can be learned from it: None)."""

    kind: Kind | None
    why: str
    words: Mapping[str, str] = field(default_factory=dict)
    splits: str = ""


def _kind_of(column: Column) -> _Kind:
    found = _flag(column)
    if found is not None:
        return found
    if column.dates:
        return _Kind("date", f"dates such as {column.texts.dropna().iloc[0]}")
    if column.numbers:
        numbers = column.amounts().dropna()
        return _Kind("number", f"{numbers.min():,.6g} to {numbers.max():,.6g}")
    return _set(column) or _category(column)


def _flag(column: Column) -> _Kind | None:
    if len(column.counts) > 12:
        return None
    spelled = {str(text): phrase(str(text)) for text in column.counts.index}
    said = {*spelled.values()}
    if not said <= YES | NO or len(said) < 2:
        return None
    words = {
        text: "yes" if word in YES else "no"
        for text, word in spelled.items()
        if text.lower() not in _PLAIN_FLAGS
    }
    return _Kind("flag", ", ".join(map(str, column.counts.index[:4])), words)


def _set(column: Column) -> _Kind | None:
    texts = column.texts.dropna()
    for sign, pattern in _BETWEEN.items():
        if texts.str.contains(pattern).mean() < _FEWEST_SETS:
            continue
        members = texts.str.split(pattern, regex=True).explode().str.strip()
        if members.nunique() <= max(10, len(texts) / 5):
            commonest = ", ".join(members.value_counts().index[:3])
            told = f"{members.nunique()} members such as {commonest}"
            return _Kind("set", told, splits=sign)
    return None


def _category(column: Column) -> _Kind:
    texts = column.texts.dropna()
    levels = texts.str.casefold().value_counts()
    if levels[levels >= _FEWEST_OF_A_LEVEL].sum() < _REPEATED * len(texts):
        return _Kind(None, f"{len(levels)} different texts in {len(texts)} cells: few repeat")
    told = f"{len(levels)} levels such as {', '.join(map(str, column.counts.index[:3]))}"
    return _Kind("category", told)


def _distinct(name: str, taken: Collection[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name}_{n}" for n in range(2, 1000) if f"{name}_{n}" not in taken)
