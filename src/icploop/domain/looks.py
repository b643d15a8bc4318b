"""How often the same customers were looked at to judge a version: each look costs some honesty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from icploop.domain.findings import Finding
from icploop.domain.ledger import LedgerRow
from icploop.settings import GatePolicy


@dataclass(frozen=True)
class Looks:
    """How often each account was in the holdout of a judged round."""

    by_account: Mapping[str, int] = field(default_factory=dict)

    def after(self, holdout: Iterable[str]) -> Looks:
        """The looks once a round has looked at `holdout`."""
        counts = Counter(self.by_account)
        counts.update(holdout)
        return Looks(dict(counts))

    def used_up(self, holdout: Sequence[str], policy: GatePolicy) -> Finding | None:
        """A warning when half of the holdout was looked at more often than the policy allows."""
        typical = median(self.by_account.get(account, 0) for account in holdout) if holdout else 0
        if typical < policy.looks:
            return None
        return Finding(
            "holdout_used_up",
            "warning",
            f"Half of the {len(holdout)} holdout customers have decided {typical:.0f} rounds or "
            f"more (policy.looks: {policy.looks}); what they say is used up: wait for customers to "
            "mature, or ask for a higher probability.",
        )


def looks_of(ledger: Sequence[LedgerRow]) -> Looks:
    """The looks that a lineage's ledger knows, oldest row first."""
    looks = Looks()
    for row in ledger:
        if row.event == "verdict" and row.details.get("holdout"):
            looks = looks.after(row.details["holdout"])
    return looks
