"""Health: what the data are like, with each round and whenever somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from icploop.domain.findings import as_tags
from icploop.errors import UsageError
from icploop.io.versions import CHAMPION
from icploop.io.whole_file import text_to
from icploop.modeling.accounts.features import Altered
from icploop.modeling.accounts.market import Sight
from icploop.modeling.scoring.version import IcpVersion
from icploop.modeling.trust.health import Expect, Health, health
from icploop.pipelines.as_of import AsOf
from icploop.report.health_page import health_page
from icploop.report.html_page import html_page
from icploop.settings import Settings

if TYPE_CHECKING:
    # It starts MLflow.
    from icploop.io.tracking import RunRecord


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
            "findings": [found.as_dict() for found in self.health.findings],
            **{name: _records(getattr(self.health, name)) for name in tables},
            "quarantine": dict(self.health.quarantine),
            "out": self.out,
        }


def check_health(at: AsOf, out: Path | None = None) -> HealthReport:
    """The health of the data as of a day, and of the fields that the version in force uses.

    Writes the page where `out` says (.md or .html). Raises UsageError for another ending.
    """
    if out is not None and out.suffix not in (".md", ".html"):
        raise UsageError(f"--out {out}: end it in .md or .html")
    version = at.version(CHAMPION)[0] if at.standing.in_force else None
    found = _measured(at, version)
    text = health_page(found, at.settings.company)
    if out is not None:
        page = text if out.suffix == ".md" else _html(text, at.settings)
        text_to(out, page)
    return HealthReport(found, text, str(out) if out else None)


def with_health(run: RunRecord, at: AsOf, version: IcpVersion | None) -> RunRecord:
    """The run with the health of what it learned from: its page, metrics, and codes as tags."""
    found = _measured(at, version)
    text = health_page(found, at.settings.company)
    pages = {"health.md": text, "health.html": _html(text, at.settings)}
    return replace(
        run,
        metrics={**run.metrics, **found.metrics()},
        texts={**run.texts, **pages},
        tags={**run.tags, **as_tags(found.findings)},
    )


def _measured(at: AsOf, version: IcpVersion | None) -> Health:
    settings, lines = at.settings, at.state.quarantine
    rules = (lines["table_name"] + ": " + lines["rule"]).value_counts()
    sight = _with_every_attribute(at.sight)
    return health(
        sight.seen,
        sight.history,
        settings.attributes,
        at.motion,
        at.day,
        customers=sight.history.at(sight.sold, settings.attributes),
        market=sight.market(settings.attributes),
        quarantine={str(rule): int(count) for rule, count in rules.items()},
        expect=_expecting(version) if version else None,
        capacity=sight.capacity,
        seed=settings.seed,
    )


def _with_every_attribute(sight: Sight) -> Sight:
    """As it is; an attribute that no account carries yet is missing for all."""
    accounts = sight.seen.accounts
    absent = [a.name for a in sight.settings.attributes if a.name not in accounts]
    if not absent:
        return sight
    accounts = accounts.reindex(columns=[*accounts, *absent])
    return replace(sight, seen=replace(sight.seen, accounts=accounts))


def _expecting(version: IcpVersion) -> Expect:
    model, names = version.fit_model, [a.name for a in version.attributes]

    def expected(market: pd.DataFrame, altered: Sequence[Altered | None]) -> list[np.ndarray]:
        return model.expected_if(model.encoded(market.reindex(columns=names)), altered)

    return expected


def _html(text: str, settings: Settings) -> str:
    return html_page(f"Health of the data of {settings.company}", text, {})


def _records(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    plain = table.astype("object").where(table.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in plain.to_dict(orient="records")]
