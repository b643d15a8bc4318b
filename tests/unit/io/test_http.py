import logging
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icploop.errors import DataError, IcpError, UnavailableError, UnfinishedError, UsageError
from icploop.io import limits
from icploop.io.http import Client, RejectedError, UncertainError
from icploop.io.secrets import Secret
from tests.servers import TOKEN, Faults, Json, Server

FAST = 1000.0


class Echo(Server):
    """Answers with what it was asked."""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> Json:
        return {"data": [method, path, query, body]}


class Parrot(ThreadingHTTPServer):
    """Answers what it is told to, with the token that it was sent in the place of `{token}`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.headers, self.says = 200, dict[str, str](), "{}"
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def will(self, status: int, says: str = "{}", **headers: str) -> None:
        self.status, self.says = status, says
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}
        self.got.clear()


class _Handler(BaseHTTPRequestHandler):
    server: Parrot

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.got.append((self.path, dict(self.headers), body))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.send_response(self.server.status)
        for name, text in self.server.headers.items():
            self.send_header(name, text.replace("{token}", token))
        self.end_headers()
        self.wfile.write(self.server.says.replace("{token}", token).encode())

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def echo() -> Iterator[Echo]:
    with (server := Echo()).running():
        yield server


@pytest.fixture(scope="module")
def parrot() -> Iterator[Parrot]:
    with Parrot() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def api(url: str, token: str = TOKEN, **more: Any) -> Client:
    return Client(
        url, Secret("A_TOKEN", token, (token,)), "It", "conf/x.yaml", **{"per_second": FAST} | more
    )


class Waits(list[float]):
    """What a client would have slept."""

    def of_patience(self) -> list[float]:
        return [wait for wait in self if wait >= 0.05]


def test_a_question_arrives_as_it_was_asked(echo: Echo) -> None:
    asked = api(echo.url)
    found = asked.get("/a", [("types[]", "x"), ("types[]", "y")], must_have="data")
    assert found["data"] == ["GET", "/a", {"types[]": ["x", "y"]}, {}]
    assert asked.post("/b", {"n": 1}, must_have="data")["data"] == ["POST", "/b", {}, {"n": 1}]
    assert abs((asked.last_answered - datetime.now(UTC)).total_seconds()) < 5
    assert asked.made == 2


def test_calls_keep_their_pace(echo: Echo) -> None:
    asked = api(echo.url, per_second=50)
    begun = time.monotonic()
    for _ in range(11):
        asked.get("/a", must_have="data")
    assert time.monotonic() - begun >= 0.2


class TestPatience:
    @pytest.mark.parametrize("kind", ["haste", "error", "hang-up", "half"])
    def test_each_fault_is_asked_again(self, echo: Echo, kind: str) -> None:
        echo.faults = Faults(one_in=3, seed=1, kinds=(kind,))
        asked = api(echo.url, sleep=Waits().append)
        for n in range(20):
            assert asked.get(f"/{n}", must_have="data")["data"][1] == f"/{n}"
        assert echo.calls["all"] > 20

    def test_it_ends_with_the_place_and_what_to_do(self, echo: Echo) -> None:
        echo.faults = Faults(one_in=1, kinds=("error",))
        said = r"conf/x.yaml: It does not let us through: GET /a failed with 500: oops; .*goes on"
        with pytest.raises(UnavailableError, match=said):
            api(echo.url, patience=(0.0, 0.0)).get("/a", must_have="data")
        assert echo.calls["all"] == 3

    def test_a_server_that_is_not_there_is_told_as_such(self) -> None:
        with pytest.raises(DataError, match="ConnectError"):
            api("http://127.0.0.1:9", patience=()).get("/", must_have="data")

    @pytest.mark.parametrize("says", ["{}", "[]", "{", "", "null", "\x80"])
    def test_less_than_a_whole_answer_is_none(self, parrot: Parrot, says: str) -> None:
        parrot.will(200, says)
        with pytest.raises(UnavailableError, match=r"half a page|not JSON"):
            api(parrot.url, patience=()).get("/", must_have="data")

    def test_a_body_that_cannot_be_unpacked_is_no_fault_of_the_program(
        self, parrot: Parrot
    ) -> None:
        parrot.will(200, "no gzip", Content_Encoding="gzip")
        with pytest.raises(UnavailableError, match="DecodingError"):
            api(parrot.url, patience=()).get("/", must_have="data")

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("stated", "waited"), [("3", 3.0), ("0.5", 0.5), ("", 0.1), ("soon", 0.1), ("-1", 0.1)]
    )
    def test_it_waits_as_long_as_it_is_told(
        self, parrot: Parrot, status: int, stated: str, waited: float
    ) -> None:
        parrot.will(status, Retry_After=stated)
        slept = Waits()
        with pytest.raises(UnavailableError):
            api(parrot.url, patience=(0.1,), sleep=slept.append).get("/", must_have="data")
        assert slept.of_patience() == [waited]

    def test_it_may_be_told_a_moment(self, parrot: Parrot) -> None:
        moment = datetime.now(UTC) + timedelta(seconds=30)
        parrot.will(429, Retry_After=format_datetime(moment, usegmt=True))
        slept = Waits()
        with pytest.raises(UnavailableError):
            api(parrot.url, patience=(0.1,), sleep=slept.append).get("/", must_have="data")
        assert slept.of_patience() == [pytest.approx(30, abs=3)]

    def test_whoever_asks_for_an_hour_is_asked_again_then(self, parrot: Parrot) -> None:
        parrot.will(429, Retry_After="3600")
        with pytest.raises(UnavailableError, match="asks to wait 3600 seconds"):
            api(parrot.url).get("/", must_have="data")
        assert len(parrot.got) == 1


class TestLimits:
    def test_a_day_without_calls_ends_it_at_once(self, parrot: Parrot) -> None:
        told = '{"message": "You have reached your daily limit.", "policyName": "DAILY"}'
        parrot.will(429, told)
        with pytest.raises(UnavailableError, match=r"no calls left today .*daily limit"):
            api(parrot.url, limits=limits.HUBSPOT).get("/", must_have="data")
        assert len(parrot.got) == 1

    def test_salesforce_says_so_as_if_the_token_were_refused(self, parrot: Parrot) -> None:
        parrot.will(403, '[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "Limit exceeded."}]')
        with pytest.raises(UnfinishedError, match=r"no calls left today .*Limit exceeded"):
            api(parrot.url, limits=limits.SALESFORCE, stops=UnfinishedError).ask("GET", "/")

    def test_what_is_reserved_for_others_is_not_called(self, parrot: Parrot) -> None:
        parrot.will(200, Sforce_Limit_Info="api-usage=95/100")
        asked = api(parrot.url, limits=limits.SALESFORCE, reserve=0.1)
        asked.ask("GET", "/")
        with pytest.raises(UnavailableError, match="5 of 100 calls left today"):
            asked.ask("GET", "/")
        assert asked.made == 1


class TestWhatTakesEffectOnce:
    @pytest.mark.parametrize(("status", "says"), [(500, "{}"), (423, "{}"), (200, "half {")])
    def test_it_is_not_sent_again_when_nobody_knows(
        self, parrot: Parrot, status: int, says: str
    ) -> None:
        parrot.will(status, says)
        with pytest.raises(UncertainError):
            api(parrot.url).act("POST", "/", {"n": 1})
        assert len(parrot.got) == 1

    def test_it_is_sent_again_when_it_was_not_let_in(self, parrot: Parrot) -> None:
        parrot.will(429, Retry_After="0")
        with pytest.raises(UnavailableError, match="too often"):
            api(parrot.url, patience=(0.0, 0.0)).act("POST", "/", {"n": 1})
        assert len(parrot.got) == 3


class TestNowhereElse:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        "where", ["http://127.0.0.1:{other}/a", "http://localhost:{port}/", "//evil.example/", "/b"]
    )
    def test_no_redirect_is_followed(self, parrot: Parrot, status: int, where: str) -> None:
        with Parrot() as other:
            at = where.format(other=other.server_port, port=parrot.server_port)
            parrot.will(status, Location=at)
            with pytest.raises(RejectedError, match=rf"\({status}\): it sends us on"):
                api(parrot.url).get("/a", must_have="data")
        assert len(parrot.got) == 1

    @pytest.mark.parametrize(
        "path", ["@evil.example/x", ".evil.example/", ":80@evil.example", "0/", ":443/"]
    )
    def test_a_path_that_leads_elsewhere_is_not_called(self, parrot: Parrot, path: str) -> None:
        parrot.will(200)
        with pytest.raises(UnavailableError, match="next page that is not its own"):
            api(parrot.url).get(path, must_have="data")
        assert parrot.got == []

    def test_a_proxy_does_not_see_what_is_meant_for_this_machine(
        self, parrot: Parrot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Parrot() as proxy:
            for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
                monkeypatch.setenv(name, proxy.url)
            parrot.will(200, '{"data": 1}')
            assert api(parrot.url).get("/", must_have="data") == {"data": 1}
            assert proxy.got == []

    @pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
    @pytest.mark.parametrize(
        ("proxy", "said"),
        [
            ("http://ada:ge\nheim@proxy", "has a line break"),
            ("http://ada:géheim@proxy", "has a character that is not ASCII"),
            (
                "http://ada:geheim@proxy:port",
                "a proxy that the environment names cannot be used",
            ),
            ("gopher://ada:geheim@proxy", "a proxy that the environment names cannot be used"),
        ],
    )
    def test_a_proxy_that_cannot_be_one_is_told_without_its_password(
        self, monkeypatch: pytest.MonkeyPatch, name: str, proxy: str, said: str
    ) -> None:
        monkeypatch.setenv(name, proxy)
        with pytest.raises(UsageError, match=f"conf/x.yaml: .*{said}") as told:
            api("https://127.0.0.1:9")
        assert not [text for text in chain_of(told.value) if "heim" in text]

    @pytest.mark.parametrize(
        "url",
        [
            "https://",
            "https://x:geheim",
            "http://[::1",
            "geheim",
            "",
            "ftp://127.0.0.1/geheim",
            "http://example.org/geheim",
            "http://127.0.0.1.example.org/geheim",
            "http://127.0.0.1:80@example.org/geheim",
        ],
    )
    def test_what_is_no_address_or_not_safe_is_refused_without_repeating_it(self, url: str) -> None:
        with pytest.raises(UsageError, match="It: the address is none, or a secret would") as told:
            api(url)
        assert "geheim" not in str(told.value)


# What a server may say of a token, and where.
TOLD: list[tuple[int, str, dict[str, str]]] = [
    (401, '{"message": "{token} is not known"}', {}),
    (403, '[{"errorCode": "X", "message": "{token}"}]', {}),
    (400, '{"error": {"message": "Invalid API key {token}"}}', {}),
    (404, "x" * 290 + "{token}", {}),
    (418, "<p>{token}</p>", {}),
    (302, "", {"Location": "https://{token}.example/{token}"}),
    (429, '{"policyName": "DAILY", "message": "{token} has had enough"}', {}),
    (429, '{"message": "{token}"}', {"Retry-After": "0"}),
    (500, '{"message": "oops {token}"}', {}),
    (200, "no json {token}", {}),
    (200, '{"next": "{token}"}', {}),
    (200, '{"data": 1}', {"Content-Encoding": "gzip"}),
]


class TestTheToken:
    @settings(max_examples=25, deadline=None)
    @given(
        token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60),
        told=st.sampled_from(TOLD),
    )
    def test_whatever_it_is_and_whatever_fails_it_is_in_no_text(
        self, parrot: Parrot, token: str, told: tuple[int, str, dict[str, str]]
    ) -> None:
        status, says, headers = told
        parrot.will(status, says)
        parrot.headers = headers
        heard: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            asked = api(parrot.url, token, limits=limits.HUBSPOT, patience=(0.0,))
            with pytest.raises((IcpError, UncertainError)) as failed:
                asked.get("/a", must_have="data")
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
        assert parrot.got[0][1]["Authorization"] == f"Bearer {token}"
        texts = [repr(asked), *heard, *chain_of(failed.value)]
        texts += traceback.format_exception(failed.value)
        assert not [text for text in texts if token in text or token[:12] in text]

    def test_what_is_cut_off_leaves_no_half_of_it(self, parrot: Parrot) -> None:
        parrot.will(400, "x" * 295 + "{token}")
        with pytest.raises(RejectedError) as told:
            api(parrot.url).get("/", must_have="data")
        assert TOKEN[:4] not in str(told.value)


def chain_of(error: BaseException | None) -> Iterator[str]:
    """The texts of an error and of all that it came from."""
    while error is not None:
        yield f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__


def test_a_body_is_handed_over_as_it_is(parrot: Parrot) -> None:
    parrot.will(200, "ok")
    api(parrot.url).deliver("/hook", b"\xf0\x9f", {"X-Sign": "v1"})
    [(path, headers, body)] = parrot.got
    assert (path, headers["X-Sign"], body) == ("/hook", "v1", b"\xf0\x9f")


def test_a_closed_client_calls_nobody(parrot: Parrot) -> None:
    with api(parrot.url) as asked:
        pass
    with suppress(RuntimeError):
        asked.get("/", must_have="data")
        pytest.fail("it was asked all the same")
