"""Read the ICP and what it says of an account: show, diff, explain, lint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from icploop.cli.on_a_day import Told, on_a_day
from icploop.cli.options import (
    HERE,
    Account,
    AsJson,
    Changes,
    HomeFolder,
    IcpOut,
    OfVersion,
    OtherVersion,
    Prose,
    Version,
    home_at,
)
from icploop.cli.text import answer, cut, money, percent, table, told, wrapped

if TYPE_CHECKING:
    from icploop.domain.findings import Finding
    from icploop.domain.profile import Line, Refusal
    from icploop.modeling.page.what_if import Consequences
    from icploop.pipelines.as_of import AsOf
    from icploop.pipelines.diff import DiffReport
    from icploop.pipelines.explain import ExplainReport
    from icploop.pipelines.show import ShownVersion

app = typer.Typer()


@on_a_day(app, "icp explain acme-42")
def explain(at: AsOf, account: Account, version: OfVersion = "champion") -> Told:
    """Tell why an account is scored as it is, who is like it, and what is worth asking."""
    from icploop.pipelines.explain import explain as run

    return run(at, account, version), explain_text


def explain_text(report: ExplainReport) -> str:
    """One account on one screen."""
    s = report.scores
    named = f"{report.name} ({report.account_id})" if report.name else report.account_id
    lines = [
        f"{named}: tier {s['tier']}, fit score {s['fit_score']:.0f} of 100, version "
        f"{report.version}, as of {report.as_of}",
        f"Expected NRR {percent(s['expected_nrr'])}; accounts scored like it had "
        f"{percent(s['expected_nrr_low'])} to {percent(s['expected_nrr_high'])}. Chance to stay "
        f"{percent(s['p_retained'])}. {percent(s['coverage'])} of its fields are known.",
        *([f"Unknown because: {s['note']}"] if s["note"] else []),
    ]
    lines = [row for line in lines for row in wrapped(line)]
    for title, reasons in (("For it", s["reasons_for"]), ("Against it", s["reasons_against"])):
        lines += ["", f"{title}, in points of NRR against the average customer:"]
        lines += [f"  {reason}" for reason in reasons.split("; ")] if reasons else ["  nothing"]
    rows = [
        (cut(n.name or n.account_id, 30), n.won, f"{n.likeness:.0%}", n.outcome)
        for n in report.neighbours
    ]
    if rows:
        lines += ["", table(("most like it", "won", "alike", "what it did"), rows)]
    asked = [
        (
            cut(e.field, 30),
            f"{e.spread:.1f}",
            f"{e.low:.0%} to {e.high:.0%}",
            f"{e.other_tier:.0%}",
        )
        for e in report.empty[:5]
    ]
    if asked:
        heads = ("worth asking", "± points", "expected NRR", "other tier")
        lines += ["", table(heads, asked)]
    return "\n".join(lines)


@on_a_day(app, "icp show champion")
def show(
    at: AsOf, version: Version = "champion", changes: Changes = None, target: IcpOut = None
) -> Told:
    """Show the readable ICP of a version, and what another one would mean."""
    from icploop.pipelines.show import export
    from icploop.pipelines.show import show as run

    report = run(at, version, changes or ())
    if target:
        export(at, version, target)
    return report, lambda shown: icp_text(shown, changes or ())


def icp_text(shown: ShownVersion, changes: Sequence[str]) -> str:
    """The readable ICP in 80 columns, what its lint says, and what another one would mean."""
    profile, labels = shown.profile, {a.name: a for a in shown.attributes}
    lines = [
        f"ICP version {shown.number}, {shown.tags.get('motion', '')}, as of "
        f"{shown.tags.get('as_of', '')}: {shown.tags.get('verdict', '')}",
        *wrapped(shown.tags.get("reasons", ""), "  "),
        "",
        *wrapped(
            f"PURSUE: {profile.cutoff} points or more. A point is worth about {shown.worth}; the "
            f"points keep {profile.fidelity:.0%} of what the full model expects to gain."
        ),
    ]
    for line in _by_dimension(profile.lines):
        must = "must" if line.non_negotiable else ""
        lines.append(
            f"  {must:<4} {line.points:+d}  "
            f"{cut(line.predicate.text(labels[line.predicate.attribute]), 44):<44} "
            f"{_evidence_text(line)}"
        )
    lines += ["", "DO NOT PURSUE, looked at first:" if profile.anti else "Nobody is refused."]
    for refusal in profile.anti:
        text = refusal.predicate.text(labels[refusal.predicate.attribute])
        why = "; ".join([*([refusal.reason] if refusal.reason else []), *refusal.why])
        lines += [
            f"           {cut(text, 44):<44} {_evidence_text(refusal)}",
            *wrapped(
                f"{why + '. ' if why else ''}It would have cost {refusal.good_refused} customers "
                f"who did not shrink and {refusal.revenue_refused:.0%} of revenue.",
                "           ",
            ),
        ]
    lines += ["", *consequences_text(shown, changes)]
    if shown.findings:
        lines += ["", "LINT", *told(shown.findings, "  ")]
    return "\n".join(lines)


def _by_dimension(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (not line.non_negotiable, -line.points, line.dimension))


def _evidence_text(line: Line | Refusal) -> str:
    e = line.evidence
    return f"{e.accounts:>4}  {percent(e.nrr):>4} ({percent(e.nrr_outside)})"


def consequences_text(shown: ShownVersion, changes: Sequence[str]) -> list[str]:
    """What the ICP means in accounts and money; beside it what it would mean with changes."""
    columns = [shown.today, *([shown.changed] if shown.changed else [])]
    heads = ["what it means", "as it is", *([", ".join(changes)] if shown.changed else [])]

    def row(name: str, say: Callable[[Consequences], str]) -> list[str]:
        return [name, *(say(c) for c in columns)]

    rows = [
        row("prospects it selects", lambda c: f"{c.selected:,} of {c.market:,}"),
        row("good customers it keeps", lambda c: percent(c.good_kept)),
        row("customers like these", lambda c: f"{c.customers} of {c.matured}"),
        row("their NRR", lambda c: percent(c.nrr)),
        row("  90% interval", lambda c: f"{percent(c.nrr_low)} to {percent(c.nrr_high)}"),
        row("their retention", lambda c: percent(c.retention)),
        row("ARR today", lambda c: f"{c.arr:,.0f}"),
        row("ARR in a year, all like these", lambda c: money(c.arr_next_year)),
        row("  if they only left", lambda c: money(c.arr_with_churn_only)),
    ]
    return table(heads, rows).splitlines()


@on_a_day(app, "icp diff 3 4")
def diff(at: AsOf, old: Version, new: OtherVersion) -> Told:
    """Tell what changed from one ICP to another, and which accounts moved tier."""
    from icploop.pipelines.diff import diff as run

    return run(at, old, new), diff_text


def diff_text(report: DiffReport) -> str:
    """The lines that came, went or changed with their evidence, then who moved tier."""
    lines = [f"From version {report.old} to {report.new}, as of {report.as_of}", ""]
    if report.cutoffs[0] != report.cutoffs[1]:
        lines += [f"{report.cutoffs[1]} points fit now, {report.cutoffs[0]} did before.", ""]
    signs = {"added": "+", "removed": "-", "changed": "~"}
    for change in report.changes:
        for line, name in ((change.old, "was"), (change.new, "is")):
            if line is None:
                continue
            text = line.predicate.text(report.attributes[line.predicate.attribute])
            worth = getattr(line, "points", None)
            points = "no" if worth is None else f"{worth:+d}"
            said = f"{signs[change.kind]} {name:<3} {points:>3}  {cut(text, 42):<42}"
            lines.append(f"{said} {_evidence_text(line)}")
    if not report.changes:
        lines.append("No line is different.")
    moved = report.moves
    lines += ["", f"{len(moved)} of {report.accounts} accounts moved tier."]
    if len(moved):
        ways = Counter(zip(moved["before"], moved["after"], strict=True))
        lines += [f"  {n:>6}  {old} to {new}" for (old, new), n in sorted(ways.items())]
        rows = [
            (account, cut(name or account, 30), before, after)
            for account, before, after, name in moved.head(20).itertuples()
        ]
        lines += ["", table(("account", "name", "was", "is"), rows)]
        if len(moved) > len(rows):
            lines.append("All of them: --json")
    return "\n".join(lines)


@app.command(epilog="Example: icp lint 'mid-market B2B SaaS companies'")
def lint(description: Prose = None, home: HomeFolder = HERE, as_json: AsJson = False) -> None:
    """Say what is wrong with an ICP in prose, or with the hypothesis in the settings."""
    from icploop.pipelines.show import lint_description, lint_hypothesis

    findings = (
        lint_hypothesis(home_at(home).settings())
        if description is None
        else lint_description(description)
    )
    found = [finding.as_dict() for finding in findings]
    answer(as_json, {"findings": found}, lambda: lint_text(findings))


def lint_text(findings: Sequence[Finding]) -> str:
    """One finding a paragraph."""
    if not findings:
        return "Nothing is wrong with it on its face."
    return "\n".join(told(findings))
