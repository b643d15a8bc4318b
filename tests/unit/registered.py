"""A second version in a home of one's own, without training it, and the way to its pieces."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from icploop.io import registry
from icploop.io.home import Home
from tests.unit.planted import MOTION


def register_a_challenger(home: Home) -> None:
    """Register version 1's content as version 2, which waits for approval."""
    first = registry.describe(home, MOTION, "1")
    registry.register(
        home,
        registry.load(home, MOTION, "1"),
        run_id=first.run_id,
        description=first.description,
        tags={"verdict": "PROMOTE", "reasons": "It beats it.", "judged_against": "1"},
        example=pd.DataFrame({"account_id": ["p1"], "industry": ["health"]}),
    )
    registry.set_alias(home, MOTION, registry.CHALLENGER, "2")


def pieces(home: Home, number: int = 1) -> Path:
    """The folder in the home's own store that holds the pieces of a version."""
    folders = sorted(home.mlruns.rglob("parts"), key=lambda path: path.stat().st_mtime)
    return folders[number - 1]
