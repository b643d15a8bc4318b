"""Overrides: what people decide against the score, with who answers for it, why, and until when."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from icploop.errors import UsageError

COLUMNS = ("account_id", "decision", "owner", "reason", "expires")
INCLUDE, EXCLUDE = "include", "exclude"


@dataclass(frozen=True)
class Override:
    """An account that shall stand on the list (`include`) or not (`exclude`), to the last day."""

    account_id: str
    decision: str
    owner: str
    reason: str
    expires: date

    def __str__(self) -> str:
        """In the words of the list: who, why, until when."""
        return f"{self.owner}: {self.reason} (until {self.expires})"


def parse_overrides(text: str, where: str) -> tuple[Override, ...]:
    """The overrides of a CSV with COLUMNS, between commas or semicolons.

    Raises UsageError, naming the line, for a missing column or cell, a decision that is none, a day
    that is none, and an account that is named twice.
    """
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in header else ",")
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise UsageError(
            f"{where} has no column {', '.join(missing)}; its columns are {', '.join(COLUMNS)}"
        )
    found: dict[str, Override] = {}
    for row in reader:
        here = f"{where}, line {reader.line_num}"
        override = _parsed({name: (row[name] or "").strip() for name in COLUMNS}, here)
        if override.account_id in found:
            raise UsageError(f"{here}: {override.account_id!r} is named twice; keep one of the two")
        found[override.account_id] = override
    return tuple(found.values())


def in_force(overrides: Iterable[Override], as_of: date) -> dict[str, Override]:
    """Those that have not expired by a day, by account."""
    return {known.account_id: known for known in overrides if as_of <= known.expires}


def of_companies(overrides: Iterable[Override], same_as: Mapping[str, str]) -> tuple[Override, ...]:
    """The overrides under the account that a duplicate counts as.

    Where two meet, one to exclude goes first, and then the one that was written for that account.
    """
    if not same_as:
        return tuple(overrides)
    found: dict[str, Override] = {}
    for known in sorted(overrides, key=lambda o: (o.decision != EXCLUDE, o.account_id in same_as)):
        account_id = same_as.get(known.account_id, known.account_id)
        found.setdefault(account_id, replace(known, account_id=account_id))
    return tuple(found.values())


def _parsed(row: dict[str, str], here: str) -> Override:
    if empty := [name for name in COLUMNS if not row[name]]:
        raise UsageError(f"{here}: {', '.join(empty)} is empty; an override needs all of it")
    if row["decision"] not in (INCLUDE, EXCLUDE):
        raise UsageError(
            f"{here}: the decision {row['decision']!r} is neither {INCLUDE} nor {EXCLUDE}"
        )
    try:
        expires = date.fromisoformat(row["expires"])
    except ValueError as error:
        raise UsageError(f"{here}: expires {row['expires']!r} is not a day, YYYY-MM-DD") from error
    return Override(row["account_id"], row["decision"], row["owner"], row["reason"], expires)
