"""What the command line prints for people: plain text that fits 80 columns where it can."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from icploop.modeling.rounds import Round
    from icploop.pipelines.backtest import BacktestReport
    from icploop.pipelines.demo import DemoReport
    from icploop.pipelines.ingest import IngestReport
    from icploop.pipelines.promote import PromotionReport
    from icploop.pipelines.retrain import RetrainReport, WatchReport
    from icploop.pipelines.score import ListReport, ScoreReport
    from icploop.pipelines.status import Status


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
    return "\n".join(lines)


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
            f"version {found.pending_approval}" if found.pending_approval else "nothing",
        ),
        ("closed since a round", f"{found.closed_since} deals ({found.missing_deals} missing)"),
        ("round due", "yes" if found.round_due else "no"),
        ("last round", found.last_round or "never"),
        ("matured accounts", f"{found.matured_accounts} (at least {found.min_matured} are needed)"),
        ("newest deal", found.newest_deal or "none"),
        ("newest revenue month", found.newest_revenue_month or "none"),
        ("rows in quarantine", str(found.quarantined_rows)),
    ]
    return "\n".join(f"{name:<22}{fact}" for name, fact in facts)


def retrain(report: RetrainReport) -> str:
    """The verdict, why, and what to do next."""
    r = report.round
    lines = [f"{r.decision.verdict}: {' '.join(r.decision.reasons)}"]
    lines += [f"Note: {note}" for note in r.notes]
    if report.version:
        lines.append(f"Registered as version {report.version}; MLflow run {report.run_id}.")
    if r.decision.verdict == "PROMOTE":
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
        f"{report.approved_by}{replaced}."
    )


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
            "",
            first_targets(report.head),
        ]
    )


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
            report.page,
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
