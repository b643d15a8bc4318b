"""Score a file of accounts, or every account of a day, with what scores on that day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from icploop.domain.identity import families
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Rules
from icploop.errors import DataError, UsageError
from icploop.io.cluster import dask_client, on_dask, on_threads, processors
from icploop.io.frames import batches_of, batches_to, columns_of, row_groups
from icploop.io.on_workers import score_group, score_sent
from icploop.io.versions import CHAMPION
from icploop.modeling.accounts.market import Sight
from icploop.modeling.learning.rivals import HypothesisScore
from icploop.modeling.scoring.batches import ID, Job, ScoredBatch, score_batch
from icploop.modeling.scoring.hypothesis import HYPOTHESIS_VERSION, HypothesisIcp
from icploop.modeling.scoring.version import IcpVersion
from icploop.pipelines.as_of import AsOf
from icploop.settings import Settings

Progress = Callable[[int], None]
Engine = Literal["threads", "dask"]
# A percentile against fewer prospects would be coarse.
_FEWEST_PROSPECTS = 100


@dataclass(frozen=True)
class ScoreReport:
    """How many accounts were scored, by tier, with which version, and where they are.

    `unreadable` counts by attribute the cells that could not be read by its kind and count as
    missing; `absent` names the attributes that the file does not have at all.
    """

    version: str
    rows: int
    tiers: dict[str, int]
    unreadable: dict[str, int]
    absent: tuple[str, ...]
    out: str
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "icp_version": self.version,
            "rows": self.rows,
            "tiers": self.tiers,
            "unreadable_cells": self.unreadable,
            "absent_attributes": list(self.absent),
            "out": self.out,
            "note": self.note,
        }


def score_file(
    at: AsOf,
    source: Path,
    target: Path,
    which: str = CHAMPION,
    progress: Progress = lambda _: None,
    *,
    with_reasons: bool = True,
    engine: Engine = "threads",
    scheduler: str | None = None,
    workers: int | None = None,
) -> ScoreReport:
    """Score the accounts of a CSV or Parquet file, part by part, with the champion or another.

    Before there can be a champion, because too few customers have matured, it is the stated
    hypothesis that scores, and the report's note says so.

    The file has account_id and any of the declared attributes. Without reasons their columns are
    empty, and it takes half the time. `engine` says where: on threads of this process, or on a Dask
    cluster, at the address `scheduler` or started here; on as many `workers` as there are
    processors. The scores are the same bytes in any case. Raises RefusedError without a champion
    and DataError for a file that cannot be read or has no account_id.
    """
    if scheduler and engine != "dask":
        raise UsageError("--scheduler names a Dask scheduler: give --engine dask too")
    found = version_of_day(at, which)
    report = score_with(
        found.version,
        Job(at.day, found.number, with_reasons),
        source,
        target,
        progress,
        engine=engine,
        scheduler=scheduler,
        workers=workers,
    )
    return replace(report, note=found.note)


def score_with(
    version: IcpVersion | HypothesisIcp,
    job: Job,
    source: Path,
    target: Path,
    progress: Progress = lambda _: None,
    *,
    engine: Engine = "threads",
    scheduler: str | None = None,
    workers: int | None = None,
) -> ScoreReport:
    """Like `score_file`, with a version that is at hand."""
    wanted = {ID, *(a.name for a in version.attributes)}
    batches = batches_of(source, wanted)
    with batches_to(target) as write, closing(batches):
        first = next(batches, None)
        columns = _columns(first, source)
        if first is None:
            return _nothing(target)
        everything = chain([first], batches)
        many = workers or processors()
        with ExitStack() as stack:
            if engine == "dask":
                client = stack.enter_context(dask_client(scheduler, many))
                parts = _on_dask(client, version, job, source, wanted, everything)
            else:
                # Whatever is made ready once is made ready before threads could do so twice.
                score_batch(first.slice(0, 1), version, job)
                parts = on_threads(partial(score_batch, version=version, job=job), everything, many)
            return _written(parts, write, job, source, target, columns, version, progress)


def _written(
    parts: Iterator[ScoredBatch],
    write: Callable[[pa.RecordBatch], None],
    job: Job,
    source: Path,
    target: Path,
    columns: set[str],
    version: IcpVersion | HypothesisIcp,
    progress: Progress,
) -> ScoreReport:
    tiers: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    rows = 0
    for part in parts:
        if part.scores is None:
            row = rows + (part.without_id or 0) + 1
            raise DataError(f"{source}: row {row} has no account_id; every account needs one")
        write(part.scores)
        rows += part.rows
        counts = part.scores.column("tier").value_counts().to_pylist()
        tiers.update({count["values"]: count["counts"] for count in counts})
        unreadable.update(part.unreadable)
        progress(rows)
    absent = tuple(a.name for a in version.attributes if a.name not in columns)
    return ScoreReport(job.number, rows, dict(tiers), dict(unreadable), absent, str(target))


def _on_dask(
    client: Any,
    version: IcpVersion | HypothesisIcp,
    job: Job,
    source: Path,
    wanted: set[str],
    batches: Iterator[pa.RecordBatch],
) -> Iterator[ScoredBatch]:
    """Workers read row groups of a Parquet file themselves; of a CSV they are sent the rows."""
    shared = (version, job, source.resolve(), wanted)
    if source.suffix.lower() == ".parquet":
        return on_dask(client, score_group, range(row_groups(source)), shared)
    return on_dask(client, score_sent, batches, shared)


def _columns(first: pa.RecordBatch | None, source: Path) -> set[str]:
    """The file's columns. Raises DataError without a column account_id."""
    found = [] if first is None else first.schema.names
    if first is not None and ID not in found:
        there = ", ".join(columns_of(source, first))
        raise DataError(
            f"{source} has no column `{ID}` (found: {there}); rename the column that names the "
            "account"
        )
    return set(found)


def _nothing(target: Path) -> ScoreReport:
    raise DataError(f"{target}: there were no rows to write")


def score_accounts(sight: Sight, version: IcpVersion | HypothesisIcp, number: str) -> pd.DataFrame:
    """Scores of every account that the day knows, best first, with name, domain and parent."""
    features = sight.everybody(version.attributes)
    ids = pd.Series(sight.accounts, index=sight.accounts)
    scores = version.score_features(ids, features, sight.as_of, number)
    # Like attributes: an empty cell of a later row says nothing.
    accounts = sight.seen.accounts
    latest = accounts.groupby("account_id")[["name", "domain"]].last()
    named = scores.assign(
        name=scores["account_id"].map(latest["name"]),
        domain=scores["account_id"].map(latest["domain"]),
        parent=scores["account_id"].map(families(accounts)).fillna(scores["account_id"]),
    )
    return named.sort_values(
        ["fit_score", "account_id"], ascending=[False, True], kind="stable", ignore_index=True
    )


@dataclass(frozen=True)
class VersionOfDay:
    """What scores on a day, the name it goes by, and what must be said about it."""

    version: IcpVersion | HypothesisIcp
    number: str
    note: str


def version_of_day(at: AsOf, which: str) -> VersionOfDay:
    """The version that a number or an alias names, or the stated hypothesis before there is one."""
    nothing_in_force = which == CHAMPION and at.standing.in_force is None
    if nothing_in_force and at.settings.hypothesis:
        matured = int(at.sight.sold["matured"].sum())
        if matured < at.settings.policy.min_matured:
            note = _mode(matured, at.settings)
            return VersionOfDay(_hypothesis(at.sight), HYPOTHESIS_VERSION, note)
    version, number = at.version(which)
    return VersionOfDay(_of_today(version, at.sight), number, "")


def _of_today(version: IcpVersion, sight: Sight) -> IcpVersion:
    """The version with the market of the day as its reference, and tiers that follow capacity.

    Against the market of the day it was trained on, a tier would grow or shrink when the market
    shifts. Too few prospects are no market: then it stays as it is.
    """
    if len(sight.prospects) < _FEWEST_PROSPECTS:
        return version
    return replace(
        version,
        reference=np.sort(version.ranked(sight.market(version.attributes)).to_numpy()),
        tiers=version.tiers.holding(sight.capacity),
    )


def _hypothesis(sight: Sight) -> HypothesisIcp:
    settings = sight.settings
    points = HypothesisScore(settings.hypothesis).predict(sight.market(settings.attributes))
    return HypothesisIcp(
        settings.hypothesis,
        settings.attributes,
        settings.tiers,
        np.sort(points.to_numpy()),
        Rules(
            tuple((Predicate.of_condition(must), 0, True) for must in settings.required),
            tuple(map(Predicate.of_condition, settings.exclusions)),
            cutoff=0,
        ),
    )


def _mode(matured: int, settings: Settings) -> str:
    return (
        f"Hypothesis mode: only {matured} customers have matured and a model asks for "
        f"{settings.policy.min_matured}, so these scores are the points of the hypothesis stated "
        "in conf/icp.yaml. Nothing is claimed about NRR or retention."
    )
