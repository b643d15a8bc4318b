import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from icploop.cli import main
from tests.unit.cli.commands import COMMANDS, installed, taking
from tests.unit.io_fixtures import icp, tiny_home


class TestHelp:
    def test_it_lists_the_commands_by_family(self):
        answer = icp("--help")
        assert answer.status == 0
        _, _, listed = answer.out.partition("Commands:\n")
        assert [line.split()[0] for line in listed.splitlines()] == COMMANDS
        assert COMMANDS[0] == "init"

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_carries_an_example_that_it_would_accept(self, command: str):
        answer = icp(command, "--help")
        assert answer.status == 0
        (example,) = [line for line in answer.out.splitlines() if "Example:" in line]
        assert example.strip().startswith(f"Example: icp {command}")
        for option in (word for word in example.split() if word.startswith("--")):
            assert option in answer.out.replace(example, "")

    def test_every_command_that_answers_takes_json(self):
        assert set(COMMANDS) - set(taking("--json")) == {"up"}

    def test_every_command_that_computes_takes_a_day(self):
        timeless = {"init", "demo", "quarantine", "write-back", "lint", "up"}
        assert set(COMMANDS) - set(taking("--as-of")) == timeless

    def test_it_needs_none_of_the_heavy_packages(self):
        code = (
            "import sys; sys.argv = ['icp', '--help']\n"
            "from icploop.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "heavy = ('pandas', 'mlflow', 'duckdb', 'prefect', 'pydantic', 'yaml')\n"
            "print([m for m in heavy if m in sys.modules])"
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


class TestInstalled:
    def test_it_prints_one_json_object_on_stdout(self, tmp_path: Path):
        done = installed("ingest", "--json", "--home", tiny_home(tmp_path).root)
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout)["tables"]["deals"]["stored"] == 10

    def test_it_tells_bad_data_without_a_traceback(self, tmp_path: Path):
        home = tiny_home(tmp_path)
        (home.root / "data" / "inbox" / "deals.csv").write_text("")
        done = installed("ingest", "--home", home.root)
        assert (done.returncode, done.stdout) == (3, b"")
        assert done.stderr.startswith(b"icp: ")
        assert b"deals.csv is empty" in done.stderr
        assert b"Traceback" not in done.stderr

    @pytest.mark.parametrize(
        ("encoding", "seen"),
        [
            ("utf-8", "Ünïts 医療 😀".encode()),
            ("latin-1", rb"\u00dcn\u00efts \u533b\u7642 \ud83d\ude00"),
        ],
    )
    def test_json_is_utf_8_where_stdout_is_and_ascii_elsewhere(
        self, tmp_path: Path, encoding: str, seen: bytes
    ):
        home = tmp_path / "Ünïts 医療 😀"
        done = installed("init", home, "--json", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
        assert seen in done.stdout
        assert json.loads(done.stdout)["home"] == str(home)

    def test_text_that_stdout_cannot_hold_is_still_told(self, tmp_path: Path):
        done = installed("init", tmp_path / "医療", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
        assert rb"\u533b\u7642" in done.stdout


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


class TestMemory:
    @pytest.mark.parametrize(
        "fault",
        [
            MemoryError(),
            RuntimeError("can't start new thread"),
            type("OutOfMemoryException", (Exception,), {})("failed to allocate 4 GB"),
            type("XGBoostError", (Exception,), {})("std::bad_alloc"),
            OSError(12, "Cannot allocate memory"),
        ],
    )
    def test_where_it_is_not_enough_that_is_told_with_status_3(
        self, fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def fail(*_: Any, **__: Any) -> None:
            raise ValueError("of that came this") from fault

        monkeypatch.setattr("icploop.pipelines.status.status", fail)
        answer = icp("status", "--json", home=tiny_home(tmp_path))
        assert answer.status == answer.json["exit_status"] == 3
        assert "memory that this process may take is not enough" in answer.err

    def test_less_address_space_than_a_library_needs_to_load_is_told_at_once(self):
        """With 600 MB OpenBLAS would look for more for ever."""
        words = [str(Path(sys.executable).with_name("icp")), "status"]
        ended = subprocess.run(
            ["sh", "-c", 'ulimit -v 600000; exec "$@"', "sh", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 3
        assert "gives it 585 MB, and 1,024 are the least" in ended.stderr
