"""Conditions on accounts that execute, and the text that says exactly the same.

`Predicate.code` and `parse` are inverses: what stands on the page is what is run.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from icploop.domain.cells import spelling_key
from icploop.settings import Attribute, Condition, Kind

# A level or a name that needs no quotes: no comma, quote, bar, backtick or space at its ends.
_PLAIN = re.compile(r"[\w.&/+\-]+(?: [\w.&/+\-]+)*")
_CODE = re.compile(
    r"(?P<name>\"(?:[^\"\\]|\\.)*\"|\S+) "
    r"(?:in (?P<range>\S*\.\.\S*)|is (?P<flag>yes|no)|has any of (?P<levels>.+))"
)


@dataclass(frozen=True)
class Predicate:
    """A condition on one attribute: exactly one of `between`, `any_of` and `is_true` is given.

    `between` includes both ends, and None leaves one open; for dates it is the age in days. With
    `below` the upper end itself is left out, so that of two ranges that meet in a value it belongs
    to the upper one alone. Levels are compared however they are spelled (`Retail`, `RETAIL`). A
    missing value never fulfils a condition.
    """

    attribute: str
    between: tuple[float | None, float | None] | None = None
    any_of: tuple[str, ...] | None = None
    is_true: bool | None = None
    below: bool = False

    @classmethod
    def of_condition(cls, condition: Condition) -> Predicate:
        """The condition that stands in the settings."""
        return cls(condition.attribute, condition.between, condition.any_of, condition.is_true)

    def holds(self, features: pd.DataFrame) -> pd.Series:
        """Which accounts of an attribute frame fulfil it."""
        values = features[self.attribute]
        if self.between is not None:
            low, high = self.between
            inside = values.notna()
            if low is not None:
                inside &= values >= low
            if high is not None:
                inside &= values < high if self.below else values <= high
            return inside
        if self.any_of is not None:
            wanted = frozenset(map(spelling_key, self.any_of))
            codes, distinct = pd.factorize(values)
            # A category may hold a bar of its own; members of a set never do.
            has_any = [
                not wanted.isdisjoint(map(spelling_key, [text, *text.split("|")]))
                for text in distinct
            ]
            # The code of a missing value is -1, which takes the last entry.
            return pd.Series(np.array([*has_any, False])[codes], index=values.index)
        return values.eq(float(bool(self.is_true)))

    def text(self, attribute: Attribute) -> str:
        """The condition in words, with the attribute's label."""
        if self.between is not None:
            days = " days ago" if attribute.kind == "date" else ""
            return f"{attribute.label} {_range_text(*self.between, self.below)}{days}"
        if self.any_of is not None:
            verb = "has" if attribute.kind == "set" else "is"
            return f"{attribute.label} {verb} {' or '.join(self.any_of)}"
        return attribute.label if self.is_true else f"no {attribute.label}"

    def code(self) -> str:
        """The condition as it can be run again: `employees in 100..500`, `tech has any of okta`."""
        name = _quoted(self.attribute)
        if self.between is not None:
            low, high = ("" if end is None else _number(end) for end in self.between)
            return f"{name} in {low}..{'<' if self.below else ''}{high}"
        if self.any_of is not None:
            return f"{name} has any of {', '.join(map(_quoted, self.any_of))}"
        return f"{name} is {'yes' if self.is_true else 'no'}"


def parse(code: str) -> Predicate:
    """The condition that `Predicate.code` wrote. Raises ValueError for any other text."""
    found = _CODE.fullmatch(code.strip())
    if found is None:
        raise ValueError(
            f"`{code}` is no condition; write `employees in 100..500`, `tech has any of okta, "
            "azure_ad` or `has_sponsor is yes`"
        )
    name = _unquoted(found["name"])
    if found["range"] is not None:
        low, high = found["range"].split("..", 1)
        below, ends = high.startswith("<"), (_end(low, code), _end(high.removeprefix("<"), code))
        if below and ends[1] is None:
            raise ValueError(f"`{code}` is no condition; name what it stays below")
        return Predicate(name, between=ends, below=below)
    if found["flag"] is not None:
        return Predicate(name, is_true=found["flag"] == "yes")
    return Predicate(name, any_of=tuple(_levels(found["levels"])))


def levels_of(values: pd.Series, kind: Kind, fewest: int) -> list[str]:
    """The levels of a category, or members of a set, that `fewest` accounts may have, in order.

    Of thousands of levels hardly any is common, and a condition on each would be looked up in every
    account. A category that holds a bar of its own also fulfils conditions on its parts
    (`Predicate.holds`), so both are counted, and a level that has not enough may still be named.
    """
    codes, distinct = pd.factorize(values)
    named: set[str] = set()
    often: Counter[str] = Counter()
    for text, count in zip(distinct, np.bincount(codes[codes >= 0]).tolist(), strict=True):
        members = text.split("|")
        named.update(members if kind == "set" else [text])
        for level in (text, *members):
            often[level] += count
    return sorted(level for level in named if often[level] >= fewest)


def in_words(value: float, digits: int = 6) -> str:
    """A number in words: digits that count, no exponent, thousands set off from 10,000 on.

    Below, a year would look like a sum.
    """
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}" if abs(value) >= 10_000 else f"{value:.{digits}g}"


def readable(value: float) -> float:
    """A number with two digits that count, as a person would write it."""
    return float(f"{value:.2g}")


def _levels(text: str) -> list[str]:
    parts = re.findall(r"\"(?:[^\"\\]|\\.)*\"|[^,\"]+", text)
    return [_unquoted(part.strip()) for part in parts if part.strip()]


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text if " " not in text else f'"{text}"'
    # A bar would end a cell of a table, and a backtick the code that the condition stands in; what
    # cannot be seen could not be copied.
    hidden = {c for c in text if not c.isprintable() or c in "|`"}
    quoted = json.dumps(text, ensure_ascii=False)
    for character in hidden:
        quoted = quoted.replace(character, _escaped(character))
    return quoted


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def _unquoted(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text


def _number(value: float) -> str:
    whole = math.isfinite(value) and value == round(value) and abs(value) < 1e15
    return str(int(value)) if whole else repr(float(value))


def _end(text: str, code: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"`{text}` in `{code}` is no number") from error


def _range_text(low: float | None, high: float | None, below: bool) -> str:
    if high is None:
        return f"{in_words(low or 0.0)} or more"
    if low is None:
        return f"{'below' if below else 'up to'} {in_words(high)}"
    if low == high:
        return in_words(low)
    return f"{in_words(low)} to {'below ' if below else ''}{in_words(high)}"
