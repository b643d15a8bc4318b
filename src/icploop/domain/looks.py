"""How often the same customers were looked at to judge a version: each look costs some honesty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from icploop.domain.findings import Finding
from icploop.domain.ledger import LedgerRow
from icploop.settings import GatePolicy

# Shares of the total error fall with the number of the round to this power, and add up to one.
_DECAY = 1.3
_ALL_SHARES = 3.9319


@dataclass(frozen=True)
class Looks:
    """Judged rounds since the last promotion, and how often each account was in a holdout."""

    rounds: int = 0
    by_account: Mapping[str, int] = field(default_factory=dict)

    def after(self, holdout: Iterable[str], promoted: bool) -> Looks:
        """The looks once a round has looked at `holdout`; a promotion starts a new series."""
        counts = Counter(self.by_account)
        counts.update(holdout)
        return Looks(0 if promoted else self.rounds + 1, dict(counts))

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
        if row.event == "promotion":
            looks = Looks(0, looks.by_account)
        elif row.event == "verdict" and row.details.get("holdout"):
            looks = looks.after(row.details["holdout"], promoted=False)
    return looks


def required_probability(policy: GatePolicy, looks: Looks) -> float:
    """The probability that a challenger needs in the next round.

    With a total error the chance that any of the rounds since the last promotion lets an equal
    challenger pass stays below it: each round may spend a share of it, later ones less (alpha
    spending, Lan and DeMets, Biometrika 70, 1983).
    """
    if policy.total_error is None:
        return policy.probability_better
    share = (looks.rounds + 1) ** -_DECAY / _ALL_SHARES
    return max(policy.probability_better, 1 - policy.total_error * share)
