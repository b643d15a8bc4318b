"""An act reads each thing once, and sees one state, even if an ingest ends in between."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from icploop.errors import DataError, RefusedError, UsageError
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.ingest import ingest
from icploop.pipelines.target_list import target_list
from tests.unit import planted
from tests.unit.conftest import Trained, copied
from tests.unit.io_fixtures import icp, inbox, tiny_home, write_csv
from tests.unit.planted import at

DAY = planted.LAST_DAY
# What reads the warehouse, one thing or all of them.
READS = ("state", "tables", "ledger", "sealed_ledger", "counted_deals", "listings", "quarantine")
OF_DATA = set(READS) - {"ledger", "sealed_ledger"}
COMMANDS = {
    "list": ("list", "--out", "targets.csv"),
    "check": ("check",),
    "diff": ("diff", "1", "2"),
    "explain": ("explain", "p1"),
    "show": ("show", "champion"),
    "status": ("status",),
    "health": ("health",),
}


def answer(words: tuple[str, ...], home: Home) -> dict[str, Any]:
    """What a command says, and the list that it writes."""
    target = home.root / "targets.csv"
    stated = [target if word == "targets.csv" else word for word in words]
    said = icp(*stated, "--as-of", DAY, "--json", home=home)
    assert said.status == 0, said.err
    listed = {"list": pd.read_csv(target).to_csv()} if target.exists() else {}
    return {k: v for k, v in said.json.items() if "out" not in k} | listed


@pytest.fixture(scope="module")
def listed(challenged: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with two versions and a list; nobody disturbs it."""
    home = copied(challenged, tmp_path_factory.mktemp("listed") / "home")
    target_list(at(home), home.root / "earlier.csv")
    return home


@pytest.fixture
def disturbed(listed: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same home, with another company's files to be ingested."""
    home = copied(listed, tmp_path / "disturbed")
    other = planted.company(seed=1, won=20, lost=10, prospects=10)
    other["deals"]["outcome"] = other["deals"]["outcome"].replace("won", "lost")
    write_csv(inbox(home), other)
    return home


def spied(monkeypatch: pytest.MonkeyPatch, home: Home) -> Counter[str]:
    """How often each thing was read by an act; an ingest ends when it has read of the data."""
    reads: Counter[str] = Counter()
    settings, day = Home.settings, DAY

    def parsed(of: Home) -> Any:
        reads["settings"] += 1
        return settings(of)

    def counted(name: str) -> Any:
        read = getattr(Warehouse, name)

        def reading(*words: Any, **named: Any) -> Any:
            found = read(*words, **named)
            is_first = name in OF_DATA and not reads.keys() & OF_DATA
            reads[name] += 1
            if is_first:
                with pytest.MonkeyPatch.context() as unseen:
                    for spy, original in originals.items():
                        unseen.setattr(Warehouse, spy, original)
                    unseen.setattr(Home, "settings", settings)
                    ingest(home, None, day, shrink_is_meant=True)
            return found

        return reading

    originals = {name: getattr(Warehouse, name) for name in READS}
    spies = {name: counted(name) for name in READS}
    for name, spy in spies.items():
        monkeypatch.setattr(Warehouse, name, spy)
    monkeypatch.setattr(Home, "settings", parsed)
    return reads


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reads_once_and_sees_one_state(
    command: str, listed: Home, disturbed: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = answer(COMMANDS[command], listed)
    reads = spied(monkeypatch, disturbed)
    assert answer(COMMANDS[command], disturbed) == undisturbed
    assert reads == {"settings": 1, "state": 1}


def test_the_ingest_in_between_would_have_been_seen(
    listed: Home, disturbed: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above would hold for commands that read twice."""
    spied(monkeypatch, disturbed)
    answer(COMMANDS["status"], disturbed)
    assert answer(COMMANDS["status"], disturbed) != answer(COMMANDS["status"], listed)


def test_a_round_reads_once_and_judges_one_state(
    trained: Trained, disturbed: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = spied(monkeypatch, disturbed)
    told = icp("retrain", "--force", "--as-of", DAY, "--json", home=disturbed)
    assert told.json["snapshot_hash"] == trained.watched.json["round"]["snapshot_hash"]
    # Of the ledger it asks before whether a decision was left half done, and shows it afterwards.
    assert {name: reads[name] for name in ("settings", *OF_DATA)} == (
        dict.fromkeys(("settings", *OF_DATA), 0) | {"settings": 1, "state": 1}
    )


def test_who_only_reads_starts_neither_mlflow_nor_prefect(listed: Home) -> None:
    heavy = ("mlflow", "prefect", "sqlalchemy", "matplotlib", "httpx")
    code = (
        "import sys\nfrom icploop.cli import main\n"
        "try: main()\nexcept SystemExit as ended: assert not ended.code\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    words = ["check", "--home", str(listed.root), "--as-of", str(DAY)]
    said = subprocess.check_output([sys.executable, "-c", code, *words], text=True)
    assert said.splitlines()[-1] == "[]"


class TestAMotionOnADay:
    def test_the_first_motion_is_the_default(self, trained: Trained) -> None:
        assert AsOf.of(trained.home, None, DAY).motion == "default"

    def test_a_motion_that_is_not_in_the_settings_is_wrong_usage(self, trained: Trained) -> None:
        with pytest.raises(UsageError, match="'plg' is not in conf/icp"):
            AsOf.of(trained.home, "plg", DAY)

    def test_before_the_first_ingest_only_what_needs_tables_is_refused(
        self, tmp_path: Path
    ) -> None:
        found = AsOf.of(tiny_home(tmp_path), None, DAY)
        assert (found.ledger, found.standing.in_force, len(found.state.quarantine)) == ([], None, 0)
        with pytest.raises(DataError, match="run `icp ingest` first"):
            found.sight  # noqa: B018
        with pytest.raises(RefusedError, match="train one with `icp retrain`"):
            found.describe("champion")

    def test_lists_are_only_there_for_who_takes_them_along(self, listed: Home) -> None:
        known = at(listed)
        with pytest.raises(ValueError, match="with_lists=True"):
            known.listings  # noqa: B018
        assert DAY in {moment.date() for moment in known.anew(with_lists=True).listings["as_of"]}

    def test_a_version_is_loaded_once_by_whatever_name(self, trained: Trained) -> None:
        known = at(trained.home)
        assert known.version("champion")[0] is known.version("1")[0]

    def test_anew_it_sees_what_was_written_since(self, waiting: Home) -> None:
        known = at(waiting)
        assert known.standing.pending is not None
        icp("reject", "2", "--by", "Ada", "--reason", "r", "--as-of", DAY, home=waiting)
        assert known.standing.pending is not None
        assert known.standing_now().pending is None
        assert known.anew().standing.pending is None

    def test_given_tables_go_before_the_warehouse(self, trained: Trained, tmp_path: Path) -> None:
        known = at(trained.home, date(2023, 6, 30))
        elsewhere = AsOf(Home(tmp_path), known.settings, known.motion, known.day, known.tables)
        pd.testing.assert_frame_equal(elsewhere.sight.sold, known.sight.sold)
