"""HubSpot's companies, with the history of their properties, and deals.

The first run lists all records, and of companies each mapped property's history. Later ones search
for what was modified since, in the order of ids, each search from the last id on: HubSpot's search
never gives more than 10,000 results by paging, and many records may share one moment.

What was deleted is in no search; HubSpot lists it for 90 days. A company that was merged into
another one stays an account, which says into which and since when.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

import pandas as pd

from icploop.domain.history import CHANGE_COLUMNS, states
from icploop.domain.identity import MERGED_INTO
from icploop.errors import DataError
from icploop.io.http import Client, Json
from icploop.io.sources.landing import Landing, Page, Where
from icploop.io.sources.raw import RawTable, mapped, on_the_clock
from icploop.settings import HubSpotSource, MappedTable

Thing = Literal["companies", "deals"]

_COLUMNS: dict[str, dict[str, str]] = {
    "accounts": {
        "account_id": "id",
        "name": "name",
        "domain": "domain",
        "parent_id": "hs_parent_company_id",
    },
    "deals": {
        "deal_id": "id",
        "account_id": "company",
        "created_at": "createdate",
        "closed_at": "closedate",
        "acv": "amount",
    },
}
_STAGE = ("hs_is_closed", "hs_is_closed_won")
# Made here, and not to be asked for.
_OURS = {"id", "company", "outcome"}
_MERGED = "hs_merged_object_ids"
# For so long HubSpot lists what was deleted; after a longer pause everything is read again.
_REMEMBERED = timedelta(days=85)
_MODIFIED = "hs_lastmodifieddate"
# HubSpot gives at most so many records a call where their history is asked for.
_WITH_HISTORY = 50
# A change is found by search a little later than it is dated.
_OVERLAP = timedelta(minutes=5)
_PRIMARY_COMPANY = 5


def pull(source: HubSpotSource, api: Client, landing: Landing) -> list[RawTable]:
    """Accounts with a row for each moment at which a mapped property changed, and deals.

    What was deleted in HubSpot, and deals that were merged into another one, are left out. Raises
    DataError for a server that does not answer as documented.
    """
    tables = []
    for name, table in source.tables.items():
        own = table.model_copy(update={"columns": _COLUMNS[name] | table.columns})
        names = sorted(set(own.columns.values()) - _OURS)
        thing: Thing = "companies" if name == "accounts" else "deals"
        asked = sorted({*names, _MERGED} if name == "accounts" else {*names, *_STAGE, _MERGED})
        pages = partial(_pages, api, thing, asked)
        landed = landing.read(thing, [source.base_url, asked], pages, _REMEMBERED)
        deleted = landing.read(f"{thing}, deleted", source.base_url, partial(_deleted, api, thing))
        records = _without_deleted(landed, deleted)
        rows = (
            _accounts(records, names, source.timezone)
            if name == "accounts"
            else _deals(records, asked)
        )
        tables.append(_table(rows, name, own, api.place))
    return tables


def _without_deleted(records: list[Json], deleted: list[Json]) -> list[Json]:
    """Those that are there; what was changed after its deletion was restored."""
    gone = {one["id"]: datetime.fromisoformat(one["at"]) for one in deleted}
    return [
        record
        for record in records
        if record["id"] not in gone
        or datetime.fromisoformat(record["updatedAt"]) > gone[record["id"]]
    ]


def _merges(records: list[Json]) -> dict[str, tuple[str, str]]:
    """Of each record that was merged into another one: into which, and when first said so."""
    into: dict[str, tuple[str, str]] = {}
    for record in records:
        for moment, ids in _versions(record, _MERGED):
            for id_ in filter(None, (ids or "").split(";")):
                into.setdefault(id_.strip(), (record["id"], moment))
    return {id_: found for id_, found in into.items() if id_ != found[0]}


def _table(
    rows: pd.DataFrame, name: Literal["accounts", "deals"], table: MappedTable, place: str
) -> RawTable:
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    thing = "companies" if name == "accounts" else "deals"
    return RawTable(name, thing, mapped(rows, name, table, place), table.formats)


def _accounts(records: list[Json], names: list[str], zone: str) -> pd.DataFrame:
    """A row for each moment; a value without history counts from the last change of its record."""
    changes = [
        (record["id"], moment, name, value)
        for record in records
        for name in names
        for moment, value in _versions(record, name)
    ]
    frame = pd.DataFrame(changes, columns=CHANGE_COLUMNS).astype({"id": "str", "field": "str"})
    frame["at"] = on_the_clock(pd.to_datetime(frame["at"], format="ISO8601", utc=True), zone)
    known = states(frame).reindex(columns=["id", "observed_at", *names])
    # A company about which nothing was ever written is still an account.
    silent = sorted({record["id"] for record in records} - set(known["id"]))
    rows = [known, pd.DataFrame({"id": silent}, dtype="str")]
    if merges := _merges(records):
        into = [(id_, moment, other) for id_, (other, moment) in sorted(merges.items())]
        told = pd.DataFrame(into, columns=["id", "observed_at", MERGED_INTO])
        moments = pd.to_datetime(told["observed_at"], format="ISO8601", utc=True)
        rows.append(told.assign(observed_at=on_the_clock(moments, zone)))
    return pd.concat(rows, ignore_index=True)


def _versions(record: Json, name: str) -> list[tuple[str, str | None]]:
    """Oldest first. HubSpot gives the newest first."""
    versions = record["history"].get(name) or []
    if versions:
        return [(version["timestamp"], version["value"] or None) for version in reversed(versions)]
    value = record["properties"].get(name)
    return [(record["updatedAt"], value)] if value else []


def _deals(records: list[Json], names: list[str]) -> pd.DataFrame:
    merges = _merges(records)
    records = [record for record in records if record["id"] not in merges]
    rows = pd.DataFrame(
        [
            {"id": r["id"], "company": r["company"]} | {n: r["properties"].get(n) for n in names}
            for r in records
        ],
        columns=["id", "company", *names],
        dtype="str",
    )
    closed = rows["hs_is_closed"].str.lower() == "true"
    won = rows["hs_is_closed_won"].str.lower() == "true"
    rows["outcome"] = "open"
    rows.loc[closed, "outcome"] = "lost"
    rows.loc[won, "outcome"] = "won"
    # Of an open deal it is the day on which someone hopes to close it.
    rows.loc[~closed & ~won, "closedate"] = None
    return rows.drop(columns=[*_STAGE, _MERGED])


def _pages(api: Client, thing: Thing, names: list[str], where: Where | None) -> Iterator[Page]:
    """All there is, or, once that was read, what was modified since."""
    if where is None or "since" not in where:
        return _listed(api, thing, names, where or {})
    return _modified(api, thing, names, where)


def _listed(api: Client, thing: Thing, names: list[str], where: Where) -> Iterator[Page]:
    after, started = where.get("after"), where.get("started")
    joined = ",".join(names)
    while True:
        params = [("limit", str(_WITH_HISTORY)), ("properties", joined)]
        params += [("propertiesWithHistory", joined)] if thing == "companies" else []
        params += [("after", after)] if after else []
        page = api.get(f"/crm/v3/objects/{thing}", params, must_have="results")
        started = started or _before(api.last_answered)
        records = _records(api, thing, page["results"], names)
        after = _next(page)
        if after is None:
            yield Page(records, {"since": started, "read_at": started})
            return
        yield Page(records, {"after": after, "started": started})


def _deleted(api: Client, thing: Thing, where: Where | None) -> Iterator[Page]:
    """What HubSpot still lists as deleted, all of it each time; earlier ones stay landed."""
    after = (where or {}).get("after")
    while True:
        params = [("archived", "true"), ("limit", "100")] + ([("after", after)] if after else [])
        page = api.get(f"/crm/v3/objects/{thing}", params, must_have="results")
        records = {
            one["id"]: {"id": one["id"], "at": one.get("archivedAt") or one["updatedAt"]}
            for one in page["results"]
            if one.get("archived")
        }
        after = _next(page)
        yield Page(records, {"after": after} if after else {})
        if after is None:
            return


def _modified(api: Client, thing: Thing, names: list[str], where: Where) -> Iterator[Page]:
    since, last, started = where["since"], where.get("last", "0"), where.get("started")
    while True:
        body = {
            "filterGroups": [
                {
                    "filters": [
                        {"propertyName": _MODIFIED, "operator": "GTE", "value": _millis(since)},
                        {"propertyName": "hs_object_id", "operator": "GT", "value": last},
                    ]
                }
            ],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": ["hs_object_id"],
            "limit": 200,
        }
        found = api.post(f"/crm/v3/objects/{thing}/search", body, must_have="results")
        started = started or max(_before(api.last_answered), since)
        ids = [record["id"] for record in found["results"]]
        records: dict[str, Json] = {}
        for first in range(0, len(ids), _WITH_HISTORY):
            some = ids[first : first + _WITH_HISTORY]
            read = {"inputs": [{"id": id_} for id_ in some], "properties": names}
            read |= {"propertiesWithHistory": names} if thing == "companies" else {}
            page = api.post(f"/crm/v3/objects/{thing}/batch/read", read, must_have="results")
            records |= _records(api, thing, page["results"], names)
        if _next(found) is None:
            yield Page(records, {"since": started, "read_at": started})
            return
        last = ids[-1]
        going = {"since": since, "last": last, "started": started}
        yield Page(records, going | {"read_at": where.get("read_at")})


def _records(api: Client, thing: Thing, found: list[Json], names: list[str]) -> dict[str, Json]:
    """What is kept of each record: who changed a value is nobody's business here."""
    companies = _companies_of(api, [record["id"] for record in found]) if thing == "deals" else {}
    records = {}
    for record in found:
        try:
            history = {
                name: [{"timestamp": v["timestamp"], "value": v.get("value")} for v in versions]
                for name, versions in (record.get("propertiesWithHistory") or {}).items()
            }
            records[record["id"]] = {
                "id": record["id"],
                "updatedAt": record["updatedAt"],
                "properties": {name: record["properties"].get(name) for name in names},
                "history": history if thing == "companies" else {},
                "company": companies.get(record["id"]),
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{api.place}: a record of {thing} is not as HubSpot's API describes it "
                f"({type(error).__name__}: {error}); nothing was changed"
            ) from error
    return records


def _companies_of(api: Client, deals: list[str]) -> dict[str, str]:
    """The primary company of each deal, or the first one where none is primary."""
    if not deals:
        return {}
    answer = api.post(
        "/crm/v4/associations/deals/companies/batch/read",
        {"inputs": [{"id": deal} for deal in deals]},
        must_have="results",
    )
    return {
        str(found["from"]["id"]): str(min(found["to"], key=_not_primary)["toObjectId"])
        for found in answer["results"]
        if found["to"]
    }


def _not_primary(association: Json) -> bool:
    return _PRIMARY_COMPANY not in [t["typeId"] for t in association.get("associationTypes", [])]


def _next(page: Json) -> Any:
    return ((page.get("paging") or {}).get("next") or {}).get("after")


def _before(moment: datetime) -> str:
    return (moment - _OVERLAP).isoformat()


def _millis(moment: str) -> str:
    return str(int(datetime.fromisoformat(moment).timestamp() * 1000))
