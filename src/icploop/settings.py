"""What an operator states in `conf/`, as validated and frozen values.

Nothing here touches the disk: `parse_settings`, `parse_source` and `parse_crm` take the text of a
file and the name to use in error messages. A key that does not exist is refused with the key that
was probably meant, because a typo that is silently ignored changes results.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args
from urllib.parse import parse_qsl, urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from icploop.errors import UsageError

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


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _kind_alone(value: Any) -> Any:
    """`employees: number` is short for `employees: {kind: number}`."""
    return {"kind": value} if isinstance(value, str) else value


class _Declared(_Frozen):
    kind: Kind
    label: str = ""


class Attribute(_Frozen):
    """One declared attribute of an account: only declared attributes are ever features."""

    name: str
    dimension: Dimension
    kind: Kind
    label: str

    @property
    def is_number_like(self) -> bool:
        """Whether its feature is a number on a scale (a date is its age in days)."""
        return self.kind in ("number", "date")


class Condition(_Frozen):
    """A condition on an account, as people write it in the settings.

    Exactly one of `between` (numbers, an end may be open; for dates the age in days), `any_of`
    (categories, sets) and `is_true` (flags) is given.
    """

    attribute: str
    between: tuple[float | None, float | None] | None = None
    any_of: tuple[str, ...] | None = None
    is_true: bool | None = None

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        given = [c for c in (self.between, self.any_of, self.is_true) if c is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of `between`, `any_of`, `is_true`")
        if self.between:
            low, high = self.between
            if low is None and high is None:
                raise ValueError("`between` is [low, high]; give at least one of the two")
            if low is not None and high is not None and not low <= high:
                raise ValueError("`between` is [low, high], with low not above high")
        return self


class HypothesisLine(Condition):
    """One line of the ICP that people believed in before there was data.

    `points` is a whole number from -3 to 3.
    """

    points: int = Field(ge=-3, le=3)


class Exclusion(Condition):
    """Accounts that are never to be pursued, and why: a written line of the anti-ICP."""

    reason: str = Field(min_length=1)


class Trigger(_Frozen):
    """When a new round is due: N closed deals since the last judged one, or the calendar floor."""

    closed_deals: int = Field(default=75, ge=1)
    count: Literal["closed", "won"] = "closed"
    calendar_floor_days: int = Field(default=92, ge=1)


class Outcome(_Frozen):
    """What is judged: revenue `horizon_months` after first billing against its start.

    `window_months` > 1 averages both ends, for revenue that is usage-like. `onboarding_months` is
    how long after the close the first bill usually comes: the horizon of an account that was never
    billed is counted from then, so that it does not mature before its neighbours.
    """

    horizon_months: int = Field(default=12, ge=1, le=60)
    window_months: int = Field(default=1, ge=1, le=12)
    onboarding_months: int = Field(default=1, ge=0, le=24)

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


class Learning(_Frozen):
    """How the fit model weighs its customers.

    `half_life_months`: a customer won so many months ago counts half as much as one won today. None
    counts all alike, which is better unless the market shifts (docs/measured.md).
    """

    half_life_months: float | None = Field(default=None, ge=1)


class Value(_Frozen):
    """What the objective `value` earns and costs, where the deals themselves do not say.

    `gross_margin` (0..1) stands in for deals without one, `cost_of_pursuit` (money a deal) for
    deals without an acquisition cost; None takes the mean of the deals that have one. Accounts with
    expected NRR below `nrr_floor` (ratio) are not pursued whatever they would earn.
    """

    gross_margin: float | None = Field(default=None, ge=0, le=1)
    cost_of_pursuit: float | None = Field(default=None, ge=0)
    nrr_floor: float = Field(default=0.8, ge=0)


class Capacity(_Frozen):
    """How much of the market the team can pursue: a share, or a number of accounts."""

    share: float = Field(default=0.25, gt=0, lt=1)
    accounts: int | None = Field(default=None, ge=1)


class Tiers(_Frozen):
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


class Targets(_Frozen):
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


# What each named policy asks for; numbers that are stated beside the name count more.
_PRESETS: dict[str, dict[str, Any]] = {
    "strict": {"probability_better": 0.9, "total_error": 0.1},
    "balanced": {"probability_better": 0.65, "total_error": None},
    "fresh": {"probability_better": 0.5, "total_error": None},
}


class GatePolicy(_Frozen):
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
    With `two_persons` whoever trained a version may not approve it.
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


class Notify(_Frozen):
    """Where notices go: a webhook that takes JSON with a `text`, as Slack's do.

    `url_env` and `secret_env` name the environment variables that hold its address and the secret
    that signs the body.
    """

    url_env: str = "ICP_WEBHOOK_URL"
    secret_env: str = "ICP_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable


class Owners(_Frozen):
    """Who owns the ICP, and who may approve a version (empty: anyone may)."""

    icp: str = ""
    approvers: tuple[str, ...] = ()


class Ingest(_Frozen):
    """When ingest stops, and what counts as absurd. Money is in the company's currency."""

    max_bad_share: float = Field(default=0.2, ge=0, le=1)
    max_money: float = Field(default=1e9, gt=0)


class Privacy(_Frozen):
    """Columns that look like a person's and are stored all the same, by their names.

    Only companies are judged here. Whoever allows a column answers for it: that it is not a
    person's, or that its keeping is lawful.
    """

    allow: tuple[str, ...] = ()


class Identity(_Frozen):
    """Who is who: `aliases` say by hand which account an id is, billing's or a duplicate account's.

    An id that stands for itself is never matched by domain or name. `merge_duplicates` lets
    accounts of one domain and one name count as one company.
    """

    aliases: dict[str, str] = {}
    merge_duplicates: bool = True


Declarations = dict[str, Annotated[_Declared, BeforeValidator(_kind_alone)]]


class Settings(_Frozen):
    """Everything in `conf/icp.yaml`."""

    company: str
    currency: str = "USD"
    motions: tuple[str, ...] = ("default",)
    dimensions: dict[Dimension, Declarations]
    trigger: Trigger = Trigger()
    outcome: Outcome = Outcome()
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
    def attributes(self) -> tuple[Attribute, ...]:
        """The declared attributes, in the order in which they stand in the file."""
        return tuple(
            Attribute(
                name=name,
                dimension=dimension,
                kind=declared.kind,
                label=declared.label or name.removesuffix("_at").replace("_", " "),
            )
            for dimension, declarations in self.dimensions.items()
            for name, declared in declarations.items()
        )

    def lineage(self, motion: str) -> str:
        """The name under which versions, verdicts and decisions of a motion are kept."""
        return lineage_of(motion, self.objective)

    def judging_digest(self) -> str:
        """A hash of all that a verdict rests on: what may change without it is left out."""
        ingesting = {"ingest", "privacy"}
        beside: Any = {"company", "motions", "owners", "notify", "trigger", "targets"} | ingesting
        stated = self.model_dump(mode="json", exclude=beside | {"policy"})
        return digest([stated, self.policy.digest()])

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        names = [a.name for a in self.attributes]
        if not names:
            raise ValueError("dimensions: declare at least one attribute")
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"dimensions: {', '.join(twice)} is declared under two dimensions")
        if "account_id" in names:
            raise ValueError("dimensions: `account_id` is a key, not an attribute; take it out")
        if unknown := sorted(set(self.policy.slices) - set(names)):
            raise ValueError(
                f"policy.slices: `{unknown[0]}` is not declared under dimensions"
                + _did_you_mean(unknown[0], names)
            )
        kinds = {a.name: a.kind for a in self.attributes}
        stated: dict[str, tuple[Condition, ...]] = {
            "hypothesis": self.hypothesis,
            "required": self.required,
            "exclusions": self.exclusions,
        }
        for place, conditions in stated.items():
            for condition in conditions:
                _check_condition(condition, kinds, place)
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


def _check_condition(condition: Condition, kinds: dict[str, Kind], place: str) -> None:
    name = condition.attribute
    if name not in kinds:
        raise ValueError(
            f"{place}: `{name}` is not declared under dimensions" + _did_you_mean(name, kinds)
        )
    kind = kinds[name]
    fits = {"number": "between", "date": "between", "flag": "is_true"}.get(kind, "any_of")
    if getattr(condition, fits) is None:
        raise ValueError(f"{place}: `{name}` is a {kind}; give `{fits}`")


class MappedTable(_Frozen):
    """How the columns of a source become those of one canonical table.

    `columns` maps canonical names to source names; `values` maps source values to canonical ones,
    by canonical column; `dates` is a strptime format for dates that are not ISO.
    """

    columns: dict[str, str] = {}
    words: dict[str, dict[str, str]] = Field(default={}, alias="values")
    dates: str | None = None


class TableSource(MappedTable):
    """How one canonical table is read: a file with renamed columns, or one SQL query."""

    file: str | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _file_or_query(self) -> TableSource:
        if (self.file is None) == (self.query is None):
            raise ValueError("give exactly one of `file` and `query`")
        return self


_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STORE_OPTIONS = ("region", "endpoint_override", "scheme")
OBJECT_STORES = ("s3", "gs", "gcs", "abfs", "abfss")


def _safe_folder(folder: str) -> str:
    """A path, or the address of a folder in an object store, without a secret in it."""
    if "://" not in folder:
        return folder
    parts = urlsplit(folder)
    options = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _STORE_OPTIONS or name in options:
            raise ValueError(
                f"{name!r} is no option of an address, or stands there twice; options are "
                f"{', '.join(_STORE_OPTIONS)}, and secrets belong into the environment"
            )
        options[name] = value
    if parts.scheme not in OBJECT_STORES:
        raise ValueError(
            f"{parts.scheme}:// is no object store; give {', '.join(OBJECT_STORES)}, or a path"
        )
    # Azure writes the container before the account, where others have a user.
    if parts.password or (parts.username and not parts.scheme.startswith("abfs")):
        raise ValueError("credentials belong into the environment, not into the address")
    if "://" in options.get("endpoint_override", ""):
        raise ValueError("give endpoint_override as host:port")
    endpoint = urlsplit("//" + options.get("endpoint_override", "")).hostname
    if options.get("scheme") == "http" and endpoint not in _LOOPBACK:
        raise ValueError("scheme=http is for this machine only: data must not travel in the clear")
    return folder


class FilesSource(_Frozen):
    """A folder of CSV or Parquet files; a query sees each file (or subfolder) as a table.

    `folder` is a path, or the address of a folder in an object store, such as `s3://bucket/exports`.
    """

    kind: Literal["files"]
    folder: Annotated[str, AfterValidator(_safe_folder)]
    tables: dict[TableName, TableSource]

    @property
    def is_remote(self) -> bool:
        """Whether the folder is one of an object store."""
        return "://" in self.folder


class SqlSource(_Frozen):
    """A SQL database; `url_env` names the environment variable that holds its SQLAlchemy URL."""

    kind: Literal["sql"]
    url_env: str
    tables: dict[TableName, TableSource]

    @model_validator(mode="after")
    def _queries_only(self) -> SqlSource:
        if plain := [name for name, table in self.tables.items() if table.query is None]:
            raise ValueError(f"tables.{plain[0]}: a database is read by `query`, not by `file`")
        return self


def _safe_address(address: str) -> str:
    """The address without a trailing slash, if a token may be sent there."""
    parts = urlsplit(address)
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not plain or parts.path.strip("/"):
        raise ValueError("give the address alone, such as https://api.hubapi.com")
    if parts.scheme != "https" and not loopback:
        raise ValueError("use https: a token must not travel in the clear")
    return address.rstrip("/")


Address = Annotated[str, AfterValidator(_safe_address)]
Pace = Annotated[float, Field(gt=0, le=1000)]


class CrmTable(MappedTable):
    """How fields of a CRM become columns; their names are written into addresses and queries."""

    @model_validator(mode="after")
    def _plain_names(self) -> CrmTable:
        for canonical, own in self.columns.items():
            if not re.fullmatch(r"\w+", own, re.ASCII):
                raise ValueError(f"columns.{canonical}: {own!r} is not the API name of a field")
        return self


class HubSpotSource(_Frozen):
    """HubSpot's companies and deals; `token_env` names the variable with a private app's token.

    In `columns` the source names are HubSpot's internal property names, and `id`; of a deal also
    `company`, its primary one. They add to what is mapped by default. `calls_per_second` stays
    below what HubSpot allows every portal.
    """

    kind: Literal["hubspot"]
    token_env: str = "HUBSPOT_TOKEN"  # noqa: S105 - the name of a variable
    base_url: Address = "https://api.hubapi.com"
    calls_per_second: Pace = 9
    tables: dict[Literal["accounts", "deals"], CrmTable]


class SalesforceSource(_Frozen):
    """Salesforce's accounts and opportunities; `base_url` is the organisation's own address.

    `token_env` names the variable with an access token. In `columns` the source names are API names
    of fields. `tracked` are fields of Account whose history Salesforce keeps, since `tracked_since`
    at the latest: the day on which tracking was switched on, or 18 months ago if that is later.
    """

    kind: Literal["salesforce"]
    token_env: str = "SALESFORCE_TOKEN"  # noqa: S105 - the name of a variable
    base_url: Address
    calls_per_second: Pace = 10
    tables: dict[Literal["accounts", "deals"], CrmTable]
    tracked: tuple[str, ...] = ()
    tracked_since: date | None = None

    @model_validator(mode="after")
    def _tracked_since_some_day(self) -> SalesforceSource:
        if self.tracked and self.tracked_since is None:
            raise ValueError(
                "tracked_since: say since which day Salesforce keeps the history of `tracked`"
            )
        return self


class StripeSource(_Frozen):
    """Stripe's invoices as MRR by month; `token_env` names the variable with a restricted key.

    `currencies` says what one unit of a currency is worth in the company's currency (1 for that
    itself); money in any other is refused. `account_id` says which account a customer is:
    `customer` (its own id) or `metadata.<key>` of the customer.
    """

    kind: Literal["stripe"]
    token_env: str = "STRIPE_API_KEY"  # noqa: S105 - the name of a variable
    base_url: Address = "https://api.stripe.com"
    calls_per_second: Pace = 20
    account_id: Annotated[str, Field(pattern=r"^(customer|metadata\..+)$")] = "customer"
    currencies: dict[Annotated[str, Field(pattern="^[a-z]{3}$")], Annotated[float, Field(gt=0)]] = (
        Field(min_length=1)
    )


Source = FilesSource | SqlSource | HubSpotSource | SalesforceSource | StripeSource
SOURCE_KINDS: dict[str, type[Source]] = {
    "files": FilesSource,
    "sql": SqlSource,
    "hubspot": HubSpotSource,
    "salesforce": SalesforceSource,
    "stripe": StripeSource,
}


class _OurProperties(_Frozen):
    """Where each value goes in a CRM; None leaves that one out. Nothing else is ever written."""

    score: str | None
    tier: str | None
    reasons_for: str | None
    reasons_against: str | None
    version: str | None
    scored_at: str | None
    may_be: ClassVar[str]

    @property
    def stated(self) -> dict[CrmField, str]:
        """The names by value, without those that are left out."""
        names = {field: getattr(self, field) for field in CRM_FIELDS}
        return {field: name for field, name in names.items() if name is not None}

    @model_validator(mode="after")
    def _ours_to_write(self) -> Self:
        names = list(self.stated.values())
        if not names:
            raise ValueError("name at least one property to write")
        for field, name in self.stated.items():
            if not re.fullmatch(self.may_be, name):
                example = type(self).model_fields[field].default
                raise ValueError(f"{field}: {name!r} cannot be one of our own; {example} could")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]!r} is named twice; each value needs a property of its own")
        return self


class HubspotProperties(_OurProperties):
    """The company properties of HubSpot that belong to icploop."""

    score: str | None = "icp_score"
    tier: str | None = "icp_tier"
    reasons_for: str | None = "icp_reasons_for"
    reasons_against: str | None = "icp_reasons_against"
    version: str | None = "icp_version"
    scored_at: str | None = "icp_scored_at"
    may_be: ClassVar[str] = r"(?!hs_|hubspot_)[a-z][a-z0-9_]{0,99}"


class SalesforceFields(_OurProperties):
    """The custom Account fields of Salesforce that belong to icploop."""

    score: str | None = "Icp_Score__c"
    tier: str | None = "Icp_Tier__c"
    reasons_for: str | None = "Icp_Reasons_For__c"
    reasons_against: str | None = "Icp_Reasons_Against__c"
    version: str | None = "Icp_Version__c"
    scored_at: str | None = "Icp_Scored_At__c"
    may_be: ClassVar[str] = r"[A-Za-z]\w{0,60}__c"


class _AnyCrm(_Frozen):
    """What holds for each CRM.

    `token_env` names the environment variable with the access token, `match` the property that
    holds our account_id. At most `calls_per_second` are made, and none once less than `reserve` (a
    share) of the day's calls is left to others.
    """

    token_env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    base_url: Address
    calls_per_second: float = Field(default=5, gt=0, le=1000)
    reserve: float = Field(default=0.1, ge=0, lt=1)
    match: str
    properties: _OurProperties

    @model_validator(mode="after")
    def _match_is_not_written(self) -> Self:
        if self.match in self.properties.stated.values():
            raise ValueError(
                f"match: {self.match!r} stands among `properties` too, and would be overwritten"
            )
        return self


class HubspotCrm(_AnyCrm):
    """HubSpot's companies; `match` is the record id or a property with unique values."""

    kind: Literal["hubspot"]
    base_url: Address = "https://api.hubapi.com"
    match: str = Field(default="hs_object_id", pattern=r"^[a-z][a-z0-9_]*$")
    properties: HubspotProperties = HubspotProperties()


class SalesforceCrm(_AnyCrm):
    """Salesforce's Accounts; `match` is `Id` or an External ID field."""

    kind: Literal["salesforce"]
    api_version: str = Field(default="62.0", pattern=r"^\d{2,3}\.0$")
    match: str = Field(default="Id", pattern=r"^(Id|[A-Za-z]\w*__c)$")
    properties: SalesforceFields = SalesforceFields()


CrmSettings = HubspotCrm | SalesforceCrm
CRM_KINDS: dict[str, type[HubspotCrm] | type[SalesforceCrm]] = {
    "hubspot": HubspotCrm,
    "salesforce": SalesforceCrm,
}


def parse_settings(text: str, place: str) -> Settings:
    """The settings in `text` (YAML). Raises UsageError naming the key, `place` and the remedy."""
    return _validated(Settings, _mapping(text, place), place)


def parse_source(text: str, place: str) -> Source:
    """One source's settings. Raises UsageError naming the key, `place` and the remedy."""
    raw = _mapping(text, place)
    kind = raw.get("kind")
    if kind not in list(SOURCE_KINDS):  # a list: what was given may have no hash
        raise UsageError(
            f"{place}: kind: {kind!r} is not a kind of source; use one of "
            f"{', '.join(SOURCE_KINDS)}" + _did_you_mean(str(kind), SOURCE_KINDS)
        )
    return _validated(SOURCE_KINDS[kind], raw, place)


def parse_crm(text: str, place: str) -> CrmSettings:
    """The CRM's settings. Raises UsageError naming the key, `place` and the remedy."""
    raw = _mapping(text, place)
    kind = raw.get("kind")
    if kind not in list(CRM_KINDS):
        raise UsageError(
            f"{place}: kind: {kind!r} is not a kind of CRM; use one of {', '.join(CRM_KINDS)}"
            + _did_you_mean(str(kind), CRM_KINDS)
        )
    return _validated(CRM_KINDS[kind], raw, place)


def digest(value: Any) -> str:
    """The SHA-256 of a JSON-like value, the same on every machine."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


_Model = TypeVar("_Model", bound=BaseModel)


def _mapping(text: str, place: str) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{place} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError(f"{place} must be a mapping of keys to values; see `icp init`")
    return raw


def _validated(model: type[_Model], raw: dict[str, Any], place: str) -> _Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults = [_sentence(model, dict(fault)) for fault in error.errors()]
        raise UsageError("\n".join(f"{place}: {fault}" for fault in faults)) from error


def _sentence(model: type[BaseModel], fault: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _keys_at(model, fault["loc"][:-1])
        return f"`{where}` is not a key" + _did_you_mean(str(fault["loc"][-1]), known)
    if fault["loc"][-1:] == ("[key]",) and fault["type"] == "literal_error":
        known = re.findall(r"'(\w+)'", fault["ctx"]["expected"])
        meant = _did_you_mean(str(fault["input"]), known)
        return f"`{where.removesuffix('.[key]')}` is not a key" + meant
    message = fault["msg"].removeprefix("Value error, ")
    if not where:
        return message
    # What stands there by mistake may be the secret itself.
    is_unspoken = fault["type"] == "missing" or fault["loc"][-1] in ("token_env", "base_url")
    given = "" if is_unspoken else f" (given: {fault['input']!r})"
    return f"`{where}`: {message}{given}"


def _keys_at(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The keys that the model at `path` knows, found by walking the annotations."""
    annotation: Any = model
    for part in path:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(part)].annotation
        else:
            # A list or mapping of models: the last type argument is the model of its values.
            annotation = get_args(annotation)[-1 if not isinstance(part, int) else 0]
        if hasattr(annotation, "__metadata__"):
            annotation = get_args(annotation)[0]
    fields = getattr(annotation, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; known: {', '.join(known)}"
