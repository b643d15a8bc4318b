"""What the command line prints for people: plain text that fits 80 columns where it can."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from icploop.domain.history import HistoryReach
    from icploop.domain.profile import Line, Refusal
    from icploop.domain.prose import Finding
    from icploop.modeling.judging.round import Round
    from icploop.modeling.page.what_if import Consequences
    from icploop.pipelines.backtest import BacktestReport
    from icploop.pipelines.check import CheckReport
    from icploop.pipelines.decide import (
        PromotionReport,
        RejectionReport,
        RollbackReport,
        SettledReport,
    )
    from icploop.pipelines.demo import DemoReport
    from icploop.pipelines.diff import DiffReport
    from icploop.pipelines.explain import ExplainReport
    from icploop.pipelines.ingest import IngestReport
    from icploop.pipelines.retrain import RetrainReport, WatchReport
    from icploop.pipelines.score import ListReport, ScoreReport
    from icploop.pipelines.show import ShownVersion
    from icploop.pipelines.status import LedgerReport, Status
    from icploop.pipelines.write_back import WriteBackReport


def tell(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def say(step: str) -> None:
    """Name the step that begins, on stderr."""
    print(f"· {step}", file=sys.stderr, flush=True)


def progress(what: str) -> Callable[[Round, int, int], None]:
    """A callback that shows how far a replay is, on stderr."""
    interactive = sys.stderr.isatty()

    def show(judged: Round, done: int, total: int) -> None:
        filled = round(30 * done / total)
        bar = "█" * filled + "░" * (30 - filled)
        line = f"  {what} {bar} {judged.as_of}  {judged.decision.verdict:<13}"
        print(
            f"\r{line}" if interactive else line, end="" if interactive else "\n", file=sys.stderr
        )
        sys.stderr.flush()

    return show


def counter(done: int, total: int) -> None:
    """Say on stderr how many accounts are done, where that is a thousand more, or all."""
    if done % 1000 == 0 or done == total:
        say(f"{done} of {total} accounts")


def ingest(report: IngestReport) -> str:
    """Rows by table, then what is in quarantine and why."""
    rows = [(name, c["rows"], c["stored"], c["quarantined"]) for name, c in report.tables.items()]
    lines = [table(("table", "good rows", "stored", "quarantined"), rows)]
    if report.rules:
        lines += [
            "",
            "In quarantine, by rule:",
            *(f"  {n:>6}  {r}" for r, n in report.rules.items()),
        ]
    if report.emptied:
        lines += [
            "",
            "Cells of declared attributes that break a rule count as missing; so many, by rule:",
        ]
        lines += [f"  {n:>6}  {r}" for r, n in report.emptied.items()]
    if report.personal:
        lines += ["", "Not stored, because only company data are kept here:"]
        lines += [f"  {said}" for said in report.personal]
    lines += _who_is_who(report.identity)
    lines += ["", _history(report.history)]
    if report.forgotten:
        lines.append(
            f"{report.forgotten} earlier states of accounts were forgotten, because they were read "
            "under another mapping: what the sources say now counts as known always."
        )
    return "\n".join(lines)


def _who_is_who(identity: dict[str, Any] | None) -> list[str]:
    """How much of billing belongs to accounts, where not all does or other keys were needed."""
    if identity is None or identity["billing"]["match_rate"] is None:
        return []
    billing, won = identity["billing"], identity["won_accounts"]
    money = billing["money_matched"] + billing["money_unmatched"]
    rules = ", ".join(f"{rule} {row['customers']}" for rule, row in billing["by_rule"].items())
    lines = [
        "",
        f"Billing: {billing['match_rate']:.0%} of its customers are accounts ({rules}), with "
        f"{billing['money_matched'] / money if money else 1:.0%} of {money:,.0f} billed.",
        f"Deals: {won['billed']} won accounts are billed (ACV {won['acv_billed']:,.0f}), "
        f"{won['never_billed']} are not (ACV {won['acv_never_billed']:,.0f}).",
    ]
    if twice := identity["duplicates"]:
        merged = sum(account["merged"] for account in twice)
        lines.append(
            f"{len(twice)} accounts are another one twice (same domain and name, or an alias); "
            f"{merged} count as one company with it. --json lists them."
        )
    return lines


def _history(history: HistoryReach) -> str:
    """Since when attributes are what they were, and what that means for earlier deals."""
    if history.since:
        said = f"Accounts are described as they were since {history.since} ({history.deals} deals)"
        if history.earlier:
            said += (
                f"; for {history.earlier} earlier deals only what had been written down by then "
                "is used"
            )
    elif history.earlier:
        said = f"No day since which accounts are described as they were ({history.earlier} deals)"
    else:
        said = "Accounts have no history"
    if history.always:
        said += (
            f"; attributes without observed_at count as known always ({history.always} deals): "
            "nothing tells what was filled in later"
        )
    return said + "."


def status(found: Status) -> str:
    """The state of the loop, one line a fact."""
    facts = [
        ("motion", found.motion),
        ("as of", found.as_of),
        (
            "in force",
            f"version {found.champion} of {found.champion_as_of}"
            if found.champion
            else "no version yet",
        ),
        (
            "waits for approval",
            f"version {found.pending_approval} ({found.pending_note})"
            if found.pending_approval
            else "nothing",
        ),
        *(
            [("half done", f"a decision ({found.unfinished}); the next act finishes it")]
            if found.unfinished
            else []
        ),
        ("published", found.published or "nothing yet"),
        ("closed since a round", f"{found.closed_since} deals ({found.missing_deals} missing)"),
        ("round due", "yes" if found.round_due else "no"),
        ("last round", found.last_round or "never"),
        ("matured accounts", f"{found.matured_accounts} (at least {found.min_matured} are needed)"),
        ("newest deal", found.newest_deal or "none"),
        ("newest revenue month", found.newest_revenue_month or "none"),
        ("rows in quarantine", str(found.quarantined_rows)),
    ]
    return "\n".join(f"{name:<22}{fact}" for name, fact in facts)


def ledger(found: LedgerReport) -> str:
    """The ledger, a line a row, and whether it is sound."""
    lines = [
        f"{s.number:>5}  {s.row.as_of}  {s.row.motion}  {s.row.event:<12}"
        f"{'v' + s.row.version if s.row.version else '':<6}"
        f"{s.row.who or '':<12} {shortened(s.row.reason or '')}  [{s.seal[:8]}]"
        for s in found.rows
    ]
    if found.first_broken is not None:
        lines.append(f"NOT SOUND: row {found.first_broken} is not as it was written.")
    lines += [f"NOT SOUND: {missing}." for missing in found.missing]
    if found.is_sound:
        lines.append(f"The ledger is sound: {len(found.rows)} rows.")
    return "\n".join(lines)


def shortened(text: str, width: int = 90) -> str:
    """The text on one line, cut at `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def retrain(report: RetrainReport) -> str:
    """The verdict, why, and what to do next."""
    r = report.round
    lines = [f"{r.decision.verdict}: {' '.join(r.decision.reasons)}"]
    lines += [f"Note: {note}" for note in r.notes]
    if report.version:
        lines.append(f"Registered as version {report.version}; MLflow run {report.run_id}.")
    if report.promoted:
        lines.append(approve(report.promoted))
    if report.waits:
        lines.append(f'It waits for approval: icp approve {report.version} --by WHO --reason "..."')
    return "\n".join(lines)


def watch(report: WatchReport) -> str:
    """Whether a round was due, and its verdict if so."""
    if report.retrain is None:
        return f"No round is due: {report.due.reason}."
    return f"A round was due: {report.due.reason}.\n{retrain(report.retrain)}"


def approve(report: PromotionReport) -> str:
    """What is in force now."""
    replaced = f"; version {report.replaced} is the previous one" if report.replaced else ""
    return (
        f"Version {report.version} of {report.motion} is in force, approved by "
        f"{report.approved_by}{replaced}.\nIts scores and target list: {report.published}"
    )


def reject(report: RejectionReport) -> str:
    """What does not wait any more."""
    return f"Version {report.version} of {report.motion} was rejected by {report.rejected_by}."


def rollback(report: RollbackReport) -> str:
    """What is in force again."""
    return (
        f"Version {report.version} of {report.motion} is in force again, instead of version "
        f"{report.left}.\nIts scores and target list, as they were: {report.published}"
    )


def settle(report: SettledReport) -> str:
    """What was found to do."""
    return "\n".join(report.done) or f"Nothing was to do for {report.motion}."


def score(report: ScoreReport) -> str:
    """How many accounts fell into each tier."""
    tiers = ", ".join(f"{tier} {count}" for tier, count in sorted(report.tiers.items()))
    lines = [f"{report.rows} accounts scored by version {report.version}: {tiers}", report.out]
    if report.note:
        lines.insert(0, report.note)
    if report.absent:
        lines.append(f"Not in the file, so unknown: {', '.join(report.absent)}")
    lines += [
        f"{count} cells of {name} could not be read and count as unknown"
        for name, count in report.unreadable.items()
    ]
    return "\n".join(lines)


def explain(report: ExplainReport) -> str:
    """One account on one screen."""
    s = report.scores
    named = f"{report.name} ({report.account_id})" if report.name else report.account_id
    lines = [
        f"{named}: tier {s['tier']}, fit score {s['fit_score']:.0f} of 100, version "
        f"{report.version}, as of {report.as_of}",
        f"Expected NRR {_percent(s['expected_nrr'])}; accounts scored like it had "
        f"{_percent(s['expected_nrr_low'])} to {_percent(s['expected_nrr_high'])}. Chance to stay "
        f"{_percent(s['p_retained'])}. {_percent(s['coverage'])} of its fields are known.",
        *([f"Unknown because: {s['note']}"] if s["note"] else []),
    ]
    lines = [row for line in lines for row in _wrapped(line)]
    for title, reasons in (("For it", s["reasons_for"]), ("Against it", s["reasons_against"])):
        lines += ["", f"{title}, in points of NRR against the average customer:"]
        lines += [f"  {reason}" for reason in reasons.split("; ")] if reasons else ["  nothing"]
    rows = [
        (_cut(n.name or n.account_id, 30), n.won, f"{n.likeness:.0%}", n.outcome)
        for n in report.neighbours
    ]
    if rows:
        lines += ["", table(("most like it", "won", "alike", "what it did"), rows)]
    asked = [
        (
            _cut(e.field, 30),
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


def target_list(report: ListReport) -> str:
    """How long the list is, who was left out, and its first ten."""
    left_out = [f"  {count:>6}  {why}" for why, count in report.excluded.items()]
    return "\n".join(
        [
            *([report.note] if report.note else []),
            f"{report.listed} accounts in {report.out} (version {report.version})",
            "Left out:",
            *left_out,
            f"  listed in {report.excluded_out}",
            *report.warnings,
            "",
            first_targets(report.head),
        ]
    )


def check(report: CheckReport) -> str:
    """Who is missing from the last list, who is doubtful on it, and what came of all lists."""
    lines = [f"The list of {report.list_of}, held against today's scores:"]
    for accounts, what in (
        (report.missing, "of tier A or B are not on it"),
        (report.doubtful, "on it should not be"),
    ):
        lines.append(f"{len(accounts):>6}  accounts {what}")
        lines += [
            f"          {row.account_id}  {row.name if isinstance(row.name, str) else ''}  "
            f"tier {row.tier}: {row.why}"
            for row in accounts.head(5).itertuples(index=False)
        ]
    if report.outcomes.empty:
        return "\n".join([*lines, "No deal that began under a list has been decided yet."])
    lines += ["", "What came of deals that began under a list, by its tiers:"]
    rows = report.outcomes.to_dict("records")
    lines += [_came(row) for row in rows if row["by"] == "tier"]
    lines += ["The same deals, by who chose their accounts:"]
    lines += [_came(row) for row in rows if row["by"] != "tier"]
    if not report.outcomes["matured"].any():
        lines.append("None of these customers has matured yet, so their NRR is not known.")
    return "\n".join(lines)


def _came(row: dict[Any, Any]) -> str:
    group = f"tier {row['group']}" if row["by"] == "tier" else row["group"]
    told = f"{group:<20} {row['deals']:>5} decided, {row['won']} won, {row['matured']} matured"
    if row["nrr"] != row["nrr"]:
        return told
    return told + (
        f": NRR {row['nrr']:.0%} ({row['low']:.0%} to {row['high']:.0%}), "
        f"expected {row['expected']:.0%}"
    )


def write_back(report: WriteBackReport) -> str:
    """What was written to the CRM, or would be, and what could not be."""
    r = report
    did = "changed and read back" if r.applied else "would change"
    facts = [
        (r.changed, did),
        (r.unchanged, "are right already"),
        (r.resumed, "were written and read back before the last run ended"),
        (len(r.unknown), f"are not in {r.crm}" + _such_as(r.unknown)),
        (len(r.ambiguous), f"are not one company in {r.crm}" + _such_as(r.ambiguous)),
        (len(r.refused), f"were refused by {r.crm}" + _such_as(r.refused)),
    ]
    lines = [f"{r.accounts} accounts of {r.source}; {r.calls} calls to {r.crm}"]
    lines += [f"{count:>8}  {what}" for count, what in facts if count or what == did]
    lines += [f"{count:>8}  values of {name}" for name, count in r.by_property.items()]
    for change in r.examples:
        cells = [
            f"{r.properties[f]} {_cell(change.before[f])} → {_cell(value)}"
            for f, value in change.after.items()
        ]
        lines += ["", f"  {change.account_id}", *(f"    {cell}" for cell in cells)]
    reasons = Counter(r.refused.values()).most_common(5)
    lines += [f"Refused ({count}): {why}" for why, count in reasons]
    if r.lacking:
        lines.append(f"{r.crm} does not have the properties {', '.join(r.lacking)} yet.")
    if not r.applied and r.changed:
        lines.append(f"Nothing was written. To write it: icp write-back --in {r.source} --apply")
    if r.journal:
        lines.append(f"What each company held before and after is in {r.journal}")
    return "\n".join(lines)


def _such_as(accounts: Iterable[str]) -> str:
    named = list(accounts)
    return f": {', '.join(named[:5])}{', ...' if len(named) > 5 else ''}"


def _cell(value: str | None) -> str:
    return "(empty)" if value is None else _cut(value, 28)


def first_targets(head: pd.DataFrame) -> str:
    """The first accounts of the target list, with the best reason for each."""
    rows = [
        (
            rank,
            str(row.account_id if _missing(row.name) else row.name)[:24],
            row.tier,
            f"{row.fit_score:.0f}",
            "" if _missing(row.expected_nrr) else f"{row.expected_nrr:.0%}",
            _short_reason(str(row.reasons_for)),
        )
        for rank, row in enumerate(head.itertuples(index=False), start=1)
    ]
    return table(("#", "account", "tier", "fit", "NRR", "best reason (points of NRR)"), rows)


def _short_reason(reasons: str, width: int = 38) -> str:
    """The first reason, its value cut so that the points are seen."""
    what, _, worth = reasons.split("; ", maxsplit=1)[0].rpartition(": ")
    room = width - len(worth) - 2
    return f"{what if len(what) <= room else what[: room - 1] + '…'}: {worth}" if what else ""


def icp(shown: ShownVersion, changes: Sequence[str]) -> str:
    """The readable ICP in 80 columns, what its lint says, and what another one would mean."""
    profile, labels = shown.profile, {a.name: a for a in shown.attributes}
    lines = [
        f"ICP version {shown.number}, {shown.tags.get('motion', '')}, as of "
        f"{shown.tags.get('as_of', '')}: {shown.tags.get('verdict', '')}",
        *_wrapped(shown.tags.get("reasons", ""), "  "),
        "",
        *_wrapped(
            f"PURSUE: {profile.cutoff} points or more. A point is worth about "
            f"{100 * profile.unit:.1f} points of NRR; the points keep {profile.fidelity:.0%} of "
            "what the full model expects to gain."
        ),
    ]
    for line in _by_dimension(profile.lines):
        must = "must" if line.non_negotiable else ""
        lines.append(
            f"  {must:<4} {line.points:+d}  "
            f"{_cut(line.predicate.text(labels[line.predicate.attribute]), 44):<44} "
            f"{_evidence(line)}"
        )
    lines += ["", "DO NOT PURSUE, looked at first:" if profile.anti else "Nobody is refused."]
    for refusal in profile.anti:
        text = refusal.predicate.text(labels[refusal.predicate.attribute])
        why = "; ".join([*([refusal.reason] if refusal.reason else []), *refusal.why])
        lines += [
            f"           {_cut(text, 44):<44} {_evidence(refusal)}",
            *_wrapped(
                f"{why + '. ' if why else ''}It would have cost {refusal.good_refused} customers "
                f"who did not shrink and {refusal.revenue_refused:.0%} of revenue.",
                "           ",
            ),
        ]
    lines += ["", *consequences(shown, changes)]
    if shown.findings:
        lines += ["", "LINT", *(row for f in shown.findings for row in _wrapped(f.message, "  "))]
    return "\n".join(lines)


def consequences(shown: ShownVersion, changes: Sequence[str]) -> list[str]:
    """What the ICP means in accounts and money; beside it what it would mean with changes."""
    columns = [shown.today, *([shown.changed] if shown.changed else [])]
    heads = ["what it means", "as it is", *([", ".join(changes)] if shown.changed else [])]

    def row(name: str, say: Callable[[Consequences], str]) -> list[str]:
        return [name, *(say(c) for c in columns)]

    rows = [
        row("prospects it selects", lambda c: f"{c.selected:,} of {c.market:,}"),
        row("good customers it keeps", lambda c: _percent(c.good_kept)),
        row("customers like these", lambda c: f"{c.customers} of {c.matured}"),
        row("their NRR", lambda c: _percent(c.nrr)),
        row("  90% interval", lambda c: f"{_percent(c.nrr_low)} to {_percent(c.nrr_high)}"),
        row("their retention", lambda c: _percent(c.retention)),
        row("ARR today", lambda c: f"{c.arr:,.0f}"),
        row("ARR in a year, all like these", lambda c: _money(c.arr_next_year)),
        row("  if they only left", lambda c: _money(c.arr_with_churn_only)),
    ]
    return table(heads, rows).splitlines()


def diff(report: DiffReport) -> str:
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
            said = f"{signs[change.kind]} {name:<3} {points:>3}  {_cut(text, 42):<42}"
            lines.append(f"{said} {_evidence(line)}")
    if not report.changes:
        lines.append("No line is different.")
    moved = report.moves
    lines += ["", f"{len(moved)} of {report.accounts} accounts moved tier."]
    if len(moved):
        ways = Counter(zip(moved["before"], moved["after"], strict=True))
        lines += [f"  {n:>6}  {old} to {new}" for (old, new), n in sorted(ways.items())]
        rows = [
            (account, _cut(name or account, 30), before, after)
            for account, before, after, name in moved.head(20).itertuples()
        ]
        lines += ["", table(("account", "name", "was", "is"), rows)]
        if len(moved) > len(rows):
            lines.append("All of them: --json")
    return "\n".join(lines)


def lint(findings: Sequence[Finding]) -> str:
    """One finding a paragraph."""
    if not findings:
        return "Nothing is wrong with it on its face."
    return "\n".join(row for f in findings for row in _wrapped(f"{f.rule}: {f.message}"))


def _by_dimension(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (not line.non_negotiable, -line.points, line.dimension))


def _evidence(line: Line | Refusal) -> str:
    e = line.evidence
    return f"{e.accounts:>4}  {_percent(e.nrr):>4} ({_percent(e.nrr_outside)})"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, 80, initial_indent=indent, subsequent_indent=indent)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _percent(ratio: float | None) -> str:
    return "n/a" if _missing(ratio) or ratio is None else f"{ratio:.0%}"


def _money(amount: float | None) -> str:
    return "n/a" if amount is None else f"{amount:,.0f}"


def backtest(report: BacktestReport) -> str:
    """The rounds as a table, then what the versions in force would have been worth."""
    return "\n".join([rounds(report.rounds), "", prospective(report)])


def rounds(replayed: pd.DataFrame) -> str:
    """One line a round: as-of, matured, verdict, uplift with its interval, true uplift if known."""
    if replayed.empty:
        return "No round was due."
    known = replayed["true_uplift"].notna().any()
    heads = ["as of", "matured", "verdict", "against", "uplift", "90% interval"]
    records: list[dict[Any, Any]] = replayed.to_dict(orient="records")
    rows = [
        [
            row["as_of"],
            row["n_matured"],
            row["verdict"],
            "" if _missing(row["rival"]) else row["rival"].removeprefix("the "),
            points(row["uplift"]),
            "" if _missing(row["uplift"]) else f"{points(row['low'])} to {points(row['high'])}",
            *([points(row["true_uplift"])] if known else []),
        ]
        for row in records
    ]
    return table([*heads, *(["true uplift"] if known else [])], rows)


def prospective(report: BacktestReport) -> str:
    """What pursuing the ICP's best accounts was worth on customers acquired afterwards."""
    found = report.prospective
    if found is None:
        return "No version came into force early enough to be judged on later customers."
    d = found.nrr
    return (
        f"On {found.n_holdout} customers won after a version came into force, NRR of the best "
        f"share: ICP {found.challenger.nrr:.1%}, average customer profile "
        f"{found.champion.nrr:.1%}, everyone {report.everyone_nrr or float('nan'):.1%}.\n"
        f"ICP against average customer profile: {points(d.estimate)} points "
        f"({points(d.low)} to {points(d.high)}), probability better {d.probability_better:.0%}."
    )


def demo(report: DemoReport) -> str:
    """The whole story of the demo, and where to look next."""
    last = report.last.retrain
    as_of = last.round.as_of if last else ""
    return "\n".join(
        [
            "",
            "Rounds replayed. Uplift is in points of NRR against the rival; its truth is known,",
            "because the company is simulated.",
            "",
            backtest(report.replay),
            "",
            "The last round, on record in Prefect and MLflow:",
            "",
            watch(report.last),
            f"True uplift: {points(report.last_true_uplift)} points (simulated).",
            "",
            icp(report.shown, ()),
            "",
            "The first ten target accounts:",
            "",
            first_targets(report.targets.head),
            "",
            "Where to look next:",
            "  make ui",
            "      MLflow and Prefect in a browser",
            f"  {report.targets.out}",
            "      the target account list",
            f"  .venv/bin/icp status --home {report.home} --as-of {as_of}",
            "      what is in force and what waits",
            "  docs/your-data.md",
            "      the same on your own files",
        ]
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns of text; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    numeric = [all(_looks_like_number(row[i]) for row in cells) for i in range(len(heads))]
    widths = [max(len(row[i]) for row in [list(heads), *cells]) for i in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        return "  ".join(aligned).rstrip()

    return "\n".join([line(heads), line(["-" * width for width in widths]), *map(line, cells)])


def points(ratio: Any) -> str:
    """A ratio as points with its sign: 0.021 is +2.1; nothing for a missing one."""
    return "" if _missing(ratio) else f"{100 * ratio:+.1f}"


def _missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN, without importing pandas


def _looks_like_number(cell: str) -> bool:
    return not cell or cell.lstrip("+-").replace(".", "").replace("%", "").isdigit()
