"""What all settings are made of: the contract's words, frozen models, and the hash of a value."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

Kind = Literal["category", "number", "flag", "set", "date"]
Dimension = Literal[
    "firmographic", "technographic", "use_case", "trigger_event", "decision_authority", "pain_proof"
]
Objective = Literal["nrr", "grr", "retention", "value"]
TableName = Literal["accounts", "deals", "revenue", "signals"]
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
