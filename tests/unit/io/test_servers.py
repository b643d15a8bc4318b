"""What keeps two processes from serving one home; the servers themselves run in tests/e2e."""

import socket
from pathlib import Path

import pytest

from icploop.errors import RefusedError, UsageError
from icploop.io.lock import one_at_a_time
from icploop.io.servers import up
from tests.unit.io_fixtures import tiny_home


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_home_that_is_served_already_is_refused(tmp_path: Path):
    home = tiny_home(tmp_path / "home")
    said: list[str] = []
    with one_at_a_time(home, "icp-up"), pytest.raises(RefusedError, match="`icp-up` is running"):
        up(home, _free_port(), _free_port(), said.append)
    assert said == []
    assert not (home.root / ".prefect").exists()


@pytest.mark.parametrize("taken", ["--mlflow-port", "--prefect-port"])
def test_a_port_that_is_taken_is_named_with_the_option_for_another(tmp_path: Path, taken: str):
    home = tiny_home(tmp_path / "home")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = {"--mlflow-port": _free_port(), "--prefect-port": _free_port()}
        ports[taken] = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"{ports[taken]} is taken; .* with {taken}"):
            up(home, ports["--mlflow-port"], ports["--prefect-port"], print)
