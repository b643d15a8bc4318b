"""The app `icp`, and how a process of it ends: an error becomes the contract's exit status."""

from __future__ import annotations

import gc
import io
import os
import resource
import sys

import typer

from icploop.cli import decide, loop, read, use
from icploop.cli.text import one_json_object
from icploop.errors import IcpError, UnavailableError

app = typer.Typer(
    name="icp",
    help="Keeps an Ideal Customer Profile true by what customers did afterwards.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for family in (loop, decide, use, read):
    app.add_typer(family.app)
# Built once: whoever calls `main` again in one process does not pay for it again.
_COMMAND = typer.main.get_command(app)

_INTERRUPTED = 130
_ALLOCATIONS = 50_000
# With less address space OpenBLAS looks for more for ever while it is loaded.
_LEAST_ADDRESS_SPACE = 1 << 30
_NOT_ENOUGH = (
    "The memory that this process may take is not enough; nothing was half-written. Give it more, "
    "or take smaller files or fewer columns, and run it again"
)
# How libraries that are no Python say it: DuckDB, XGBoost, the system when it starts a thread.
_OUT_OF_MEMORY = ("OutOfMemory", "bad_alloc", "can't start new thread", "Cannot allocate memory")


def main() -> None:
    """Run `icp` and end the process with the contract's exit status."""
    wants_json = "--json" in sys.argv
    # An act allocates much, most of it by importing, and then the process ends: looking for rubbish
    # as often as usual would take a tenth of its time.
    gc.set_threshold(_ALLOCATIONS)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character shows its number: what was done is still told.
        sys.stdout.reconfigure(errors="backslashreplace")
    may_take, _ = resource.getrlimit(resource.RLIMIT_AS)
    if may_take != resource.RLIM_INFINITY and may_take < _LEAST_ADDRESS_SPACE:
        _complain(
            f"{_NOT_ENOUGH} (`ulimit -v` gives it {may_take >> 20:,} MB, and 1,024 are the least)",
            UnavailableError.exit_status,
            wants_json,
        )
    try:
        _COMMAND()
    except IcpError as error:
        _complain(str(error), error.exit_status, wants_json)
    except SystemExit as ended:
        # Typer itself ends the process after Ctrl-C, and after wrong usage, which it has told.
        if ended.code == _INTERRUPTED:
            _complain("Interrupted; what was not finished can be run again", 1, wants_json)
        if wants_json and ended.code:
            print(one_json_object({"error": str(ended.__context__), "exit_status": ended.code}))
        raise
    except Exception as error:
        if os.environ.get("ICP_DEBUG"):
            raise
        if is_out_of_memory(error):
            _complain(_NOT_ENOUGH, UnavailableError.exit_status, wants_json)
        _complain(
            f"A fault of the program: {type(error).__name__}: {error}\n"
            "Set ICP_DEBUG=1 to see where, and report it",
            1,
            wants_json,
        )


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether a fault, or one that it came of, is that memory or threads ran out."""
    while error is not None:
        told = f"{type(error).__name__} {error}"
        if isinstance(error, MemoryError) or any(sign in told for sign in _OUT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _complain(message: str, exit_status: int, as_json: bool) -> None:
    print(f"icp: {message}", file=sys.stderr)
    if as_json:
        print(one_json_object({"error": message, "exit_status": exit_status}))
    raise SystemExit(exit_status)
