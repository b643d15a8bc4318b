"""The readable ICP as markdown: a registered version's description, and what `icp show` prints.

The page executes: `rules_of` reads the same conditions, points and cutoff back from its text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from icploop.domain.gate import Comparison
from icploop.domain.predicate import parse
from icploop.domain.profile import (
    Line,
    Profile,
    Refusal,
    Rules,
    StatedLine,
    worth_of_a_point,
)
from icploop.errors import DataError
from icploop.modeling.insight.insights import Insights
from icploop.modeling.judging.round import Round
from icploop.modeling.scoring.version import IcpVersion
from icploop.report.insights_page import insights_page
from icploop.report.markdown import plain
from icploop.settings import DIMENSIONS, Attribute, Objective, Settings

TITLES = {
    "firmographic": "Who they are",
    "technographic": "What they run",
    "use_case": "What they use it for",
    "trigger_event": "What just happened",
    "decision_authority": "Who decides",
    "pain_proof": "What hurts",
}
PURSUE, REFUSE = "## Pursue", "## Do not pursue"
# From this share on, the ICP is hardly more than the average customer.
ALIKE = 0.8
_ROW = re.compile(r"^\|.*?(?<!\\)`(?P<code>[^`]+)`.*$")
_CUTOFF = re.compile(r"^\*\*(?P<cutoff>-?\d+) points? or more fits?")


def page(version: IcpVersion, settings: Settings, judged: Round, insights: Insights) -> str:
    """The whole page: the ICP by dimension, the anti-ICP, how it was judged, what else is told."""
    return "\n".join(
        [
            *_heading(version, settings),
            *profile_page(
                version.profile, version.attributes, version.objective, settings.currency
            ),
            *_judged(judged, settings.policy.interval),
            insights_page(insights, version.attributes),
        ]
    )


def profile_page(
    profile: Profile, attributes: Sequence[Attribute], objective: Objective, currency: str
) -> list[str]:
    """The part of the page that executes, with its evidence, as lines of markdown."""
    labels = {a.name: a for a in attributes}
    return [
        *_pursue(profile, labels, worth_of_a_point(profile.unit, objective, currency)),
        *_refuse(profile, labels),
        *_stated(profile, labels),
        *_beside_the_average(profile, labels),
    ]


def rules_of(text: str) -> Rules:
    """The rules that a page states: what stands there is what is run.

    Raises DataError where a line is no condition.
    """
    lines, anti, cutoff, section = [], [], 0, ""
    for row in text.splitlines():
        if row.startswith("## "):
            section = row
        if found := _CUTOFF.match(row):
            cutoff = int(found["cutoff"])
        if section not in (PURSUE, REFUSE) or not (found := _ROW.match(row)):
            continue
        try:
            predicate = parse(found["code"])
        except ValueError as error:
            raise DataError(f"This page has a line that cannot be run: {error}") from error
        if section == REFUSE:
            anti.append(predicate)
            continue
        points = re.split(r"(?<!\\)\|", row)[3].strip()
        lines.append((predicate, int(points.removeprefix("must").strip() or 0), "must" in points))
    return Rules(tuple(lines), tuple(anti), cutoff)


def comparison_table(judged: Round) -> str:
    """Every rival on the same holdout accounts, as a markdown table."""
    if judged.trial is None:
        return ""
    everyone = judged.trial.everyone
    lines = [
        "| who chooses | NRR | GRR | retention |",
        "| --- | --- | --- | --- |",
        *(
            f"| {plain(name)} | {k.nrr:.1%} | {k.grr:.1%} | {k.retention:.1%} |"
            for name, k in judged.trial.rivals.items()
        ),
        f"| nobody: all {everyone.accounts} accounts | {everyone.nrr:.1%} | {everyone.grr:.1%} "
        f"| {everyone.retention:.1%} |",
    ]
    return "\n".join(lines)


def _heading(version: IcpVersion, settings: Settings) -> list[str]:
    months = version.outcome.horizon_months
    return [
        f"# ICP of {plain(settings.company)}",
        "",
        f"Motion {plain(version.motion)}, as of {version.as_of}, from {version.profile.matured} "
        f"customers whose {months} months are over. NRR: what a group of customers pays "
        f"after {months} months, for each {plain(settings.currency)} it paid at the start. "
        "Retention: the share that still pays.",
        "",
    ]


def _pursue(profile: Profile, labels: dict[str, Attribute], worth: str) -> list[str]:
    if not profile.lines:
        return [PURSUE, "", "The data do not tell one kind of account from another yet.", ""]
    ordered = sorted(
        profile.lines,
        key=lambda line: (
            DIMENSIONS.index(line.dimension),
            not line.non_negotiable,
            -line.points,
            line.predicate.code(),
        ),
    )
    titles = [TITLES[line.dimension] for line in ordered]
    shown = ["" if i and titles[i - 1] == title else title for i, title in enumerate(titles)]
    fit = "point or more fits" if profile.cutoff == 1 else "points or more fit"
    return [
        PURSUE,
        "",
        f"**{profile.cutoff} {fit}.** Add up the lines that hold. A `must` is non-negotiable: no "
        "points outvote it. Two or three points are a strong line, one is nice to have; a "
        f"point is worth about {plain(worth)}. Choosing by these points "
        f"keeps {profile.fidelity:.0%} of what the full model expects to gain; the full model does "
        "the scoring.",
        "",
        "| | line | points | customers | NRR (others) | retention (others) | difference, 90% |",
        "| --- | --- | ---: | ---: | --- | --- | --- |",
        *(
            _row(title, line, labels[line.predicate.attribute])
            for title, line in zip(shown, ordered, strict=True)
        ),
        "",
        *_footnotes(profile),
    ]


def _row(title: str, line: Line, attribute: Attribute) -> str:
    e = line.evidence
    points = f"{line.points:+d}" if line.points or not line.non_negotiable else ""
    must = "must " if line.non_negotiable else ""
    mark = {"supported": "", "hypothesis": " (hypothesis)", "contradicted": " (contradicted)"}
    said = f"{plain(line.predicate.text(attribute))} `{line.predicate.code()}`"
    return (
        f"| {title} | {said}{mark[line.support]} | {must}{points} "
        f"| {e.accounts} of {e.of} | {_percent(e.nrr)} ({_percent(e.nrr_outside)}) "
        f"| {_percent(e.retention)} ({_percent(e.retention_outside)}) | {_reach(e.low, e.high)} |"
    )


def _footnotes(profile: Profile) -> list[str]:
    ages = [e for line in profile.lines if not math.isnan(e := line.evidence.age_months)]
    said = []
    if ages:
        said.append(
            f"The customers behind these lines were first approached {min(ages):.0f} to "
            f"{max(ages):.0f} months ago (median of each line)."
        )
    if any(line.support == "hypothesis" for line in profile.lines):
        said.append(
            "(hypothesis): the model uses it, but by itself it is not shown by what matured "
            "customers did."
        )
    if any(line.support == "contradicted" for line in profile.lines):
        said.append(
            "(contradicted): by itself it points the other way; it counts only beside the others."
        )
    return [" ".join(said), ""] if said else []


def _refuse(profile: Profile, labels: dict[str, Attribute]) -> list[str]:
    if not profile.anti:
        return [REFUSE, "", "No group of customers is clearly bad enough to refuse.", ""]
    return [
        REFUSE,
        "",
        "Looked at first: who is under any of these lines is refused, whatever else is true.",
        "",
        "| | line | why | customers | NRR (others) | it would have cost |",
        "| --- | --- | --- | ---: | --- | --- |",
        *(_refusal_row(r, labels[r.predicate.attribute]) for r in profile.anti),
        "",
    ]


def _refusal_row(refusal: Refusal, attribute: Attribute) -> str:
    e = refusal.evidence
    why = "; ".join([*([refusal.reason] if refusal.reason else []), *refusal.why])
    source = "learned" if refusal.learned else "written"
    return (
        f"| {source} | {plain(refusal.predicate.text(attribute))} `{refusal.predicate.code()}` "
        f"| {plain(why) or 'lower NRR'} | {e.accounts} of {e.of} "
        f"| {_percent(e.nrr)} ({_percent(e.nrr_outside)}) "
        f"| {refusal.good_refused} customers who did not shrink; "
        f"{refusal.revenue_refused:.0%} of revenue |"
    )


def _stated(profile: Profile, labels: dict[str, Attribute]) -> list[str]:
    if not profile.stated:
        return []
    said = {
        "supported": "customers bear it out",
        "hypothesis": "not shown either way",
        "contradicted": "**contradicted by customers**",
    }

    def row(line: StatedLine) -> str:
        e = line.evidence
        text = line.predicate.text(labels[line.predicate.attribute])
        return (
            f"| {plain(text)} | {line.points:+d} | {said[line.support]} "
            f"| {e.accounts} of {e.of} | {_reach(e.low, e.high)} |"
        )

    return [
        "## What you believed",
        "",
        "| line of the hypothesis | points | what customers say | customers | difference, 90% |",
        "| --- | ---: | --- | ---: | --- |",
        *map(row, profile.stated),
        "",
    ]


def _beside_the_average(profile: Profile, labels: dict[str, Attribute]) -> list[str]:
    if not profile.lines or not profile.average:
        return []
    wanted: dict[str, list[str]] = {}
    for line in profile.lines:
        if line.points > 0 or line.non_negotiable:
            name = line.predicate.attribute
            wanted.setdefault(name, []).append(line.predicate.text(labels[name]))
    usual = {trait.attribute: trait.text(labels[trait.attribute]) for trait in profile.average}
    warning = (
        [
            f"**Mind that** {profile.likeness:.0%} of the prospects that this ICP selects look "
            "like the average customer too: it says little more than who buys today.",
            "",
        ]
        if profile.likeness >= ALIKE
        else [
            f"Of the prospects that this ICP selects, {profile.likeness:.0%} look like the average "
            "customer too.",
            "",
        ]
    )
    return [
        "## The average customer beside it",
        "",
        *warning,
        "| the average customer | this ICP wants |",
        "| --- | --- |",
        *(
            f"| {plain(usual.get(name, 'n/a'))} | {plain('; '.join(texts))} |"
            for name, texts in sorted(wanted.items())
        ),
        "",
    ]


def _judged(judged: Round, interval: float) -> list[str]:
    trial, ruling, comparison = judged.trial, judged.ruling, judged.comparison
    if trial is None or comparison is None:
        return []
    read_otherwise = comparison.prospective or comparison.weighted
    return [
        "## How it was judged",
        "",
        f"**{ruling.verdict}.** {plain(' '.join(ruling.reasons))}",
        "",
        f"The {len(trial.holdout)} newest matured customers, ranked by models that had not seen "
        f"them; each rival pursues its best {trial.capacity:.0%}.",
        "",
        comparison_table(judged),
        "",
        *([*_readings_table(comparison, interval), ""] if read_otherwise else []),
        "The lines above describe the customers that they were learned from; this table does not.",
        *(["", "Notes:", ""] if judged.notes else []),
        *(f"- {plain(note)}" for note in judged.notes),
        "",
    ]


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
        f"| read on | customers | uplift | {interval:.0%} interval | ahead in bootstrap draws |",
        "| --- | ---: | ---: | --- | ---: |",
        *(
            f"| {name} | {n} | {100 * d.estimate:+.1f} "
            f"| {100 * d.low:+.1f} to {100 * d.high:+.1f} | {d.ahead:.0%} |"
            for name, n, d in rows
        ),
    ]


def _percent(ratio: float) -> str:
    return "n/a" if math.isnan(ratio) else f"{ratio:.0%}"


def _reach(low: float, high: float) -> str:
    if math.isnan(low + high):
        return "n/a"
    return f"{100 * low:+.0f} to {100 * high:+.0f} points"
