"""`conf/sources/*.yaml`: where tables come from, and how columns map onto the contract."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from icploop.errors import UsageError
from icploop.settings.addresses import Address, Folder, TimeZone, Variable
from icploop.settings.base import Frozen, Mode, Spread, TableName, digest
from icploop.settings.formats import CellFormat, Dialect, TableFormat, number_format
from icploop.settings.parsing import did_you_mean, mapping, validated

SameMonth = Literal["refuse", "sum", "first"]
Words = tuple[str, ...]
_OTHERS = ""


class MappedTable(Frozen):
    """How the columns of a source become those of one canonical table, and how cells are written.

    `columns` maps canonical names to source names; `values` maps source values to canonical ones,
    by canonical column. `dates` is a strptime format for dates that are not ISO, `numbers` an
    example of how numbers are written (`1.234,56`): for all, or by column. `keep` are words by
    column that mean nothing elsewhere and are meant there, `nothing` further words that mean
    nothing. `acv_per` says what the acv of a deal is for, and `mrr_per` what an amount of revenue
    is: MRR, or ARR of which a twelfth is MRR. With `spread` amounts are bills, each for so many
    months from `month` on: a number, or what a column `months` or `until` says; they add up. By
    `timezone` moments become days; it is that of the source where it is not stated. `same_month`
    says of revenue what several rows of one account and month are: a reason to stop (`refuse`),
    such as subscriptions, which add up (`sum`), or repetitions of the `first`.
    """

    columns: dict[str, str] = Field(default={})
    words: dict[str, dict[str, str]] = Field(default={}, alias="values")
    dates: str | dict[str, str] | None = None
    numbers: str | dict[str, str] | None = None
    keep: dict[str, Words] = Field(default={})
    nothing: dict[str, Words] = Field(default={})
    acv_per: Literal["term", "year", "month"] = "term"
    mrr_per: Literal["month", "year"] = "month"
    spread: Spread | None = None
    timezone: TimeZone | None = None
    same_month: SameMonth = "refuse"

    @property
    def formats(self) -> TableFormat:
        """How its cells are written."""
        dates, numbers = _by_column(self.dates), _by_column(self.numbers)

        def of(column: str) -> CellFormat:
            example = numbers.get(column, numbers[_OTHERS])
            return CellFormat(
                dates.get(column, dates[_OTHERS]),
                number_format(example) if example else None,
                frozenset(self.keep.get(column, ())),
                frozenset(self.nothing.get(column, ())),
            )

        named = {*dates, *numbers, *self.keep, *self.nothing} - {_OTHERS}
        return TableFormat(
            of(_OTHERS),
            {column: of(column) for column in named},
            self.acv_per,
            self.mrr_per,
            self.spread,
        )

    @field_validator("numbers")
    @classmethod
    def _numbers_are_shown(cls, stated: str | dict[str, str] | None) -> str | dict[str, str] | None:
        for example in stated.values() if isinstance(stated, dict) else [stated] if stated else []:
            number_format(example)
        return stated


def _by_column(stated: str | dict[str, str] | None) -> dict[str, str | None]:
    """What is stated of columns by their names, and of all `_OTHERS`."""
    return {_OTHERS: None, **stated} if isinstance(stated, dict) else {_OTHERS: stated}


class TableSource(MappedTable):
    """How one canonical table is read: a file with renamed columns, or one SQL query.

    `sheet` is that of a workbook which has several. `mode` says how much of the table an export is,
    where it is not as with the source's others.
    """

    file: str | None = None
    sheet: str | None = None
    query: str | None = None
    mode: Mode | None = None

    @model_validator(mode="after")
    def _file_or_query(self) -> TableSource:
        if (self.file is None) == (self.query is None):
            raise ValueError("give exactly one of `file` and `query`")
        return self


class _Clock(Frozen):
    """What holds for each source: by the clock of `timezone` its moments become days and months.

    A moment that says how far it is from UTC is read on that clock; a day, or a moment that does
    not say so, stays what it is.
    """

    timezone: TimeZone = "UTC"

    @field_validator("tables", check_fields=False)
    @classmethod
    def _on_its_clock(
        cls, tables: dict[str, MappedTable], info: ValidationInfo
    ) -> dict[str, MappedTable]:
        zone = info.data.get("timezone")
        return {
            name: table if table.timezone else table.model_copy(update={"timezone": zone})
            for name, table in tables.items()
        }


class FilesSource(_Clock):
    """A folder of CSV, Parquet, JSON or Excel files; a query sees each (or a subfolder) as a table.

    `folder` is a path, or the address of a folder in an object store, such as `s3://bucket/exports`.
    By `mode` an export is the whole table (`full`: what is no longer in it is gone), the table
    since its first row (`window`), or what is new (`increment`). `dialects` says by a file's name,
    or a pattern of names, how files are written that are not written as most are.
    """

    kind: Literal["files"]
    folder: Folder
    mode: Mode = "full"
    tables: dict[TableName, TableSource]
    dialects: dict[str, Dialect] = Field(default={})

    @property
    def is_remote(self) -> bool:
        """Whether the folder is one of an object store."""
        return "://" in self.folder


class SqlSource(_Clock):
    """A SQL database; `url_env` names the environment variable that holds its SQLAlchemy URL.

    `mode` says how much of a table the result of a query is, as for files.
    """

    kind: Literal["sql"]
    url_env: Variable
    mode: Mode = "full"
    tables: dict[TableName, TableSource]

    @model_validator(mode="after")
    def _queries_only(self) -> SqlSource:
        if plain := [name for name, table in self.tables.items() if table.query is None]:
            raise ValueError(f"tables.{plain[0]}: a database is read by `query`, not by `file`")
        return self


Discounts = Literal["recurring", "all", "none"]
Pace = Annotated[float, Field(gt=0, le=1000)]


class CrmTable(MappedTable):
    """How fields of a CRM become columns; their names are written into addresses and queries."""

    @model_validator(mode="after")
    def _plain_names(self) -> CrmTable:
        for canonical, own in self.columns.items():
            if not re.fullmatch(r"\w+", own, re.ASCII):
                raise ValueError(f"columns.{canonical}: {own!r} is not the API name of a field")
        return self


class HubSpotSource(_Clock):
    """HubSpot's companies and deals; `token_env` names the variable with a private app's token.

    In `columns` the source names are HubSpot's internal property names, and `id`; of a deal also
    `company`, its primary one. They add to what is mapped by default. `calls_per_second` stays
    below what HubSpot allows every portal.
    """

    kind: Literal["hubspot"]
    token_env: Variable = "HUBSPOT_TOKEN"  # noqa: S105 - the name of a variable
    base_url: Address = "https://api.hubapi.com"
    calls_per_second: Pace = 9
    tables: dict[Literal["accounts", "deals"], CrmTable]


class SalesforceSource(_Clock):
    """Salesforce's accounts and opportunities; `base_url` is the organisation's own address.

    `token_env` names the variable with an access token. In `columns` the source names are API names
    of fields. `tracked` are fields of Account whose history Salesforce keeps, since `tracked_since`
    at the latest: the day on which tracking was switched on, or 18 months ago if that is later.
    """

    kind: Literal["salesforce"]
    token_env: Variable = "SALESFORCE_TOKEN"  # noqa: S105 - the name of a variable
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


class StripeSource(_Clock):
    """Stripe's invoices as MRR by month; `token_env` names the variable with a restricted key.

    `currencies` says what one unit of a currency is worth in the company's currency (1 for that
    itself); money in any other is refused. `account_id` says which account a customer is:
    `customer` (its own id) or `metadata.<key>` of the customer. `timezone` is the account's. Of
    `discounts`, the `recurring` ones make MRR lower, or `all`, with coupons that hold once, or
    `none`.
    """

    kind: Literal["stripe"]
    token_env: Variable = "STRIPE_API_KEY"  # noqa: S105 - the name of a variable
    base_url: Address = "https://api.stripe.com"
    calls_per_second: Pace = 20
    discounts: Discounts = "recurring"
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


def mode_of(source: Source, table: TableName) -> Mode:
    """How much of a table is what a source gives; all that a server has waits in the landing."""
    if isinstance(source, FilesSource | SqlSource):
        return source.tables[table].mode or source.mode
    return "full"


def reading_digest(source: Source, table: TableName) -> str:
    """A hash of how a table of a source is read: by another one nothing stored can be compared.

    Settings that are not stated are left out, so that a new one changes no hash.
    """
    stated = source.model_dump(mode="json", exclude_defaults=True, exclude={"tables", "mode"})
    if isinstance(source, StripeSource):
        return digest(stated)
    own = source.tables[table].model_dump(  # type: ignore[index]
        mode="json", exclude_defaults=True, exclude={"mode"}
    )
    return digest([stated, own])


def parse_source(text: str, place: str) -> Source:
    """One source's settings. Raises UsageError naming the key, `place` and the remedy."""
    raw = mapping(text, place)
    kind = raw.get("kind")
    if kind not in list(SOURCE_KINDS):  # a list: what was given may have no hash
        raise UsageError(
            f"{place}: kind: {kind!r} is not a kind of source; use one of "
            f"{', '.join(SOURCE_KINDS)}" + did_you_mean(str(kind), SOURCE_KINDS)
        )
    return validated(SOURCE_KINDS[kind], raw, place)
