"""`conf/icp.yaml`: what a company states of itself, section by section."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from icploop.settings.addresses import Variable
from icploop.settings.attributes import (
    Attribute,
    Condition,
    Declarations,
    Exclusion,
    HypothesisLine,
    check_condition,
)
from icploop.settings.base import Dimension, Frozen, Objective, digest, folded
from icploop.settings.parsing import did_you_mean, mapping, validated
from icploop.settings.policy import GatePolicy


class Trigger(Frozen):
    """When a new round is due: N closed deals since the last judged one, or the calendar floor."""

    closed_deals: int = Field(default=75, ge=1)
    count: Literal["closed", "won"] = "closed"
    calendar_floor_days: int = Field(default=92, ge=1)


class Outcome(Frozen):
    """What is judged: revenue `horizon_months` after first billing against its start.

    `window_months` > 1 averages both ends, for revenue that is usage-like. `onboarding_months` is
    how long after the close the first bill usually comes: the horizon of an account that was never
    billed is counted from then, so that it does not mature before its neighbours.

    A won deal acquires an account that paid nothing in the `acquired_again_after_months` before it:
    who paid for a pilot once, or left, is won anew. Bills of up to `billed_before_deal_months`
    before the month in which the deal was logged belong to it.
    """

    horizon_months: int = Field(default=12, ge=1, le=60)
    window_months: int = Field(default=1, ge=1, le=12)
    onboarding_months: int = Field(default=1, ge=0, le=24)
    acquired_again_after_months: int = Field(default=12, ge=1, le=120)
    billed_before_deal_months: int = Field(default=1, ge=0, le=24)

    @property
    def retained_by(self) -> int:
        """How many months a customer must be billed to count as retained."""
        return self.horizon_months - self.window_months + 1

    @model_validator(mode="after")
    def _windows_do_not_overlap(self) -> Outcome:
        if self.horizon_months < 2 * self.window_months - 1:
            raise ValueError(
                f"the windows at both ends overlap: horizon_months {self.horizon_months} must be "
                f"at least {2 * self.window_months - 1} for window_months {self.window_months}"
            )
        return self


class Freshness(Frozen):
    """How old the data may be on the day that is asked about, in days.

    Their age is that of the last complete month of revenue or of the newest deal, whichever is
    older. Older than `warn_after_days` is told in rounds, status, form and page; a round on data
    older than `refuse_after_days` is refused (None: never).
    """

    warn_after_days: int = Field(default=75, ge=1)
    refuse_after_days: int | None = Field(default=400, ge=1)


class Learning(Frozen):
    """How the fit model weighs its customers.

    `half_life_months`: a customer won so many months ago counts half as much as one won today. None
    counts all alike, which is better unless the market shifts (docs/measured.md).
    """

    half_life_months: float | None = Field(default=None, ge=1)


class Value(Frozen):
    """What the objective `value` earns and costs, where the deals themselves do not say.

    `gross_margin` (0..1) stands in for deals without one, `cost_of_pursuit` (money a deal) for
    deals without an acquisition cost; None takes the mean of the deals that have one. Accounts with
    expected NRR below `nrr_floor` (ratio) are not pursued whatever they would earn.
    """

    gross_margin: float | None = Field(default=None, ge=0, le=1)
    cost_of_pursuit: float | None = Field(default=None, ge=0)
    nrr_floor: float = Field(default=0.8, ge=0)


class Capacity(Frozen):
    """How much of the market the team can pursue: a share, or a number of accounts."""

    share: float = Field(default=0.25, gt=0, lt=1)
    accounts: int | None = Field(default=None, ge=1)


class Tiers(Frozen):
    """Tier sizes as shares of the reference prospects, best first; D is the rest.

    A and B together hold what the team can pursue (`Capacity`), in the proportion stated here.
    Accounts of whose attributes a smaller share than `min_coverage` is known are `unknown`.
    """

    A: float = Field(default=0.05, gt=0, lt=1)
    B: float = Field(default=0.20, gt=0, lt=1)
    C: float = Field(default=0.35, gt=0, lt=1)
    min_coverage: float = Field(default=0.35, ge=0, le=1)

    def holding(self, share: float) -> Tiers:
        """The tiers whose A and B together hold a share of the market, C and D the rest."""
        if math.isclose(self.A + self.B, share):
            return self
        inside, outside = share / (self.A + self.B), (1 - share) / (1 - self.A - self.B)
        sizes = {"A": self.A * inside, "B": self.B * inside, "C": self.C * outside}
        return self.model_copy(update=sizes)

    @model_validator(mode="after")
    def _leave_room_for_d(self) -> Tiers:
        if self.A + self.B + self.C >= 1:
            raise ValueError("A, B and C together must be less than 1; D is the rest")
        return self


class Targets(Frozen):
    """Who may stand on the target account list, besides those who never can (customers).

    `explore` is the share of the list's places that is drawn at random from outside, and
    `hold_back` the share of the best that is left off at random: without them nobody can tell later
    what accounts that no list chose would have done, or what the list itself did. A list shorter
    or longer than `band` is told: what a team of usual size can work in a quarter.
    """

    open_deals: Literal["leave_out", "keep"] = "leave_out"
    explore: float = Field(default=0.03, ge=0, le=0.5)
    hold_back: float = Field(default=0.0, ge=0, le=0.5)
    band: tuple[int, int] = (800, 1500)

    @model_validator(mode="after")
    def _band_is_a_range(self) -> Targets:
        if not 0 <= self.band[0] <= self.band[1]:
            raise ValueError(f"band {list(self.band)}: give the shortest list and the longest")
        return self


class Notify(Frozen):
    """Where notices go: a webhook that takes JSON with a `text`, as Slack's do.

    `url_env` and `secret_env` name the environment variables that hold its address and the secret
    that signs the body.
    """

    url_env: Variable = "ICP_WEBHOOK_URL"
    secret_env: Variable = "ICP_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable


class Owners(Frozen):
    """Who owns the ICP, and who may approve a version (empty: anyone may)."""

    icp: str = ""
    approvers: tuple[str, ...] = ()

    def approver(self, who: str) -> str | None:
        """The approver whom a name means, as the settings write it; None where it is none.

        Where nobody is named, everybody is one.
        """
        if not self.approvers:
            return who.strip()
        return next((name for name in self.approvers if folded(name) == folded(who)), None)


# What ingest may find, by code: docs/your-data.md says what each means.
IngestFinding = Literal[
    "acv_annualised",
    "crowded_parent",
    "dialect_assumed",
    "export_begins_later",
    "export_shrank",
    "incomplete_month",
    "keys_folded",
    "left_out",
    "money_converted",
    "month_jump",
    "one_customer",
    "rows_left",
    "spellings_folded",
    "stale_data",
    "stored_then_refused",
    "unlike_acv",
    "unmapped_stages",
    "unmatched_money",
]


class Ingest(Frozen):
    """When ingest stops, and what counts as absurd. Money is in the company's currency.

    A table of which more than `max_bad_share` is bad stops it, and so does an export from which
    more than `max_shrink` of what was stored has left, unless that is said to be meant.
    `refuse_on` names findings (by their codes) that stop it too, with nothing changed. A table may
    have as many as `max_columns`: the warehouse takes about a megabyte of memory for each.
    """

    max_bad_share: float = Field(default=0.2, ge=0, le=1)
    max_money: float = Field(default=1e9, gt=0)
    max_shrink: float = Field(default=0.3, ge=0, le=1)
    max_columns: int = Field(default=1_000, ge=10)
    refuse_on: tuple[IngestFinding, ...] = ()


class Privacy(Frozen):
    """Columns that look like a person's and are stored all the same, by their names.

    Only companies are judged here. Whoever allows a column answers for it: that it is not a
    person's, or that its keeping is lawful.
    """

    allow: tuple[str, ...] = ()


class Identity(Frozen):
    """Who is who: `aliases` say by hand which account an id is, billing's or a duplicate account's.

    An id that stands for itself is never matched by domain or name. `merge_duplicates` lets
    accounts of one domain and one name count as one company.
    """

    aliases: dict[str, str] = Field(default={})
    merge_duplicates: bool = True


# A motion names a folder, a lock and a model in MLflow, which its address and filters must find.
_NOT_IN_A_NAME = re.compile(r"[/\\:'\"`%?#\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST_NAME = 100


def _fit_for_a_name(motion: str) -> str:
    found = _NOT_IN_A_NAME.search(motion)
    if found:
        fault = f"has {found[0]!r} in it"
    elif not motion or motion != motion.strip() or motion.startswith("."):
        fault = "is empty, begins with a dot, or begins or ends with a blank"
    elif len(motion.encode()) > _LONGEST_NAME:
        fault = f"is longer than {_LONGEST_NAME} bytes"
    else:
        return motion
    raise ValueError(f"a motion names folders and models, and this one {fault}; name it otherwise")


MotionName = Annotated[str, AfterValidator(_fit_for_a_name)]
# Columns of accounts and deals with a meaning of their own, and what is made of their outcome.
_OURS = frozenset(
    {
        *("parent_id", "name", "domain", "observed_at"),
        *("deal_id", "created_at", "closed_at", "outcome", "motion"),
        *("nrr", "grr", "retained", "matured", "matured_month", "start_mrr", "end_mrr"),
        *("parent", "at", "won", "cycle_days", "month", "mrr"),
        *("months_at_risk", "churned", "log_growth", "growth_months"),
    }
)
CurrencyCode = Annotated[str, Field(pattern="^[A-Z]{3}$")]


class Settings(Frozen):
    """Everything in `conf/icp.yaml`.

    `currencies` says what one unit of another currency is worth in `currency`, for rows of deals
    and revenue that name theirs under `currency`; money in any other is refused.
    """

    company: str
    currency: str = "USD"
    currencies: dict[CurrencyCode, Annotated[float, Field(gt=0)]] = Field(default={})
    motions: tuple[MotionName, ...] = ("default",)
    dimensions: dict[Dimension, Declarations]
    trigger: Trigger = Trigger()
    outcome: Outcome = Outcome()
    freshness: Freshness = Freshness()
    objective: Objective = "nrr"
    value: Value = Value()
    learning: Learning = Learning()
    capacity: Capacity = Capacity()
    tiers: Tiers = Tiers()
    targets: Targets = Targets()
    policy: GatePolicy = GatePolicy()
    hypothesis: tuple[HypothesisLine, ...] = ()
    required: tuple[Condition, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    owners: Owners = Owners()
    notify: Notify = Notify()
    ingest: Ingest = Ingest()
    privacy: Privacy = Privacy()
    identity: Identity = Identity()
    seed: int = 0

    @property
    def rates(self) -> dict[str, float]:
        """What one unit of each known currency is worth in the company's."""
        return {**self.currencies, self.currency.upper(): 1.0}

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The declared attributes, in the order in which they stand in the file."""
        return tuple(
            Attribute(
                name=name,
                dimension=dimension,
                kind=declared.kind,
                label=declared.label or name.removesuffix("_at").replace("_", " "),
                keep=declared.keep,
            )
            for dimension, declarations in self.dimensions.items()
            for name, declared in declarations.items()
        )

    def lineage(self, motion: str) -> str:
        """The name under which versions, verdicts and decisions of a motion are kept."""
        return lineage_of(motion, self.objective)

    def judging_digest(self) -> str:
        """A hash of all that a verdict rests on: what may change without it is left out."""
        ingesting = {"ingest", "privacy", "freshness", "currencies"}
        beside = {"company", "motions", "owners", "notify", "trigger", "targets"} | ingesting
        exclude: Any = dict.fromkeys(beside | {"policy"}, True)
        exclude["dimensions"] = {"__all__": {"__all__": {"keep"}}}
        stated = self.model_dump(mode="json", exclude=exclude)
        return digest([stated, self.policy.digest()])

    @model_validator(mode="after")
    def _two_persons_are_known(self) -> Settings:
        if self.policy.two_persons and not self.owners.approvers:
            raise ValueError(
                "policy.two_persons: it needs owners.approvers; where anyone may approve, whoever "
                "trained a version approves it under another name"
            )
        return self

    @model_validator(mode="after")
    def _names_of_its_own(self) -> Settings:
        if ours := sorted(_OURS & {a.name for a in self.attributes}):
            raise ValueError(
                f"dimensions: `{ours[0]}` is the name of a column that icploop makes or reads "
                "itself; give yours another one, under `columns` of its source too: "
                f"`my_{ours[0]}: {ours[0]}`"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        names = [a.name for a in self.attributes]
        if not names:
            raise ValueError("dimensions: declare at least one attribute")
        if twice := sorted(name for name, count in Counter(names).items() if count > 1):
            raise ValueError(f"dimensions: {', '.join(twice)} is declared under two dimensions")
        if "account_id" in names:
            raise ValueError("dimensions: `account_id` is a key, not an attribute; take it out")
        if unknown := sorted(set(self.policy.slices) - set(names)):
            raise ValueError(
                f"policy.slices: `{unknown[0]}` is not declared under dimensions"
                + did_you_mean(unknown[0], names)
            )
        kinds = {a.name: a.kind for a in self.attributes}
        stated: dict[str, tuple[Condition, ...]] = {
            "hypothesis": self.hypothesis,
            "required": self.required,
            "exclusions": self.exclusions,
        }
        for place, conditions in stated.items():
            for condition in conditions:
                check_condition(condition, kinds, place)
        if not self.motions:
            raise ValueError("motions: name at least one motion")
        for motion in self.motions:
            if motion.endswith(tuple(f".{objective}" for objective in get_args(Objective))):
                raise ValueError(
                    f"motions: {motion!r} reads like the lineage of another objective; name it "
                    "without the dot"
                )
        return self


def lineage_of(motion: str, objective: Objective) -> str:
    """The motion for NRR, the motion with the objective for any other.

    Each objective is a lineage of its own: a version that is judged by retention never replaces one
    that is judged by NRR.
    """
    return motion if objective == "nrr" else f"{motion}.{objective}"


def parse_settings(text: str, place: str) -> Settings:
    """The settings in `text` (YAML). Raises UsageError naming the key, `place` and the remedy."""
    return validated(Settings, mapping(text, place), place)
