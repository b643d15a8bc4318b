"""Health: what the data are like, with each round and whenever somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from icploop.domain.calendar import last_moment
from icploop.domain.identity import companies_seen_by
from icploop.domain.outcomes import outcomes
from icploop.domain.tables import Tables
from icploop.errors import UsageError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.tracking import RunRecord
from icploop.io.warehouse import Warehouse
from icploop.modeling.accounts.features import attributes_at
from icploop.modeling.judging.round import Round, capacity_share, prospects
from icploop.modeling.scoring.version import IcpVersion
from icploop.modeling.trust.health import Health, health
from icploop.pipelines.versions import load_version, standing
from icploop.report.health_page import health_page
from icploop.report.html_page import html_page
from icploop.settings import Settings


@dataclass(frozen=True)
class HealthReport:
    """What `icp health` answers: the numbers, and the page."""

    health: Health
    text: str
    out: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values; unknown numbers are null."""
        tables = ("fill", "drift", "volumes", "lateness", "cost")
        return {
            "as_of": self.health.as_of.isoformat(),
            "customers": self.health.customers,
            "prospects": self.health.prospects,
            **{name: _records(getattr(self.health, name)) for name in tables},
            "quarantine": dict(self.health.quarantine),
            "out": self.out,
        }


def check_health(home: Home, motion: str, as_of: date, out: Path | None = None) -> HealthReport:
    """The health of the data as of a day, and of the fields that the version in force uses.

    Writes the page where `out` says (.md or .html). Raises UsageError for another ending.
    """
    if out is not None and out.suffix not in (".md", ".html"):
        raise UsageError(f"--out {out}: end it in .md or .html")
    settings = home.settings()
    warehouse = Warehouse(home.warehouse_file)
    in_force = standing(home, settings.lineage(motion)).in_force
    found = _measured(
        companies_seen_by(warehouse.tables(), as_of, settings.identity),
        settings,
        motion,
        as_of,
        warehouse.quarantine(),
        load_version(home, motion, registry.CHAMPION)[0] if in_force else None,
    )
    text = health_page(found, settings.company)
    if out is not None:
        page = text if out.suffix == ".md" else _html(text, settings)
        out.write_text(page, encoding="utf-8")
    return HealthReport(found, text, str(out) if out else None)


def with_health(
    run: RunRecord, home: Home, settings: Settings, tables: Tables, judged: Round
) -> RunRecord:
    """The run with the health of what it learned from: health.md, health.html and metrics."""
    found = _measured(
        companies_seen_by(tables, judged.as_of, settings.identity),
        settings,
        judged.motion,
        judged.as_of,
        Warehouse(home.warehouse_file).quarantine(),
        judged.version,
    )
    text = health_page(found, settings.company)
    pages = {"health.md": text, "health.html": _html(text, settings)}
    return replace(run, metrics={**run.metrics, **found.metrics()}, texts={**run.texts, **pages})


def _measured(
    seen: Tables,
    settings: Settings,
    motion: str,
    as_of: date,
    quarantine: pd.DataFrame,
    version: IcpVersion | None,
) -> Health:
    sold = outcomes(seen, motion, settings.outcome)
    ids = prospects(seen, motion)
    moments = pd.DataFrame({"account_id": ids, "at": last_moment(as_of)})
    rules = (quarantine["table_name"] + ": " + quarantine["rule"]).value_counts()
    # An attribute that no account carries yet is missing for all.
    accounts = seen.accounts.reindex(
        columns=list(dict.fromkeys([*seen.accounts, *(a.name for a in settings.attributes)]))
    )
    return health(
        replace(seen, accounts=accounts),
        settings.attributes,
        motion,
        as_of,
        customers=attributes_at(accounts, sold, settings.attributes),
        market=attributes_at(accounts, moments, settings.attributes),
        quarantine={str(rule): int(count) for rule, count in rules.items()},
        expect=_expecting(version) if version else None,
        capacity=capacity_share(settings, seen, motion),
        seed=settings.seed,
    )


def _expecting(version: IcpVersion) -> Callable[[pd.DataFrame], pd.Series]:
    names = [a.name for a in version.attributes]

    def expected(features: pd.DataFrame) -> pd.Series:
        known: pd.Series = version.fit_model.predict(features.reindex(columns=names))[
            "expected_nrr"
        ]
        return known

    return expected


def _html(text: str, settings: Settings) -> str:
    return html_page(f"Health of the data of {settings.company}", text, {})


def _records(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    plain = table.astype("object").where(table.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in plain.to_dict(orient="records")]
