"""A door before a server's page: its own page gets in, a page of another origin does not.

A browser lets any page send requests to 127.0.0.1, and a name of anybody's may lead there. So what
counts is what the browser says of a request and no page can change: Host, Origin, Sec-Fetch-Site. A
program on the same machine can say anything, and is asked for the password.

    door = Door(application, Access("http://127.0.0.1:4200"))       an ASGI application, as before
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Where the address that `icp up` prints leads.
OPEN = "/icp"
_LONGEST_TICKET = 1_000
_FORM = "application/x-www-form-urlencoded"
# A page may send these anywhere without asking the server first; where JSON is meant they are none.
_SENT_UNASKED = ("", "text/plain", "multipart/form-data", _FORM)
_OUT = (
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
)
# How Prefect's page and a server that asks for a name and password take what is handed over.
FOR_PREFECT = "localStorage.setItem('prefect-password', btoa(given.user + ':' + given.password));"
FOR_BASIC = (
    "await new Promise(done => { const ask = new XMLHttpRequest(); "
    "ask.open('GET', '/', true, given.user, given.password); ask.onloadend = done; ask.send(); });"
)


@dataclass(frozen=True)
class Access:
    """Who is let in, and how far.

    `origin` is the address of the page. `also` are other hosts (`prefect:4200`) under which
    programs may call; a browser that comes by one of them is sent to `origin`. `is_page` tells the
    paths that links of other pages may lead to. `forms` are paths that take a form instead of JSON.

    `password` (`name:password`) is asked for by the door itself where `asks`, except for the paths
    that say whether the server is well, `health`. It is handed to the browser that brings the
    ticket, which a file holds until then: `hand_over` is the script that takes it.
    """

    origin: str
    also: frozenset[str] = frozenset()
    is_page: Callable[[str], bool] = lambda path: path == "/"
    forms: frozenset[str] = frozenset()
    health: frozenset[str] = frozenset()
    password: str = ""
    asks: bool = False
    ticket: Path | None = None
    hand_over: str = ""

    @property
    def host(self) -> str:
        """The host of the page's address, as a browser names it."""
        return urlsplit(self.origin).netloc


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    kind: bytes = b"text/plain; charset=utf-8"


@dataclass(frozen=True)
class Door:
    """An ASGI application that lets in to another one whom `access` lets in."""

    application: Application
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a websocket, or hand it on."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        refused = refusal(scope, self.access)
        if refused and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif refused:
            await _say(refused, send)
        elif scope["type"] == "http" and scope["path"] == OPEN and self.access.ticket:
            await _say(await _opened(scope, receive, self.access), send)
        elif _lacks_password(scope, self.access):
            await _say(_ASK, send)
        else:
            await self.application(scope, receive, _closed_to_others(send))


_ASK = _Answer(
    401,
    "The name and password stand in the file .icp/password of the home folder",
    ((b"www-authenticate", b'Basic realm="icploop", charset="UTF-8"'),),
)


def refusal(scope: Scope, access: Access) -> _Answer | None:
    """Why a request is not let in, or where it is sent instead; None where it may come in.

    Whether it knows the password is another question.
    """
    said = _headers(scope)
    [host, *more] = said.get("host", [""])
    known = {access.host, *access.also}
    if more or host.lower() not in known:
        return _Answer(403, f"This server is called {access.host}, not {host}")
    if any(origin != access.origin for origin in said.get("origin", [])):
        return _Answer(403, f"Only pages of {access.origin} may call this server")
    is_link = _is_link(scope, said, access)
    sites = set(said.get("sec-fetch-site", []))
    if not sites <= {"same-origin", "none"} and not is_link:
        return _Answer(403, f"Only pages of {access.origin} may call this server")
    if host.lower() != access.host and (is_link or sites or "origin" in said):
        if not is_link:
            return _Answer(403, f"Open {access.origin}: this server's page works there only")
        return _Answer(307, headers=((b"location", _address(scope, access)),))
    return _wrong_body(scope, said, access)


def _is_link(scope: Scope, said: Mapping[str, list[str]], access: Access) -> bool:
    """Whether a person follows a link or types an address, and no script reads the answer."""
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
        return False
    if not (access.is_page(scope["path"]) or scope["path"] == OPEN):
        return False
    if "sec-fetch-mode" in said:
        return said["sec-fetch-mode"] == ["navigate"] and said.get("sec-fetch-dest") == ["document"]
    return "text/html" in "".join(said.get("accept", []))


def _wrong_body(scope: Scope, said: Mapping[str, list[str]], access: Access) -> _Answer | None:
    if scope["type"] != "http" or scope["method"] not in {"POST", "PATCH"}:
        return None
    if said.get("content-length", ["0"]) == ["0"] and "transfer-encoding" not in said:
        return None
    kinds = [kind.partition(";")[0].strip().lower() for kind in said.get("content-type", [""])]
    if kinds == [_FORM] and scope["path"] in access.forms:
        return None
    if any(kind in _SENT_UNASKED for kind in kinds):
        return _Answer(415, "Send JSON, and say so: Content-Type: application/json")
    return None


def _lacks_password(scope: Scope, access: Access) -> bool:
    if not access.asks or (scope["type"] == "http" and scope["path"] in access.health):
        return False
    expected = "Basic " + base64.b64encode(access.password.encode()).decode()
    given = _headers(scope).get("authorization", [])
    return len(given) != 1 or not hmac.compare_digest(given[0].encode(), expected.encode())


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _address(scope: Scope, access: Access) -> bytes:
    """Where the page is that was asked for under another name."""
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string", b"")
    return access.origin.encode() + path + (b"?" + query if query else b"")


def _closed_to_others(send: Send) -> Send:
    """`send`, with headers that let no other page read or frame the answer."""
    ours = {name for name, _ in _OUT} - {b"content-security-policy"}

    async def closed(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.lower() not in ours and not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*kept, *_OUT]}
        await send(message)

    return closed


async def _say(answer: _Answer, send: Send) -> None:
    body = answer.text.encode()
    headers = [
        (b"content-type", answer.kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *answer.headers,
        *_OUT,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _opened(scope: Scope, receive: Receive, access: Access) -> _Answer:
    """The page that takes the ticket out of its own address, or the password for the ticket."""
    if scope["method"] in {"GET", "HEAD"}:
        return _page(access)
    if scope["method"] != "POST":
        return _Answer(405, "GET or POST")
    if not _is_used_up(await _body(receive), access.ticket):
        return _Answer(403, "This address was used before")
    user, _, password = access.password.partition(":")
    return _Answer(200, json.dumps({"user": user, "password": password}), kind=b"application/json")


async def _body(receive: Receive) -> bytes:
    body = b""
    while len(body) <= _LONGEST_TICKET:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _is_used_up(body: bytes, ticket: Path | None) -> bool:
    """Whether the body brings the ticket, which is gone from then on: whoever removes it has it."""
    if ticket is None:
        return False
    try:
        expected = ticket.read_text(encoding="ascii")
        given = json.loads(body).get("ticket")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
            return False
        ticket.unlink()
    except (OSError, ValueError, AttributeError):
        return False
    return True


def _page(access: Access) -> _Answer:
    script = f"""
const ticket = location.hash.slice(1);
history.replaceState(null, '', location.pathname);
(async () => {{
  const answer = await fetch('{OPEN}', {{method: 'POST', body: JSON.stringify({{ticket}}),
    headers: {{'Content-Type': 'application/json'}}}});
  if (answer.ok) {{
    const given = await answer.json();
    {access.hand_over}
    location.replace('/');
  }} else {{
    document.body.hidden = false;
  }}
}})();
"""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest())
    policy = b"default-src 'none'; connect-src 'self'; script-src 'sha256-" + digest + b"'"
    text = (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>icploop</title>"
        "<body hidden><p>This address opens the page once, and was used before. "
        "<a href='/'>Go on</a>: where a name and password are asked for, they stand in "
        f"<code>.icp/password</code> of the home folder.</p><script>{script}</script></body></html>"
    )
    return _Answer(200, text, ((b"content-security-policy", policy),), b"text/html; charset=utf-8")


def access_from(environment: Mapping[str, str], **more: Any) -> Access:
    """What the variables of a server say: ICP_PAGE (the page's address) and ICP_ALSO (hosts).

    Raises KeyError without ICP_PAGE: a server behind a door that does not know its own address
    would be open.
    """
    also = frozenset(environment.get("ICP_ALSO", "").lower().split())
    ticket = environment.get("ICP_TICKET")
    return Access(
        environment["ICP_PAGE"].rstrip("/").lower(),
        also,
        ticket=Path(ticket) if ticket else None,
        **more,
    )
