from pathlib import Path

import pytest

from tests.unit.io_fixtures import icp, tiny_home


@pytest.mark.parametrize("name", ["PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"])
def test_a_secret_for_prefect_that_cannot_be_one_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv(name, "pnu_s3c\nr3t")
    answer = icp("ingest", home=tiny_home(tmp_path))
    assert answer.status == 2
    assert f"Prefect: the environment variable {name} has a line break" in answer.err
    assert "s3c" not in answer.err
