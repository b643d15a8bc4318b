"""The loop: a home and its data, whether a round is due, the round, and the loop over history."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from icploop.cli.decide import approve_text
from icploop.cli.on_a_day import Told, on_a_day
from icploop.cli.on_record import pipeline_or_flow
from icploop.cli.options import (
    HERE,
    AllowLeak,
    AsJson,
    Day,
    DemoCompany,
    ExportFolder,
    ExportMode,
    FirstDay,
    Force,
    HealthOut,
    HomeFolder,
    LastDay,
    LeakReason,
    Ledger,
    MlflowPort,
    Motion,
    NewHome,
    OneTable,
    PrefectPort,
    RawExports,
    RowsOut,
    Seed,
    ShrinkIsMeant,
    TrainedBy,
    as_of,
    day_of,
    home_at,
    trainer,
)
from icploop.cli.read import icp_text
from icploop.cli.text import (
    answer,
    cut,
    is_missing,
    percent,
    points,
    print_now,
    progress,
    say,
    table,
    told,
    wrapped,
)
from icploop.cli.use import first_targets_text
from icploop.errors import RefusedError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from icploop.domain.history import HistoryReach
    from icploop.domain.understood import Sums
    from icploop.pipelines.as_of import AsOf
    from icploop.pipelines.backtest import BacktestReport
    from icploop.pipelines.demo import DemoReport
    from icploop.pipelines.ingest import IngestReport
    from icploop.pipelines.init import InitReport
    from icploop.pipelines.ledger import LedgerReport
    from icploop.pipelines.quarantine import QuarantineReport
    from icploop.pipelines.retrain import RetrainReport, WatchReport
    from icploop.pipelines.status import Status

app = typer.Typer()


@app.command(epilog="Example: icp init my-company --from exports/")
def init(folder: NewHome, exports: RawExports = None, as_json: AsJson = False) -> None:
    """Write a commented conf/ for a new company, mapped onto its exports."""
    from icploop.pipelines.init import init as run

    report = run(folder, exports)
    answer(as_json, report.as_dict(), lambda: init_text(report))


def init_text(report: InitReport) -> str:
    """What was written, what was guessed, and what a person should look at."""
    conf, guessed = report.home / "conf", report.guessed
    head = f"Wrote {len(report.written)} files below {conf}."
    if guessed is None:
        return (
            f"{head}\n"
            "Next: put accounts.csv, deals.csv and revenue.csv into "
            f"{report.home / 'data' / 'inbox'}, declare your attributes in "
            f"{conf / 'icp.yaml'},\n"
            f"then run: icp ingest --home {report.home}"
        )
    rows = [
        (name, one.file, "query" if one.query else "file", len(one.columns))
        for name, one in guessed.tables.items()
    ]
    stages = Counter(one.outcome or "unclear" for one in guessed.stages)
    kinds = ", ".join(f"{n} {name}" for name, n in report.kinds().items())
    lines = [
        head,
        "",
        table(("table", "from", "by", "columns"), rows),
        "",
        *wrapped(f"Stages: {', '.join(f'{n} {outcome}' for outcome, n in stages.items())}.")
        * bool(stages),
        *wrapped(f"Attributes: {kinds}; {len(guessed.left_out)} columns left out."),
        *wrapped(f"Currency: {guessed.currency} ({guessed.currency_why})."),
    ]
    if guessed.unused:
        lines += wrapped(f"Not used: {', '.join(sorted(guessed.unused))}.")
    for doubt in guessed.unsure:
        lines += ["", *wrapped(f"LOOK: {doubt}")]
    lines += [
        "",
        "Each guess stands with its reason in",
        f"  {conf / 'sources' / 'files.yaml'}",
        f"  {conf / 'icp.yaml'}",
        f"Next: icp ingest --home {report.home}",
    ]
    return "\n".join(lines)


@app.command(epilog="Example: icp demo --home demo-company")
def demo(home: HomeFolder = Path("demo-company"), seed: Seed = 7, as_json: AsJson = False) -> None:
    """Run the whole loop on a simulated company, then say where to look."""
    from icploop.pipelines.demo import prepare_prefect

    prepare_prefect(home)
    from flows.demo import demo as run

    report = run(home, seed, progress("replay"), say)
    answer(as_json, report.as_dict(), lambda: demo_text(report))


def demo_text(report: DemoReport) -> str:
    """The whole story of the demo, and where to look next."""
    last = report.last.retrain
    as_of = last.round.as_of if last else ""
    return "\n".join(
        [
            "",
            "Rounds replayed. Uplift is in points of NRR against the rival; its truth is known,",
            "because the company is simulated.",
            "",
            backtest_text(report.replay),
            "",
            "The last round, on record in Prefect and MLflow:",
            "",
            watch_text(report.last),
            f"True uplift: {points(report.last_true_uplift)} points (simulated).",
            "",
            icp_text(report.shown, ()),
            "",
            "The first ten target accounts:",
            "",
            first_targets_text(report.targets.head),
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


@app.command(epilog="Example: icp ingest --from exports/")
def ingest(
    home: HomeFolder = HERE,
    folder: ExportFolder = None,
    mode: ExportMode = None,
    shrink_is_meant: ShrinkIsMeant = False,
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Pull every source, validate, quarantine, store; say what was understood."""
    run = pipeline_or_flow("icploop.pipelines.ingest:ingest", "flows.ingest:ingest")
    report = run(
        home_at(home),
        folder,
        day_of(day),
        mode=mode.value if mode else None,
        shrink_is_meant=shrink_is_meant,
    )
    answer(as_json, report.as_dict(), lambda: ingest_text(report))


def ingest_text(report: IngestReport) -> str:
    """Rows by table, sums to hold against a dashboard, what looks wrong, what was refused."""
    heads = ("read", "rows", "quarantined", "repeated", "new", "changed", "left", "stored")
    rows = [(name, *(counts[head] for head in heads)) for name, counts in report.tables.items()]
    lines = [table(("table", "read", "good", *heads[2:]), rows), *_sums(report.sums)]
    lines += [f"Motion {motion}: {counted}" for motion, counted in report.left_out.items()]
    for found in report.findings:
        lines += ["", *told([found])]
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


def _sums(sums: Sums) -> list[str]:
    """What a person can hold against their own dashboard."""
    if sums.first_month is None:
        return []
    lines = [
        "",
        *wrapped(
            f"Revenue from {sums.first_month:%Y-%m}, complete until "
            f"{sums.last_complete_month:%Y-%m}. {sums.why}"
        ),
        f"In {sums.last_complete_month:%Y-%m}: MRR {sums.mrr:,.2f} of {sums.customers:,} "
        "customers.",
    ]
    if sums.nrr is not None:
        lines.append(f"Who paid a year before: NRR {percent(sums.nrr)}, GRR {percent(sums.grr)}.")
    return lines


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


@app.command(epilog="Example: icp quarantine --out to-mend.csv")
def quarantine(
    home: HomeFolder = HERE,
    target: RowsOut = None,
    one: OneTable = None,
    as_json: AsJson = False,
) -> None:
    """Say what was refused, by rule, with samples; write its rows as a file to mend."""
    from icploop.pipelines.quarantine import quarantine as run

    report = run(home_at(home), target, one.value if one else None)
    answer(as_json, report.as_dict(), lambda: quarantine_text(report))


def quarantine_text(report: QuarantineReport) -> str:
    """Each rule with the place, how many rows broke it, and three of them."""
    if not report.rules:
        return "Nothing is in quarantine."
    lines = [f"{report.rows:,} rows are not stored, {report.emptied:,} have emptied cells."]
    for rule in report.rules:
        what = "cell emptied" if rule.kept else "refused"
        samples = ", ".join(
            f"row {sample['row']}: {cut(str(sample['value']), 40)!r}" for sample in rule.samples
        )
        lines += [
            "",
            f"{rule.rows:,} {what}: {rule.table}: {rule.rule}",
            f"  {rule.source}, {samples}",
        ]
    if report.out:
        lines += ["", f"Rows with reason and place: {report.out}"]
    return "\n".join(lines)


@app.command(epilog="Example: icp status --as-of 2025-12-31")
def status(
    home: HomeFolder = HERE,
    motion: Motion = None,
    log: Ledger = False,
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Champion, closed deals since, matured accounts, pending approvals, freshness."""
    from icploop.pipelines.ledger import ledger_report
    from icploop.pipelines.status import status as run

    if log:
        ledger = ledger_report(home_at(home))
        answer(as_json, ledger.as_dict(), lambda: ledger_text(ledger))
        raise typer.Exit(0 if ledger.is_sound else RefusedError.exit_status)
    report = run(as_of(home, motion, day))
    answer(as_json, report.as_dict(), lambda: status_text(report))


def status_text(found: Status) -> str:
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
        ("left out", str(found.left_out)),
        ("newest deal", found.newest_deal or "none"),
        ("newest revenue month", found.newest_revenue_month or "none"),
        ("last complete month", found.last_complete_month or "none"),
        ("age of the data", f"{found.data_age_days} days"),
        ("rows in quarantine", str(found.quarantined_rows)),
    ]
    lines = [f"{name:<22}{fact}" for name, fact in facts]
    for finding in found.findings:
        lines += ["", *told([finding])]
    return "\n".join(lines)


def ledger_text(found: LedgerReport) -> str:
    """The ledger, a line a row, and whether it is sound."""
    lines = [
        f"{s.number:>5}  {s.row.as_of}  {s.row.lineage}  {s.row.event:<12}"
        f"{'v' + s.row.version if s.row.version else '':<6}"
        f"{s.row.who or '':<12} {cut(' '.join((s.row.reason or '').split()), 90)}  [{s.seal[:8]}]"
        for s in found.rows
    ]
    if found.first_broken is not None:
        lines.append(f"NOT SOUND: row {found.first_broken} is not as it was written.")
    lines += [f"NOT SOUND: {missing}." for missing in found.missing]
    if found.is_sound:
        lines.append(f"The ledger is sound: {len(found.rows)} rows.")
    return "\n".join(lines)


@on_a_day(app, "icp health --out health.html")
def health(at: AsOf, target: HealthOut = None) -> Told:
    """Say what the data are like: fill rates, drift, volumes, lateness, cost of empty fields."""
    from icploop.pipelines.health import check_health

    return check_health(at, target), lambda report: report.text


@on_a_day(app, "icp watch --as-of 2025-12-31")
def watch(at: AsOf, by: TrainedBy = None) -> Told:
    """Retrain if a round is due, else say how many closed deals are missing."""
    run = pipeline_or_flow("icploop.pipelines.retrain:retrain_if_due", "flows.watch:watch")
    return run(at, who=trainer(by)), watch_text


def watch_text(report: WatchReport) -> str:
    """Whether a round was due, and its verdict if so."""
    if report.retrain is None:
        return f"No round is due: {report.due.reason}."
    return f"A round was due: {report.due.reason}.\n{retrain_text(report.retrain)}"


@on_a_day(app, "icp retrain --as-of 2025-12-31 --force")
def retrain(
    at: AsOf,
    force: Force = False,
    by: TrainedBy = None,
    allow_leak: AllowLeak = None,
    reason: LeakReason = "",
) -> Told:
    """Train a challenger, judge it, log it, register it."""
    if bool(allow_leak) != bool(reason.strip()):
        raise UsageError(
            "--allow-leak and --reason go together: a column that leaks is only learned from with "
            "a reason on record, such as --allow-leak region --reason 'known from the first call'"
        )
    allowed = dict.fromkeys(allow_leak or (), reason.strip())
    run = pipeline_or_flow("icploop.pipelines.retrain:retrain", "flows.retrain:retrain")
    return run(at, force=force, who=trainer(by), allowed_leaks=allowed), retrain_text


def retrain_text(report: RetrainReport) -> str:
    """The verdict, why, and what to do next."""
    r = report.round
    lines = ["That was already done: the same round is on record."] if report.already_done else []
    lines += [f"{r.ruling.verdict}: {' '.join(r.ruling.reasons)}"]
    lines += told(r.notes)
    if report.version:
        lines.append(f"Registered as version {report.version}; MLflow run {report.run_id}.")
    if report.promoted:
        lines.append(approve_text(report.promoted))
    if report.waits:
        lines.append(f'It waits for approval: icp approve {report.version} --by WHO --reason "..."')
    return "\n".join(lines)


@app.command(epilog="Example: icp backtest --from 2023-01-01 --to 2025-12-31")
def backtest(
    home: HomeFolder = HERE,
    motion: Motion = None,
    first: FirstDay = None,
    last: LastDay = None,
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Replay the loop over history as if it had been running."""
    from icploop.pipelines.backtest import backtest as run

    if last and day:
        raise UsageError("Give --to or --as-of, not both: each names the last day that is seen")
    report = run(
        as_of(home, motion, last or day),
        first=day_of(first) if first else None,
        on_round=progress("replaying"),
    )
    answer(as_json, report.as_dict(), lambda: backtest_text(report))


def backtest_text(report: BacktestReport) -> str:
    """The rounds as a table, then what the versions in force would have been worth."""
    return "\n".join([rounds_text(report.rounds), "", prospective_text(report)])


def rounds_text(replayed: pd.DataFrame) -> str:
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
            "" if is_missing(row["rival"]) else row["rival"].removeprefix("the "),
            points(row["uplift"]),
            "" if is_missing(row["uplift"]) else f"{points(row['low'])} to {points(row['high'])}",
            *([points(row["true_uplift"])] if known else []),
        ]
        for row in records
    ]
    return table([*heads, *(["true uplift"] if known else [])], rows)


def prospective_text(report: BacktestReport) -> str:
    """What pursuing the ICP's best accounts was worth on customers acquired afterwards."""
    found = report.prospective
    if found is None:
        return (
            "Fewer than 20 customers have matured who were won after a version came "
            "into force: too few to judge by."
        )
    d = found.nrr
    return (
        f"On {found.n_holdout} customers won after a version came into force, NRR of the best "
        f"share: ICP {found.challenger.nrr:.1%}, average customer profile "
        f"{found.rival_kpis.nrr:.1%}, everyone {report.everyone_nrr or float('nan'):.1%}.\n"
        f"ICP against average customer profile: {points(d.estimate)} points "
        f"({points(d.low)} to {points(d.high)}), ahead in {d.ahead:.0%} of bootstrap draws."
    )


@app.command(epilog="Example: icp up --home my-company")
def up(
    home: HomeFolder = HERE,
    demo_company: DemoCompany = False,
    mlflow_port: MlflowPort = 5000,
    prefect_port: PrefectPort = 4200,
) -> None:
    """Run the Prefect server, the MLflow UI and the schedules on this machine, until Ctrl-C."""
    from icploop.io.servers import up as run

    if demo_company:
        from icploop.pipelines.demo import found_company

        found_company(home, seed=7)
    run(home_at(home), mlflow_port, prefect_port, print_now)
