"""What all settings are made of: the contract's words, frozen models, and the hash of a value."""

from __future__ import annotations

import hashlib
import json
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
