"""The `policy` section: what a challenger must show before it may replace the champion."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from icploop.settings.base import Frozen, digest

# What each named policy asks for; numbers that are stated beside the name count more.
_PRESETS: dict[str, dict[str, Any]] = {
    "strict": {"probability_better": 0.9, "total_error": 0.1},
    "balanced": {"probability_better": 0.65, "total_error": None},
    "fresh": {"probability_better": 0.5, "total_error": None},
}


class GatePolicy(Frozen):
    """What a challenger must show before it may replace the champion.

    `preset` names a policy (strict, balanced or fresh) whose numbers hold where none are stated;
    `policy: strict` is short for `policy: {preset: strict}`. An equal challenger passes a round
    with the chance 1 - `probability_better`, and all rounds until the next promotion with the
    chance `total_error`, where one is stated. Margins are NRR, GRR and retention as ratios (0.02 =
    two points). `slices` are attributes in none of whose levels with `slice_min` holdout customers
    the challenger may clearly harm. The anti-ICP may refuse `max_refused_good` of the customers who
    did not shrink, and with too thinly known accounts leave no less than `min_width` of the market.
    `deal_margin` is the share by which win rate, gross margin or speed of the deals that it would
    pursue may get worse: who stays longer may be harder to win, and NRR does not say so.
    `looks` is how often a customer may decide before it counts as used up.

    `approval: auto` puts what passed in force without a person. A version that waits for one is
    `overdue_days` old when ops are reminded, and cannot be approved any more after `expires_days`.
    With `two_persons` whoever trained a version may not approve it; that needs `owners.approvers`.
    """

    preset: Literal["strict", "balanced", "fresh"] = "balanced"
    probability_better: float = Field(default=0.65, ge=0.5, lt=1)
    total_error: float | None = Field(default=None, gt=0, lt=1)
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
        """A hash of what the policy asks of a version, kept with each verdict under it."""
        return digest(self.model_dump(mode="json", exclude=_ASKS_PERSONS))


# Keys of the policy that say who decides about a version, and leave its verdict as it is.
_ASKS_PERSONS = {"approval", "two_persons", "expires_days", "overdue_days"}
