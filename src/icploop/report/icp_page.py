"""The readable ICP as markdown: a registered version's description, and what `icp show` prints."""

from __future__ import annotations

from collections.abc import Sequence

from icploop.domain.gate import Comparison
from icploop.domain.profile import Line, Profile
from icploop.modeling.rounds import Round
from icploop.modeling.version import IcpVersion
from icploop.settings import DIMENSIONS, Attribute, Settings

_TITLES = {
    "firmographic": "Who they are",
    "technographic": "What they run",
    "use_case": "What they use it for",
    "trigger_event": "What just happened",
    "decision_authority": "Who decides",
    "pain_proof": "What hurts",
}


def page(version: IcpVersion, settings: Settings, judged: Round) -> str:
    """The whole page: the ICP by dimension, the anti-ICP, how it was judged."""
    labels = {a.name: a for a in version.attributes}
    months = version.outcome.horizon_months
    return "\n".join(
        [
            f"# ICP of {settings.company}",
            "",
            f"Motion {version.motion}, as of {version.as_of}, from {version.profile.matured} "
            f"customers whose {months} months are over. NRR: what a group of customers pays "
            f"after {months} months, for each {settings.currency} it paid at the start. "
            "Retention: the share that still pays.",
            "",
            *_fits(version.profile, labels),
            *_anti(version.profile, labels),
            *_judged(judged, settings.policy.interval),
        ]
    )


def comparison_table(judged: Round) -> str:
    """Every rival on the same holdout accounts, as a markdown table."""
    if judged.evidence is None:
        return ""
    everyone = judged.evidence.everyone
    lines = [
        "| who chooses | NRR | GRR | retention |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {k.nrr:.1%} | {k.grr:.1%} | {k.retention:.1%} |"
            for name, k in judged.evidence.rivals.items()
        ),
        f"| nobody: all {everyone.accounts} accounts | {everyone.nrr:.1%} | {everyone.grr:.1%} "
        f"| {everyone.retention:.1%} |",
    ]
    return "\n".join(lines)


def _readings_table(comparison: Comparison, interval: float) -> list[str]:
    """The uplift as it decides, and as it reads in other ways, as lines of a markdown table."""
    rows = [("the whole holdout", comparison.n_holdout, comparison.uplift)]
    if (later := comparison.prospective) and later.uplift:
        rows.append(("those that matured after the champion was trained", later.n, later.uplift))
    if (weighted := comparison.weighted) is not None:
        rows.append(
            (
                f"weighted for earlier lists, on which {weighted.listed:.0%} stood",
                round(weighted.n_effective),
                weighted.uplift,
            )
        )
    return [
        f"| read on | customers | uplift | {interval:.0%} interval | probability better |",
        "| --- | ---: | ---: | --- | ---: |",
        *(
            f"| {name} | {n} | {100 * d.estimate:+.1f} "
            f"| {100 * d.low:+.1f} to {100 * d.high:+.1f} | {d.probability_better:.0%} |"
            for name, n, d in rows
        ),
    ]


def _fits(profile: Profile, labels: dict[str, Attribute]) -> list[str]:
    if not profile.lines:
        return ["No line is supported by the data yet.", ""]
    ordered = sorted(profile.lines, key=lambda line: DIMENSIONS.index(line.dimension))
    return ["## Pursue", "", *_table(ordered, labels), ""]


def _anti(profile: Profile, labels: dict[str, Attribute]) -> list[str]:
    if not profile.anti:
        return [
            "## Do not pursue",
            "",
            "No group of customers is clearly bad enough to refuse.",
            "",
        ]
    return ["## Do not pursue", "", *_table(profile.anti, labels), ""]


def _table(lines: Sequence[Line], labels: dict[str, Attribute]) -> list[str]:
    titles = [_TITLES[line.dimension] for line in lines]
    shown = ["" if i and titles[i - 1] == title else title for i, title in enumerate(titles)]
    return [
        "| | line | points | customers | NRR (others) | retention (others) | difference, 90% |",
        "| --- | --- | ---: | ---: | --- | --- | --- |",
        *(
            _row(title, line, labels[line.predicate.attribute])
            for title, line in zip(shown, lines, strict=True)
        ),
    ]


def _row(title: str, line: Line, attribute: Attribute) -> str:
    e = line.evidence
    return (
        f"| {title} | {line.predicate.text(attribute)} | {line.points:+d} "
        f"| {e.accounts} of {e.of} | {e.nrr:.0%} ({e.nrr_outside:.0%}) "
        f"| {e.retention:.0%} ({e.retention_outside:.0%}) "
        f"| {100 * e.low:+.0f} to {100 * e.high:+.0f} points |"
    )


def _judged(judged: Round, interval: float) -> list[str]:
    evidence, decision, comparison = judged.evidence, judged.decision, judged.comparison
    if evidence is None or comparison is None:
        return []
    read_otherwise = comparison.prospective or comparison.weighted
    return [
        "## How it was judged",
        "",
        f"**{decision.verdict}.** {' '.join(decision.reasons)}",
        "",
        f"The {len(evidence.holdout)} newest matured customers, ranked by models that had not seen "
        f"them; each rival pursues its best {evidence.capacity:.0%}.",
        "",
        comparison_table(judged),
        "",
        *([*_readings_table(comparison, interval), ""] if read_otherwise else []),
        "The lines above describe the customers that they were learned from. The fit model does "
        "the scoring; points help to talk about it.",
        *(["", "Notes:", "", *(f"- {note}" for note in judged.notes)] if judged.notes else []),
        "",
    ]
