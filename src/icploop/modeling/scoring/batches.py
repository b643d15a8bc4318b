"""Scoring a batch of raw accounts: Arrow in, Arrow out, on whichever thread or machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from icploop.domain.calendar import last_moment
from icploop.domain.cells import read_text
from icploop.modeling.accounts.coding import Coded, coded_batch
from icploop.settings import Attribute

ID = "account_id"


class Scores(Protocol):
    """What scores codes: an ICP version, or the stated hypothesis."""

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes that it looks at."""

    def score_coded(
        self,
        account_ids: pa.Array,
        coded: Coded,
        at: date,
        version: str,
        *,
        with_reasons: bool = True,
    ) -> pa.RecordBatch:
        """Scores as the contract's section 5 has them."""


@dataclass(frozen=True)
class Job:
    """How to score: the day, the version's name, and whether with reasons."""

    at: date
    number: str
    with_reasons: bool = True


@dataclass(frozen=True)
class ScoredBatch:
    """A batch's scores.

    `unreadable` counts by attribute the cells that were filled in but could not be read, and
    `without_id` is the position of the first row without an id, where there is one: then there are
    no scores.
    """

    scores: pa.RecordBatch | None
    rows: int
    unreadable: Mapping[str, int]
    without_id: int | None = None


def score_batch(batch: pa.RecordBatch, version: Scores, job: Job) -> ScoredBatch:
    """Score raw accounts; the batch has a column account_id. No row is looked at by itself."""
    ids = _ids(batch.column(batch.schema.names.index(ID)))
    if ids.null_count:
        first = int(np.argmax(np.asarray(pc.is_null(ids))))
        return ScoredBatch(None, batch.num_rows, {}, first)
    coded, unreadable = coded_batch(batch, last_moment(job.at), version.attributes)
    scores = version.score_coded(ids, coded, job.at, job.number, with_reasons=job.with_reasons)
    return ScoredBatch(scores, batch.num_rows, unreadable)


def _ids(given: pa.Array) -> pa.Array:
    """Ids as `read_text` reads them."""
    if pa.types.is_integer(given.type):
        return pc.cast(given, pa.string())
    if not (pa.types.is_string(given.type) or pa.types.is_large_string(given.type)):
        return pa.array(read_text(given.to_pandas()), pa.string(), from_pandas=True)
    trimmed = pc.utf8_trim_whitespace(pc.cast(given, pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)
