"""Show: the readable ICP of a registered version, its lint, and what another one would mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from icploop.domain.findings import Finding
from icploop.domain.lint import lint_lines, lint_profile
from icploop.domain.outcomes import outcomes, recurring_revenue
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Profile, Rules, worth_of_a_point
from icploop.domain.prose import lint_text
from icploop.domain.standing import standing_of
from icploop.errors import UsageError
from icploop.io.whole_file import text_to
from icploop.modeling.accounts.market import Sight
from icploop.modeling.page.what_if import Consequences, consequences, with_line
from icploop.modeling.scoring.version import IcpVersion
from icploop.pipelines.as_of import AsOf
from icploop.settings import Attribute, Objective, Settings, lineage_of

_FORMATS = {".md": "icp.md", ".json": "icp.json", ".html": "icp.html"}


@dataclass(frozen=True)
class ShownVersion:
    """A version's page as text, its profile as a value, its tags, what the lint says of it.

    `worth` is what a point is worth in words, `today` what pursuing the accounts that it selects
    means, `changed` what it would mean with the lines that were asked for instead (None where none
    were).
    """

    number: str
    text: str
    profile: Profile
    attributes: tuple[Attribute, ...]
    tags: dict[str, str]
    worth: str
    findings: tuple[Finding, ...]
    today: Consequences
    changed: Consequences | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "version": self.number,
            "tags": self.tags,
            "profile": self.profile.as_dict(),
            "lint": [found.as_dict() for found in self.findings],
            "consequences": asdict(self.today),
            "what_if": asdict(self.changed) if self.changed else None,
            "markdown": self.text,
        }


def show(at: AsOf, which: str, changes: Sequence[str] = ()) -> ShownVersion:
    """The version that a number or an alias names, as of a day.

    Each of `changes` replaces the lines of one attribute (see `modeling/page/what_if.py`). Raises
    UsageError where there is no such version or attribute.
    """
    found = at.describe(which)
    version, _ = at.version(found.number)
    meaning = _Meaning.of(at.sight, version)
    rules = version.profile.rules
    changed = rules
    for change in changes:
        changed = with_line(changed, change, version.attributes)
    today = meaning.of_rules(rules)
    return ShownVersion(
        found.number,
        found.description,
        version.profile,
        version.attributes,
        dict(found.tags),
        worth_of_a_point(version.profile.unit, version.objective, at.settings.currency),
        tuple(_lint(at, version, today)),
        today,
        meaning.of_rules(changed) if changes else None,
    )


def export(at: AsOf, which: str, target: Path) -> str:
    """Write a version's page as it was registered, by the suffix: .md, .json or .html.

    Returns the version's number. Raises UsageError for another suffix.
    """
    name = _FORMATS.get(target.suffix.lower())
    if name is None:
        raise UsageError(f"--out {target}: end it with {', '.join(_FORMATS)}")
    from icploop.io.tracking import artifact  # noqa: PLC0415 - it starts MLflow

    found = at.describe(which)
    text_to(target, artifact(at.home, found.run_id, name))
    return found.number


def lint_description(description: str) -> list[Finding]:
    """What is wrong with an ICP in prose."""
    return lint_text(description)


def lint_hypothesis(settings: Settings) -> list[Finding]:
    """What is wrong with the hypothesis in the settings; nothing where there is none."""
    if not settings.hypothesis:
        return []
    dimension = {a.name: a.dimension for a in settings.attributes}
    return lint_lines(
        [(dimension[h.attribute], Predicate.of_condition(h)) for h in settings.hypothesis],
        has_anti=bool(settings.exclusions) or any(h.points < 0 for h in settings.hypothesis),
        required=[Predicate.of_condition(must) for must in settings.required],
        anti=[Predicate.of_condition(never) for never in settings.exclusions],
        attributes=settings.attributes,
        place="the hypothesis in conf/icp.yaml",
    )


@dataclass(frozen=True)
class _Meaning:
    """What rules are measured on: prospects, matured customers, and the money of today."""

    market: pd.DataFrame
    features: pd.DataFrame
    matured: pd.DataFrame
    arr: float
    settings: Settings

    @classmethod
    def of(cls, sight: Sight, version: IcpVersion) -> _Meaning:
        sold = outcomes(sight.seen, sight.motion, version.outcome)
        sold = sold.set_index("account_id", drop=False)
        matured = sold[sold["matured"]].rename_axis(None)
        return cls(
            sight.market(version.attributes),
            sight.history.at(matured, version.attributes),
            matured,
            recurring_revenue(sight.seen, sight.motion, version.outcome),
            sight.settings,
        )

    def of_rules(self, rules: Rules) -> Consequences:
        return consequences(
            rules,
            self.market,
            self.features,
            self.matured,
            self.arr,
            self.settings.policy.interval,
            self.settings.seed,
        )


def _lint(at: AsOf, version: IcpVersion, today: Consequences) -> list[Finding]:
    lineages = [lineage_of(at.motion, objective) for objective in get_args(Objective)]
    in_force = [at.motion for name in lineages if standing_of(at.state.rows_of(name)).in_force]
    found = lint_profile(
        version.profile,
        as_of=version.as_of,
        today=at.day,
        market_share=today.selected / today.market if today.market else None,
        good_share=today.good_kept,
        motions=in_force,
        attributes=version.attributes,
    )
    return [*found, *lint_hypothesis(at.settings)]
