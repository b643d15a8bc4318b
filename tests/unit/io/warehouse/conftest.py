from pathlib import Path

import pytest

from icploop.io.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """A warehouse that nothing was written to yet."""
    return Warehouse(tmp_path / "data" / "warehouse.duckdb")
