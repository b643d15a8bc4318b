"""Who reads the warehouse waits for one who writes, and for nobody who reads."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from icploop.domain.ledger import LedgerRow
from icploop.errors import RefusedError, UnavailableError
from icploop.io.warehouse import Warehouse
from icploop.io.warehouse.file import connection
from tests.unit.io_fixtures import held
from tests.unit.planted import LAST_DAY

ROW = LedgerRow("failure", "default", LAST_DAY, reason="r")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Warehouse(tmp_path / "w.duckdb").append(ROW)
    return tmp_path / "w.duckdb"


def at_once(*acts: Callable[[], object]) -> list[object]:
    """What acts answer that start together, each in a thread; errors are answers too."""
    answers: list[object] = []

    def run(act: Callable[[], object]) -> None:
        try:
            answers.append(act())
        except (RefusedError, UnavailableError, duckdb.Error) as error:
            answers.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_readers_do_not_wait_for_one_another(path: Path):
    with connection(path, 0.0, writes=False), connection(path, 0.0, writes=False) as second:
        assert second.execute("SELECT count(*) FROM ledger").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error, match="read-only"):
            second.execute("DELETE FROM ledger")


def test_who_writes_is_alone(path: Path):
    for first, second in ((True, False), (False, True), (True, True)):
        with (
            connection(path, writes=first),
            pytest.raises(RefusedError, match="locked by another process"),
            connection(path, 0.05, writes=second),
        ):
            pass


def test_forty_readers_and_writers_at_once_all_get_their_turn(path: Path):
    warehouse = Warehouse(path)
    reads = [lambda: len(warehouse.sealed_ledger())] * 40
    writes = [lambda: warehouse.append(ROW)] * 5
    answers = at_once(*reads[:20], *writes, *reads[20:])
    assert [a for a in answers if isinstance(a, Exception)] == []
    assert len(warehouse.sealed_ledger()) == 6


def test_one_who_writes_waits_only_for_those_who_were_there_before(path: Path):
    order: list[str] = []
    reads, entered = threading.Event(), threading.Event()

    def read_first() -> None:
        with connection(path, writes=False):
            entered.set()
            reads.wait(10)

    def write() -> None:
        with connection(path):
            order.append("write")

    def read_later() -> None:
        time.sleep(0.2)
        with connection(path, writes=False):
            order.append("read")

    def let_go() -> None:
        entered.wait(10)
        time.sleep(0.5)
        reads.set()

    first = threading.Thread(target=read_first)
    first.start()
    entered.wait(10)
    at_once(write, read_later, let_go)
    first.join()
    assert order == ["write", "read"]


def test_another_tool_that_writes_is_named_after_a_while(path: Path):
    with held(path), pytest.raises(RefusedError, match="locked by another process; wait until it"):
        Warehouse(path, patience_seconds=0.1).sealed_ledger()


def test_what_a_dead_process_had_written_is_read(path: Path):
    """Its file still waits in the log beside the warehouse: nobody could put it in its place."""
    with duckdb.connect(str(path)) as db:
        db.execute("SET wal_autocheckpoint = '1TB'; PRAGMA disable_checkpoint_on_shutdown")
        db.execute("INSERT INTO notices VALUES ('default', '1')")
    assert path.with_name("w.duckdb.wal").stat().st_size
    assert Warehouse(path).told("default") == {"1"}


def test_what_an_earlier_release_left_gets_the_tables_that_it_lacks(path: Path):
    with duckdb.connect(str(path)) as db:
        db.execute("DROP TABLE layout_2; DROP TABLE notices")
    assert Warehouse(path).told("default") == frozenset()


def test_on_a_disk_that_takes_no_files_reading_needs_no_turn(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened = Path.open

    def refusing(file: Path, *how: str, **more: str) -> object:
        if file.suffix in (".turn", ".use"):
            raise OSError(30, "Read-only file system")
        return opened(file, *how, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", refusing)
    assert len(Warehouse(path).sealed_ledger()) == 1
