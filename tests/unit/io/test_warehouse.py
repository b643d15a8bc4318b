import os
import pwd
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from icploop.domain.ledger import LedgerRow
from icploop.domain.tables import CONTRACTS, check_table
from icploop.errors import DataError, RefusedError
from icploop.io.warehouse import LISTING, QUARANTINE_COLUMNS, Batch, Warehouse
from icploop.settings import TABLES, TableName
from tests.unit.io_fixtures import held

DAY = date(2024, 1, 31)


def batch(table: TableName, rows: list[dict[str, object]], source: str = "crm") -> Batch:
    """Good rows of a table, typed as ingest types them."""
    frame = check_table(table, pd.DataFrame(rows), max_money=1e9, place=source).rows
    return Batch(table, source, frame, pd.DataFrame(columns=QUARANTINE_COLUMNS))


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "data" / "warehouse.duckdb")


def account(number: int = 1, observed: str | None = None, **more: object) -> dict[str, object]:
    return {"account_id": f"a{number}", "observed_at": observed, **more}


def ticket(value: float = 1.0, **more: object) -> dict[str, object]:
    return {"account_id": "a1", "at": "2024-01-01", "kind": "ticket", "value": value, **more}


class TestStoring:
    def test_every_canonical_column_is_there_even_where_a_table_is_empty(
        self, warehouse: Warehouse
    ):
        warehouse.store([batch("accounts", [account()])])
        tables = warehouse.tables()
        for name in TABLES:
            assert set(CONTRACTS[name].columns) <= set(getattr(tables, name).columns)
        assert tables.deals.empty

    def test_the_same_batch_twice_gives_the_same_table(self, warehouse: Warehouse):
        rows = batch("accounts", [account(1), account(2, "2024-01-01")])
        first = warehouse.store([rows])
        assert warehouse.store([rows]) == first == {"accounts": {"rows": 2, "stored": 2}}

    def test_a_corrected_row_replaces_the_row_with_its_key(self, warehouse: Warehouse):
        month = {"account_id": "a1", "month": "2024-01-01"}
        warehouse.store([batch("revenue", [month | {"mrr": 10}])])
        warehouse.store([batch("revenue", [month | {"mrr": 12}])])
        assert warehouse.tables().revenue["mrr"].tolist() == [12.0]

    def test_accounts_of_revenue_are_categories_in_order(self, warehouse: Warehouse):
        months = [
            {"account_id": name, "month": f"2024-0{month}-01", "mrr": 1}
            for month in (1, 2)
            for name in ("b", "ä", "B", "a")
        ]
        warehouse.store([batch("revenue", months)])
        accounts = warehouse.tables().revenue["account_id"]
        assert accounts.cat.categories.tolist() == ["B", "a", "b", "ä"]
        assert accounts.astype("str").tolist() == ["b", "ä", "B", "a"] * 2

    def test_an_account_keeps_its_history_by_the_day_on_which_it_was_observed(
        self, warehouse: Warehouse
    ):
        warehouse.store([batch("accounts", [account(1, None, size="1"), account(1, "2024-01-01")])])
        warehouse.store([batch("accounts", [account(1, "2024-02-01", size="3")])])
        warehouse.store([batch("accounts", [account(1, "2024-01-01", size="2")])])
        stored = warehouse.tables().accounts.sort_values("observed_at", na_position="first")
        assert stored["size"].tolist() == ["1", "2", "3"]

    def test_an_undated_row_replaces_the_undated_row(self, warehouse: Warehouse):
        for size in ("1", "2"):
            warehouse.store([batch("accounts", [account(size=size)])])
        assert warehouse.tables().accounts["size"].tolist() == ["2"]

    def test_several_sources_add_up_and_the_later_one_has_the_last_word(self, warehouse: Warehouse):
        counts = warehouse.store(
            [
                batch("accounts", [account(1, name="Old"), account(2)], "a"),
                batch("accounts", [account(1, name="New"), account(3)], "b"),
            ]
        )
        stored = warehouse.tables().accounts.set_index("account_id")
        assert counts == {"accounts": {"rows": 4, "stored": 3}}
        assert stored.loc["a1", "name"] == "New"

    def test_ids_with_zeros_and_names_with_umlauts_come_back_as_they_went(
        self, warehouse: Warehouse
    ):
        warehouse.store([batch("accounts", [{"account_id": "007", "name": "Größe 🚀 O'Brien"}])])
        stored = warehouse.tables().accounts.iloc[0]
        assert (stored["account_id"], stored["name"]) == ("007", "Größe 🚀 O'Brien")


class TestColumns:
    def test_a_new_column_is_added_and_older_rows_miss_it(self, warehouse: Warehouse):
        warehouse.store([batch("accounts", [account(1)])])
        warehouse.store([batch("accounts", [account(2, city="Köln")])])
        stored = warehouse.tables().accounts.set_index("account_id")["city"]
        assert pd.isna(stored["a1"])
        assert stored["a2"] == "Köln"

    def test_a_column_that_changes_its_type_is_widened_to_text(self, warehouse: Warehouse):
        warehouse.store([batch("accounts", [account(1, size=5)])])
        warehouse.store([batch("accounts", [account(2, size="many")])])
        warehouse.store([batch("accounts", [account(3, size=7)])])
        assert sorted(warehouse.tables().accounts["size"]) == ["5", "7", "many"]

    def test_a_column_that_is_gone_stays_for_the_rows_that_had_it(self, warehouse: Warehouse):
        warehouse.store([batch("accounts", [account(1, city="Köln")])])
        warehouse.store([batch("accounts", [account(2)])])
        assert warehouse.tables().accounts["city"].notna().sum() == 1

    @pytest.mark.parametrize("table", ["accounts", "signals"])
    @pytest.mark.parametrize(
        "column", ['a "quoted" name', "Annual revenue (USD)", "select", "repeat", "Größe", "x;--"]
    )
    def test_any_name_of_an_unknown_column_is_kept(
        self, warehouse: Warehouse, table: TableName, column: str
    ):
        row = account(**{column: "x"}) if table == "accounts" else ticket(**{column: "x"})
        for _ in range(2):
            warehouse.store([batch(table, [row])])
        assert getattr(warehouse.tables(), table)[column].tolist() == ["x"]

    def test_a_column_that_changes_its_case_goes_on_under_its_newest_name(
        self, warehouse: Warehouse
    ):
        warehouse.store([batch("accounts", [account(1, City="Köln")])])
        warehouse.store([batch("accounts", [account(2, city="Bonn")])])
        stored = warehouse.tables().accounts
        assert "City" not in stored
        assert sorted(stored["city"]) == ["Bonn", "Köln"]

    def test_a_column_that_differs_from_a_canonical_one_in_case_is_kept_beside_it(
        self, warehouse: Warehouse
    ):
        for _ in range(2):
            warehouse.store([batch("accounts", [account(1, Name="a remark")])])
        stored = warehouse.tables().accounts
        assert stored["name"].isna().all()
        assert "a remark" in stored.iloc[0].tolist()

    @pytest.mark.parametrize("value", [["a", "b"], {"x": 1}, 2**60, True, pd.Timestamp(2024, 1, 1)])
    def test_any_value_of_an_unknown_column_can_be_kept(self, warehouse: Warehouse, value: object):
        rows = pd.DataFrame({"account_id": ["a1", "a2"], "extra": [value, None]})
        checked = check_table("accounts", rows, max_money=1e9, place="crm").rows
        stored = Batch("accounts", "crm", checked, pd.DataFrame(columns=QUARANTINE_COLUMNS))
        first = warehouse.store([stored])
        assert warehouse.store([stored]) == first
        assert warehouse.tables().accounts["extra"].notna().sum() == 1


class TestSignals:
    def test_signals_that_repeat_are_all_kept_and_not_added_again(self, warehouse: Warehouse):
        rows = batch("signals", [ticket(), ticket(), ticket(2.0)])
        for _ in range(3):
            assert warehouse.store([rows])["signals"]["stored"] == 3

    def test_of_a_signal_as_many_are_stored_as_any_batch_had(self, warehouse: Warehouse):
        for repeats, stored in ((2, 2), (1, 2), (3, 3)):
            counts = warehouse.store([batch("signals", [ticket()] * repeats)])
            assert counts["signals"]["stored"] == stored

    def test_a_new_column_does_not_make_stored_signals_new(self, warehouse: Warehouse):
        warehouse.store([batch("signals", [ticket(), ticket(2.0)])])
        again = [ticket(agent="x"), ticket(2.0, agent="y"), ticket(3.0, agent="z")]
        assert warehouse.store([batch("signals", again)])["signals"]["stored"] == 3

    def test_signals_that_differ_in_any_column_are_different(self, warehouse: Warehouse):
        rows = [ticket(note="x"), ticket(note="y"), ticket(note=None)]
        assert warehouse.store([batch("signals", rows)])["signals"]["stored"] == 3


class TestAllOrNothing:
    def test_a_batch_that_fails_leaves_everything_as_it_was(self, warehouse: Warehouse):
        warehouse.store([batch("accounts", [account(1)])])
        broken = replace(
            batch("revenue", [{"account_id": "a1", "month": "2024-01-01", "mrr": 1}]),
            quarantine=pd.DataFrame({"row": ["no number"]}),
        )
        with pytest.raises(ValueError, match="no number"):
            warehouse.store([batch("accounts", [account(2)]), broken])
        assert warehouse.account_ids().tolist() == ["a1"]
        assert warehouse.tables().revenue.empty

    def test_the_quarantine_of_a_source_is_replaced_and_that_of_others_stays(
        self, warehouse: Warehouse
    ):
        def refused(source: str, row: int) -> Batch:
            line = ["accounts", source, row, "name", "a rule", "v", False, "{}"]
            lines = pd.DataFrame([line], columns=QUARANTINE_COLUMNS)
            return Batch("accounts", source, batch("accounts", [account()]).rows, lines)

        warehouse.store([refused("a", 1), refused("b", 2)])
        warehouse.store([refused("a", 3)])
        found = warehouse.quarantine()
        assert found[["source", "row"]].to_numpy().tolist() == [["a", 3], ["b", 2]]


class TestLedger:
    def rows(self) -> list[LedgerRow]:
        return [
            LedgerRow("trigger", "default", DAY, reason="75 deals closed"),
            LedgerRow("verdict", "default", DAY, "1", details={"verdict": "KEEP", "n": 75}),
            LedgerRow("approval", "upsell", DAY, "4", "Ada", "“fine” — ok"),
        ]

    def test_rows_come_back_by_motion_in_the_order_in_which_they_were_written(
        self, warehouse: Warehouse
    ):
        first, second, other = self.rows()
        warehouse.append(first, other)
        warehouse.append(second)
        assert warehouse.ledger("default") == [first, second]
        assert warehouse.ledger("upsell") == [other]

    def test_whoever_asks_the_file_reads_details_as_they_were_written(self, warehouse: Warehouse):
        row = LedgerRow("verdict", "default", DAY, details={"why": "Ünïts · 医療"})
        warehouse.append(row)
        assert warehouse.ledger("default") == [row]
        with duckdb.connect(str(warehouse.path)) as db:
            (stored,) = db.execute("SELECT details FROM ledger").fetchone() or ("",)
        assert stored == '{"why": "Ünïts · 医療"}'

    def test_many_rows_of_one_day_keep_their_order(self, warehouse: Warehouse):
        rows = [LedgerRow("trigger", "default", DAY, reason=str(i)) for i in range(30)]
        for row in rows:
            warehouse.append(row)
        assert warehouse.ledger("default") == rows

    def test_the_same_row_twice_is_two_rows(self, warehouse: Warehouse):
        warehouse.append(*self.rows()[:1] * 2)
        assert len(warehouse.ledger("default")) == 2

    def test_ingest_leaves_the_ledger_alone(self, warehouse: Warehouse):
        warehouse.append(*self.rows())
        warehouse.store([batch("accounts", [account()])])
        assert warehouse.ledger("default") == self.rows()[:2]

    def test_there_is_no_ledger_before_there_is_a_warehouse(self, warehouse: Warehouse):
        assert warehouse.ledger("default") == []
        assert not warehouse.path.exists()


class TestListings:
    def listing(self, listed: bool) -> pd.DataFrame:
        return pd.DataFrame({"account_id": ["01", "b"], "propensity": [1.0, 0.2], "listed": listed})

    def test_they_come_back_by_lineage(self, warehouse: Warehouse):
        day = date(2024, 5, 1)
        warehouse.log_list("x", "3", day, self.listing(True))
        warehouse.log_list("y", "1", day, self.listing(False))
        found = warehouse.listings("x")
        assert found.columns.tolist() == ["as_of", *LISTING]
        assert found["account_id"].tolist() == ["01", "b"]
        assert found["propensity"].tolist() == [1.0, 0.2]
        assert found["as_of"].eq(pd.Timestamp(day)).all()
        assert found["listed"].all()

    def test_the_last_list_of_a_day_counts(self, warehouse: Warehouse):
        day = date(2024, 5, 1)
        warehouse.log_list("x", "3", day, self.listing(True))
        warehouse.log_list("x", "4", day, self.listing(False))
        assert not warehouse.listings("x")["listed"].any()
        assert len(warehouse.listings("x")) == 2

    def test_there_are_none_before_the_first(self, tmp_path: Path):
        assert Warehouse(tmp_path / "none.duckdb").listings("x").empty


class TestWhenItCannotBeOpened:
    def test_before_the_first_ingest_the_message_says_what_to_run(self, warehouse: Warehouse):
        with pytest.raises(DataError, match="does not exist; run `icp ingest` first"):
            warehouse.tables()

    def test_a_lock_held_by_another_process_is_refused_with_the_remedy(
        self, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("icploop.io.warehouse._PATIENCE_SECONDS", 0.3)
        warehouse.store([batch("accounts", [account()])])
        with held(warehouse.path):
            for act in (warehouse.tables, warehouse.account_ids, lambda: warehouse.store([])):
                with pytest.raises(RefusedError, match="locked by another process; wait"):
                    act()
        assert warehouse.account_ids().tolist() == ["a1"]

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
        assert warehouse.account_ids().tolist() == ["a1"]

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
            pytest.raises(DataError, match="cannot be read or written"),
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
