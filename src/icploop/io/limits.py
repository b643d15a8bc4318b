"""How each server tells of its limits: what is left of the day's calls, and how long to wait."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# No server is waited for any longer, in seconds; a longer wait is told.
LONGEST_WAIT = 120.0


@dataclass(frozen=True)
class Limits:
    """How a server tells of its limits.

    `left` finds in an answer's headers how many of how many calls the day has left; `spent` says of
    a refusal's JSON whether the day's calls are used up, `window` after how many seconds at the
    latest a refused call may be made again.
    """

    left: Callable[[Mapping[str, str]], tuple[int, int] | None] = lambda _: None
    spent: Callable[[Any], bool] = lambda _: False
    window: Callable[[Any], float] = lambda _: LONGEST_WAIT


def _left_in_hubspot(headers: Mapping[str, str]) -> tuple[int, int] | None:
    found = [headers.get(f"X-HubSpot-RateLimit-Daily{part}", "") for part in ("-Remaining", "")]
    return (int(found[0]), int(found[1])) if all(map(str.isdigit, found)) else None


def _policy(told: Any) -> str:
    return str(told.get("policyName") or "").upper() if isinstance(told, dict) else ""


def _left_in_salesforce(headers: Mapping[str, str]) -> tuple[int, int] | None:
    found = re.search(r"api-usage=(\d+)/(\d+)", headers.get("Sforce-Limit-Info", ""))
    return (int(found[2]) - int(found[1]), int(found[2])) if found else None


def _spent_in_salesforce(told: Any) -> bool:
    told = told if isinstance(told, list) else [told]
    codes = [one.get("errorCode") for one in told if isinstance(one, dict)]
    return "REQUEST_LIMIT_EXCEEDED" in codes


UNTOLD = Limits()
HUBSPOT = Limits(
    left=_left_in_hubspot,
    spent=lambda told: _policy(told) == "DAILY",
    # The other limit counts ten seconds; Retry-After may be stated in milliseconds.
    window=lambda told: 10.0 if "SECONDLY" in _policy(told) else LONGEST_WAIT,
)
SALESFORCE = Limits(left=_left_in_salesforce, spent=_spent_in_salesforce)
