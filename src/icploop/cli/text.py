"""What the texts of several commands are made of: plain text that fits 80 columns where it can."""

from __future__ import annotations

import codecs
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icploop.domain.findings import Finding
    from icploop.modeling.judging.round import Round


def answer(as_json: bool, facts: Mapping[str, Any], text: Callable[[], str]) -> None:
    """Print what a command found: facts for programs with `--json`, else the text for people."""
    print(one_json_object(facts) if as_json else text())


def one_json_object(facts: Mapping[str, Any]) -> str:
    """The facts as JSON: characters as they are on a stdout of UTF-8, else by their numbers."""
    utf8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    return json.dumps(facts, default=str, allow_nan=False, ensure_ascii=not utf8)


def print_now(line: str) -> None:
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
        line = f"  {what} {bar} {judged.as_of}  {judged.ruling.verdict:<13}"
        print(
            f"\r{line}" if interactive else line, end="" if interactive else "\n", file=sys.stderr
        )
        sys.stderr.flush()

    return show


def counter(done: int, total: int) -> None:
    """Say on stderr how many accounts are done, where that is a thousand more, or all."""
    if done % 1000 == 0 or done == total:
        say(f"{done} of {total} accounts")


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


def wrapped(text: str, indent: str = "") -> list[str]:
    """The text in lines of 80 columns, each indented."""
    return textwrap.wrap(text, 80, initial_indent=indent, subsequent_indent=indent)


def told(findings: Iterable[Finding], indent: str = "") -> list[str]:
    """Findings in lines: how grave it is, its code, and what it says."""
    marks = {"note": "note", "warning": "WARNING", "refusal": "REFUSED"}
    return [
        row
        for found in findings
        for row in wrapped(f"{marks[found.severity]} {found.code}: {found.message}", indent)
    ]


def cut(text: str, width: int) -> str:
    """The text, cut where it is wider; the last character then says so."""
    return text if len(text) <= width else text[: width - 1] + "…"


def percent(ratio: float | None) -> str:
    """A ratio as a whole percentage: 0.93 is 93%."""
    return "n/a" if is_missing(ratio) or ratio is None else f"{ratio:.0%}"


def money(amount: float | None) -> str:
    """An amount of the company's currency, without its cents."""
    return "n/a" if amount is None else f"{amount:,.0f}"


def points(ratio: Any) -> str:
    """A ratio as points with its sign: 0.021 is +2.1; nothing for a missing one."""
    return "" if is_missing(ratio) else f"{100 * ratio:+.1f}"


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None or NaN."""
    return value is None or value != value  # noqa: PLR0124 - NaN, without importing pandas


def _looks_like_number(cell: str) -> bool:
    return not cell or cell.lstrip("+-").replace(".", "").replace("%", "").isdigit()
