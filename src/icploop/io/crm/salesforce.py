"""Salesforce's Accounts, through the documented sObject Collections of its REST API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from icploop.errors import UsageError
from icploop.io.crm.records import Change, Record, Values, spelled
from icploop.io.http import Client, UncertainError
from icploop.settings import CrmField, SalesforceCrm

_TYPES: dict[CrmField, tuple[str, ...]] = {
    "score": ("double",),
    "tier": ("picklist", "string"),
    "reasons_for": ("textarea", "string"),
    "reasons_against": ("textarea", "string"),
    "version": ("string",),
    "scored_at": ("date",),
}
_RECORD_ID = "Id"
# Salesforce refuses 16 KB of address and headers and advises far less.
_QUERY_LENGTH = 6000


class Salesforce:
    """The Accounts of one Salesforce organisation."""

    name = "Salesforce"
    batch = 200

    def __init__(self, settings: SalesforceCrm, client: Client) -> None:
        self._settings, self._client = settings, client
        self._root = f"/services/data/v{settings.api_version}"
        self._names = settings.properties.stated

    def lacking(self) -> list[str]:
        """Our fields that Accounts do not have. Raises UsageError for those unfit for us."""
        path = f"{self._root}/sobjects/Account/describe"
        described = self._client.get(path, must_have="fields")
        found = {one["name"]: one for one in described["fields"]}
        match = self._settings.match
        if match != _RECORD_ID and not found.get(match, {}).get("externalId"):
            raise UsageError(
                f"conf/crm.yaml: match: Salesforce has no External ID field {match!r} on Account; "
                f"name one, or {_RECORD_ID}"
            )
        for field, name in self._names.items():
            if name in found:
                _check(found[name], field)
        return [name for name in self._names.values() if name not in found]

    def create(self, names: list[str]) -> None:
        """Fields of Salesforce are made by an administrator: raises UsageError with their types."""
        wanted = {name: _TYPES[field][0] for field, name in self._names.items() if name in names}
        listed = ", ".join(f"{name} ({kind})" for name, kind in wanted.items())
        raise UsageError(
            f"--create-properties works with HubSpot only; let an administrator add to Account in "
            f"Salesforce's Setup: {listed}"
        )

    def read(self, account_ids: list[str]) -> dict[str, list[Record]]:
        """The Accounts of each account that Salesforce knows."""
        if self._settings.match == _RECORD_ID:
            return self._by_id(account_ids)
        return self._by_external_id(account_ids)

    def write(self, changes: list[Change]) -> dict[str, str]:
        """Update Accounts once; by account why Salesforce refused it."""
        records = [
            {
                "attributes": {"type": "Account"},
                "id": change.record_id,
                **{self._names[f]: _sent(f, value) for f, value in change.after.items()},
            }
            for change in changes
        ]
        body = {"allOrNone": False, "records": records}
        results = self._client.act("PATCH", f"{self._root}/composite/sobjects", body).body
        if len(results) != len(changes):
            raise UncertainError(f"{len(changes)} Accounts were sent, {len(results)} answered for")
        return {
            change.account_id: self._reason(result.get("errors") or [])
            for change, result in zip(changes, results, strict=True)
            if not result.get("success")
        }

    def _by_id(self, account_ids: list[str]) -> dict[str, list[Record]]:
        askable = [i for i in account_ids if re.fullmatch(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?", i)]
        if not askable:
            return {}
        body = {"ids": askable, "fields": [_RECORD_ID, *self._names.values()]}
        found = self._client.ask("POST", f"{self._root}/composite/sobjects/Account", body).body
        return {
            account_id: [self._record(one)]
            for account_id, one in zip(askable, found, strict=True)
            if one is not None
        }

    def _by_external_id(self, account_ids: list[str]) -> dict[str, list[Record]]:
        match = self._settings.match
        columns = ", ".join([_RECORD_ID, match, *self._names.values()])
        found: dict[str, list[Record]] = {}
        for values in _in_queries(account_ids):
            query = f"SELECT {columns} FROM Account WHERE {match} IN ({', '.join(values)})"
            for one in self._rows(query):
                found.setdefault(spelled("version", one[match]) or "", []).append(self._record(one))
        return {account_id: found[account_id] for account_id in account_ids if account_id in found}

    def _rows(self, query: str) -> Iterator[dict[str, Any]]:
        path: str | None = f"{self._root}/query?q={quote(query)}"
        while path:
            page = self._client.get(path, must_have="records")
            yield from page["records"]
            path = None if page["done"] else page["nextRecordsUrl"]

    def _record(self, one: dict[str, Any]) -> Record:
        values: Values = {f: spelled(f, one.get(n)) for f, n in self._names.items()}
        return Record(str(one[_RECORD_ID]), values)

    def _reason(self, errors: list[dict[str, Any]]) -> str:
        told = [f"{e.get('statusCode', '')} {e.get('message', '')}".strip() for e in errors]
        return self._client.clean("; ".join(filter(None, told))) or "Salesforce does not say why"


def _check(found: dict[str, Any], field: CrmField) -> None:
    """Raise UsageError for a field that the token may not write, or that cannot hold the value."""
    if not found.get("updateable"):
        raise UsageError(
            f"conf/crm.yaml: properties.{field}: the token's user may not edit {found['name']!r} "
            "in Salesforce; grant it by field-level security, or name another field"
        )
    if found.get("type") not in _TYPES[field]:
        raise UsageError(
            f"conf/crm.yaml: properties.{field}: {found['name']!r} is of type {found.get('type')} "
            f"in Salesforce; it must be {' or '.join(_TYPES[field])}"
        )


def _sent(field: CrmField, value: str | None) -> str | float | None:
    return float(value) if field == "score" and value is not None else value


def _in_queries(account_ids: list[str]) -> Iterator[list[str]]:
    """The ids as quoted texts of SOQL, so many at a time as one query may hold."""
    values: list[str] = []
    length = 0
    for account_id in account_ids:
        escaped = account_id.replace("\\", "\\\\").replace("'", "\\'")
        value = f"'{escaped}'"
        if values and length + len(quote(value)) > _QUERY_LENGTH:
            yield values
            values, length = [], 0
        values.append(value)
        length += len(quote(value)) + 5
    if values:
        yield values
