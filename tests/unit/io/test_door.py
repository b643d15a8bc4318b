"""Who gets in by the door, without a server: what browsers say, and what programs say."""

import asyncio
import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from icploop.io.door import FOR_PREFECT, OPEN, Access, Door, access_from

PAGE, HOST = "http://127.0.0.1:4200", "127.0.0.1:4200"
PREFECT = Access(
    PAGE,
    also=frozenset({"localhost:4200", "prefect:4200"}),
    is_page=lambda path: not path.startswith("/api"),
)
MLFLOW = Access(
    PAGE,
    forms=frozenset({"/signup"}),
    health=frozenset({"/health"}),
    password="icp:pass:word é",
    asks=True,
)
OWN = {"origin": PAGE, "sec-fetch-site": "same-origin"}
TYPED = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
LINK = TYPED | {"sec-fetch-site": "cross-site"}
JSON = {"content-type": "application/json", "content-length": "2"}


@dataclass
class Answer:
    """What came back, and whether the application was reached."""

    reached: bool
    status: int = 0
    headers: dict[str, str] | None = None
    body: bytes = b""
    closed: int | None = None


def knock(
    access: Access,
    path: str = "/api/deployments/filter",
    method: str = "GET",
    headers: Iterable[tuple[str, str]] | dict[str, str] = (),
    *,
    host: str | None = HOST,
    kind: str = "http",
    body: bytes = b"",
    query: bytes = b"",
) -> Answer:
    """Send a request through a door before an application that would let any origin read."""
    answer = Answer(reached=False)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        answer.reached = True
        open_to_all = [
            (b"Access-Control-Allow-Origin", b"*"),
            (b"x-frame-options", b"ALLOWALL"),
            (b"content-security-policy", b"default-src 'self'"),
            (b"content-type", b"text/html"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": open_to_all})
        await send({"type": "http.response.body", "body": b"inside"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "websocket.close":
            answer.closed = message["code"]
        elif message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {}
            for name, value in message["headers"]:
                before = answer.headers.get(name.decode().lower())
                joined = f"{before}; {value.decode()}" if before else value.decode()
                answer.headers[name.decode().lower()] = joined
        else:
            answer.body += message["body"]

    pairs = list(headers.items() if isinstance(headers, dict) else headers)
    said = [*([("host", host)] if host else []), *pairs]
    scope = {
        "type": kind,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in said],
    }
    if kind == "http":
        scope["method"] = method
    asyncio.run(Door(application, access)(scope, receive, send))
    return answer


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"sec-fetch-site": "same-origin"}),
        ("GET", TYPED),
        ("POST", OWN | JSON),
        ("PATCH", OWN | JSON),
        ("DELETE", OWN),
        # A program: it says nothing of where it comes from, and is asked for the password inside.
        ("GET", {}),
        ("POST", JSON),
        ("POST", {"content-length": "0"}),
        ("PUT", {"content-type": "text/plain", "content-length": "5"}),
    ],
)
def test_the_own_page_and_programs_get_in(method, headers):
    assert knock(PREFECT, method=method, headers=headers).reached


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:4201",
        "http://localhost:4200",
        "https://127.0.0.1:4200",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_a_page_of_another_origin_does_not(origin, method):
    answer = knock(PREFECT, method=method, headers={"origin": origin} | JSON)
    assert (answer.reached, answer.status) == (False, 403)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert knock(PREFECT, headers={"origin": origin}, kind="websocket").closed == 1008


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
def test_what_a_browser_says_of_a_foreign_page_is_enough_without_an_origin(site):
    for headers in ({"sec-fetch-site": site}, LINK | {"sec-fetch-site": site}):
        assert knock(PREFECT, headers=headers).status == 403
        assert knock(PREFECT, headers=headers, kind="websocket").closed == 1008
    framed = LINK | {"sec-fetch-dest": "iframe"}
    assert knock(PREFECT, "/dashboard", headers=framed).status == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:4200",
        "127.0.0.1",
        "127.0.0.1:4201",
        "",
        None,
        "127.0.0.1:4200.evil.example",
        "[::1]:4200",
        "0.0.0.0:4200",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_name_that_leads_here_is_not_enough(host, kind):
    answer = knock(PREFECT, host=host, kind=kind)
    assert not answer.reached
    assert (answer.status, answer.closed) in {(403, None), (0, 1008)}


def test_what_is_said_twice_is_not_believed():
    assert knock(PREFECT, headers=[("host", "evil.example")]).status == 403
    assert knock(PREFECT, headers=[("origin", PAGE), ("origin", "http://a.example")]).status == 403
    twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]
    assert knock(PREFECT, headers=twice).status == 403


def test_a_link_of_another_page_leads_to_pages_and_not_to_the_api():
    assert knock(PREFECT, "/runs/flow-run/1", headers=LINK).reached
    assert knock(PREFECT, "/api/flow_runs/1", headers=LINK).status == 403
    assert knock(PREFECT, "/dashboard", "POST", LINK | {"origin": PAGE}).status == 403


def test_a_browser_that_comes_by_another_name_is_sent_to_the_page_and_a_program_is_served():
    sent = knock(PREFECT, "/runs", headers=TYPED, host="localhost:4200", query=b"a=1")
    assert (sent.status, sent.headers["location"]) == (307, f"{PAGE}/runs?a=1")
    old = knock(PREFECT, headers={"accept": "text/html,*/*"}, host="localhost:4200", path="//evil")
    assert old.headers["location"] == f"{PAGE}//evil"
    assert (
        knock(PREFECT, headers={"sec-fetch-site": "same-origin"}, host="localhost:4200").status
        == 403
    )
    assert knock(PREFECT, host="LOCALHOST:4200").reached
    assert knock(PREFECT, host="prefect:4200", kind="websocket").reached


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "TEXT/PLAIN;charset=utf-8",
        None,
        "",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ],
)
@pytest.mark.parametrize("length", [{"content-length": "9"}, {"transfer-encoding": "chunked"}])
def test_what_a_page_may_send_unasked_is_no_json(kind, length):
    headers = length | ({} if kind is None else {"content-type": kind})
    for method in ("POST", "PATCH"):
        assert knock(PREFECT, method=method, headers=headers).status == 415
    form = kind == "application/x-www-form-urlencoded"
    signed_up = knock(replace(MLFLOW, asks=False), "/signup", "POST", headers)
    assert signed_up.reached == form


def test_no_answer_can_be_read_or_framed_by_others():
    headers = knock(PREFECT, headers=OWN).headers
    assert not [name for name in headers if name.startswith("access-control")]
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["content-security-policy"] == "default-src 'self'; frame-ancestors 'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"] == "text/html"


def _basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_the_door_asks_for_the_password_where_the_server_does_not():
    asked = knock(MLFLOW)
    assert (asked.reached, asked.status) == (False, 401)
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert knock(MLFLOW, headers=_basic(MLFLOW.password)).reached
    for wrong in ("icp:pass", "icp:", "", "other:pass:word é", MLFLOW.password + "x"):
        assert knock(MLFLOW, headers=_basic(wrong)).status == 401
    twice = [*_basic(MLFLOW.password).items()] * 2
    assert knock(MLFLOW, headers=twice).status == 401
    assert knock(MLFLOW, "/health").reached
    assert knock(MLFLOW, "/health", host="evil.example").status == 403
    assert knock(MLFLOW, "/health/../api").status == 401


@pytest.fixture
def ticketed(tmp_path: Path) -> Access:
    ticket = tmp_path / "open"
    ticket.write_text("the-ticket")
    return replace(PREFECT, password="icp:pass:word", ticket=ticket, hand_over=FOR_PREFECT)


def _open(access: Access, given: object, **headers: str) -> Answer:
    return knock(access, OPEN, "POST", OWN | JSON | headers, body=json.dumps(given).encode())


def test_a_ticket_opens_once_and_a_wrong_one_costs_nothing(ticketed):
    for wrong in ("another", "", None, 7, ["the-ticket"]):
        assert _open(ticketed, {"ticket": wrong}).status == 403
    assert _open(ticketed, "the-ticket").status == 403
    assert _open(ticketed, {"ticket": "the-ticket" + "x" * 9_000}).status == 403
    given = _open(ticketed, {"ticket": "the-ticket"})
    assert json.loads(given.body) == {"user": "icp", "password": "pass:word"}
    assert given.headers["cache-control"] == "no-store"
    assert _open(ticketed, {"ticket": "the-ticket"}).status == 403


def test_a_ticket_is_taken_from_the_own_page_only(ticketed):
    assert _open(ticketed, {"ticket": "the-ticket"}, origin="http://evil.example").status == 403
    plain = {"content-type": "text/plain"}
    assert _open(ticketed, {"ticket": "the-ticket"}, **plain).status == 415
    assert ticketed.ticket.exists()


def test_the_page_that_takes_the_ticket_runs_its_own_script_only(ticketed):
    page = knock(ticketed, OPEN, headers=LINK)
    assert page.status == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; connect-src 'self'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert b"the-ticket" not in page.body
    assert b"pass:word" not in page.body
    assert knock(replace(ticketed, ticket=None), OPEN, headers=LINK).reached


def test_a_server_that_does_not_know_its_own_address_does_not_start():
    with pytest.raises(KeyError, match="ICP_PAGE"):
        access_from({})
    access = access_from({"ICP_PAGE": "HTTPS://Prefect.example/", "ICP_ALSO": "a:1 B:2"})
    assert (access.host, access.also) == ("prefect.example", {"a:1", "b:2"})
    assert access.ticket is None
