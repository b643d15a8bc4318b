from datetime import date
from pathlib import Path

import pandas as pd

from icploop.io.warehouse import LISTING, Warehouse


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
