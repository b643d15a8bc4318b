"""More versions in a home of one's own, without training them, and a way to their pieces."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from icploop.io import registry
from icploop.io.home import Home
from tests.unit.planted import MOTION


def registered_again(home: Home, *, pending: bool = True, **tags: str) -> str:
    """Version 1's content under a new number, by default as a challenger that may be approved."""
    first = registry.describe(home, MOTION, "1")
    verdict = {"verdict": "PROMOTE", "reasons": "It beats it.", "judged_against": "1"}
    registered = registry.register(
        home,
        registry.load(home, MOTION, "1"),
        run_id=first.run_id,
        description=first.description,
        tags={**first.tags, **verdict, **tags},
        example=pd.DataFrame({"account_id": ["p1"], "industry": ["health"]}),
    )
    if pending:
        registry.set_alias(home, MOTION, registry.CHALLENGER, registered.number)
    return registered.number


def pieces(home: Home, number: int = 1) -> Path:
    """The folder in the home's own store that holds the pieces of a version."""
    folders = sorted(home.mlruns.rglob("parts"), key=lambda path: path.stat().st_mtime)
    return folders[number - 1]
