import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from icploop.errors import DataError
from icploop.io.sources.http import Api
from tests.servers import TOKEN, Faults, Json, Server

FAST = 1000.0


class Echo(Server):
    """Answers with what it was asked."""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Json) -> Json:
        return {"data": [method, path, query, body]}


@pytest.fixture
def echo() -> Iterator[Echo]:
    with (server := Echo()).running():
        yield server


def api(server: Server, per_second: float = FAST) -> Api:
    return Api(server.url, TOKEN, "conf/sources/x.yaml", per_second)


def test_a_question_arrives_as_it_was_asked(echo: Echo) -> None:
    asked = api(echo)
    found = asked.get("/a", [("types[]", "x"), ("types[]", "y")], must_have="data")
    assert found["data"] == ["GET", "/a", {"types[]": ["x", "y"]}, {}]
    assert asked.post("/b", {"n": 1}, must_have="data")["data"] == ["POST", "/b", {}, {"n": 1}]
    assert abs((asked.last_answered - datetime.now(UTC)).total_seconds()) < 5


@pytest.mark.parametrize("kind", ["haste", "error", "hang-up", "half"])
def test_each_fault_is_asked_again(echo: Echo, kind: str) -> None:
    echo.faults = Faults(one_in=3, seed=1, kinds=(kind,))
    asked = api(echo)
    for n in range(20):
        assert asked.get(f"/{n}", must_have="data")["data"][1] == f"/{n}"
    assert echo.calls["all"] > 20


def test_patience_ends_with_the_place_and_what_to_do(
    echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icploop.io.sources.http._WAITS", (0.0, 0.0))
    echo.faults = Faults(one_in=1, kinds=("error",))
    with pytest.raises(
        DataError, match=r"conf/sources/x.yaml: .*/a .*3 tries .*500.*goes on where"
    ):
        api(echo).get("/a", must_have="data")
    assert echo.calls["all"] == 3


def test_a_server_that_is_not_there_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icploop.io.sources.http._WAITS", (0.0,))
    with pytest.raises(DataError, match="ConnectError"):
        Api("http://127.0.0.1:9", TOKEN, "x", FAST).get("/", must_have="data")


def test_calls_keep_their_pace(echo: Echo) -> None:
    asked = api(echo, per_second=50)
    begun = time.monotonic()
    for _ in range(11):
        asked.get("/a", must_have="data")
    assert time.monotonic() - begun >= 0.2


def test_the_token_is_in_no_text(echo: Echo) -> None:
    assert TOKEN not in repr(api(echo))
