import json
from pathlib import Path

import pytest

from icploop.io.home import Home
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import held, icp, tiny_home

DAY = planted.LAST_DAY


class TestInit:
    def test_a_new_home_says_what_to_do_next(self, tmp_path: Path):
        answer = icp("init", tmp_path / "company")
        assert answer.status == 0
        assert f"icp ingest --home {tmp_path / 'company'}" in answer.out
        assert Home(tmp_path / "company").settings().motions == ("default",)

    def test_as_json_it_names_the_files(self, tmp_path: Path):
        told = icp("init", tmp_path / "company", "--json").json
        assert told["home"] == str(tmp_path / "company")
        assert all(Path(path).is_file() for path in told["written"])

    def test_over_an_old_home_it_ends_with_status_2_and_changes_nothing(self, tmp_path: Path):
        home = tiny_home(tmp_path)
        before = home.settings_file.read_bytes()
        answer = icp("init", tmp_path, "--json")
        assert answer.status == answer.json["exit_status"] == 2
        assert home.settings_file.read_bytes() == before


class TestBacktest:
    def test_days_in_the_wrong_order_or_twice_end_with_status_2(self, trained: Trained):
        swapped = icp("backtest", "--from", "2024-02-01", "--to", "2024-01-01", home=trained.home)
        assert swapped.status == 2
        twice = icp("backtest", "--to", DAY, "--as-of", DAY, home=trained.home)
        assert twice.status == 2
        assert "Give --to or --as-of, not both" in twice.err


@pytest.mark.parametrize("command", ["status", "watch", "show", "ingest"])
def test_text_is_for_people_and_json_for_machines(own: Home, command: str):
    text = icp(command, "--as-of", DAY, home=own)
    as_json = icp(command, "--as-of", DAY, "--json", home=own)
    assert text.status == as_json.status == 0
    assert as_json.json
    with pytest.raises(json.JSONDecodeError):
        json.loads(text.out)


def test_while_another_process_holds_the_warehouse_it_is_refused(
    own: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("icploop.io.warehouse.file.PATIENCE_SECONDS", 0.3)
    with held(own.warehouse_file):
        answer = icp("ingest", "--json", home=own)
    assert answer.status == answer.json["exit_status"] == 4
    assert "locked by another process; wait until it has finished" in answer.json["error"]
