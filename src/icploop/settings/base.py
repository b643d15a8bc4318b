"""What all settings are made of: the contract's words, frozen models, and the hash of a value."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["category", "number", "flag", "set", "date"]
Dimension = Literal[
    "firmographic", "technographic", "use_case", "trigger_event", "decision_authority", "pain_proof"
]
Objective = Literal["nrr", "grr", "retention", "value"]
TableName = Literal["accounts", "deals", "revenue", "signals"]
# How much of a table an export is: all of it, all since its first row, or what is new.
Mode = Literal["full", "window", "increment"]
# For how many months a bill is: so many, as many as a column says, or until a column's day.
Spread = Annotated[int, Field(ge=1, le=120)] | Literal["months", "until"]
CrmField = Literal["score", "tier", "reasons_for", "reasons_against", "version", "scored_at"]
DIMENSIONS: tuple[str, ...] = get_args(Dimension)
TABLES: tuple[TableName, ...] = get_args(TableName)
CRM_FIELDS: tuple[CrmField, ...] = get_args(CrmField)


class Frozen(BaseModel):
    """Settings that cannot be changed once they were read, and know no key but their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def digest(value: Any) -> str:
    """The SHA-256 of a JSON-like value, the same on every machine."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


# Letters and marks that show nothing, besides those that Unicode calls format or control.
_INVISIBLE = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}


def folded(name: str) -> str:
    """A person's name by which two spellings of it are one: case, blanks, Unicode form.

    What shows nothing on a screen does not count: two persons who look the same are one.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in plain if not _shows_nothing(c))


def _shows_nothing(character: str) -> bool:
    code = ord(character)
    return (
        character.isspace()
        or unicodedata.category(character) in ("Cc", "Cf")
        or code in _INVISIBLE
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
    )
