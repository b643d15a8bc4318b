from pathlib import Path

import pytest

from icploop.io.home import Home
from tests.unit.cli.commands import taking, words
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp, nothing_changes, tiny_home


class TestDay:
    @pytest.mark.parametrize("command", taking("--as-of"))
    def test_a_day_that_is_none_ends_with_status_2(self, trained: Trained, command: str):
        with nothing_changes(trained.home):
            answer = icp(*words(command, "--as-of", "2025-02-30", "--json"), home=trained.home)
        assert answer.status == answer.json["exit_status"] == 2
        assert answer.json["error"] == "'2025-02-30' is not a day; write it as YYYY-MM-DD"

    @pytest.mark.parametrize("day", ["31.01.2025", "tomorrow"])
    def test_so_does_one_that_is_written_otherwise(self, trained: Trained, day: str):
        answer = icp("status", "--as-of", day, "--json", home=trained.home)
        assert answer.status == 2
        assert answer.json["error"] == f"'{day}' is not a day; write it as YYYY-MM-DD"


class TestMotion:
    @pytest.mark.parametrize("command", taking("--motion"))
    def test_an_unknown_motion_ends_with_status_2(self, trained: Trained, command: str):
        with nothing_changes(trained.home):
            answer = icp(*words(command, "--motion", "upsel"), home=trained.home)
        assert (answer.status, answer.out) == (2, "")
        assert "'upsel' is not in conf/icp.yaml; motions: default, upsell" in answer.err


class TestHome:
    @pytest.mark.parametrize("command", taking("--as-of"))
    def test_a_folder_that_is_no_home_ends_with_status_2(self, tmp_path: Path, command: str):
        answer = icp(*words(command, "--json"), home=Home(tmp_path / "nowhere"))
        assert answer.status == answer.json["exit_status"] == 2
        assert "make a home with `icp init" in answer.json["error"]
        assert not (tmp_path / "nowhere").exists()

    def test_the_home_can_come_from_the_environment(self, tmp_path: Path):
        home = tiny_home(tmp_path)
        answer = icp("ingest", "--json", env={"ICP_HOME": str(home.root)})
        assert answer.json["tables"]["accounts"]["stored"] == 10

    def test_it_is_the_current_folder_by_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        home = tiny_home(tmp_path)
        monkeypatch.chdir(home.root)
        assert icp("ingest", "--json").status == 0
        assert home.warehouse_file.exists()
