import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from icploop.errors import UnavailableError, UsageError
from icploop.io import webhook
from icploop.settings import Notify

NOTIFY = Notify()


class Receiver(ThreadingHTTPServer):
    """A webhook on this machine that answers what it is told to and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/secret-path"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(NOTIFY.url_env, server.address)
    monkeypatch.setattr(webhook, "PATIENCE", (0.0, 0.0))
    yield server
    server.shutdown()
    server.server_close()


def test_the_receiver_can_check_who_sent_it_and_when(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(NOTIFY.secret_env, "s3cret")
    webhook.post(NOTIFY, {"text": "größer"}, timestamp=1_700_000_000)
    ((headers, body),) = receiver.got
    assert json.loads(body) == {"text": "größer"}
    assert headers[webhook.TIMESTAMP] == "1700000000"
    expected = webhook.signature_of("s3cret", "1700000000", body)
    assert headers[webhook.SIGNATURE] == expected
    assert expected != webhook.signature_of("other", "1700000000", body)
    assert expected != webhook.signature_of("s3cret", "1700000001", body)
    assert expected != webhook.signature_of("s3cret", "1700000000", body + b" ")


def test_without_a_secret_it_is_not_signed(receiver: Receiver):
    webhook.post(NOTIFY, {"text": "t"})
    assert webhook.SIGNATURE not in receiver.got[0][0]


@pytest.mark.parametrize("answers", [[500], [429, 503]])
def test_a_passing_fault_is_tried_again(receiver: Receiver, answers: list[int]):
    receiver.answers = answers.copy()
    webhook.post(NOTIFY, {"text": "t"})
    assert len(receiver.got) == len(answers) + 1


def test_after_three_tries_it_says_so_without_the_address(receiver: Receiver):
    receiver.answers = [500] * 3
    with pytest.raises(
        UnavailableError, match=r"The webhook in ICP_WEBHOOK_URL does not let us through: .* 500"
    ) as told:
        webhook.post(NOTIFY, {"text": "t"})
    assert "secret-path" not in str(told.value)
    assert len(receiver.got) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 410, 302])
def test_what_will_not_change_is_not_tried_again(receiver: Receiver, status: int):
    receiver.answers = [status]
    with pytest.raises(UsageError, match=rf"ICP_WEBHOOK_URL refused POST \({status}\)") as told:
        webhook.post(NOTIFY, {"text": "t"})
    assert "secret-path" not in str(told.value)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("name", [NOTIFY.url_env, NOTIFY.secret_env])
@pytest.mark.parametrize("text", ["https://x.example/secret-path\n", "sécret-path", "secret path"])
def test_what_no_secret_can_be_is_told_and_nothing_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, name: str, text: str
):
    monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=f"conf/icp.yaml: notify: .* {name} has") as told:
        webhook.post(NOTIFY, {"text": "t"})
    assert "cret" not in str(told.value).replace(NOTIFY.secret_env, "").replace("secret that", "")
    assert receiver.got == []


@pytest.mark.parametrize("url", ["https://", "https://[::1", "https://x:port/secret-path", "x"])
def test_what_is_no_address_is_told_without_it(monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv(NOTIFY.url_env, url)
    with pytest.raises(UsageError, match="ICP_WEBHOOK_URL") as told:
        webhook.post(NOTIFY, {"text": "t"})
    assert "secret-path" not in str(told.value)


def test_only_this_machine_is_reached_without_encryption(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(NOTIFY.url_env, "http://example.org/secret-path")
    with pytest.raises(UsageError, match="must begin with https://") as told:
        webhook.post(NOTIFY, {"text": "t"})
    assert "secret-path" not in str(told.value)
