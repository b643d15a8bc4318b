"""What a worker of a cluster does; alone here, because it starts sooner without the registry."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from icploop.io.frames import batches_of
from icploop.modeling.scoring.batches import Job, ScoredBatch, Scores, score_batch

# The version, how to score, the file, and the columns that are wanted.
Shared = tuple[Scores, Job, Path, set[str]]


def score_sent(batch: pa.RecordBatch, shared: Shared) -> ScoredBatch:
    """Score rows that were sent along."""
    version, job, _, _ = shared
    return score_batch(batch, version, job)


def score_group(group: int, shared: Shared) -> ScoredBatch:
    """Score one row group of a Parquet file that this machine sees too."""
    version, job, source, wanted = shared
    parts = []
    rows = 0
    unreadable: Counter[str] = Counter()
    for batch in batches_of(source, wanted, group):
        part = score_batch(batch, version, job)
        if part.scores is None:
            return replace(part, without_id=rows + (part.without_id or 0))
        parts.append(part.scores)
        rows += part.rows
        unreadable.update(part.unreadable)
    return ScoredBatch(pa.concat_batches(parts), rows, dict(unreadable))
