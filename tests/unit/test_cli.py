import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from icploop.io.home import Home
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import held, icp, nothing_changes, tiny_home

DATED = ["ingest", "status", "watch", "retrain", "approve", "score", "list", "show", "backtest"]
COMMANDS = ["init", "demo", "write-back", *DATED]
# What each command needs beside its options.
NEEDS: dict[str, list[str]] = {
    "approve": ["1", "--by", "Ada", "--reason", "r"],
    "write-back": ["--in", "scored.csv"],
    "score": ["--in", "leads.csv", "--out", "scored.csv"],
    "list": ["--out", "targets.csv"],
}
DAY = planted.LAST_DAY


def words(command: str, *more: str) -> list[str]:
    return [command, *NEEDS.get(command, []), *more]


class TestHelp:
    def test_it_lists_the_commands(self):
        answer = icp("--help")
        assert answer.status == 0
        listed = {line.split()[0] for line in answer.out.splitlines() if line.startswith("  ")}
        assert set(COMMANDS) <= listed

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_carries_an_example_that_it_would_accept(self, command: str):
        answer = icp(command, "--help")
        assert answer.status == 0
        (example,) = [line for line in answer.out.splitlines() if "Example:" in line]
        assert example.strip().startswith(f"Example: icp {command}")
        for option in (word for word in example.split() if word.startswith("--")):
            assert option in answer.out.replace(example, "")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_takes_json(self, command: str):
        assert "--json" in icp(command, "--help").out

    @pytest.mark.parametrize("command", DATED)
    def test_every_command_that_computes_takes_a_day(self, command: str):
        assert "--as-of" in icp(command, "--help").out

    def test_it_needs_none_of_the_heavy_packages(self):
        code = (
            "import sys; sys.argv = ['icp', '--help']\n"
            "from icploop.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print([m for m in ('pandas', 'mlflow', 'duckdb', 'prefect') if m in sys.modules])"
        )
        said = subprocess.check_output([sys.executable, "-c", code], text=True)
        assert said.splitlines()[-1] == "[]"

    def test_without_a_command_it_is_shown_as_wrong_usage(self):
        answer = icp()
        assert answer.status == 2
        assert "Commands:" in answer.out + answer.err


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            (["stats"], "Did you mean 'status'?"),
            (["status", "--jsn"], "No such option"),
            (["approve", "1", "--by", "Ada"], "--reason"),
            (["approve", "--by", "Ada", "--reason", "r"], "VERSION"),
            (["list"], "--out"),
            (["score", "--in", "x.csv"], "--out"),
        ],
    )
    def test_it_ends_with_status_2_and_names_what_is_wrong(self, given: list[str], told: str):
        answer = icp(*given)
        assert (answer.status, answer.out) == (2, "")
        assert told.lower() in answer.err.lower()

    @pytest.mark.parametrize(
        "given", [["approve", "1", "--json"], ["list", "--json"], ["status", "--json", "--x"]]
    )
    def test_with_json_it_is_one_object_on_stdout(self, given: list[str]):
        answer = icp(*given)
        assert answer.status == answer.json["exit_status"] == 2
        assert answer.json["error"]

    @pytest.mark.parametrize("command", DATED)
    @pytest.mark.parametrize("day", ["31.01.2025", "2025-02-30", "tomorrow"])
    def test_a_day_that_is_none_ends_with_status_2(self, trained: Trained, command: str, day: str):
        with nothing_changes(trained.home):
            answer = icp(*words(command, "--as-of", day, "--json"), home=trained.home)
        assert answer.status == answer.json["exit_status"] == 2
        assert answer.json["error"] == f"'{day}' is not a day; write it as YYYY-MM-DD"

    @pytest.mark.parametrize("command", [c for c in DATED if c != "ingest"])
    def test_an_unknown_motion_ends_with_status_2(self, trained: Trained, command: str):
        with nothing_changes(trained.home):
            answer = icp(*words(command, "--motion", "upsel"), home=trained.home)
        assert (answer.status, answer.out) == (2, "")
        assert "'upsel' is not in conf/icp.yaml; motions: default, upsell" in answer.err

    @pytest.mark.parametrize("command", DATED)
    def test_a_folder_that_is_no_home_ends_with_status_2(self, tmp_path: Path, command: str):
        answer = icp(*words(command, "--json"), home=Home(tmp_path / "nowhere"))
        assert answer.status == answer.json["exit_status"] == 2
        assert "make a home with `icp init" in answer.json["error"]
        assert not (tmp_path / "nowhere").exists()

    def test_days_in_the_wrong_order_or_twice_end_with_status_2(self, trained: Trained):
        swapped = icp("backtest", "--from", "2024-02-01", "--to", "2024-01-01", home=trained.home)
        assert swapped.status == 2
        twice = icp("backtest", "--to", DAY, "--as-of", DAY, home=trained.home)
        assert twice.status == 2
        assert "Give --to or --as-of, not both" in twice.err


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


class TestHome:
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


class TestAnswers:
    @pytest.mark.parametrize("command", ["status", "watch", "show", "ingest"])
    def test_text_is_for_people_and_json_for_machines(self, own: Home, command: str):
        text = icp(command, "--as-of", DAY, home=own)
        as_json = icp(command, "--as-of", DAY, "--json", home=own)
        assert text.status == as_json.status == 0
        assert as_json.json
        with pytest.raises(json.JSONDecodeError):
            json.loads(text.out)

    def test_the_real_command_prints_one_json_object_on_stdout(self, tmp_path: Path):
        done = _run("ingest", "--json", home=tiny_home(tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["tables"]["deals"]["stored"] == 10

    def test_the_real_command_tells_bad_data_without_a_traceback(self, tmp_path: Path):
        home = tiny_home(tmp_path)
        (home.root / "data" / "inbox" / "deals.csv").write_text("")
        done = _run("ingest", home=home)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("icp: ")
        assert "deals.csv is empty" in done.stderr
        assert "Traceback" not in done.stderr

    def test_while_another_process_holds_the_warehouse_it_is_refused(
        self, own: Home, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("icploop.io.warehouse._PATIENCE_SECONDS", 0.3)
        with held(own.warehouse_file):
            answer = icp("ingest", "--json", home=own)
        assert answer.status == answer.json["exit_status"] == 4
        assert "locked by another process; wait until it has finished" in answer.json["error"]


class TestFaults:
    def broken(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr("icploop.pipelines.status.status", fail)

    def test_a_fault_of_the_program_ends_with_status_1_and_how_to_see_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        self.broken(monkeypatch, ZeroDivisionError("a mistake"))
        answer = icp("status", "--json", home=tiny_home(tmp_path))
        assert answer.status == answer.json["exit_status"] == 1
        assert "A fault of the program: ZeroDivisionError: a mistake" in answer.err
        assert "ICP_DEBUG=1" in answer.err

    def test_when_debugging_the_fault_itself_comes_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        self.broken(monkeypatch, ZeroDivisionError("a mistake"))
        from icploop.cli import main

        monkeypatch.setenv("ICP_DEBUG", "1")
        monkeypatch.setattr(sys, "argv", ["icp", "status", "--home", str(tiny_home(tmp_path).root)])
        with pytest.raises(ZeroDivisionError):
            main()

    def test_an_interruption_ends_with_status_1_and_says_that_it_can_be_repeated(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        self.broken(monkeypatch, KeyboardInterrupt())
        answer = icp("status", "--json", home=tiny_home(tmp_path))
        assert answer.status == answer.json["exit_status"] == 1
        assert answer.err == "icp: Interrupted; what was not finished can be run again\n"


def _run(*given: str, home: Home) -> subprocess.CompletedProcess[str]:
    """The installed command in a process of its own."""
    command = Path(sys.executable).with_name("icp")
    return subprocess.run(
        [str(command), *given, "--home", str(home.root)],
        check=False,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT", "ICP"))},
    )


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
