"""Findings: what looks wrong, or is worth knowing, as values that can be told apart by their code.

A code never changes its meaning: it is what a setting names, what MLflow keeps as a tag, and the
heading under which the docs explain it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["note", "warning", "refusal"]


@dataclass(frozen=True)
class Finding:
    """Something found in data or in a round.

    `code` is a word with underscores (`month_jump`), `message` a whole sentence that names the
    value, the place and the remedy, `docs` the page and heading that explain it. A `note` is worth
    knowing, a `warning` looks wrong, and a `refusal` stops what was asked for.
    """

    code: str
    severity: Severity
    message: str
    docs: str

    def __str__(self) -> str:
        return self.message

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return asdict(self)


def of_code(findings: Iterable[Finding], codes: Iterable[str]) -> list[Finding]:
    """The findings whose code is one of these, in their order."""
    wanted = frozenset(codes)
    return [finding for finding in findings if finding.code in wanted]
