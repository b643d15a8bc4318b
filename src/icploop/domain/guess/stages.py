"""Which stages of deals are won, lost or open, by their names and by what else their rows say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from icploop.domain.guess.looks import Column, stage_of
from icploop.domain.guess.words import YES, phrase

Outcome = Literal["won", "lost", "open"]
# So many rows of a stage must agree.
_AGREE = 0.95
_MOSTLY = 0.8
_HARDLY = 0.05


@dataclass(frozen=True)
class Stage:
    """A stage as the export spells it, how many deals are in it, and what it is taken for.

    `outcome` is None where nothing tells; `why` says what did where its name did not.
    """

    name: str
    deals: int
    outcome: Outcome | None
    why: str = ""


def stages_of(roles: Mapping[str, Column]) -> list[Stage]:
    """The stages of deals, the commonest first.

    A system's own marks (`IsWon`, `IsClosed`) count most, then the stage's name, then whether a
    reason for the loss or a day of the close is filled.
    """
    stage = roles["outcome"]
    marked = _by_marks(roles)
    found = []
    for name, deals in stage.counts.items():
        rows = stage.texts == name
        outcome, why = _agreed(marked, rows, roles)
        if outcome is None:
            outcome, why = stage_of(str(name)), ""  # type: ignore[assignment]
        if outcome is None:
            outcome, why = _by_cells(roles, rows)
        found.append(Stage(str(name), int(deals), outcome, why))
    return found


def _by_marks(roles: Mapping[str, Column]) -> pd.Series | None:
    """What the marks of the system say of each row; None without the marks of both kinds."""
    if not {"is_won", "is_closed"} <= set(roles):
        return None
    won, closed = (
        roles[role].texts.map(lambda text: phrase(text) in YES, "ignore") == True  # noqa: E712
        for role in ("is_won", "is_closed")
    )
    said = pd.Series("open", index=won.index)
    return said.mask(closed, "lost").mask(won, "won")


def _agreed(
    marked: pd.Series | None, rows: pd.Series, roles: Mapping[str, Column]
) -> tuple[Outcome | None, str]:
    if marked is None:
        return None, ""
    shares = marked[rows].value_counts(normalize=True)
    if shares.iloc[0] < _AGREE:
        return None, ""
    names = f"`{roles['is_won'].name}` and `{roles['is_closed'].name}` say so"
    return str(shares.index[0]), names  # type: ignore[return-value]


def _by_cells(roles: Mapping[str, Column], rows: pd.Series) -> tuple[Outcome | None, str]:
    def filled(role: str, where: pd.Series) -> float:
        return float(roles[role].texts[where].notna().mean()) if role in roles else float("nan")

    if filled("lost_reason", rows) >= _MOSTLY and filled("lost_reason", ~rows) < _MOSTLY:
        return "lost", f"{filled('lost_reason', rows):.0%} have a `{roles['lost_reason'].name}`"
    if filled("closed_at", rows) <= _HARDLY and filled("closed_at", ~rows) >= _HARDLY * 4:
        return "open", f"hardly any has a `{roles['closed_at'].name}`"
    return None, ""
