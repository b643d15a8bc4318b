"""What changed from one readable ICP to another, line by line, and who moved tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from icploop.domain.profile import Line, Profile, Refusal

_Line = Line | Refusal


@dataclass(frozen=True)
class Change:
    """A line that came (`old` is None), went (`new` is None), or says something else now."""

    section: Literal["pursue", "do not pursue"]
    old: _Line | None
    new: _Line | None

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        """What happened to the line."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"


def changes(old: Profile, new: Profile) -> list[Change]:
    """Every line that is not the same in both: its condition, its points, or that it is a must.

    Lines with the same condition are one line; so are lines of one attribute where each profile has
    a single one that the other lacks. Evidence always changes with time and is no change by itself.
    """
    pursued = [Change("pursue", *pair) for pair in _pairs(old.lines, new.lines)]
    refused = [Change("do not pursue", *pair) for pair in _pairs(old.anti, new.anti)]
    return [c for c in (*pursued, *refused) if _says(c.old) != _says(c.new)]


def moves(before: pd.Series, after: pd.Series) -> pd.DataFrame:
    """The accounts whose tier is not the same: columns before and after, indexed by account_id.

    An account that only one of the two knows is no move.
    """
    both = before.index.intersection(after.index)
    tiers = pd.DataFrame({"before": before[both], "after": after[both]})
    return tiers[tiers["before"] != tiers["after"]].sort_index()


def _says(line: _Line | None) -> tuple[object, ...] | None:
    if line is None:
        return None
    weight = (line.points, line.non_negotiable) if isinstance(line, Line) else ()
    return (line.predicate, *weight)


def _pairs(old: Sequence[_Line], new: Sequence[_Line]) -> list[tuple[_Line | None, _Line | None]]:
    by_predicate = {line.predicate: line for line in new}
    kept = {line.predicate for line in old} & set(by_predicate)
    gone = [line for line in old if line.predicate not in kept]
    come = [line for line in new if line.predicate not in kept]
    pairs: list[tuple[_Line | None, _Line | None]] = [
        (line, by_predicate[line.predicate]) for line in old if line.predicate in kept
    ]
    for line in gone:
        name = line.predicate.attribute
        heirs = [other for other in come if other.predicate.attribute == name]
        alone = sum(other.predicate.attribute == name for other in gone) == 1
        heir = heirs[0] if alone and len(heirs) == 1 else None
        pairs.append((line, heir))
        come = [other for other in come if other is not heir]
    return pairs + [(None, line) for line in come]
