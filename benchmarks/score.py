"""How fast is scoring, against the bare boosters and against MLflow's generic way?

Run as `python -m benchmarks.score [ROWS ...]` (default 1000000; 10000000 shows that memory stays;
100000000 shows it again, and needs 15 GB of disk). Sizes measured earlier stay in the table.
Everything is measured in one run on one machine, each in a process of its own, on accounts with 35
attributes, a sixth of the cells empty, and a model of 600 customers. The limit is what the bare
boosters need for matrices that lie ready in memory; the others read a Parquet file and write one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from icploop.domain.calendar import last_moment
from icploop.domain.profile import Profile
from icploop.io.cluster import on_threads, processors
from icploop.modeling.accounts.coding import coded_frame
from icploop.modeling.accounts.features import attributes_in
from icploop.modeling.learning.deal_model import DealModel
from icploop.modeling.learning.fit_model import FitModel
from icploop.modeling.scoring.batches import Job
from icploop.modeling.scoring.version import Bands, IcpVersion
from icploop.pipelines.score import score_with
from icploop.settings import Attribute, Kind, Outcome, Tiers

RESULTS = Path(__file__).parent / "results"
DAY = date(2026, 1, 31)
KIND_COUNTS: dict[Kind, int] = {"category": 12, "number": 10, "flag": 6, "set": 4, "date": 3}
KINDS: dict[str, Kind] = {
    f"{kind}_{i}": kind for kind, count in KIND_COUNTS.items() for i in range(count)
}
ATTRIBUTES = tuple(
    Attribute(name=name, dimension="firmographic", kind=kind, label=name.replace("_", " "))
    for name, kind in KINDS.items()
)
EMPTY = 0.15
_BLOCK = 100_000
# Ways that cannot stream are measured on so many rows at most.
_FEW = 100_000
# More than so many are scored by one way alone, which takes half an hour.
_MANY = 20_000_000
_SETS = ["a", "a|b", "b|c", "c", "a|c|d", "d|e", "e|f|g"]


def accounts(many: int, seed: int) -> pd.DataFrame:
    """Raw accounts as a warehouse exports them."""
    rng = np.random.default_rng(seed)
    draw: dict[Kind, Callable[[], Any]] = {
        "category": lambda: pd.Series(rng.choice([f"level {i}" for i in range(8)], many)),
        "number": lambda: pd.Series(np.round(rng.lognormal(4, 1, many))),
        "flag": lambda: pd.Series(rng.random(many) < 0.5).astype("object"),
        "set": lambda: pd.Series(rng.choice(_SETS, many)),
        "date": lambda: pd.Series(
            pd.Timestamp(2026, 1, 1) - pd.to_timedelta(rng.integers(0, 900, many), unit="D")
        ),
    }
    columns = {name: draw[kind]().mask(rng.random(many) < EMPTY) for name, kind in KINDS.items()}
    return pd.DataFrame({"account_id": [f"a{seed}-{i}" for i in range(many)], **columns})


def write_accounts(path: Path, rows: int) -> None:
    """The same block again and again, with ids of their own."""
    block = pa.Table.from_pandas(accounts(min(_BLOCK, rows), 7), preserve_index=False)
    with pq.ParquetWriter(path, block.schema) as writer:
        for start in range(0, rows, _BLOCK):
            part = block.slice(0, rows - start)
            ids = pa.array([f"a{start + i}" for i in range(part.num_rows)], pa.large_string())
            writer.write_table(part.set_column(0, "account_id", ids))


def model(customers: int = 600) -> IcpVersion:
    """A version learned from customers of whom four attributes count."""
    rng = np.random.default_rng(3)
    raw = accounts(customers, 1).set_index("account_id", drop=False)
    features = attributes_in(raw, last_moment(DAY), ATTRIBUTES)
    better = (
        features["category_0"].eq("level 1").astype("float64")
        - features["category_1"].eq("level 2")
        + (features["number_0"] > 60)
        + features["set_0"].str.contains("b", na=False)
    ).to_numpy()
    stays = rng.random(customers) < np.clip(0.8 + 0.08 * better, 0.05, 0.98)
    growth = np.exp(0.15 * better + rng.normal(0, 0.2, customers))
    at_risk = np.where(stays, 12.0, rng.integers(1, 13, customers))
    sold = pd.DataFrame(
        {
            "parent": features.index,
            "nrr": growth * stays,
            "grr": np.minimum(growth, 1) * stays,
            "months_at_risk": at_risk,
            "churned": 1.0 - stays,
            "log_growth": np.log(growth) * at_risk / 12,
            "growth_months": at_risk,
            "start_mrr": 100.0,
            "end_mrr": 100 * growth * stays,
            "won": (rng.random(customers) < 0.5).astype("float64"),
            "acv": 1000 * rng.lognormal(0, 1, customers),
            "retained": stays.astype("float64"),
            "matured": True,
        },
        index=features.index,
    )
    fit = FitModel(KINDS, Outcome()).fit(features, sold)
    expected = fit.predict(features)["expected_nrr"]
    return IcpVersion(
        motion="default",
        as_of=DAY,
        objective="nrr",
        terms=None,
        attributes=ATTRIBUTES,
        fit_model=fit,
        deal_model=DealModel(KINDS).fit(features, sold),
        profile=Profile((), (), customers),
        tiers=Tiers(),
        outcome=Outcome(),
        bands=Bands.measure(expected, sold, draws=200, seed=0),
        reference=np.sort(expected.to_numpy()),
        archived=expected,
        snapshot_hash="",
        policy_hash="",
    )


def bare_boosters(version: IcpVersion, source: Path, rows: int) -> tuple[int, float]:
    """`inplace_predict` of every booster, with all threads, on a ready matrix in memory."""
    raw = next(iter(pq.ParquetFile(source).iter_batches(min(_FEW, rows)))).to_pandas()
    features = attributes_in(raw, last_moment(DAY), ATTRIBUTES)
    matrix = version.scorer.predict(coded_frame(features, ATTRIBUTES)).matrix
    boosters = [b for m in version.fit_model.mixtures_.values() for b in m.boosters]
    for booster in boosters:
        booster.set_param({"nthread": processors()})
        booster.inplace_predict(matrix[:1])
    repeats = max(rows // len(matrix), 1)
    start = time.perf_counter()
    for _ in range(repeats):
        for booster in boosters:
            booster.inplace_predict(matrix, predict_type="margin")
    return repeats * len(matrix), time.perf_counter() - start


def bare_boosters_side_by_side(version: IcpVersion, source: Path, rows: int) -> tuple[int, float]:
    """The same with as many single threads, each on its own part: the better of the two counts."""
    raw = next(iter(pq.ParquetFile(source).iter_batches(min(_FEW, rows)))).to_pandas()
    features = attributes_in(raw, last_moment(DAY), ATTRIBUTES)
    matrix = version.scorer.predict(coded_frame(features, ATTRIBUTES)).matrix
    boosters = [b.copy() for m in version.fit_model.mixtures_.values() for b in m.boosters]
    for booster in boosters:
        booster.set_param({"nthread": 1})
        booster.inplace_predict(matrix[:1])
    repeats = max(rows // len(matrix), 1)
    parts = [
        p for _ in range(repeats) for p in np.array_split(matrix, max(len(matrix) // 32768, 1))
    ]

    def predict(part: np.ndarray) -> None:
        for booster in boosters:
            booster.inplace_predict(part, predict_type="margin")

    start = time.perf_counter()
    for _ in on_threads(predict, parts, processors()):
        pass
    return repeats * len(matrix), time.perf_counter() - start


def ours(version: IcpVersion, source: Path, rows: int, **how: Any) -> tuple[int, float]:
    reasons = how.pop("with_reasons", True)
    start = time.perf_counter()
    target = source.with_name("out.parquet")
    report = score_with(version, Job(DAY, "1", reasons), source, target, **how)
    return report.rows, time.perf_counter() - start


class _Generic(mlflow.pyfunc.PythonModel):
    """What most people register: a frame in, the model's own predict, a frame out."""

    def __init__(self, version: IcpVersion, with_reasons: bool) -> None:
        self.version = version
        self.with_reasons = with_reasons

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        features = attributes_in(model_input, last_moment(DAY), ATTRIBUTES)
        said = self.version.fit_model.predict(features)
        if self.with_reasons:
            contributions = self.version.fit_model.contributions(features)
            said["reason"] = contributions.idxmax(axis=1)
        return said


def generic(version: IcpVersion, source: Path, rows: int, reasons: bool) -> tuple[int, float]:
    raw = next(iter(pq.ParquetFile(source).iter_batches(min(_FEW // 5, rows)))).to_pandas()
    with tempfile.TemporaryDirectory() as folder:
        signature = mlflow.models.infer_signature(raw.head(1000))
        mlflow.pyfunc.save_model(
            f"{folder}/m",
            python_model=_Generic(version, reasons),
            signature=signature,
            pip_requirements=[],
        )
        loaded = mlflow.pyfunc.load_model(f"{folder}/m")
        loaded.predict(raw.head(10))
        start = time.perf_counter()
        loaded.predict(raw).to_parquet(source.with_name("generic.parquet"))
        return len(raw), time.perf_counter() - start


WAYS: dict[str, Callable[[IcpVersion, Path, int], tuple[int, float]]] = {
    "bare boosters, threads inside": bare_boosters,
    "bare boosters, side by side": bare_boosters_side_by_side,
    "icp score --no-reasons": lambda v, s, r: ours(v, s, r, with_reasons=False),
    "icp score": ours,
    "MLflow's generic pyfunc": lambda v, s, r: generic(v, s, r, reasons=False),
    "MLflow's generic pyfunc, one reason by SHAP": lambda v, s, r: generic(v, s, r, reasons=True),
}
DASK = {
    "one Dask worker, --no-reasons": 1,
    "two Dask workers, --no-reasons": 2,
}


def measure_here(way: str, source: Path, rows: int) -> dict[str, Any]:
    """One way in this process: rows, seconds, and the most memory that it ever had."""
    version = IcpVersion.from_parts(_parts(source.parent))
    if way in DASK:
        how = {"with_reasons": False, "engine": "dask", "workers": DASK[way]}
        done, seconds = ours(version, source, rows, **how)
    else:
        done, seconds = WAYS[way](version, source, rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if os.name == "posix" else 1)
    return {"rows": done, "seconds": seconds, "peak_gb": peak / 1e9}


def ways_of(rows: int) -> list[str]:
    """All ways; of very many accounts only how much memory they need."""
    return ["icp score --no-reasons"] if rows > _MANY else [*WAYS, *DASK]


def measure(rows: int, ways: list[str], folder: Path) -> pd.DataFrame:
    """Every way on this many rows, each in a process of its own."""
    source = folder / f"accounts-{rows}.parquet"
    if not source.exists():
        write_accounts(source, rows)
    found = []
    for way in ways:
        words = [sys.executable, "-m", "benchmarks.score", "--one", way, str(source), str(rows)]
        answer = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        found.append({"way": way, "of": rows, **json.loads(answer.splitlines()[-1])})
        print(found[-1], file=sys.stderr)
    table = pd.DataFrame(found)
    table["rows_per_second"] = table["rows"] / table["seconds"]
    limit = table.loc[table["way"].str.startswith("bare"), "rows_per_second"].max()
    table["share_of_limit"] = table["rows_per_second"] / limit
    return table.round({"seconds": 2, "peak_gb": 2, "rows_per_second": 0, "share_of_limit": 3})


def store(version: IcpVersion, folder: Path) -> None:
    for name, content in version.parts().items():
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / name).write_bytes(content)


def _parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "model").iterdir()}


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        way, source, rows = sys.argv[2:5]
        print(json.dumps(measure_here(way, Path(source), int(rows))))
        return
    sizes = [int(word) for word in sys.argv[1:]] or [1_000_000]
    with tempfile.TemporaryDirectory() as place:
        store(model(), Path(place))
        tables = [measure(rows, ways_of(rows), Path(place)) for rows in sizes]
    kept = RESULTS / "score.csv"
    if kept.exists():
        before = pd.read_csv(kept)
        tables.append(before[~before["of"].isin(sizes)])
    table = pd.concat(tables, ignore_index=True).sort_values("of", kind="stable")
    table.to_csv(kept, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
