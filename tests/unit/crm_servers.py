"""Local servers that speak the documented APIs of HubSpot and Salesforce, with faults.

They count how often the values of each company changed in effect, and keep what was asked.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

TOKEN = "pat-na1-secret-7f3a"
Reply = tuple[int, Any]
Values = dict[str, Any]
# Of the call (its number from 1, its path): what goes wrong, or None.
Faults = Callable[[int, str], str | None]
Kind = TypeVar("Kind", bound="Crm")


@dataclass
class Crm:
    """The state of a CRM, whichever it is: records by id, and what was done to them."""

    records: dict[str, Values]
    faults: Faults = lambda _number, _path: None
    changes: Counter[str] = field(default_factory=Counter)
    written: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    headers: dict[str, str] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hold: threading.Event | None = None
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, record_id: str, values: Values) -> None:
        """Write values, and count it if they were others before."""
        record = self.records[record_id]
        self.written.update(values)
        if any(record.get(name) != value for name, value in values.items()):
            self.changes[record_id] += 1
        record.update(values)

    def called(
        self, method: str, address: str, headers: Mapping[str, str], body: Any
    ) -> tuple[str, Reply]:
        """What goes wrong with a call, if anything, and the answer if nothing does."""
        parts = urlsplit(address)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.calls.append(f"{method} {parts.path}")
        sent = headers.get("Authorization", "").removeprefix("Bearer ")
        self.tokens.add(sent)
        if sent != TOKEN:
            return "", (401, {"message": f"Authentication credentials {sent} not found"})
        name, _, when = (self.faults(len(self.calls), parts.path) or "").partition(" ")
        if name and when != "after":
            return name, (0, None)
        return name, self.answer(method, parts.path, query, body)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        raise NotImplementedError

    def fault(self, name: str) -> Reply:
        raise NotImplementedError


@dataclass
class HubspotServer(Crm):
    """Companies; property values are texts, as HubSpot keeps them."""

    definitions: dict[str, Values] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    partial: int = 0

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        if path.startswith("/crm/v3/properties/companies"):
            return self.define(method, path, body)
        if len(body["inputs"]) > 100:
            return 400, {"status": "error", "message": "Too many inputs"}
        if path.endswith("/batch/read"):
            return self.read(body)
        assert path.endswith("/batch/update")
        return self.update(body["inputs"])

    def define(self, method: str, path: str, body: Any) -> Reply:
        """List properties, or create one or a group of them."""
        if method == "GET":
            return 200, {"results": list(self.definitions.values())}
        there = self.groups if path.endswith("/groups") else self.definitions
        if body["name"] in there:
            return 409, {"status": "error", "category": "OBJECT_ALREADY_EXISTS"}
        if path.endswith("/groups"):
            self.groups.add(body["name"])
        else:
            assert body["groupName"] in self.groups
            self.definitions[body["name"]] = body
        return 201, body

    def read(self, body: Any) -> Reply:
        by = body.get("idProperty", "hs_object_id")
        index = {str(values.get(by, key)): key for key, values in self.records.items()}
        ids = [one["id"] for one in body["inputs"]]
        self.asked += ids
        results = [
            {
                "id": index[i],
                "archived": False,
                "properties": {n: self.records[index[i]].get(n) for n in body["properties"]},
            }
            for i in ids
            if i in index
        ]
        missing = [i for i in ids if i not in index]
        if not missing:
            return 200, {"status": "COMPLETE", "results": results}
        error = {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": "Could not get some COMPANY objects, they may be deleted or not exist.",
            "context": {"ids": missing},
        }
        return 207, {"status": "COMPLETE", "results": results, "numErrors": 1, "errors": [error]}

    def update(self, inputs: list[Any]) -> Reply:
        wrong = [one["id"] for one in inputs if self.refuses.get(one["id"]) == "batch"]
        if wrong:
            told = f"Property values were not valid: {wrong}"
            return 400, {"status": "error", "category": "VALIDATION_ERROR", "message": told}
        results, errors = [], []
        for place, one in enumerate(inputs):
            why = self.refuses.get(one["id"])
            if why or place < self.partial:
                error = {
                    "status": "error",
                    "category": "VALIDATION_ERROR",
                    "message": why or "busy",
                }
                errors.append(error | {"context": {"ids": [one["id"]]}})
                continue
            values = {name: value or None for name, value in one["properties"].items()}
            self.change(one["id"], values)
            results.append({"id": one["id"], "properties": one["properties"]})
        self.partial = 0
        body = {"status": "COMPLETE", "results": results}
        return (207, body | {"numErrors": len(errors), "errors": errors}) if errors else (200, body)

    def fault(self, name: str) -> Reply:
        if name == "daily":
            return 429, {
                "status": "error",
                "message": "You have reached your daily limit.",
                "errorType": "RATE_LIMIT",
                "policyName": "DAILY",
            }
        if name == "429":
            return 429, {
                "status": "error",
                "message": "You have reached your ten_secondly_rolling limit.",
                "errorType": "RATE_LIMIT",
                "policyName": "TEN_SECONDLY_ROLLING",
            }
        return int(name), {"status": "error", "message": f"fault {name} of {TOKEN}"}


@dataclass
class SalesforceServer(Crm):
    """Accounts; ids have 18 characters, and may be asked for by the first 15."""

    fields: dict[str, Values] = field(default_factory=dict)
    page: int = 7
    pages: dict[str, list[Any]] = field(default_factory=dict)
    locked: Counter[str] = field(default_factory=Counter)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        path = path.removeprefix("/services/data/v62.0")
        if path in self.pages:
            return self.next_page(self.pages.pop(path))
        known: dict[str, Callable[[], Reply]] = {
            "/sobjects/Account/describe": lambda: (200, {"fields": list(self.fields.values())}),
            "/composite/sobjects/Account": lambda: self.retrieve(body),
            "/composite/sobjects": lambda: self.update(method, body),
            "/query": lambda: self.query(query["q"]),
        }
        return known[path]()

    def retrieve(self, body: Any) -> Reply:
        if len(body["ids"]) > 2000:
            return 400, [{"errorCode": "INVALID_INPUT", "message": "too many"}]
        self.asked += body["ids"]
        index = {key[:15]: key for key in self.records}
        keys = [index.get(i[:15]) for i in body["ids"]]
        return 200, [self.row(key, body["fields"]) if key else None for key in keys]

    def update(self, method: str, body: Any) -> Reply:
        assert (method, body["allOrNone"]) == ("PATCH", False)
        if len(body["records"]) > 200:
            return 400, [{"errorCode": "EXCEEDED_ID_LIMIT", "message": "record limit reached"}]
        return 200, [self.save(one) for one in body["records"]]

    def query(self, soql: str) -> Reply:
        if len(soql) > 16_000:
            return 414, "URI Too Long"
        found = re.fullmatch(r"SELECT (.+) FROM Account WHERE (\w+) IN \((.+)\)", soql)
        assert found
        quoted = re.findall(r"'((?:[^'\\]|\\.)*)'", found[3])
        values = {re.sub(r"\\(.)", r"\1", one) for one in quoted}
        self.asked += sorted(values)
        rows = [
            self.row(key, found[1].split(", "))
            for key, record in self.records.items()
            if record.get(found[2]) in values
        ]
        return self.next_page(rows)

    def next_page(self, rows: list[Any]) -> Reply:
        if len(rows) <= self.page:
            return 200, {"totalSize": len(rows), "done": True, "records": rows}
        path = f"/query/01g{len(self.calls)}-{self.page}"
        self.pages[path] = rows[self.page :]
        following = f"/services/data/v62.0{path}"
        body = {"done": False, "nextRecordsUrl": following, "records": rows[: self.page]}
        return 200, body

    def row(self, key: str, names: list[str]) -> Values:
        record = {"Id": key} | self.records[key]
        return {"attributes": {"type": "Account"}} | {n: record.get(n) for n in names}

    def save(self, one: Values) -> Values:
        key = one["id"]
        why = self.refuses.get(key)
        if not why and self.locked[key] > 0:
            self.locked[key] -= 1
            why = "UNABLE_TO_LOCK_ROW"
        if why:
            error = {"statusCode": why, "message": f"not {key}", "fields": []}
            return {"id": key, "success": False, "errors": [error]}
        self.change(key, {n: v for n, v in one.items() if n not in ("attributes", "id")})
        return {"id": key, "success": True, "errors": []}

    def fault(self, name: str) -> Reply:
        if name == "daily":
            told = {
                "errorCode": "REQUEST_LIMIT_EXCEEDED",
                "message": "TotalRequests Limit exceeded.",
            }
            return 403, [told]
        return int(name), [{"errorCode": "UNKNOWN_EXCEPTION", "message": f"fault {name}"}]


@contextmanager
def serving(crm: Kind) -> Iterator[Kind]:
    """The CRM at a port of this machine; its address is in `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(crm))
    server.daemon_threads = True
    crm.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield crm
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(crm: Crm) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def serve(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(size)) if size else None
            with crm.lock:
                fault, answer = crm.called(self.command, self.path, self.headers, body)
            if fault == "hold" and crm.hold:
                crm.hold.set()
                threading.Event().wait(30)
            elif fault:
                self.fail(fault)
            else:
                self.reply(*answer)

        do_GET = do_POST = do_PATCH = serve  # noqa: N815

        def fail(self, name: str) -> None:
            if name == "drop":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif name == "garbage":
                self.reply(200, None, b'{"results": [')
            else:
                self.reply(*crm.fault(name))

        def reply(self, status: int, told: Any, content: bytes | None = None) -> None:
            data = json.dumps(told).encode() if content is None else content
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for key, value in crm.headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
