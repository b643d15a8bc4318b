"""Local servers that speak the documented parts of Stripe, HubSpot and Salesforce, and fail.

Each keeps its records in memory, pages as the real one does, refuses what the real one refuses, and
counts what it was asked. With faults, calls are refused for haste, fail, hang up, or send half of a
page, by a seed.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
TOKEN = "t0p-s3cret-token"


class RefusedError(Exception):
    """What the real server would answer to a call that it does not accept."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass
class Faults:
    """One call in `one_in` fails, in one of four ways; call `kill_at` kills the `victim`."""

    one_in: int = 0
    seed: int = 0
    victim: int = 0
    kill_at: int = 0
    kinds: tuple[str, ...] = ("haste", "error", "hang-up", "half")

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def next(self) -> str | None:
        if self.one_in and self._random.random() < 1 / self.one_in:
            return self._random.choice(self.kinds)
        return None


@dataclass
class Server:
    """What all three have in common."""

    faults: Faults = field(default_factory=Faults)
    calls: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    seen: list[str] = field(default_factory=list)
    url: str = ""
    orders: dict[tuple[str, int], tuple[list[Any], dict[str, int]]] = field(default_factory=dict)

    def ordered(self, name: str, things: dict[str, Json], key: Any) -> tuple[list[Any], Any]:
        """Things in an order, and the place of each id: once for as many things as there are."""
        known = self.orders.get((name, len(things)))
        if known is None:
            found = sorted(things.values(), key=key)
            known = found, {thing["id"]: n for n, thing in enumerate(found)}
            self.orders[name, len(things)] = known
        return known

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> Json:
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Serve on 127.0.0.1 while the block lasts."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _handler(fake: Server) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - four faults, one way
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def log_message(self, *_: Any) -> None:
            pass

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                fake.calls["all"] += 1
                faults = fake.faults
                if faults.kill_at and faults.victim and fake.calls["all"] >= faults.kill_at:
                    os.kill(faults.victim, signal.SIGKILL)
                    self.close_connection = True
                    return
                fault = faults.next()
                if fault == "hang-up":
                    self.close_connection = True
                    return
                if fault == "haste":
                    self._send(429, {"message": "slow down"}, wait="0")
                    return
                if fault == "error":
                    self._send(500, {"message": "oops"})
                    return
                status, said = self._said(body)
            self._send(status, said, half=fault == "half")

        def _said(self, body: bytes) -> tuple[int, Any]:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return 401, {"message": f"{self.headers.get('Authorization')} is not valid"}
            url = urlsplit(self.path)
            fake.seen.append(url.path)
            try:
                asked = json.loads(body) if body else {}
                return 200, fake.answer(self.command, url.path, parse_qs(url.query), asked)
            except RefusedError as refused:
                return refused.status, {"message": str(refused)}

        def _send(self, status: int, said: Any, wait: str = "", half: bool = False) -> None:
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            if wait:
                self.send_header("Retry-After", wait)
            self.end_headers()
            self.wfile.write(text[: len(text) // 2] if half else text)
            if half:
                self.close_connection = True

    return Handler


@dataclass
class HubSpot(Server):
    """Companies and deals by id; `company_of` is the primary company of a deal."""

    records: dict[str, dict[str, Json]] = field(default_factory=dict)
    company_of: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, list[Json]] = field(default_factory=dict)
    search_gives: int = 10_000

    def delete(self, thing: str, id_: str, at: str) -> None:
        """As a user of HubSpot does; for 90 days it is listed as archived."""
        record = self.records[thing].pop(id_)
        self.deleted.setdefault(thing, []).append(record | {"archived": True, "archivedAt": at})

    def merge(self, thing: str, id_: str, into: str, at: str) -> None:
        """As a user of HubSpot does: the other record goes, and its deals move."""
        del self.records[thing][id_]
        record = self.records[thing][into]
        before = record["properties"].get("hs_merged_object_ids")
        ids = f"{before};{id_}" if before else id_
        record["properties"]["hs_merged_object_ids"] = ids
        history = record.setdefault("propertiesWithHistory", {})
        history.setdefault("hs_merged_object_ids", []).insert(0, {"value": ids, "timestamp": at})
        record["updatedAt"] = at
        self.company_of |= {d: into for d, company in self.company_of.items() if company == id_}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> Json:
        if path == "/crm/v4/associations/deals/companies/batch/read":
            return {"results": [self._association(given["id"]) for given in body["inputs"]]}
        found = re.fullmatch(r"/crm/v3/objects/(companies|deals)(/search|/batch/read)?", path)
        if found is None:
            raise RefusedError(404, f"no {path}")
        thing, act = found[1], found[2]
        if query.get("archived") != ["true"]:
            self.calls[f"{thing}{act or ''}"] += 1
        if act is None:
            return self._list(thing, {key: values[0] for key, values in query.items()})
        return self._search(thing, body) if act == "/search" else self._read(thing, body)

    def _list(self, thing: str, query: dict[str, str]) -> Json:
        history = query.get("propertiesWithHistory", "")
        limit = int(query.get("limit", 10))
        if limit > (50 if history else 100):
            raise RefusedError(400, f"limit {limit} is too large")
        if query.get("archived") == "true":
            self.calls[f"{thing}, deleted"] += 1
            return self._list_deleted(thing, query, limit)
        records, places = self.ordered(thing, self.records[thing], lambda r: int(r["id"]))
        start = places[query["after"]] if "after" in query else 0
        shown = [
            self._shown(thing, r["id"], query.get("properties", "").split(","), history.split(","))
            for r in records[start : start + limit]
        ]
        more = len(records) > start + limit
        return {"results": shown} | _paging(records[start + limit]["id"] if more else None)

    def _list_deleted(self, thing: str, query: dict[str, str], limit: int) -> Json:
        found = sorted(self.deleted.get(thing, []), key=lambda r: int(r["id"]))
        start = int(query.get("after", 0))
        more = str(start + limit) if len(found) > start + limit else None
        return {"results": found[start : start + limit]} | _paging(more)

    def _search(self, thing: str, body: Json) -> Json:
        start, limit = int(body.get("after", 0)), body["limit"]
        if limit > 200 or start + limit > self.search_gives:
            raise RefusedError(400, f"search gives 200 a page and {self.search_gives} in all")
        tests = {"GTE": lambda a, b: a >= b, "GT": lambda a, b: a > b}
        ids = [
            id_
            for id_, record in self.records[thing].items()
            if all(
                tests[f["operator"]](_searched(record, f["propertyName"]), int(f["value"]))
                for f in body["filterGroups"][0]["filters"]
            )
        ]
        if body["sorts"] != [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]:
            raise RefusedError(400, "this server sorts by id only")
        ids.sort(key=int)
        shown = [{"id": id_, "properties": {}} for id_ in ids[start : start + limit]]
        more = str(start + limit) if len(ids) > start + limit else None
        return {"total": len(ids), "results": shown} | _paging(more)

    def _read(self, thing: str, body: Json) -> Json:
        history = body.get("propertiesWithHistory", [])
        if len(body["inputs"]) > (50 if history else 100):
            raise RefusedError(400, "too many inputs")
        ids = [given["id"] for given in body["inputs"] if given["id"] in self.records[thing]]
        return {"results": [self._shown(thing, id_, body["properties"], history) for id_ in ids]}

    def _shown(self, thing: str, id_: str, names: list[str], history: list[str]) -> Json:
        self.served[thing] += 1
        record = self.records[thing][id_]
        shown = record | {"properties": {n: record["properties"].get(n) for n in names}}
        kept = record.get("propertiesWithHistory", {})
        shown.pop("propertiesWithHistory", None)
        if any(history):
            shown["propertiesWithHistory"] = {n: kept[n][:20] for n in history if n in kept}
        return shown

    def _association(self, deal: str) -> Json:
        company = self.company_of.get(deal)
        others = [{"toObjectId": 999_999_999, "associationTypes": [{"typeId": 341}]}]
        primary = {"toObjectId": int(company or 0), "associationTypes": [{"typeId": 5}]}
        return {"from": {"id": deal}, "to": [*others, primary] if company else []}


def _paging(after: str | None) -> Json:
    return {"paging": {"next": {"after": after}}} if after else {}


def _searched(record: Json, name: str) -> int:
    if name == "hs_object_id":
        return int(record["id"])
    return int(datetime.fromisoformat(record["updatedAt"]).timestamp() * 1000)


@dataclass
class Stripe(Server):
    """Invoices and customers by id, and the events that happened to them, oldest first."""

    things: dict[str, dict[str, Json]] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)

    def happened(self, kind: str, thing: Json, at: int) -> None:
        """Log an event, as Stripe does for each change."""
        name = f"evt_{len(self.events):06}"
        self.events.append(
            {"id": name, "object": "event", "type": kind, "created": at, "data": {"object": thing}}
        )

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> Json:
        parts = path.removeprefix("/v1/").split("/")
        self.calls[parts[0]] += 1
        plain = {key: values[0] for key, values in query.items()}
        if parts[0] == "credit_notes":
            return self._credit_notes(parts, plain)
        if len(parts) == 3 and parts[2] == "lines":
            return _newest(self.things["invoices"][parts[1]]["lines"]["data"], plain)
        if len(parts) == 2:
            return self._shown(self.things[parts[0]][parts[1]])
        if parts[0] == "events":
            since = int(plain["created[gte]"])
            found = [
                event
                for event in reversed(self.events)
                if event["created"] >= since and event["type"] in query["types[]"]
            ]
            return _newest(found, plain)
        newest, places = self.ordered(
            parts[0], self.things[parts[0]], lambda t: (-t["created"], t["id"])
        )
        page = _newest(newest, plain, places)
        return page | {"data": [self._shown(thing) for thing in page["data"]]}

    def _credit_notes(self, parts: list[str], query: dict[str, str]) -> Json:
        notes = self.things.get("credit_notes", {})
        if len(parts) == 3:
            return _newest(notes[parts[1]]["lines"]["data"], query)
        found = [note for note in notes.values() if note["invoice"] == query["invoice"]]
        page = _newest(found, query)
        shown = [
            note
            | {
                "lines": {
                    "data": note["lines"]["data"][:10],
                    "has_more": len(note["lines"]["data"]) > 10,
                }
            }
            for note in page["data"]
        ]
        return page | {"data": shown}

    def _shown(self, thing: Json) -> Json:
        self.served[thing["object"]] += 1
        if thing["object"] != "invoice":
            return thing
        data = thing["lines"]["data"]
        return thing | {"lines": {"data": data[:10], "has_more": len(data) > 10}}


def _newest(found: list[Json], query: dict[str, str], places: dict[str, int] | None = None) -> Json:
    limit = int(query.get("limit", 10))
    if limit > 100:
        raise RefusedError(400, "limit is at most 100")
    places = places or {thing["id"]: n for n, thing in enumerate(found)}
    after = query.get("starting_after")
    if after is not None and after not in places:
        raise RefusedError(400, f"no such object: {after}")
    start = places[after] + 1 if after else 0
    more = len(found) > start + limit
    return {"object": "list", "data": found[start : start + limit], "has_more": more}


@dataclass
class Salesforce(Server):
    """Records by object; results of queries wait under their locators until `forget`."""

    records: dict[str, list[Json]] = field(default_factory=dict)
    at_once: int = 200
    waiting: list[list[Json]] = field(default_factory=list)

    def forget(self) -> None:
        """As after fifteen minutes in which nobody asked."""
        self.waiting = [[] for _ in self.waiting]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> Json:
        found = re.fullmatch(r"/services/data/v61\.0/query(?:All)?(?:/01g(\d+)-(\d+))?", path)
        if found is None:
            raise RefusedError(404, f"no {path}")
        if found[1] is None:
            rows = self._queried(query["q"][0])
            if not path.endswith("queryAll"):
                rows = [row for row in rows if not row.get("IsDeleted")]
            self.waiting.append(rows)
            number, start = len(self.waiting) - 1, 0
        else:
            number, start = int(found[1]), int(found[2])
        rows = self.waiting[number]
        if start and start >= len(rows):
            raise RefusedError(400, "INVALID_QUERY_LOCATOR")
        end = start + self.at_once
        page = {"totalSize": len(rows), "done": end >= len(rows), "records": rows[start:end]}
        self.served["records"] += len(page["records"])
        if end < len(rows):
            page["nextRecordsUrl"] = f"/services/data/v61.0/query/01g{number}-{end}"
        return page

    def _queried(self, soql: str) -> list[Json]:
        moment = r"([\d-]+T[\d:.]+Z)"
        found = re.fullmatch(
            r"SELECT ([\w, ]+) FROM (\w+)"
            rf"(?: WHERE (\w+) > {moment} OR \((\w+) = {moment} AND Id > '(\w*)'\))?"
            r" ORDER BY (\w+), Id",
            soql,
        )
        if found is None:
            raise RefusedError(400, f"MALFORMED_QUERY: {soql}")
        fields, thing, by, at, last = found[1].split(", "), found[2], found[8], found[4], found[7]
        self.calls[thing] += 1
        rows = sorted(self.records[thing], key=lambda r: (r[by], r["Id"]))
        for name in fields:
            if rows and name not in rows[0]:
                raise RefusedError(400, f"INVALID_FIELD: no such column '{name}' on '{thing}'")
        if at:
            after = (datetime.fromisoformat(at), last)
            rows = [r for r in rows if (datetime.fromisoformat(r[by]), r["Id"]) > after]
        kind = {"attributes": {"type": thing}}
        return [kind | {name: row[name] for name in fields} for row in rows]


def seconds(day: str) -> int:
    """A day as Stripe writes it."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
