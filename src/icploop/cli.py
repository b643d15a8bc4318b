"""The command line: `icp`. It parses, calls one pipeline (or its flow), and prints; nothing else.

Everything heavy is imported inside the command that needs it, so that `icp --help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icploop.errors import DataError, IcpError, UsageError

if TYPE_CHECKING:
    from icploop.io.home import Home
    from icploop.pipelines.as_of import AsOf

app = typer.Typer(
    name="icp",
    help="Keeps an Ideal Customer Profile true by what customers did afterwards.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="ICP_HOME", help="The home folder with conf/ and data/.")
]
Day = Annotated[
    str | None, typer.Option("--as-of", help="The day that counts as today, YYYY-MM-DD.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Motion = Annotated[
    str | None, typer.Option("--motion", help="The go-to-market motion; the first one by default.")
]
Trainer = Annotated[
    str | None, typer.Option("--by", help="Who trains; the user of this machine by default.")
]
By = Annotated[str, typer.Option("--by", help="Who decides.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
Which = Annotated[str, typer.Option("--version", help="A version's number or alias.")]


class Engine(StrEnum):
    """Where a file is scored."""

    THREADS = "threads"
    DASK = "dask"


Here = Path()
_INTERRUPTED = 130


@app.command(epilog="Example: icp init my-company")
def init(folder: Annotated[Path, typer.Argument()], as_json: Json = False) -> None:
    """Write a commented conf/ for a new company."""
    from icploop.io.home import create

    written = create(folder)
    _answer(
        as_json,
        {"home": str(folder), "written": [str(path) for path in written]},
        lambda: (
            f"Wrote {len(written)} files below {folder / 'conf'}.\n"
            "Next: put accounts.csv, deals.csv and revenue.csv into "
            f"{folder / 'data' / 'inbox'}, declare your attributes in "
            f"{folder / 'conf' / 'icp.yaml'},\n"
            f"then run: icp ingest --home {folder}"
        ),
    )


@app.command(epilog="Example: icp demo --home demo-company")
def demo(
    home: HomeOption = Path("demo-company"),
    seed: Annotated[int, typer.Option(help="Draws another simulated company.")] = 7,
    as_json: Json = False,
) -> None:
    """Run the whole loop on a simulated company, then say where to look."""
    from icploop.pipelines.demo import prepare_prefect

    prepare_prefect(home)
    from flows.demo import demo as run
    from icploop import console

    report = run(home, seed, console.progress("replay"), console.say)
    _answer(as_json, report.as_dict(), lambda: console.demo(report))


@app.command(epilog="Example: icp ingest --from exports/")
def ingest(
    home: HomeOption = Here,
    folder: Annotated[
        Path | None, typer.Option("--from", help="A folder of canonical CSV or Parquet files.")
    ] = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Pull every source, validate, quarantine, store."""
    from icploop import console

    run = _runner("icploop.pipelines.ingest:ingest", "flows.ingest:ingest")
    report = run(_home(home), folder, _day(as_of))
    _answer(as_json, report.as_dict(), lambda: console.ingest(report))


@app.command(epilog="Example: icp status --as-of 2025-12-31")
def status(
    home: HomeOption = Here,
    motion: Motion = None,
    log: Annotated[bool, typer.Option("--log", help="The ledger: every decision so far.")] = False,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Champion, closed deals since, matured accounts, pending approvals, freshness."""
    from icploop import console
    from icploop.pipelines.status import ledger_report
    from icploop.pipelines.status import status as run

    found = _home(home)
    if log:
        ledger = ledger_report(found)
        _answer(as_json, ledger.as_dict(), lambda: console.ledger(ledger))
        raise typer.Exit(0 if ledger.is_sound else DataError.exit_status)
    report = run(_at(found, motion, as_of))
    _answer(as_json, report.as_dict(), lambda: console.status(report))


@app.command(epilog="Example: icp health --out health.html")
def health(
    home: HomeOption = Here,
    motion: Motion = None,
    target: Annotated[
        Path | None, typer.Option("--out", help="Write the page: .md or .html.")
    ] = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Say what the data are like: fill rates, drift, volumes, lateness, cost of empty fields."""
    from icploop.pipelines.health import check_health

    report = check_health(_at(_home(home), motion, as_of), target)
    _answer(as_json, report.as_dict(), lambda: report.text)


@app.command(epilog="Example: icp watch --as-of 2025-12-31")
def watch(
    home: HomeOption = Here,
    motion: Motion = None,
    by: Trainer = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Retrain if a round is due, else say how many closed deals are missing."""
    from icploop import console

    at = _at(_home(home), motion, as_of)
    run = _runner("icploop.pipelines.retrain:retrain_if_due", "flows.watch:watch")
    report = run(at, who=by or _user())
    _answer(as_json, report.as_dict(), lambda: console.watch(report))


@app.command(epilog="Example: icp retrain --as-of 2025-12-31 --force")
def retrain(
    home: HomeOption = Here,
    motion: Motion = None,
    as_of: Day = None,
    force: Annotated[bool, typer.Option("--force", help="Train even if no round is due.")] = False,
    by: Trainer = None,
    allow_leak: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-leak", help="A column to learn from even if it leaks; with --reason."
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Why the leaking columns are allowed; on record.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Train a challenger, judge it, log it, register it."""
    from icploop import console

    if bool(allow_leak) != bool(reason.strip()):
        raise UsageError(
            "--allow-leak and --reason go together: a column that leaks is only learned from with "
            "a reason on record, such as --allow-leak region --reason 'known from the first call'"
        )
    at = _at(_home(home), motion, as_of)
    allowed = dict.fromkeys(allow_leak or (), reason.strip())
    run = _runner("icploop.pipelines.retrain:retrain", "flows.retrain:retrain")
    report = run(at, force=force, who=by or _user(), allowed_leaks=allowed)
    _answer(as_json, report.as_dict(), lambda: console.retrain(report))


@app.command(epilog='Example: icp approve 3 --by "Ada Ops" --reason "beats v2, reviewed"')
def approve(
    version: Annotated[str, typer.Argument(help="A version's number, or `challenger`.")],
    by: By,
    reason: Reason,
    home: HomeOption = Here,
    motion: Motion = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Approve a pending version and put it in force."""
    from icploop import console

    at = _at(_home(home), motion, as_of)
    run = _runner("icploop.pipelines.decide:approve", "flows.promote:promote")
    report = run(at, version, who=by, reason=reason)
    _answer(as_json, report.as_dict(), lambda: console.approve(report))


@app.command(epilog='Example: icp reject 3 --by "Ada Ops" --reason "the list misses our segment"')
def reject(
    version: Annotated[str, typer.Argument(help="A version's number, or `challenger`.")],
    by: By,
    reason: Reason,
    home: HomeOption = Here,
    motion: Motion = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Reject a pending version: it does not come into force."""
    from icploop import console
    from icploop.pipelines.decide import reject as run

    at = _at(_home(home), motion, as_of)
    report = run(at, version, who=by, reason=reason)
    _answer(as_json, report.as_dict(), lambda: console.reject(report))


@app.command(epilog='Example: icp rollback --by "Ada Ops" --reason "sales cannot use the list"')
def rollback(
    by: By,
    reason: Reason,
    version: Annotated[
        str | None, typer.Argument(help="A version that was in force; the previous by default.")
    ] = None,
    home: HomeOption = Here,
    motion: Motion = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Put a former version back in force, with the scores and the list that it last published."""
    from icploop import console
    from icploop.pipelines.decide import rollback as run

    at = _at(_home(home), motion, as_of)
    report = run(at, version, who=by, reason=reason)
    _answer(as_json, report.as_dict(), lambda: console.rollback(report))


@app.command(epilog="Example: icp settle")
def settle(
    home: HomeOption = Here, motion: Motion = None, as_of: Day = None, as_json: Json = False
) -> None:
    """Finish what was left half done, and carry out decisions made in MLflow."""
    from icploop import console

    at = _at(_home(home), motion, as_of)
    run = _runner("icploop.pipelines.decide:settle", "flows.promote:settle")
    report = run(at)
    _answer(as_json, report.as_dict(), lambda: console.settle(report))


@app.command(epilog="Example: icp publish")
def publish(
    home: HomeOption = Here, motion: Motion = None, as_of: Day = None, as_json: Json = False
) -> None:
    """Publish today's scores and target list of the version in force, in data/published/."""
    at = _at(_home(home), motion, as_of)
    run = _runner("icploop.pipelines.promote:publish", "flows.score:publish")
    folder = str(run(at))
    _answer(as_json, {"published": folder}, lambda: f"Scores and target list: {folder}")


@app.command(epilog="Example: icp score --in leads.csv --out scored.csv")
def score(
    source: Annotated[Path, typer.Option("--in", help="CSV or Parquet with account_id.")],
    target: Annotated[Path, typer.Option("--out", help="CSV or Parquet to write.")],
    home: HomeOption = Here,
    motion: Motion = None,
    version: Which = "champion",
    reasons: Annotated[
        bool, typer.Option("--reasons/--no-reasons", help="Without reasons it is faster.")
    ] = True,
    engine: Annotated[
        Engine, typer.Option("--engine", help="Threads of this process, or a Dask cluster.")
    ] = Engine.THREADS,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="A Dask scheduler: tcp://host:8786.")
    ] = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Score the accounts of a file with the version in force."""
    from icploop import console

    at = _at(_home(home), motion, as_of)
    run = _runner("icploop.pipelines.score:score_file", "flows.score:score")
    where = {"engine": engine.value, "scheduler": scheduler}
    report = run(at, source, target, which=version, with_reasons=reasons, **where)
    _answer(as_json, report.as_dict(), lambda: console.score(report))


@app.command(epilog="Example: icp explain acme-42")
def explain(
    account: Annotated[str, typer.Argument(help="An account's id, or its domain or name.")],
    home: HomeOption = Here,
    motion: Motion = None,
    version: Which = "champion",
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Tell why an account is scored as it is, who is like it, and what is worth asking."""
    from icploop import console
    from icploop.pipelines.explain import explain as run

    at = _at(_home(home), motion, as_of)
    report = run(at, account, version)
    _answer(as_json, report.as_dict(), lambda: console.explain(report))


@app.command("list", epilog="Example: icp list --out targets.csv")
def list_targets(
    target: Annotated[Path, typer.Option("--out", help="CSV or Parquet to write.")],
    home: HomeOption = Here,
    motion: Motion = None,
    version: Which = "champion",
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Write the target account list: finite, ranked, with exclusions beside it."""
    from icploop import console

    at = _at(_home(home), motion, as_of)
    run = _runner("icploop.pipelines.score:target_list", "flows.score:target_list")
    report = run(at, target, which=version)
    _answer(as_json, report.as_dict(), lambda: console.target_list(report))


@app.command(epilog="Example: icp check")
def check(
    home: HomeOption = Here, motion: Motion = None, as_of: Day = None, as_json: Json = False
) -> None:
    """Hold the target lists against today's scores and against what came of them."""
    from icploop import console
    from icploop.pipelines.check import check_lists

    report = check_lists(_at(_home(home), motion, as_of))
    _answer(as_json, report.as_dict(), lambda: console.check(report))


@app.command("write-back", epilog="Example: icp write-back --in targets.csv")
def write_back(
    source: Annotated[Path, typer.Option("--in", help="What `icp score` or `icp list` wrote.")],
    apply: Annotated[bool, typer.Option("--apply", help="Write; else only say what would be.")] = (
        False
    ),
    create: Annotated[
        bool, typer.Option("--create-properties", help="With --apply: add what HubSpot lacks.")
    ] = False,
    home: HomeOption = Here,
    as_json: Json = False,
) -> None:
    """Write scores into the CRM of conf/crm.yaml; first say what would change."""
    from icploop import console
    from icploop.pipelines.write_back import write_back as run

    report = run(
        _home(home), source, apply=apply, create_properties=create, progress=console.counter
    )
    _answer(as_json, report.as_dict(), lambda: console.write_back(report))


@app.command(epilog="Example: icp show champion")
def show(
    version: Annotated[str, typer.Argument(help="A version's number or alias.")] = "champion",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="What if: 'employees=50..500', 'tech=okta,azure_ad'."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--out", help="Write the page: .md, .json or .html.")
    ] = None,
    home: HomeOption = Here,
    motion: Motion = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Show the readable ICP of a version, and what another one would mean."""
    from icploop import console
    from icploop.pipelines.show import export
    from icploop.pipelines.show import show as run

    at = _at(_home(home), motion, as_of)
    report = run(at, version, changes or ())
    if target:
        export(at, version, target)
    _answer(as_json, report.as_dict(), lambda: console.icp(report, changes or ()))


@app.command(epilog="Example: icp diff 3 4")
def diff(
    old: Annotated[str, typer.Argument(help="A version's number or alias.")],
    new: Annotated[str, typer.Argument(help="Another one's.")],
    home: HomeOption = Here,
    motion: Motion = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Tell what changed from one ICP to another, and which accounts moved tier."""
    from icploop import console
    from icploop.pipelines.diff import diff as run

    at = _at(_home(home), motion, as_of)
    report = run(at, old, new)
    _answer(as_json, report.as_dict(), lambda: console.diff(report))


@app.command(epilog="Example: icp lint 'mid-market B2B SaaS companies'")
def lint(
    description: Annotated[
        str | None, typer.Argument(help="An ICP in prose; without it, that of conf/icp.yaml.")
    ] = None,
    home: HomeOption = Here,
    as_json: Json = False,
) -> None:
    """Say what is wrong with an ICP in prose, or with the hypothesis in the settings."""
    from icploop import console
    from icploop.pipelines.show import lint_description, lint_hypothesis

    findings = (
        lint_hypothesis(_home(home).settings())
        if description is None
        else lint_description(description)
    )
    found = [{"rule": f.rule, "message": f.message} for f in findings]
    _answer(as_json, {"findings": found}, lambda: console.lint(findings))


@app.command(epilog="Example: icp backtest --from 2023-01-01 --to 2025-12-31")
def backtest(
    home: HomeOption = Here,
    motion: Motion = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = None,
    as_of: Day = None,
    as_json: Json = False,
) -> None:
    """Replay the loop over history as if it had been running."""
    from icploop import console
    from icploop.pipelines.backtest import backtest as run

    if last and as_of:
        raise UsageError("Give --to or --as-of, not both: each names the last day that is seen")
    report = run(
        _at(_home(home), motion, last or as_of),
        first=_day(first) if first else None,
        on_round=console.progress("replaying"),
    )
    _answer(as_json, report.as_dict(), lambda: console.backtest(report))


@app.command(epilog="Example: icp up --home my-company")
def up(
    home: HomeOption = Here,
    demo_company: Annotated[
        bool, typer.Option("--demo", help="Found a simulated company in an empty folder first.")
    ] = False,
    mlflow_port: Annotated[int, typer.Option(help="Where the MLflow UI listens.")] = 5000,
    prefect_port: Annotated[int, typer.Option(help="Where the Prefect UI listens.")] = 4200,
) -> None:
    """Run the Prefect server, the MLflow UI and the schedules on this machine, until Ctrl-C."""
    from icploop import console
    from icploop.io.servers import up as run

    if demo_company:
        from icploop.pipelines.demo import found_company

        found_company(home, seed=7)
    run(_home(home), mlflow_port, prefect_port, console.tell)


def main() -> None:
    """Run `icp` and end the process with the contract's exit status."""
    wants_json = "--json" in sys.argv
    try:
        app()
    except IcpError as error:
        _complain(str(error), error.exit_status, wants_json)
    except SystemExit as ended:
        # Typer itself ends the process after Ctrl-C, and after wrong usage, which it has told.
        if ended.code == _INTERRUPTED:
            _complain("Interrupted; what was not finished can be run again", 1, wants_json)
        if wants_json and ended.code:
            print(json.dumps({"error": str(ended.__context__), "exit_status": ended.code}))
        raise
    except Exception as error:
        if os.environ.get("ICP_DEBUG"):
            raise
        _complain(
            f"A fault of the program: {type(error).__name__}: {error}\n"
            "Set ICP_DEBUG=1 to see where, and report it",
            1,
            wants_json,
        )


def _complain(message: str, exit_status: int, as_json: bool) -> None:
    print(f"icp: {message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": message, "exit_status": exit_status}))
    raise SystemExit(exit_status)


def _answer(as_json: bool, answer: dict[str, Any], text: Callable[[], str]) -> None:
    print(json.dumps(answer, default=str, allow_nan=False) if as_json else text())


def _runner(pipeline: str, flow: str) -> Callable[..., Any]:
    """The pipeline; or, where PREFECT_API_URL names a server, its flow, on record there.

    A flow takes what Prefect can put on record: the home as a folder, the motion, the day.
    """
    from icploop.io.home import Home

    on_record = bool(os.environ.get("PREFECT_API_URL"))
    if on_record:
        from icploop.io.secrets import stated

        stated(("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"), "Prefect")
    module, _, name = (flow if on_record else pipeline).partition(":")
    # Prefect would print the traceback of a user's mistake; the run's own log on the server has it.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    run: Callable[..., Any] = getattr(import_module(module), name)

    def recorded(of: Home | AsOf, *args: Any, **kwargs: Any) -> Any:
        if isinstance(of, Home):
            return run(of.root, *args, **kwargs)
        return run(of.home.root, of.motion, *args, as_of=of.day, **kwargs)

    return recorded if on_record else run


def _home(path: Path) -> Home:
    from icploop.io.home import Home

    return Home(path)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _day(text: str | None) -> date:
    from icploop.domain.calendar import parse_day

    return parse_day(text) if text else datetime.now(UTC).date()


def _at(home: Home, motion: str | None, day: str | None) -> AsOf:
    from icploop.pipelines.as_of import AsOf

    return AsOf.of(home, motion, _day(day))


if __name__ == "__main__":
    main()
