"""Commands on a motion and a day, which are most: what they share is declared here, once."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import typer

from icploop.cli.options import HERE, AsJson, Day, HomeFolder, Motion, as_of
from icploop.cli.text import answer


class Report(Protocol):
    """What a pipeline answers."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""


# The report, and its text for people.
Told = tuple[Report, Callable[[Any], str]]


def on_a_day(
    app: typer.Typer, example: str, name: str | None = None
) -> Callable[[Callable[..., Told]], Callable[..., Told]]:
    """Make a command of a function from an `AsOf`, and the options of its own, to what is told.

    The command takes --home, --motion, --as-of and --json too, and prints the report as text, or as
    one JSON object. It is called like the function unless `name` says otherwise.
    """

    def declared(ask: Callable[..., Told]) -> Callable[..., Told]:
        def command(
            home: Path, motion: str | None, day: str | None, as_json: bool, **own: Any
        ) -> None:
            report, text = ask(as_of(home, motion, day), **own)
            answer(as_json, report.as_dict(), lambda: text(report))

        command.__doc__ = ask.__doc__
        command.__signature__ = _with_a_day(ask)  # type: ignore[attr-defined]
        app.command(name or ask.__name__, epilog=f"Example: {example}")(command)
        return ask

    return declared


def _with_a_day(ask: Callable[..., Told]) -> inspect.Signature:
    """The options of a function's own, after its first parameter, then those of every command."""
    _, *own = inspect.signature(ask).parameters.values()
    # Annotations are the names of declared options; what only type checkers import is not among.
    declared = vars(sys.modules[ask.__module__])
    shared = (
        ("home", HomeFolder, HERE),
        ("motion", Motion, None),
        ("day", Day, None),
        ("as_json", AsJson, False),
    )
    return inspect.Signature(
        [
            *(option.replace(annotation=declared[option.annotation]) for option in own),
            *(
                inspect.Parameter(
                    name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value, annotation=option
                )
                for name, option, value in shared
            ),
        ]
    )
