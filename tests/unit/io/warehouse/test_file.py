import os
import pwd
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icploop.errors import DataError, RefusedError
from icploop.io.warehouse import Warehouse
from tests.unit.io.warehouse.rows import account, batch
from tests.unit.io_fixtures import held


class TestWhenItCannotBeOpened:
    def test_before_the_first_ingest_the_message_says_what_to_run(self, warehouse: Warehouse):
        with pytest.raises(DataError, match="does not exist; run `icp ingest` first"):
            warehouse.tables()

    def test_a_lock_held_by_another_process_is_refused_with_the_remedy(self, tmp_path: Path):
        warehouse = Warehouse(tmp_path / "warehouse.duckdb", patience_seconds=0.3)
        warehouse.store([batch("accounts", [account()])])
        with held(warehouse.path):
            for act in (warehouse.tables, warehouse.account_names, lambda: warehouse.store([])):
                with pytest.raises(RefusedError, match="locked by another process; wait"):
                    act()
        assert warehouse.account_names()["account_id"].tolist() == ["a1"]

    @pytest.mark.parametrize(("start", "end"), [(100, None), (4096, 12_288), (300_000, 300_100)])
    def test_a_damaged_file_is_refused_as_damaged_and_not_as_locked(
        self, warehouse: Warehouse, start: int, end: int | None
    ):
        many = [account(i, name=f"Name {i}" * 9) for i in range(3000)]
        warehouse.store([batch("accounts", many)])
        content = bytearray(warehouse.path.read_bytes())
        content[start:end] = b"" if end is None else b"\1" * (end - start)
        warehouse.path.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read or written.*sound copy"):
            warehouse.tables()

    def test_a_full_disk_changes_nothing(self, warehouse: Warehouse):
        warehouse.store([batch("accounts", [account()])])
        many = [account(i, note=os.urandom(40).hex()) for i in range(20_000)]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (warehouse.path.stat().st_size + 4096, hard))
        try:
            with pytest.raises(DataError, match="make room on the disk"):
                warehouse.store([batch("accounts", many)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert warehouse.account_names()["account_id"].tolist() == ["a1"]

    def test_a_file_that_is_no_warehouse_is_refused(self, warehouse: Warehouse):
        warehouse.path.parent.mkdir()
        warehouse.path.write_text("not a database" * 1000)
        with pytest.raises(DataError, match="cannot be read or written"):
            warehouse.tables()

    def test_a_file_in_place_of_the_folder_is_refused(self, tmp_path: Path):
        (tmp_path / "data").write_text("")
        with pytest.raises(DataError, match="cannot be read or written"):
            Warehouse(tmp_path / "data" / "warehouse.duckdb").store([])

    @pytest.mark.parametrize("exists", [True, False])
    def test_a_folder_that_may_only_be_read_is_refused(self, exists: bool):
        with (
            _folder_to_read_only(with_warehouse=exists) as folder,
            pytest.raises(DataError, match=r"cannot be (read or )?written"),
        ):
            Warehouse(folder / "data" / "warehouse.duckdb").store([])


@contextmanager
def _folder_to_read_only(*, with_warehouse: bool) -> Iterator[Path]:
    """A folder in which this process may write nothing, whoever runs it."""
    # Not below pytest's folder, which nobody but its owner may enter.
    folder = Path(tempfile.mkdtemp())
    if with_warehouse:
        warehouse = Warehouse(folder / "data" / "warehouse.duckdb")
        warehouse.store([batch("accounts", [account()])])
        warehouse.path.chmod(0o444)
        warehouse.path.parent.chmod(0o555)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        for path in (folder, folder / "data"):
            if path.exists():
                path.chmod(0o755)
        shutil.rmtree(folder)
