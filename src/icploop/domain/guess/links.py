"""How rows of one export name the accounts of another: by which column, and written how."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from icploop.domain.guess.looks import Column

# Fewer rows than this that find an account are chance.
ENOUGH = 0.5
# Another way to write a key has to bring so many more rows.
_WORTH = 0.02
_SALESFORCE = r"[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?"


@dataclass(frozen=True)
class Spelling:
    """A way in which keys are compared: in words, in Python and in SQL (of an expression)."""

    told: str
    of: Callable[[pd.Series], pd.Series]
    sql: str


def _as_it_is(texts: pd.Series) -> pd.Series:
    return texts


AS_IT_IS = Spelling("as they are", _as_it_is, "trim({})")
# The plainest first.
SPELLINGS = (
    AS_IT_IS,
    Spelling("whatever their case", lambda t: t.str.lower(), "lower(trim({}))"),
    Spelling("without leading zeros", lambda t: t.str.lstrip("0"), "ltrim(trim({}), '0')"),
    Spelling(
        "by their first 15 characters (Salesforce)",
        lambda t: t.where(~t.str.fullmatch(_SALESFORCE, na=False), t.str[:15]),
        "left(trim({}), 15)",
    ),
    Spelling(
        "without leading zeros, whatever their case",
        lambda t: t.str.lower().str.lstrip("0"),
        "ltrim(lower(trim({})), '0')",
    ),
)


@dataclass(frozen=True)
class Link:
    """A column that names accounts by one of theirs; `share` of its rows find exactly one."""

    own: Column
    theirs: Column
    spelling: Spelling
    share: float


def link(children: Iterable[Column], parents: Iterable[Column]) -> Link | None:
    """The link that finds an account for the most rows; None where none finds many.

    A plain one counts more than one that needs another spelling, an earlier column (of each) more
    than a later one.
    """
    theirs = list(parents)
    best: tuple[float, Link] | None = None
    for nth, own in enumerate(children):
        for mth, their in enumerate(theirs):
            for rank, spelling in enumerate(SPELLINGS):
                share = _share(own, their, spelling)
                worth = share - _WORTH * (rank + (nth + mth) / 4)
                if share >= ENOUGH and (best is None or worth > best[0]):
                    best = worth, Link(own, their, spelling, share)
                if share == 1:
                    break
    return best[1] if best else None


def _share(own: Column, their: Column, spelling: Spelling) -> float:
    given, known = own.texts.dropna(), pd.Series(their.counts.index, dtype="str")
    if not len(given) or not len(known):
        return 0.0
    # Ids of Salesforce that differ by case only are strangers.
    if "case" in spelling.told and known.str.fullmatch(_SALESFORCE).mean() > ENOUGH:
        return 0.0
    spelled = spelling.of(known)
    spelled = spelled[spelled != ""]
    # A key that two accounts have in common says nothing.
    single = set(spelled[~spelled.duplicated(keep=False)])
    if len(single) < 0.9 * len(known):
        return 0.0
    return float(spelling.of(given).isin(single).mean())
