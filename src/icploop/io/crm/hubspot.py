"""HubSpot's companies, through the documented batch endpoints of its CRM API, version 3."""

from __future__ import annotations

import re
from typing import Any

from icploop.errors import UsageError
from icploop.io.crm.records import TIERS, Change, Record, Values, spelled
from icploop.io.http import Client, RejectedError
from icploop.settings import CrmField, HubspotCrm

_COMPANIES = "/crm/v3/objects/companies/batch"
_PROPERTIES = "/crm/v3/properties/companies"
_GROUP = "icp"
_RECORD_ID = "hs_object_id"
_LABELS: dict[CrmField, str] = {
    "score": "ICP score",
    "tier": "ICP tier",
    "reasons_for": "ICP reasons for",
    "reasons_against": "ICP reasons against",
    "version": "ICP version",
    "scored_at": "ICP scored at",
}
# The type that we create and, after it, others that serve as well.
_TYPES: dict[CrmField, tuple[str, ...]] = {
    "score": ("number",),
    "tier": ("enumeration", "string"),
    "reasons_for": ("string",),
    "reasons_against": ("string",),
    "version": ("string",),
    "scored_at": ("date", "datetime"),
}
_LOOKS: dict[CrmField, str] = {
    "score": "number",
    "tier": "select",
    "reasons_for": "textarea",
    "reasons_against": "textarea",
    "version": "text",
    "scored_at": "date",
}


class Hubspot:
    """The companies of one HubSpot account."""

    name = "HubSpot"
    batch = 100

    def __init__(self, settings: HubspotCrm, client: Client) -> None:
        self._settings, self._client = settings, client
        self._names = settings.properties.stated

    def lacking(self) -> list[str]:
        """Our properties that HubSpot does not have. Raises UsageError for those unfit for us."""
        told = self._client.get(_PROPERTIES, must_have="results")
        found = {one["name"]: one for one in told["results"]}
        match = self._settings.match
        if match != _RECORD_ID and not found.get(match, {}).get("hasUniqueValue"):
            raise UsageError(
                f"conf/crm.yaml: match: HubSpot has no company property {match!r} with unique "
                f"values; name one that has, or {_RECORD_ID}"
            )
        for field, name in self._names.items():
            if name in found:
                _check(found[name], field)
        return [name for name in self._names.values() if name not in found]

    def create(self, names: list[str]) -> None:
        """Create the named properties in a group of their own."""
        self._create(f"{_PROPERTIES}/groups", {"name": _GROUP, "label": "Ideal Customer Profile"})
        for field, name in self._names.items():
            if name in names:
                self._create(_PROPERTIES, _definition(field, name))

    def read(self, account_ids: list[str]) -> dict[str, list[Record]]:
        """The company of each account that HubSpot knows."""
        match = self._settings.match
        askable = [i for i in account_ids if match != _RECORD_ID or re.fullmatch(r"\d{1,19}", i)]
        if not askable:
            return {}
        body: dict[str, Any] = {
            "inputs": [{"id": account_id} for account_id in askable],
            "properties": [*self._names.values(), match],
        }
        if match != _RECORD_ID:
            body["idProperty"] = match
        told = self._client.post(f"{_COMPANIES}/read", body, must_have="results")
        self._stop_at_faults(told)
        found: dict[str, list[Record]] = {}
        for company in told["results"]:
            known_as = company["id"] if match == _RECORD_ID else company["properties"].get(match)
            found.setdefault(str(known_as), []).append(self._record(company))
        return {account_id: found[account_id] for account_id in askable if account_id in found}

    def write(self, changes: list[Change]) -> dict[str, str]:
        """Update companies once; by account why HubSpot refused it."""
        inputs = [
            {
                "id": change.record_id,
                # An empty text is how HubSpot clears a property.
                "properties": {self._names[f]: value or "" for f, value in change.after.items()},
            }
            for change in changes
        ]
        told = self._client.act("POST", f"{_COMPANIES}/update", {"inputs": inputs}).body
        done = {str(company.get("id")) for company in told.get("results", [])}
        named, unnamed = self._reasons(told.get("errors") or [])
        return {
            change.account_id: named.get(change.record_id) or unnamed
            for change in changes
            if change.record_id not in done
        }

    def _create(self, path: str, definition: dict[str, Any]) -> None:
        try:
            self._client.ask("POST", path, definition)
        except RejectedError as error:
            if error.status != 409:  # it is there already
                raise

    def _record(self, company: dict[str, Any]) -> Record:
        properties = company["properties"]
        values: Values = {f: spelled(f, properties.get(n)) for f, n in self._names.items()}
        return Record(str(company["id"]), values)

    def _stop_at_faults(self, told: dict[str, Any]) -> None:
        """Companies that do not exist are no fault of a read; anything else is."""
        for error in told.get("errors") or []:
            if error.get("category") not in (None, "OBJECT_NOT_FOUND"):
                said = self._client.clean(str(error.get("message")))
                raise RejectedError(f"HubSpot could not read companies: {said}", 207)

    def _reasons(self, errors: list[dict[str, Any]]) -> tuple[dict[str, str], str]:
        """Why companies were refused, by record id, and what was said without naming one."""
        named: dict[str, str] = {}
        unnamed = "HubSpot does not say why"
        for error in errors:
            said = self._client.clean(str(error.get("message") or error.get("category") or ""))
            reason = said or unnamed
            ids = (error.get("context") or {}).get("ids") or [error.get("id")]
            for record_id in filter(None, ids):
                named[str(record_id)] = reason
            if not any(ids):
                unnamed = reason
        return named, unnamed


def _check(found: dict[str, Any], field: CrmField) -> None:
    """Raise UsageError for a property that is not ours to write, or cannot hold the value."""
    name = found["name"]
    read_only = (found.get("modificationMetadata") or {}).get("readOnlyValue")
    if found.get("hubspotDefined") or found.get("calculated") or read_only:
        raise UsageError(
            f"conf/crm.yaml: properties.{field}: {name!r} is HubSpot's own or read only; name "
            "a property of your own"
        )
    if found.get("type") not in _TYPES[field]:
        raise UsageError(
            f"conf/crm.yaml: properties.{field}: {name!r} is of type {found.get('type')} in "
            f"HubSpot; it must be {' or '.join(_TYPES[field])}. Name another, or let "
            "--create-properties create it"
        )


def _definition(field: CrmField, name: str) -> dict[str, Any]:
    options = [{"label": tier, "value": tier, "displayOrder": i} for i, tier in enumerate(TIERS)]
    return {
        "name": name,
        "label": _LABELS[field],
        "groupName": _GROUP,
        "type": _TYPES[field][0],
        "fieldType": _LOOKS[field],
        **({"options": options} if field == "tier" else {}),
    }
