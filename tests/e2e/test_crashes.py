"""What a machine does to a process at the wrong moment, done for real: it ends as if it had not."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import pytest

from icploop.io import registry
from icploop.io.warehouse import Warehouse
from tests.end_state import end_state, runs
from tests.unit import planted
from tests.unit.conftest import copied
from tests.unit.io_fixtures import inbox, new_home, require, write_csv
from tests.unit.registered import register_a_challenger
from tests.zygote import Zygote

pytestmark = pytest.mark.slow
MOTION = planted.MOTION
DAY = planted.LAST_DAY
KILLED = -signal.SIGKILL
DECISION = ("--by", "Ada", "--reason", "reviewed", "--as-of", "2025-02-03")


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    process = Zygote(tmp_path_factory.mktemp("children"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def ingested(tmp_path_factory, migrated):
    """The planted company before its first round."""
    home = new_home(tmp_path_factory.mktemp("ingested") / "home", planted.SETTINGS)
    write_csv(inbox(home), planted.company())
    home.mlruns.mkdir()
    shutil.copyfile(migrated, home.mlruns / "mlflow.db")
    Warehouse(home.warehouse_file)
    return home


APPROVE_2 = ("approve", "2", *DECISION)
ACTS = {
    "watch": ("watch", "--by", "Trainer", "--as-of", DAY),
    "retrain": ("retrain", "--force", "--by", "Trainer", "--as-of", "2025-02-03"),
    "approve": ("approve", "3", *DECISION),
    "reject": ("reject", "3", *DECISION),
    "settle": ("settle", "--as-of", "2025-02-03"),
    "publish": ("publish", "--as-of", "2025-02-05"),
    "rollback": ("rollback", *DECISION),
}
# Where to kill: after each write of an act, or, unless it is asked for, after a few of them.
EVERY_STEP = os.environ.get("ICP_EVERY_STEP") == "1"


@pytest.fixture(scope="module")
def ready(ingested, zygote):
    assert zygote.run("ingest", "--home", ingested.root).status == 0
    return ingested


@pytest.fixture(scope="module")
def two_in_force(challenged, zygote, tmp_path_factory):
    home = copied(challenged, tmp_path_factory.mktemp("two") / "home")
    assert zygote.run(*APPROVE_2, "--home", home.root).status == 0
    return home


@pytest.fixture(scope="module")
def homes(ready, two_in_force, zygote, tmp_path_factory):
    """By act: a home in which it has something to do; all but the first know three versions."""
    root = tmp_path_factory.mktemp("homes")
    waits = copied(two_in_force, root / "waits")
    register_a_challenger(waits, champion="2")
    told = copied(waits, root / "told")
    registry.tag_version(told, MOTION, "3", {"approve": "Ada: seen in the UI"})
    three = copied(waits, root / "three")
    assert zygote.run(*ACTS["approve"], "--home", three.root).status == 0
    return dict.fromkeys(ACTS, waits) | {"watch": ready, "settle": told, "rollback": three}


@pytest.mark.parametrize(
    ("act", "kills"),
    [
        ("watch", 2),
        ("retrain", 1),
        ("approve", 3),
        ("settle", 1),
        ("rollback", 3),
        ("reject", 1),
        ("publish", 1),
    ],
)
def test_killed_after_any_write_and_repeated_it_ends_as_if_it_had_not_been(
    act, kills, homes, zygote, tmp_path
):
    undisturbed = copied(homes[act], tmp_path / "undisturbed")
    calm = zygote.run(*ACTS[act], "--home", undisturbed.root, only_writes=True)
    assert calm.status == 0, calm.err
    expected = end_state(undisturbed)
    # Every one, or evenly over the act with its last; after that there is nothing left to undo.
    every = range(1, calm.steps + 1)
    chosen = every if EVERY_STEP else {1 + calm.steps * n // kills for n in range(kills)}
    for at in sorted({*chosen, calm.steps} if act == "rollback" else chosen):
        home = copied(homes[act], tmp_path / f"killed-{at}")
        killed = zygote.run(*ACTS[act], "--home", home.root, kill_at=at, only_writes=True)
        assert killed.status == KILLED, killed.err
        again = zygote.run(*ACTS[act], "--home", home.root)
        assert again.status == 0, (at, again.err)
        assert end_state(home) == expected, f"killed after write {at} of {calm.steps}"
        shutil.rmtree(home.root)


def test_ingest_and_score_killed_at_any_stage_leave_nothing_half(
    zygote, ready, two_in_force, tmp_path
):
    fresh = tmp_path / "fresh"
    shutil.copytree(ready.root, fresh, ignore=shutil.ignore_patterns("warehouse*"))
    steps = zygote.run("ingest", "--home", ready.root).steps
    for at in range(1, steps + 1, max(steps // 2, 1)):
        assert zygote.run("ingest", "--home", fresh, kill_at=at).status == KILLED
    assert zygote.run("ingest", "--home", fresh).status == 0
    for name in ("accounts", "deals", "revenue", "signals"):
        left, right = (
            getattr(Warehouse(root / "data" / "warehouse.duckdb").tables(), name)
            for root in (fresh, ready.root)
        )
        assert len(left) == len(right) > 0

    leads, out = tmp_path / "leads.csv", tmp_path / "scored.csv"
    planted.company()["accounts"].drop_duplicates("account_id").to_csv(leads, index=False)
    words = ("score", "--in", leads, "--out", out, "--as-of", DAY, "--home", two_in_force.root)
    steps = zygote.run(*words).steps
    whole = out.read_bytes()
    for at in range(1, steps + 1, max(steps // 2, 1)):
        out.unlink(missing_ok=True)
        assert zygote.run(*words, kill_at=at).status == KILLED
        assert not out.exists() or out.read_bytes() == whole
        assert zygote.run(*words).status == 0
        assert out.read_bytes() == whole


def test_of_two_watchers_at_once_one_runs_the_round(zygote, ready, tmp_path):
    home = copied(ready, tmp_path / "home")
    words = ("watch", "--as-of", DAY, "--home", home.root)
    both = [zygote.start(*words) for _ in range(2)]
    ended = sorted((zygote.wait(started) for started in both), key=lambda e: e.status)
    verdicts = [r for r in Warehouse(home.warehouse_file).ledger(MOTION) if r.event == "verdict"]
    assert len(verdicts) == 1
    assert ended[0].status == 0, ended[0].err
    # The other one was refused, or came so late that no round was due any more.
    assert ended[1].status == 4 or "No round is due" in ended[1].out
    if ended[1].status == 4:
        assert "Another act on `default` is running" in ended[1].err
        assert "Nothing was changed" in ended[1].err


@contextlib.contextmanager
def small_disk(root: Path, megabytes: int):
    """A real file system of a few megabytes, mounted at `root`."""
    require("the right to mount a tmpfs", shutil.which("mount") and os.geteuid() == 0)
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(root)]
    require("the right to mount a tmpfs", subprocess.run(mount, check=False).returncode == 0)
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def _size(root: Path) -> float:
    return sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) / 2**20


def test_a_disk_that_is_full_loses_nothing_and_the_act_can_be_repeated(
    zygote,
    challenged,
    tmp_path,
):
    undisturbed = copied(challenged, tmp_path / "undisturbed")
    assert zygote.run(*APPROVE_2, "--home", undisturbed.root).status == 0
    expected = end_state(undisturbed)
    with small_disk(tmp_path / "disk", round(_size(challenged.root)) + 40) as disk:
        home = copied(challenged, disk / "home")
        filler = disk / "filler"
        free = shutil.disk_usage(disk).free
        for left in (0, 20_000, 150_000):
            with filler.open("wb") as file, contextlib.suppress(OSError):
                file.write(b"x" * max(free - left, 0))
            ended = zygote.run(*APPROVE_2, "--home", home.root)
            assert ended.status in (3, 0), ended.err
            assert "Traceback" not in ended.err
            filler.unlink()
            if ended.status == 0:
                break
        ended = zygote.run(*APPROVE_2, "--home", home.root)
        assert ended.status == 0, ended.err
        assert end_state(home) == expected


def test_a_read_only_disk_is_told_and_changes_nothing(zygote, challenged, tmp_path):
    with small_disk(tmp_path / "disk", round(_size(challenged.root)) + 40) as disk:
        home = copied(challenged, disk / "home")
        before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for words in (APPROVE_2, ACTS["publish"], ("watch", "--as-of", DAY)):
            ended = zygote.run(*words, "--home", home.root)
            assert ended.status == 3, ended.err
            assert "Read-only file system" in ended.err
            assert "Traceback" not in ended.err
        assert before == {p: p.read_bytes() for p in home.root.rglob("*") if p.is_file()}


@pytest.fixture
def mlflow_server(tmp_path, migrated):
    """A function that starts an MLflow server over one store; its process group and address."""
    started = []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = tmp_path / "server.db"
    shutil.copyfile(migrated, store)

    def start() -> int:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
        command += ["--backend-store-uri", f"sqlite:///{store}", "--host", "127.0.0.1"]
        command += ["--artifacts-destination", str(tmp_path / "artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health"):
                return process.pid
            time.sleep(0.2)
        raise AssertionError("the MLflow server did not start")

    yield start, f"http://127.0.0.1:{port}"
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_mlflow_down_at_the_start_in_the_middle_and_at_the_alias(
    zygote, ready, tmp_path, mlflow_server, monkeypatch
):
    start, address = mlflow_server
    environment = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    home = copied(ready, tmp_path / "home")
    watch = (*ACTS["watch"], "--home", home.root)
    approve = ("approve", "challenger", *DECISION, "--home", home.root)

    ended = zygote.run(*watch, environment=environment)
    assert (ended.status, "MLflow does not answer" in ended.err) == (3, True)
    # In the middle of the round: about where its run is logged.
    ended = zygote.run(*watch, environment=environment, kill_at=16, victim=start())
    assert ended.status == 3, ended.err
    assert "MLflow stopped answering" in ended.err or "MLflow does not answer" in ended.err
    assert "Traceback" not in ended.err
    server = start()
    assert zygote.run(*watch, environment=environment).status == 0
    ledger = Warehouse(home.warehouse_file).ledger(MOTION)
    assert [row.event for row in ledger].count("verdict") == 1
    assert {row.event for row in ledger[:-2]} == {"failure"}

    # While it publishes, and about where the aliases are set.
    for at in (40, 90):
        ended = zygote.run(*approve, environment=environment, kill_at=at, victim=server)
        assert ended.status == 3, ended.err
        server = start()
    repeated = zygote.run(*approve, environment=environment)
    assert repeated.status == 0, repeated.err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert registry.aliases(home, MOTION) == {"champion": "1"}
    events = [row.event for row in Warehouse(home.warehouse_file).ledger(MOTION)]
    assert (events.count("approval"), events.count("promotion")) == (1, 1)


EVERY, DEALS = 50, 350


@pytest.fixture
def year(tmp_path, migrated):
    """A company that closes one deal a day, on 350 days of 2024, and is too young for a fit."""
    settings = planted.SETTINGS | {
        "trigger": {"closed_deals": EVERY},
        "policy": {"min_matured": 5000},
    }
    home = new_home(tmp_path / "year", settings)
    ids = [f"a{number}" for number in range(DEALS)]
    closed = pd.date_range("2024-01-10", periods=DEALS).strftime("%Y-%m-%d")
    deals = {"deal_id": ids, "account_id": ids, "created_at": "2024-01-01", "closed_at": closed}
    revenue = {"account_id": ids[:9], "month": "2024-02-01", "mrr": 10}
    frames = {
        "accounts": pd.DataFrame({"account_id": ids, "industry": "health"}),
        "deals": pd.DataFrame({**deals, "outcome": ["won", "lost"] * (DEALS // 2), "acv": 1}),
        "revenue": pd.DataFrame(revenue),
        "signals": planted.company()["signals"].head(0),
    }
    write_csv(inbox(home), frames)
    home.mlruns.mkdir()
    shutil.copyfile(migrated, home.mlruns / "mlflow.db")
    return home


def test_over_a_year_with_fifty_kills_there_are_as_many_rounds_as_crossings(zygote, year):
    """Watches are killed at random steps and run again, on days when a round is due and others.

    The rounds lack matured accounts, so each is recorded without a fit: what is tested is that it
    is recorded once.
    """
    assert zygote.run("ingest", "--home", year.root).status == 0
    chance = random.Random(7)
    kills = 0

    def rounds() -> int:
        ledger = Warehouse(year.warehouse_file).ledger(MOTION)
        return sum(row.event == "verdict" for row in ledger)

    for crossing in range(1, DEALS // EVERY + 1):
        for deals in (
            crossing * EVERY - chance.randint(5, 40),
            crossing * EVERY - 1,
            crossing * EVERY,
        ):
            day = date(2024, 1, 9) + timedelta(days=deals)
            words = ("watch", "--as-of", day, "--home", year.root)
            for _ in range(5 if deals % EVERY == 0 else 2):
                at = chance.randint(1, 20 if deals % EVERY == 0 else 6)
                kills += kills < 50 and zygote.run(*words, kill_at=at).status == KILLED
            ended = zygote.run(*words, "--json")
            assert ended.status == 0, ended.err
            # 49 closed deals start nothing, the 50th starts one round.
            assert rounds() == crossing - (deals < crossing * EVERY)
    assert kills == 50
    assert rounds() == DEALS // EVERY
    assert {name for name, _ in runs(year)} == {
        f"round {date(2024, 1, 9) + timedelta(days=EVERY * n)}"
        for n in range(1, DEALS // EVERY + 1)
    }
    assert len(runs(year)) == DEALS // EVERY
