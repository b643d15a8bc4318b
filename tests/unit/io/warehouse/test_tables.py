from dataclasses import replace

import duckdb
import pandas as pd
import pytest

from icploop.domain.tables import CONTRACTS, check_table
from icploop.io.warehouse import QUARANTINE_COLUMNS, Batch, TableChange, Warehouse
from icploop.settings import TABLES, TableName
from tests.unit.io.warehouse.rows import account, batch, ticket


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
        assert first.tables["accounts"] == TableChange(rows=2, stored=2, came=2, changed=0)
        again = warehouse.store([rows]).tables["accounts"]
        assert again == TableChange(rows=2, stored=2, came=0, changed=0)

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
        assert counts.tables["accounts"] == TableChange(rows=4, stored=3, came=3, changed=0)
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
        warehouse.store([stored])
        assert warehouse.store([stored]).tables["accounts"].changed == 0
        assert warehouse.tables().accounts["extra"].notna().sum() == 1


class TestSignals:
    def test_signals_that_repeat_are_all_kept_and_not_added_again(self, warehouse: Warehouse):
        rows = batch("signals", [ticket(), ticket(), ticket(2.0)])
        for _ in range(3):
            assert warehouse.store([rows]).tables["signals"].stored == 3

    def test_of_a_signal_as_many_are_stored_as_any_batch_had(self, warehouse: Warehouse):
        for repeats, stored in ((2, 2), (1, 2), (3, 3)):
            counts = warehouse.store([batch("signals", [ticket()] * repeats)])
            assert counts.tables["signals"].stored == stored

    def test_a_new_column_does_not_make_stored_signals_new(self, warehouse: Warehouse):
        warehouse.store([batch("signals", [ticket(), ticket(2.0)])])
        again = [ticket(agent="x"), ticket(2.0, agent="y"), ticket(3.0, agent="z")]
        assert warehouse.store([batch("signals", again)]).tables["signals"].stored == 3

    def test_signals_that_differ_in_any_column_are_different(self, warehouse: Warehouse):
        rows = [ticket(note="x"), ticket(note="y"), ticket(note=None)]
        assert warehouse.store([batch("signals", rows)]).tables["signals"].stored == 3


class TestAllOrNothing:
    def test_a_batch_that_fails_leaves_everything_as_it_was(self, warehouse: Warehouse):
        warehouse.store([batch("accounts", [account(1)])])
        broken = replace(
            batch("revenue", [{"account_id": "a1", "month": "2024-01-01", "mrr": 1}]),
            quarantine=pd.DataFrame({"row": ["no number"]}),
        )
        with pytest.raises(ValueError, match="no number"):
            warehouse.store([batch("accounts", [account(2)]), broken])
        assert warehouse.account_names()["account_id"].tolist() == ["a1"]
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


class TestAWarehouseOfAnEarlierRelease:
    def test_belongs_to_the_source_that_brings_the_table(self, warehouse: Warehouse):
        warehouse.path.parent.mkdir(parents=True)
        with duckdb.connect(str(warehouse.path)) as db:
            db.execute(
                "CREATE TABLE accounts (account_id VARCHAR, parent_id VARCHAR, name VARCHAR, "
                "domain VARCHAR, observed_at TIMESTAMP)"
            )
            db.execute("INSERT INTO accounts (account_id) VALUES ('a1'), ('a2')")
            db.execute("CREATE TABLE baselines (source VARCHAR PRIMARY KEY, day DATE)")
        assert len(warehouse.tables().accounts) == 2
        whole = replace(batch("accounts", [account(1)]), mode="full")
        (left,) = warehouse.store([whole]).left
        assert (left.gone, left.stored) == (1, 2)
        assert warehouse.tables().accounts["account_id"].tolist() == ["a1"]

    def test_keeps_what_it_knew_of_rows_that_left(self, warehouse: Warehouse):
        warehouse.store([replace(batch("accounts", [account()]), mode="full")])
        with duckdb.connect(str(warehouse.path)) as db:
            db.execute("DROP TABLE layout_2")
            db.execute("CREATE TABLE complete (yes BOOLEAN)")
            for day in ("since", "until"):
                db.execute(f"ALTER TABLE former_accounts RENAME COLUMN _{day} TO {day}")
            db.execute(
                "INSERT INTO former_accounts (account_id, until) VALUES ('a9', '2024-01-01')"
            )
        assert warehouse.tables().accounts["account_id"].tolist() == ["a1"]
        with duckdb.connect(str(warehouse.path)) as db:
            kept = db.execute("SELECT account_id, _until::VARCHAR FROM former_accounts").fetchall()
        assert kept == [("a9", "2024-01-01")]
