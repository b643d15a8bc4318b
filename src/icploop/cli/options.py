"""The options and arguments of `icp`, each declared once, and what commands go by because of them.

`Annotated` types: a command names the ones that it takes, and says which value stands in where none
is given.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from icploop.io.home import Home
    from icploop.pipelines.as_of import AsOf

# Of nearly every command.
HomeFolder = Annotated[
    Path, typer.Option("--home", envvar="ICP_HOME", help="The home folder with conf/ and data/.")
]
HERE = Path()
Motion = Annotated[
    str | None, typer.Option("--motion", help="The go-to-market motion; the first one by default.")
]
Day = Annotated[
    str | None, typer.Option("--as-of", help="The day that counts as today, YYYY-MM-DD.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

# Which version, or which account.
OfVersion = Annotated[str, typer.Option("--version", help="A version's number or alias.")]
Version = Annotated[str, typer.Argument(help="A version's number or alias.")]
OtherVersion = Annotated[str, typer.Argument(help="Another one's.")]
PendingVersion = Annotated[str, typer.Argument(help="A version's number, or `challenger`.")]
FormerVersion = Annotated[
    str | None, typer.Argument(help="A version that was in force; the previous by default.")
]
Account = Annotated[str, typer.Argument(help="An account's id, or its domain or name.")]

# Who, and why.
DecidedBy = Annotated[str, typer.Option("--by", help="Who decides.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
TrainedBy = Annotated[
    str | None, typer.Option("--by", help="Who trains; the user of this machine by default.")
]
AllowLeak = Annotated[
    list[str] | None,
    typer.Option("--allow-leak", help="A column to learn from even if it leaks; with --reason."),
]
LeakReason = Annotated[
    str, typer.Option("--reason", help="Why the leaking columns are allowed; on record.")
]
Force = Annotated[bool, typer.Option("--force", help="Train even if no round is due.")]

# What is read, and what is written.
NewHome = Annotated[Path, typer.Argument()]
RawExports = Annotated[
    Path | None,
    typer.Option("--from", help="A folder of exports, as they were made: guess what they are."),
]
ExportFolder = Annotated[
    Path | None,
    typer.Option("--from", help="A folder of canonical CSV, Parquet, JSON or Excel files."),
]


class Extent(StrEnum):
    """How much of a table an export is."""

    FULL = "full"
    WINDOW = "window"
    INCREMENT = "increment"


class Table(StrEnum):
    """A table that sources give."""

    ACCOUNTS = "accounts"
    DEALS = "deals"
    REVENUE = "revenue"
    SIGNALS = "signals"


ExportMode = Annotated[
    Extent | None,
    typer.Option("--mode", help="With --from: how much of each table it is; full by default."),
]
ShrinkIsMeant = Annotated[
    bool,
    typer.Option("--shrink-is-meant", help="Take an export that lost more than max_shrink."),
]
RowsOut = Annotated[
    Path | None, typer.Option("--out", help="Write the rows: CSV, Parquet or JSON.")
]
OneTable = Annotated[Table | None, typer.Option("--table", help="One table only.")]
AccountsFile = Annotated[Path, typer.Option("--in", help="CSV or Parquet with account_id.")]
ScoredFile = Annotated[Path, typer.Option("--in", help="What `icp score` or `icp list` wrote.")]
TableOut = Annotated[Path, typer.Option("--out", help="CSV or Parquet to write.")]
HealthOut = Annotated[Path | None, typer.Option("--out", help="Write the page: .md or .html.")]
IcpOut = Annotated[Path | None, typer.Option("--out", help="Write the page: .md, .json or .html.")]
Ledger = Annotated[bool, typer.Option("--log", help="The ledger: every decision so far.")]
Prose = Annotated[
    str | None, typer.Argument(help="An ICP in prose; without it, that of conf/icp.yaml.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="What if: 'employees=50..500', 'tech=okta,azure_ad'."),
]
FirstDay = Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")]
LastDay = Annotated[str | None, typer.Option("--to", help="Last day, YYYY-MM-DD.")]
Apply = Annotated[bool, typer.Option("--apply", help="Write; else only say what would be.")]
CreateProperties = Annotated[
    bool, typer.Option("--create-properties", help="With --apply: add what HubSpot lacks.")
]

# How it runs.


class Engine(StrEnum):
    """Where a file is scored."""

    THREADS = "threads"
    DASK = "dask"


ScoredOn = Annotated[
    Engine, typer.Option("--engine", help="Threads of this process, or a Dask cluster.")
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="A Dask scheduler: tcp://host:8786.")
]
WithReasons = Annotated[
    bool, typer.Option("--reasons/--no-reasons", help="Without reasons it is faster.")
]
Seed = Annotated[int, typer.Option("--seed", help="Draws another simulated company.")]
DemoCompany = Annotated[
    bool, typer.Option("--demo", help="Found a simulated company in an empty folder first.")
]
MlflowPort = Annotated[int, typer.Option("--mlflow-port", help="Where the MLflow UI listens.")]
PrefectPort = Annotated[int, typer.Option("--prefect-port", help="Where the Prefect UI listens.")]


def home_at(folder: Path) -> Home:
    """The home that `--home` names, whether or not there is one."""
    from icploop.io.home import Home

    return Home(folder)


def as_of(folder: Path, motion: str | None, day: str | None) -> AsOf:
    """What `--home`, `--motion` and `--as-of` name together.

    Raises UsageError where one of them names nothing, or settings are wrong.
    """
    from icploop.pipelines.as_of import AsOf

    return AsOf.of(home_at(folder), motion, day_of(day))


def day_of(text: str | None) -> date:
    """The day that was written; today where none was. Raises UsageError for what is none."""
    from icploop.domain.calendar import parse_day

    return parse_day(text) if text else datetime.now(UTC).date()


def trainer(by: str | None) -> str:
    """Who trains: who was named, or the user of this machine."""
    import getpass

    try:
        return by or getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
