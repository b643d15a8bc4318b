"""Findings: what looks wrong, or is worth knowing, as values that can be told apart by their code.

A code never changes its meaning: it is what a setting names, what MLflow keeps as a tag, and the
anchor under which the docs explain it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["note", "warning", "refusal"]
_GRAVEST_LAST: tuple[Severity, ...] = ("note", "warning", "refusal")

# The codes that each page of docs/ explains.
_EXPLAINED = {
    "your-data.md": """
        acv_annualised crowded_parent dialect_assumed export_begins_later export_shrank
        incomplete_month keys_folded left_out money_converted month_jump one_customer rows_left
        spellings_folded stale_data stored_then_refused unlike_acv unmapped_stages unmatched_money
    """,
    "gate.md": """
        better worse too_close too_few_matured earlier_lists metric_missing slice_unjudged
        guard_behind guard_calibration guard_deals guard_empty_tier guard_grr guard_narrow
        guard_part guard_refuses_good guard_retention
        attribute_constant attribute_empty deals_worse holdout_used_up hypothesis_mode no_skill
        p_win_unknown tiers_out_of_order
        too_little customers_unsure holdout_disagrees guard_recipe unusual_turnover
        past_changed past_restated skill_unsure
    """,
    "data-trust.md": """
        leak_changes_after_outcome leak_copy_of_outcome leak_filled_after_close
        leak_filled_by_outcome leak_filled_for_won_only leak_identifier leak_missingness
        leak_shared_parent leak_tells_alone leak_time leak_dated_after_sale too_good
        backfilled family_apart leak_allowed leak_not_found
        customers_drifted empty_field quarantined
    """,
    "read-the-icp.md": """
        contradiction few_dimensions no_anti_icp person shared_motion stale_icp too_narrow too_vague
    """,
}
PAGE_OF = {code: page for page, codes in _EXPLAINED.items() for code in codes.split()}


@dataclass(frozen=True)
class Finding:
    """Something found in data, in an ICP or in a round.

    `code` is a word with underscores (`month_jump`), one of `PAGE_OF`; `message` a whole sentence
    that names the value, the place and the remedy. A `note` is worth knowing, a `warning` looks
    wrong, and a `refusal` stops what was asked for. Raises ValueError for a code that no page
    explains.
    """

    code: str
    severity: Severity
    message: str

    def __post_init__(self) -> None:
        if self.code not in PAGE_OF:
            raise ValueError(f"no page of docs/ explains the finding {self.code!r}")

    def __str__(self) -> str:
        return self.message

    @property
    def docs(self) -> str:
        """The page and the anchor that explain it."""
        return f"{PAGE_OF[self.code]}#{self.code}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "docs": self.docs,
        }


def of_code(findings: Iterable[Finding], codes: Iterable[str]) -> list[Finding]:
    """The findings whose code is one of these, in their order."""
    wanted = frozenset(codes)
    return [finding for finding in findings if finding.code in wanted]


def as_tags(findings: Iterable[Finding]) -> dict[str, str]:
    """A tag for each code, `finding.CODE`, with the gravest severity that it was found with."""
    graver = sorted(findings, key=lambda finding: _GRAVEST_LAST.index(finding.severity))
    return {f"finding.{finding.code}": finding.severity for finding in graver}
