"""The same bytes however an input is cut, on whatever threads, and on a Dask cluster."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from icploop.errors import DataError, UsageError
from icploop.io import frames, registry
from icploop.io.home import Home
from icploop.pipelines.score import score_file
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp, require
from tests.unit.planted import at

MOTION, DAY = planted.MOTION, planted.LAST_DAY
ROWS = 9000


@pytest.fixture
def home(trained: Trained) -> Home:
    return trained.home


def leads(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "account_id": [f"x{i}" for i in range(rows)],
            "industry": rng.choice(["health", "retail", "gaming", "mining"], rows),
            "employees": rng.integers(10, 1000, rows).astype("float64"),
            "tech": rng.choice(["crm", "erp", "erp|crm"], rows),
            "has_sponsor": rng.random(rows) < 0.5,
            "funded_on": pd.Timestamp(2020, 1, 1)
            + pd.to_timedelta(rng.integers(0, 900, rows), unit="D"),
        }
    )
    keep = ["account_id", "has_sponsor"]
    return frame.mask(rng.random(frame.shape) < 0.2).assign(**frame[keep])


def scored(home: Home, source: Path, kind: str = "parquet", **how: object) -> bytes:
    target = source.with_name(f"out.{kind}")
    score_file(at(home, DAY), source, target, **how)
    return target.read_bytes()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    leads().to_parquet(tmp_path / "in.parquet", row_group_size=2500)
    return tmp_path / "in.parquet"


def test_neither_parts_nor_threads_nor_row_groups_change_a_byte(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scored(home, source)
    assert scored(home, source, workers=3) == whole
    monkeypatch.setattr(frames, "_ROWS", 701)
    assert scored(home, source, workers=2) == whole
    leads().to_parquet(source)
    assert scored(home, source) == whole


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_is_the_same_when_its_groups_are_small(
    home: Home, source: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = frame_of(home, source, kind)
    monkeypatch.setattr(frames, "_GROUP", 1000)
    monkeypatch.setattr(frames, "_ROWS", 300)
    pd.testing.assert_frame_equal(frame_of(home, source, kind), expected, check_exact=True)


def frame_of(home: Home, source: Path, kind: str) -> pd.DataFrame:
    scored(home, source, kind)
    target = source.with_name(f"out.{kind}")
    return pd.read_csv(target) if kind == "csv" else pd.read_parquet(target)


def test_the_file_says_what_the_version_says_of_a_frame(home: Home, source: Path) -> None:
    version = registry.load(home, MOTION, "1")
    expected = version.score(leads(), DAY, "1")
    found = frame_of(home, source, "parquet")
    # The market of the day is the reference, and its percentiles are those of another sum.
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)


def test_without_reasons_everything_else_is_the_same(home: Home, source: Path) -> None:
    whole = frame_of(home, source, "parquet")
    scored(home, source, with_reasons=False)
    bare = pd.read_parquet(source.with_name("out.parquet"))
    reasons = ["reasons_for", "reasons_against"]
    assert bare[reasons].isna().all(axis=None)
    pd.testing.assert_frame_equal(
        bare.drop(columns=reasons), whole.drop(columns=reasons), check_exact=True
    )


def test_who_is_unlike_every_customer_is_unknown_and_it_says_why(home: Home, source: Path) -> None:
    found = frame_of(home, source, "parquet").set_index("account_id")
    given = leads().set_index("account_id")
    strange = given["industry"].eq("mining").to_numpy()
    assert set(found.loc[strange, "tier"]) == {"unknown"}
    assert found.loc[strange, "note"].str.contains("industry is mining: never seen").all()
    thin = given.notna().sum(axis=1).to_numpy() < 2
    assert found.loc[thin, "note"].str.contains("only 1 of 5 fields known").all()
    plain = ~strange & (given.notna().sum(axis=1).to_numpy() >= 2)
    assert set(found.loc[plain, "note"]) == {""}
    assert "unknown" not in set(found.loc[plain, "tier"])


def test_an_employee_count_beyond_all_customers_is_unknown(home: Home, tmp_path: Path) -> None:
    leads(3).assign(employees=[50_000.0, 500.0, 5e9]).to_parquet(tmp_path / "in.parquet")
    found = frame_of(home, tmp_path / "in.parquet", "parquet")
    assert found["note"].str.contains(r"far from every customer \(").tolist() == [True, False, True]
    assert found["note"][0].startswith("employees 50,000: far")


def test_tiers_keep_their_sizes_when_the_market_shifts(own: Home, tmp_path: Path) -> None:
    market = planted.company()["accounts"].drop_duplicates("account_id")
    market = market[market["account_id"].str.match("[lp]")]
    market.to_parquet(tmp_path / "in.parquet")
    before = frame_of(own, tmp_path / "in.parquet", "parquet")
    ranked = before[~before["tier"].isin(["anti", "unknown"])]
    assert 0.15 < ranked["tier"].isin(["A", "B"]).sum() / len(before) < 0.3


needs_dask = pytest.mark.slow


@needs_dask
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_on_dask_it_is_the_same_to_the_byte(home: Home, source: Path, kind: str) -> None:
    require("dask", find_spec("distributed"))
    if kind == "csv":
        leads().to_csv(source.with_suffix(".csv"), index=False)
        source = source.with_suffix(".csv")
    assert scored(home, source, engine="dask", workers=2) == scored(home, source)


@needs_dask
def test_a_scheduler_is_found_by_its_address(home: Home, source: Path) -> None:
    require("dask", find_spec("distributed"))
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        where = cluster.scheduler_address
        assert scored(home, source, engine="dask", scheduler=where) == scored(home, source)


@needs_dask
def test_on_dask_a_row_without_an_id_is_found_in_its_place(home: Home, source: Path) -> None:
    require("dask", find_spec("distributed"))
    ids = leads()["account_id"].mask(leads()["account_id"] == "x6000")
    leads().assign(account_id=ids).to_parquet(source, row_group_size=2500)
    with pytest.raises(DataError, match="row 6001 has no account_id"):
        scored(home, source, engine="dask", workers=1)


def test_a_scheduler_that_is_not_there_is_named(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icploop.io.cluster._PATIENCE_SECONDS", 0.5)
    require("dask", find_spec("distributed"))
    with pytest.raises(UsageError, match="no Dask scheduler answers there"):
        scored(home, source, engine="dask", scheduler="tcp://127.0.0.1:1")


def test_a_scheduler_without_the_engine_is_refused(home: Home, source: Path) -> None:
    answer = icp(
        *("score", "--in", source, "--out", source.with_name("o.csv")),
        *("--scheduler", "tcp://127.0.0.1:1"),
        home=home,
    )
    assert (answer.status, "give --engine dask" in answer.err) == (2, True)


def test_the_command_scores_without_reasons(home: Home, source: Path) -> None:
    target = source.with_name("o.parquet")
    answer = icp(
        *("score", "--in", source, "--out", target, "--no-reasons", "--json", "--as-of", DAY),
        home=home,
    )
    assert answer.json["rows"] == ROWS
    assert pq.read_table(target, columns=["reasons_for"]).column(0).null_count == ROWS
