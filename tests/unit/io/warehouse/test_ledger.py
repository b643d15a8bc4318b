from datetime import date

import duckdb

from icploop.domain.ledger import LedgerRow
from icploop.io.warehouse import Warehouse
from tests.unit.io.warehouse.rows import account, batch

DAY = date(2024, 1, 31)


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

    def test_deals_that_a_verdict_counted_never_count_again_for_its_lineage(
        self, warehouse: Warehouse
    ):
        assert warehouse.counted_deals("default") == frozenset()
        verdict, other = self.rows()[1:]
        warehouse.append(verdict, counted=["d2", "d1"])
        warehouse.append(verdict, counted=["d2", "d3"])
        warehouse.append(other, counted=["d9"])
        assert warehouse.counted_deals("default") == {"d1", "d2", "d3"}
        assert warehouse.counted_deals("upsell") == {"d9"}


class TestNotices:
    def test_who_was_told_what_is_kept_by_lineage(self, warehouse: Warehouse):
        assert warehouse.told("default") == frozenset()
        for lineage, key in (("default", "a"), ("default", "a"), ("default", "b"), ("upsell", "c")):
            warehouse.note_told(lineage, key)
        assert warehouse.told("default") == {"a", "b"}
        assert warehouse.told("upsell") == {"c"}
