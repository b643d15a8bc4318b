"""`conf/crm.yaml`: which values are written into which fields of a CRM."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from icploop.errors import UsageError
from icploop.settings.addresses import Address, Variable
from icploop.settings.base import CRM_FIELDS, CrmField, Frozen
from icploop.settings.parsing import did_you_mean, mapping, validated


class _OurProperties(Frozen):
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


class _AnyCrm(Frozen):
    """What holds for each CRM.

    `token_env` names the environment variable with the access token, `match` the property that
    holds our account_id. At most `calls_per_second` are made, and none once less than `reserve` (a
    share) of the day's calls is left to others.
    """

    token_env: Variable
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


def parse_crm(text: str, place: str) -> CrmSettings:
    """The CRM's settings. Raises UsageError naming the key, `place` and the remedy."""
    raw = mapping(text, place)
    kind = raw.get("kind")
    if kind not in list(CRM_KINDS):
        raise UsageError(
            f"{place}: kind: {kind!r} is not a kind of CRM; use one of {', '.join(CRM_KINDS)}"
            + did_you_mean(str(kind), CRM_KINDS)
        )
    return validated(CRM_KINDS[kind], raw, place)
