"""A second version in a home of one's own, without training it, and the way to its pieces."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from icploop.domain.ledger import LedgerRow
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.modeling.scoring.version import content_hash
from icploop.pipelines.mirror import mirror
from icploop.settings import digest
from tests.unit.planted import LAST_DAY, MOTION, at


def register_a_challenger(home: Home, **details: str | None) -> None:
    """Register version 1's content as the next version, which waits for approval.

    `details` replace what the ledger says of its verdict.
    """
    first = registry.describe(home, MOTION, "1")
    version = registry.load(home, MOTION, "1")
    registered = registry.register(
        home,
        version,
        run_id=first.run_id,
        description=first.description,
        tags={
            "verdict": "PROMOTE",
            "reasons": "It beats it.",
            "judged_against": details.get("champion") or "1",
        },
        example=pd.DataFrame({"account_id": ["p1"], "industry": ["health"]}),
    )
    said = {
        "verdict": "PROMOTE",
        "champion": "1",
        "run_id": first.run_id,
        "content_hash": content_hash(version.parts()),
        "settings_hash": home.settings().judging_digest(),
        "page_hash": digest(first.description),
    }
    Warehouse(home.warehouse_file).append(
        LedgerRow(
            "verdict",
            MOTION,
            LAST_DAY,
            registered.number,
            who="Trainer",
            reason="It beats it.",
            details=said | details,
        )
    )
    mirror(at(home))


def pieces(home: Home, number: int = 1) -> Path:
    """The folder in the home's own store that holds the pieces of a version."""
    folders = sorted(home.mlruns.rglob("parts"), key=lambda path: path.stat().st_mtime)
    return folders[number - 1]
