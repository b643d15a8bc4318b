"""A local server that speaks what is read of Amazon S3: listing in pages, HEAD and GET."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY = "AKIATESTTESTTESTTEST"
_PAGE = 2


@dataclass
class Bucket:
    """Objects by key: content and time of change; which were fetched; what goes wrong next."""

    objects: dict[str, tuple[bytes, datetime]]
    fetched: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    address: str = ""

    def put(self, key: str, content: bytes, day: int = 1) -> None:
        """Write an object, as of a day in May."""
        self.objects[key] = (content, datetime(2026, 5, day, tzinfo=UTC))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        refusal = self._refusal()
        if refusal:
            self._send(*refusal)
        elif not self._key:
            self._send(200, _listing(self.bucket, urlsplit(self.path).query))
        else:
            self._send_object()

    def do_HEAD(self) -> None:
        status, content = self._refusal() or (200, b"")
        headers = {}
        if status == 200 and self._key:
            content, changed = self.bucket.objects[self._key]
            headers = {"Last-Modified": format_datetime(changed, usegmt=True)}
        self._send(status, content, headers)

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def _refusal(self) -> tuple[int, bytes] | None:
        if KEY not in self.headers.get("Authorization", ""):
            return 403, b"<Error><Code>AccessDenied</Code></Error>"
        if not self.path.startswith("/exports"):
            return 404, b"<Error><Code>NoSuchBucket</Code></Error>"
        if self._key and self._key not in self.bucket.objects:
            return 404, b""
        return None

    def _send_object(self) -> None:
        """An object, or the asked part of it, unless something goes wrong with it."""
        self.bucket.fetched.append(self._key)
        fault = self.bucket.faults.pop(0) if self.bucket.faults else ""
        if fault == "error":
            self._send(500, b"<Error><Code>InternalError</Code></Error>")
            return
        content, changed = self.bucket.objects[self._key]
        if fault == "rewritten":
            self.bucket.put(self._key, content, day=9)
        headers = {"Last-Modified": format_datetime(changed, usegmt=True)}
        asked = self.headers.get("Range", "").removeprefix("bytes=")
        first, last = 0, len(content) - 1
        if asked:
            begin, _, end = asked.partition("-")
            first, last = int(begin), min(int(end or last), last)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        part = content[first : last + 1]
        if fault == "half":
            self.close_connection = True
            headers["Content-Length"] = str(len(part))
            part = part[: len(part) // 2]
        self._send(206 if asked else 200, part, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def served(bucket: Bucket) -> Iterator[Bucket]:
    """The bucket, named `exports`, at an address of its own."""
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
    bucket.address = f"s3://exports/crm?{endpoint}"
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()


def _listing(bucket: Bucket, query: str) -> bytes:
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    keys = sorted(key for key in bucket.objects if key.startswith(asked.get("prefix", "")))
    start = int(asked.get("continuation-token", 0))
    more = start + _PAGE < len(keys)
    listed = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(bucket.objects[key][0])}</Size>"
        f"<LastModified>{bucket.objects[key][1]:%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
        for key in keys[start : start + _PAGE]
    )
    token = f"<NextContinuationToken>{start + _PAGE}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>exports</Name>'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{listed}</ListBucketResult>"
    ).encode()
