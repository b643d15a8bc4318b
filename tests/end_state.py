"""What an act leaves behind, so that a disturbed home can be compared with an undisturbed twin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from icploop.domain.ledger import first_broken
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.tracking import connect
from icploop.io.warehouse import Warehouse
from tests.unit.planted import MOTION


def end_state(home: Home, *, with_failures: bool = True) -> dict[str, object]:
    """All that an act leaves behind, but for random ids and the time of writing.

    Without failures, also but for the rows that say what a disk or a server had done.
    """
    warehouse = Warehouse(home.warehouse_file)
    rows = warehouse.sealed_ledger()
    assert first_broken(rows) is None
    ledger = [
        (r.row.event, r.row.as_of, r.row.version, r.row.who, r.row.reason, _plain(r.row.details))
        for r in rows
        if with_failures or r.row.event != "failure"
    ]
    published = home.root / "data" / "published" / MOTION
    releases = home.root / "data" / "releases" / MOTION
    return {
        "tables": {
            n: len(getattr(warehouse.tables(), n)) for n in ("accounts", "deals", "revenue")
        },
        "ledger": ledger,
        "counted": warehouse.counted_deals(MOTION),
        "listings": warehouse.listings(MOTION).to_dict("list"),
        "aliases": registry.aliases(home, MOTION),
        "versions": {
            number: (
                _tags(found.tags, with_numbers=with_failures),
                found.tags["content_hash"],
                found.description,
            )
            for number, found in registry.versions(home, MOTION).items()
        },
        "runs": runs(home),
        "published": {p.name: p.read_bytes() for p in sorted(published.glob("*"))},
        "releases": sorted(p.name for p in releases.glob("*")),
    }


def _tags(tags: Mapping[str, str], *, with_numbers: bool) -> list[str]:
    """The names of tags; a failure in between shifts the numbers of rows."""
    names = sorted(tags)
    return names if with_numbers else sorted(re.sub(r"^ledger\.\d+", "ledger", n) for n in names)


def _plain(details: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if key != "run_id"}


def runs(home: Home) -> list[tuple[str, str]]:
    """The names of all runs of the lineage, and how they ended."""
    client = connect(home)
    found = client.get_experiment_by_name(registry.model_name(MOTION))
    logged = client.search_runs([found.experiment_id]) if found else []
    return sorted((run.info.run_name, run.info.status) for run in logged)
