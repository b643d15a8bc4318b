"""What the columns of an export look like, before anybody says what they mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from icploop.domain.cells import read_text
from icploop.domain.guess.words import COLUMNS, NOT, STAGES, name_score, plain_words
from icploop.domain.guess.written import Written, as_dates, as_numbers, read_dates, read_numbers
from icploop.settings import TableName

# A key names nearly every row, and nearly every row by another name.
_UNIQUE = 0.98
_FILLED = 0.9
# More stages than this are no stages.
_MOST_STAGES = 60
_WORDS_IN_TEXT = 4
_HUNDREDTHS = frozenset(("cents", "cent", "pence", "minor", "centimes", "centimos"))


class Column:
    """A column of an export: its name, its cells, and what can be read of them."""

    def __init__(self, name: str, cells: pd.Series) -> None:
        self.name = name
        self.cells = cells

    @cached_property
    def texts(self) -> pd.Series:
        """Trimmed texts; cells that say nothing are missing."""
        return read_text(self.cells)

    @cached_property
    def filled(self) -> float:
        """The share of cells that say something."""
        return float(self.texts.notna().mean()) if len(self.texts) else 0.0

    @cached_property
    def counts(self) -> pd.Series:
        """How many cells have each text, the commonest first; of equals by the alphabet."""
        found = self.texts.value_counts().rename_axis("text").reset_index(name="cells")
        ordered = found.sort_values(["cells", "text"], ascending=[False, True])
        return ordered.set_index("text")["cells"]

    @cached_property
    def is_unique(self) -> bool:
        """Whether nearly every row has its own text."""
        rows = int(self.texts.notna().sum())
        return rows > 0 and self.filled >= _UNIQUE and len(self.counts) >= _UNIQUE * rows

    @cached_property
    def dates(self) -> Written:
        """How its dates are written, if they are dates."""
        return as_dates(self.cells)

    @cached_property
    def numbers(self) -> Written:
        """How its numbers are written, if they are numbers."""
        return as_numbers(self.cells)

    @cached_property
    def is_prose(self) -> bool:
        """Whether most cells are sentences."""
        return bool(
            self.texts.dropna().head(500).str.count(r"\S\s+\S").ge(_WORDS_IN_TEXT).mean() > 0.5
        )

    def moments(self) -> pd.Series:
        """Its cells as moments."""
        return read_dates(self.cells, self.dates)

    @property
    def in_cents(self) -> bool:
        """Whether its name says that it counts hundredths of a unit of money."""
        return bool(_HUNDREDTHS & {*plain_words(self.name)})

    def amounts(self) -> pd.Series:
        """Its cells as numbers, in whole units of money."""
        return read_numbers(self.cells, self.numbers) / (100 if self.in_cents else 1)


@dataclass(frozen=True)
class Export:
    """A file that was found: its name in the folder, its rows (or some of them), and how many.

    `dialect` is what had to be known to read it (encoding, delimiter, sheet).
    """

    name: str
    frame: pd.DataFrame
    rows: int
    dialect: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Its columns by name; what has no cell at all is none."""
        found = {str(name): Column(str(name), self.frame[name]) for name in self.frame}
        return {name: column for name, column in found.items() if column.filled > 0}

    @property
    def words(self) -> frozenset[str]:
        """The words of its name."""
        return frozenset(plain_words(self.name.rsplit(".", 1)[0].replace("-", " ")))

    def best(
        self,
        table: TableName,
        role: str,
        fits: Callable[[Column], bool],
        but: Collection[str] = (),
    ) -> Column | None:
        """The column that is named most like a role, among those whose cells fit it."""
        scored = [
            (name_score(name, COLUMNS[table][role]), column.filled >= _FILLED, -place, column)
            for place, (name, column) in enumerate(self.columns.items())
            if name not in but
        ]
        found = [one for one in scored if one[0] > 0 and fits(one[3])]
        return max(found, key=lambda one: one[:3])[3] if found else None


def is_dates(column: Column) -> bool:
    """Whether its cells are dates."""
    return bool(column.dates)


def is_amounts(column: Column) -> bool:
    """Whether its cells are numbers, not all whole ones of few digits such as ids."""
    return bool(column.numbers) and not column.dates


def is_key(column: Column) -> bool:
    """Whether its cells could name things: nearly all filled, no sentences, dates or fractions."""
    return column.filled >= _FILLED and not column.is_prose and not column.dates


def is_unique_key(column: Column) -> bool:
    """Whether its cells name each row by another name."""
    return column.is_unique and is_key(column)


def is_stages(column: Column) -> bool:
    """Whether some of its few words are those of stages of deals."""
    if column.filled < _FILLED or len(column.counts) > _MOST_STAGES:
        return False
    told = {stage_of(str(text)) for text in column.counts.index}
    return "won" in told and bool(told & {"lost", "open"})


def stage_of(text: str) -> str | None:
    """Whether a stage's name says won, lost or open; None where it says none of them."""
    words = [word for word in plain_words(text) if not word.isdigit()]
    given, at_once = " ".join(words), "".join(words)
    for outcome, known in STAGES.items():
        if given in known or at_once in _AT_ONCE[outcome]:
            return outcome
    # The longest name within it counts: `closed lost no budget` is lost, `5 won back` won.
    within = [
        (len(one.split()), outcome)
        for outcome, known in STAGES.items()
        for one in known
        if f" {one} " in f" {given} "
    ]
    if not within:
        return None
    longest = max(count for count, _ in within)
    told = {outcome for count, outcome in within if count == longest}
    if len(told) > 1:
        return None
    outcome = told.pop()
    return outcome if outcome == "lost" or not NOT & {*words} else _UNLESS[outcome]


# HubSpot's internal names have no blanks: `closedwon`, `appointmentscheduled`.
_AT_ONCE = {
    outcome: frozenset(one.replace(" ", "") for one in known) for outcome, known in STAGES.items()
}
_UNLESS = {"won": None, "open": "lost"}
