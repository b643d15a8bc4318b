"""The `policy` section: what a challenger must show before it may replace the champion."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from icploop.settings.base import Frozen, digest
from icploop.settings.refits import REFITS

# What each named policy asks for; numbers that are stated beside the name count more.
_PRESETS: dict[str, dict[str, Any]] = {
    "strict": {"probability_better": 0.8, "by_customers_alone": 0.8},
    "careful": {"probability_better": 0.75},
    "balanced": {"probability_better": 0.65},
    "fresh": {"probability_better": 0.55, "holdout": "may_disagree"},
}


class GatePolicy(Frozen):
    """What a challenger must show before it may replace the champion.

    `preset` names a policy (strict, careful, balanced or fresh) whose numbers hold where none are
    stated; `policy: strict` is short for `policy: {preset: strict}`. A challenger must be better
    with `probability_better` (`domain/posterior.py`: what such refits usually bring, joined with
    what customers did) and, where it is stated, with `by_customers_alone` by what customers did
    without the prior. With `holdout: must_agree` the holdout has to speak for it too: ahead on the
    NRR of the pursued, or customers did better where it rates them higher.

    `min_uplift` and the margins are NRR, GRR and retention as ratios (0.02 = two points). `slices`
    are attributes in none of whose levels with `slice_min` holdout customers the challenger may
    clearly harm. The anti-ICP may refuse `max_refused_good` of the customers who did not shrink,
    and with too thinly known accounts leave no less than `min_width` of the market. `deal_margin`
    is the share by which win rate, gross margin or speed of the deals that it would pursue may get
    worse: who stays longer may be harder to win, and NRR does not say so. `looks` is how often a
    customer may decide before it counts as used up. A round is invalid when of the customers that
    had matured at the champion's training more than `max_changed_outcomes` read differently now:
    late credit notes restate a few, a broken export of billing restates many.

    `approval: auto` puts what passed in force without a person. A version that waits for one is
    `overdue_days` old when ops are reminded, and cannot be approved any more after `expires_days`.
    With `two_persons` whoever trained a version may not approve it; that needs `owners.approvers`.
    """

    preset: Literal["strict", "careful", "balanced", "fresh"] = "balanced"
    probability_better: float = Field(default=0.65, ge=0.5, lt=1)
    by_customers_alone: float | None = Field(default=None, ge=0.5, lt=1)
    holdout: Literal["must_agree", "may_disagree"] = "must_agree"
    min_uplift: float = Field(default=0.0, ge=0)
    grr_margin: float = Field(default=0.05, ge=0)
    retention_margin: float = Field(default=0.05, ge=0)
    min_matured: int = Field(default=60, ge=20)
    newest: int = Field(default=300, ge=20)
    slices: tuple[str, ...] = ()
    slice_min: int = Field(default=20, ge=10)
    max_refused_good: float = Field(default=0.15, ge=0, le=1)
    min_width: float = Field(default=0.3, ge=0, le=1)
    deal_margin: float = Field(default=0.5, ge=0)
    looks: int = Field(default=12, ge=1)
    max_changed_outcomes: float = Field(default=0.05, ge=0, le=1)
    interval: float = Field(default=0.9, gt=0.5, lt=1)
    draws: int = Field(default=2000, ge=200, le=100_000)
    approval: Literal["manual", "auto"] = "manual"
    two_persons: bool = False
    expires_days: int = Field(default=30, ge=1)
    overdue_days: int = Field(default=7, ge=1)

    @model_validator(mode="after")
    def _persons_approve(self) -> Self:
        if self.two_persons and self.approval == "auto":
            raise ValueError("two_persons needs `approval: manual`: auto asks nobody")
        return self

    @model_validator(mode="before")
    @classmethod
    def _preset_first(cls, given: Any) -> Any:
        stated = {"preset": given} if isinstance(given, str) else given
        if not isinstance(stated, dict):
            return stated
        return _PRESETS.get(str(stated.get("preset", "balanced")), {}) | stated

    def digest(self) -> str:
        """A hash of what the policy asks of a version, kept with each verdict under it.

        The constants of the prior are part of it.
        """
        asked = self.model_dump(mode="json", exclude=_ASKS_PERSONS)
        return digest([asked, REFITS.model_dump(mode="json")])


# Keys of the policy that say who decides about a version, and leave its verdict as it is.
_ASKS_PERSONS = {"approval", "two_persons", "expires_days", "overdue_days"}
