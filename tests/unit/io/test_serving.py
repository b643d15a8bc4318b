import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from icploop.errors import DataError
from icploop.io import registry
from icploop.io.serving import ServedVersion, _load_pyfunc, read_parts
from icploop.modeling.scoring.version import SCORE_COLUMNS, IcpVersion, content_hash
from tests.unit import planted
from tests.unit.conftest import Trained, copied
from tests.unit.registered import pieces

DAY = date(2025, 1, 31)


@pytest.fixture
def version(trained: Trained) -> IcpVersion:
    return registry.load(trained.home, planted.MOTION, "1")


@pytest.fixture
def folder(version: IcpVersion, tmp_path: Path) -> Path:
    """The pieces of the trained version, as they lie in a registered model."""
    for name, content in version.parts().items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def accounts() -> pd.DataFrame:
    return planted.company()["accounts"].drop_duplicates("account_id").tail(20)


def test_a_version_read_back_scores_as_the_one_that_was_written(version: IcpVersion, folder: Path):
    read = IcpVersion.from_parts(read_parts(folder))
    pd.testing.assert_frame_equal(
        read.score(accounts(), DAY, "1"), version.score(accounts(), DAY, "1")
    )
    assert content_hash(read.parts()) == content_hash(version.parts())


def test_no_piece_is_a_pickle(folder: Path):
    for name, content in read_parts(folder).items():
        assert Path(name).suffix in {".json", ".npy", ".ubj"}
        assert not content.startswith(b"\x80\x04")


def test_it_predicts_the_columns_of_the_contract_for_the_stated_day(
    version: IcpVersion, folder: Path
):
    served = _load_pyfunc(str(folder))
    scores = served.predict(accounts(), {"as_of": "2025-01-31"})
    assert scores.columns.tolist() == SCORE_COLUMNS
    assert set(scores["scored_at"]) == {"2025-01-31"}
    assert set(scores["icp_version"]) == {content_hash(version.parts())[:12]}


@pytest.mark.parametrize("params", [None, {}, {"as_of": ""}])
def test_without_a_day_it_is_today(version: IcpVersion, params: dict[str, str] | None):
    before = datetime.now(UTC).date()
    (day,) = set(ServedVersion(version, "x").predict(accounts(), params)["scored_at"])
    assert before <= date.fromisoformat(day) <= datetime.now(UTC).date()


def test_dates_are_aged_at_the_end_of_the_stated_day(version: IcpVersion):
    served = ServedVersion(version, "x")
    one = accounts().head(1)
    early, late = (served.predict(one, {"as_of": day}) for day in ("2023-01-31", "2033-01-31"))
    assert early["expected_nrr"].tolist() != late["expected_nrr"].tolist()


def test_a_folder_that_is_gone_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="does not hold an ICP version"):
        read_parts(tmp_path / "gone")


@pytest.mark.parametrize("change", ["missing", "cut", "foreign"])
def test_pieces_that_are_broken_are_refused(folder: Path, change: str):
    path = folder / "version.json"
    if change == "missing":
        path.unlink()
    else:
        path.write_bytes(b"{}" if change == "foreign" else path.read_bytes()[:-20])
    with pytest.raises(DataError, match="no ICP version, or it was altered"):
        _load_pyfunc(str(folder))


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    """The folder of the trained version's model, as MLflow keeps it."""
    home = copied(trained.home, tmp_path / "home")
    return pieces(home).parents[1]


def _put_in_a_module(model: Path) -> None:
    (model / "code" / "icploop" / "domain" / "more.py").write_text("")


def _alter_a_piece(model: Path) -> None:
    path = model / "data" / "parts" / "version.json"
    path.write_text(path.read_text().replace('"A": 0.', '"A": 0.0'))


def _alter_code(model: Path) -> None:
    with (model / "code" / "icploop" / "domain" / "tiers.py").open("a") as file:
        file.write("\nraise SystemExit('it ran')\n")


@pytest.mark.parametrize("alter", [_put_in_a_module, _alter_code, _alter_a_piece])
def test_what_was_altered_after_it_was_registered_is_not_served(
    model: Path, alter: Callable[[Path], None]
):
    parts = str(model / "data" / "parts")
    assert _load_pyfunc(parts).label
    alter(model)
    with pytest.raises(RuntimeError, match="was altered after it was registered"):
        _load_pyfunc(parts)


def test_altered_code_of_the_model_does_not_run_before_it_is_refused(model: Path):
    _alter_code(model)
    load = f"import mlflow; mlflow.pyfunc.load_model({str(model)!r})"
    alone = {**os.environ, "PYTHONPATH": str(model / "code")}
    ended = subprocess.run(
        [sys.executable, "-c", load], env=alone, capture_output=True, text=True, check=False
    )
    assert "was altered after it was registered" in ended.stderr
    assert "it ran" not in ended.stderr


def test_whoever_serves_can_demand_a_content(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ICP_CONTENT_HASH", "f" * 64)
    with pytest.raises(RuntimeError, match="not ffffffffffff"):
        _load_pyfunc(str(model / "data" / "parts"))
