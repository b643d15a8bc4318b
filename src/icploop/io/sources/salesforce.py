"""Salesforce's accounts and opportunities, with the history of the fields that it tracks.

Every query asks for what comes after the last record read, by time and id: after a kill, and in the
next run, reading goes on there, for Salesforce forgets an unfinished result within minutes.

What was deleted is asked for too, as long as it lies in the recycle bin. An Account that was merged
into another one stays an account, which says into which and since when.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

import pandas as pd

from icploop.domain.history import CHANGE_COLUMNS, states, undone
from icploop.domain.identity import MERGED_INTO
from icploop.errors import DataError, UsageError
from icploop.io.http import Client, Json
from icploop.io.sources.landing import Landing, Page, Where
from icploop.io.sources.raw import RawTable, mapped, on_the_clock
from icploop.settings import MappedTable, SalesforceSource

_VERSION = "v61.0"
_COLUMNS: dict[str, dict[str, str]] = {
    "accounts": {"account_id": "Id", "name": "Name", "domain": "Website", "parent_id": "ParentId"},
    "deals": {
        "deal_id": "Id",
        "account_id": "AccountId",
        "created_at": "CreatedDate",
        "closed_at": "CloseDate",
        "acv": "Amount",
    },
}
_STAGE = ("IsClosed", "IsWon")
_DELETED, _MASTER = "IsDeleted", "MasterRecordId"
# The recycle bin keeps for 15 days; after a longer pause everything is read again.
_REMEMBERED = timedelta(days=14)
_OURS = {"outcome"}
# A change that is saved slowly is dated before changes that were read already.
_OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True)
class _Query:
    """What is asked of one object; `moment` is the field that dates its records."""

    thing: str
    fields: tuple[str, ...]
    moment: str
    act: Literal["query", "queryAll"] = "query"


def pull(source: SalesforceSource, api: Client, landing: Landing) -> list[RawTable]:
    """Accounts with their history, as far as Salesforce tracks it, and deals.

    A field that is not tracked gives its present value in a row without a date. What was deleted in
    Salesforce is left out. Raises DataError for a server that does not answer as documented.
    """

    def read(query: _Query) -> list[Json]:
        asked = [source.base_url, query.thing, sorted(query.fields)]
        remembered = _REMEMBERED if query.act == "queryAll" else None
        return landing.read(query.thing, asked, partial(_pages, api, query), remembered)

    tables = []
    for name, table in source.tables.items():
        own = table.model_copy(update={"columns": _COLUMNS[name] | table.columns})
        fields = tuple(sorted(set(own.columns.values()) - _OURS))
        if name == "accounts":
            tracked = _tracked(source, fields, api.place)
            current = read(_current("Account", {*fields, "CreatedDate", _MASTER}))
            changes = read(_HISTORY) if tracked else []
            rows = _accounts(current, changes, fields, tracked, source)
        else:
            rows = _deals(read(_current("Opportunity", {*fields, *_STAGE})), fields)
        tables.append(_table(rows, name, own, api.place))
    return tables


_HISTORY = _Query(
    "AccountHistory", ("Id", "AccountId", "Field", "OldValue", "NewValue"), "CreatedDate"
)


def _current(thing: str, fields: set[str]) -> _Query:
    return _Query(thing, tuple(sorted({*fields, "Id", _DELETED})), "SystemModstamp", "queryAll")


def _tracked(source: SalesforceSource, fields: tuple[str, ...], place: str) -> list[str]:
    if strangers := sorted(set(source.tracked) - set(fields)):
        raise UsageError(
            f"{place}: tracked: `{strangers[0]}` is not among the columns of accounts; map it, or "
            "take it out"
        )
    return sorted(source.tracked)


def _table(
    rows: pd.DataFrame, name: Literal["accounts", "deals"], table: MappedTable, place: str
) -> RawTable:
    rows.index = pd.RangeIndex(1, len(rows) + 1)
    thing = "Account" if name == "accounts" else "Opportunity"
    return RawTable(name, thing, mapped(rows, name, table, place), table.formats)


def _accounts(
    current: list[Json],
    changes: list[Json],
    fields: tuple[str, ...],
    tracked: list[str],
    source: SalesforceSource,
) -> pd.DataFrame:
    """What is not tracked in rows without a date, what is in a row for each of its changes."""
    merged = [one for one in current if one[_DELETED] and one[_MASTER]]
    current = [one for one in current if not one[_DELETED]] + merged
    told = pd.DataFrame(
        {
            "Id": [one["Id"] for one in merged],
            "observed_at": _moments(
                pd.Series([one["SystemModstamp"] for one in merged], dtype="str"), source.timezone
            ),
            MERGED_INTO: [one[_MASTER] for one in merged],
        }
    )
    # A column of its own only where there is something to say.
    merges = [told] if merged else []
    now = pd.DataFrame(current, columns=list(dict.fromkeys([*fields, "CreatedDate"])))
    undated = now[[field for field in fields if field not in tracked]]
    since = source.tracked_since
    if since is None:
        return pd.concat([undated, *merges], ignore_index=True)
    history = pd.DataFrame(
        [
            (
                c["AccountId"],
                c["CreatedDate"],
                c["Field"],
                _text(c["NewValue"]),
                _text(c["OldValue"]),
            )
            for c in sorted(changes, key=lambda c: (_moment(c["CreatedDate"]), c["Id"]))
        ],
        columns=[*CHANGE_COLUMNS, "old"],
    )
    history["at"] = _moments(history["at"], source.timezone)
    begun = (
        now[tracked]
        .map(_text)
        .assign(id=now["Id"], created_at=_moments(now["CreatedDate"], source.timezone))
    )
    known = states(undone(begun, history, tracked, pd.Timestamp(since))).rename(
        columns={"id": "Id"}
    )
    known = known[known["Id"].isin(now["Id"])]
    return pd.concat([undated, known, *merges], ignore_index=True)


def _deals(current: list[Json], fields: tuple[str, ...]) -> pd.DataFrame:
    current = [one for one in current if not one[_DELETED]]
    rows = pd.DataFrame(current, columns=list(dict.fromkeys([*fields, *_STAGE])))
    closed, won = rows["IsClosed"] == True, rows["IsWon"] == True  # noqa: E712
    rows["outcome"] = "open"
    rows.loc[closed, "outcome"] = "lost"
    rows.loc[won, "outcome"] = "won"
    if "CloseDate" in rows:
        # Of an open deal it is the day on which someone hopes to close it.
        rows.loc[~closed & ~won, "CloseDate"] = None
    return rows.drop(columns=list(_STAGE))


def _pages(api: Client, query: _Query, where: Where | None) -> Iterator[Page]:
    """Records after a moment and id, oldest first."""
    at, last = (where["at"], where["id"]) if where else (None, "")
    settled = where.get("settled") if where else None
    path = f"/services/data/{_VERSION}/{query.act}"
    read_at = where.get("read_at") if where else None
    begun: str | None = None
    params = [("q", _soql(query, at, last))]
    while True:
        page = api.get(path, params, must_have="records")
        settled = settled or (api.last_answered - _OVERLAP).isoformat()
        begun = begun or settled
        if "done" not in page or not (page["done"] or page.get("nextRecordsUrl")):
            raise DataError(f"{api.place}: {path} does not say where {query.thing} goes on")
        records = {
            r["Id"]: {f: r.get(f) for f in (*query.fields, query.moment)} for r in page["records"]
        }
        if page["records"]:
            newest = page["records"][-1]
            at, last = newest[query.moment], newest["Id"]
        if page["done"]:
            yield Page(records, _end(at, last, settled) | {"read_at": begun})
            return
        yield Page(records, {"at": at, "id": last, "settled": settled, "read_at": read_at})
        path, params = page["nextRecordsUrl"], []


def _soql(query: _Query, at: str | None, last: str) -> str:
    """Moments and ids come from Salesforce itself; fields are checked names."""
    wanted = ", ".join(dict.fromkeys([*query.fields, query.moment]))
    after = ""
    if at is not None:
        moment = _moment(at).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        after = f" WHERE {query.moment} > {moment} OR ({query.moment} = {moment} AND Id > '{last}')"
    return f"SELECT {wanted} FROM {query.thing}{after} ORDER BY {query.moment}, Id"


def _end(at: str | None, last: str, settled: str) -> Where:
    """Where the next run begins: after the last record, but not in what may still fill.

    `settled` is the moment up to which all was saved when the reading began. An object that is
    empty begins there too.
    """
    if at is None or _moment(at) >= _moment(settled):
        return {"at": settled, "id": ""}
    return {"at": at, "id": last}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moments(texts: pd.Series, zone: str) -> pd.Series:
    return on_the_clock(pd.to_datetime(texts, format="ISO8601", utc=True), zone)


def _text(value: Any) -> str | None:
    """History and the present may write one value differently: 250, 250.0 and "250"."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
