"""The warehouse: one DuckDB file with the four tables, the quarantine, the ledger and the landing.

A class a topic works on an open file; `Warehouse` is the front that opens it for each act:
read-only beside others who read, or alone in order to write, for as long as one act takes (`file`).
Large tables wait in a file of their own first (`staging`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

import duckdb
import pandas as pd

from icploop.domain.ledger import End, LedgerRow, Sealed, checked
from icploop.domain.tables import Tables
from icploop.errors import DataError
from icploop.io.warehouse.batches import (
    AnyBatch,
    Batch,
    BatchInParts,
    Changes,
    Left,
    Retired,
    TableChange,
    storable,
)
from icploop.io.warehouse.file import connection, transaction
from icploop.io.warehouse.head import keep_end, kept_end
from icploop.io.warehouse.landing import LandedRecords, Position, Record
from icploop.io.warehouse.ledger import Ledger
from icploop.io.warehouse.lists import LISTING, Lists, no_lists
from icploop.io.warehouse.schema import QUARANTINE_COLUMNS
from icploop.io.warehouse.state import State
from icploop.io.warehouse.tables import LINES, NAMES, Agree, StoredTables

__all__ = [
    "LISTING",
    "QUARANTINE_COLUMNS",
    "AnyBatch",
    "Batch",
    "BatchInParts",
    "Changes",
    "Left",
    "Position",
    "Record",
    "State",
    "TableChange",
    "Warehouse",
    "storable",
]

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Warehouse:
    """The warehouse at `path`; it is created by the first ingest.

    Every act raises RefusedError when another process holds the file longer than
    `patience_seconds`, and UnavailableError when it cannot be read or written.
    """

    path: Path
    patience_seconds: float | None = None

    def state(self, lineage: str, *, with_lists: bool = False) -> State:
        """All that there is of a lineage, read at one moment.

        Raises RefusedError where the ledger is not as it was written.
        """
        lines = pd.DataFrame(columns=list(LINES))
        nothing = State(self.path, None, (), frozenset(), lines, no_lists())
        end = kept_end(self.path)

        def read(db: duckdb.DuckDBPyConnection) -> State:
            tables, ledger = StoredTables(db), Ledger(db)
            # Others of this process may write meanwhile.
            with transaction(db):
                return State(
                    self.path,
                    tables.all(),
                    tuple(checked(ledger.sealed(), end)),
                    ledger.counted_deals(lineage),
                    tables.quarantine_lines(),
                    Lists(db).of(lineage) if with_lists else no_lists(),
                )

        return self._answer(read, nothing)

    # The tables and the quarantine.

    def store(
        self,
        batches: Sequence[AnyBatch],
        day: date | None = None,
        *,
        is_of_the_day: bool = False,
        retired: Retired | None = None,
        agree: Agree = lambda _changes, _tables: None,
    ) -> Changes:
        """Bring the tables to what the sources say on `day` (`merging`), all or nothing.

        The same batches twice give the same tables. `is_of_the_day` says whether the exports were
        really made on `day`; `retired` says which of the tables that sources gave so far the
        settings no longer name.
        `agree` is shown what would be stored, and may raise: then nothing was changed.
        """
        with self._open() as db:
            return StoredTables(db).store(
                batches, day, is_of_the_day=is_of_the_day, retired=retired, agree=agree
            )

    def account_names(self, but_of: Collection[str] = ()) -> pd.DataFrame:
        """What says who every stored account row is, oldest first.

        Rows of the sources `but_of` are left out: what these bring now is all that they have.
        """
        nobody = pd.DataFrame(columns=list(NAMES), dtype="str")
        return self._answer(lambda db: StoredTables(db).account_names(but_of), nobody)

    def tables(self) -> Tables:
        """All that is stored; of revenue, which is long, account_id as a category in order.

        Raises DataError before the first ingest.
        """
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist; run `icp ingest` first")
        with self._read() as db:
            return StoredTables(db).all()

    def quarantine(self) -> pd.DataFrame:
        """The rows and cells in quarantine, with the rule that they broke and their source row."""
        with self._read() as db:
            return StoredTables(db).quarantine()

    # The ledger, and who was told of it.

    def append(self, *rows: LedgerRow, counted: Iterable[str] = ()) -> None:
        """Add rows to the ledger, all or none; nothing is ever changed or removed there.

        `counted` are the closed deals that a verdict among them uses up for the trigger: they never
        count again for its lineage.
        """
        with self._open() as db:
            ledger = Ledger(db)
            before = checked(ledger.sealed(), kept_end(self.path))
            keep_end(self.path, ledger.append(End.of(before), rows, counted))

    def ledger(self, lineage: str) -> list[LedgerRow]:
        """The ledger of a lineage, oldest first."""
        return [sealed.row for sealed in self.sealed_ledger() if sealed.row.lineage == lineage]

    def sealed_ledger(self) -> Sequence[Sealed]:
        """The whole ledger with its seals, oldest first.

        Raises RefusedError, naming the row, where it is not as it was written.
        """
        return checked(*self.ledger_as_it_lies())

    def ledger_as_it_lies(self) -> tuple[list[Sealed], End | None]:
        """The whole ledger, whatever became of it, and the end that was kept of it elsewhere."""
        end = kept_end(self.path)
        return self._answer(lambda db: Ledger(db).sealed(), []), end

    def counted_deals(self, lineage: str) -> frozenset[str]:
        """The closed deals that judged rounds of a lineage have used up."""
        return self._answer(lambda db: Ledger(db).counted_deals(lineage), frozenset())

    def told(self, lineage: str) -> frozenset[str]:
        """The keys of the notices of a lineage that were delivered."""
        return self._answer(lambda db: Ledger(db).told(lineage), frozenset())

    def note_told(self, lineage: str, key: str) -> None:
        """Keep that a notice was delivered."""
        with self._open() as db:
            Ledger(db).note_told(lineage, key)

    # The lists that sales got.

    def log_list(self, lineage: str, version: str, as_of: date, listing: pd.DataFrame) -> None:
        """Keep who could stand on a target list, with what chance, who did, and what was expected.

        `listing` has the columns of LISTING. A list of the same day is replaced: it is the last one
        that sales got.
        """
        with self._open() as db:
            Lists(db).log(lineage, version, as_of, listing)

    def listings(self, lineage: str) -> pd.DataFrame:
        """Every logged list of a lineage: as_of and the columns of LISTING."""
        return self._answer(lambda db: Lists(db).of(lineage), no_lists())

    # What waits of sources that are read over HTTP.

    def land(
        self, source: str, thing: str, records: Mapping[str, Record], position: Position
    ) -> None:
        """Keep a source's records of one thing by their id, and how far that thing has been read.

        Both or neither: after a kill, reading goes on where it stopped. A record replaces the one
        with the same id. A position that starts anew (`fresh`) empties the landing of the thing.
        """
        with self._open() as db:
            LandedRecords(db).land(source, thing, records, position)

    def position(self, source: str, thing: str) -> Position | None:
        """How far a thing of a source has been read; None before its first page."""
        return self._answer(lambda db: LandedRecords(db).position(source, thing), None)

    def landed(self, source: str, thing: str) -> list[Record]:
        """The records of a thing that wait, in the order of their ids."""
        return self._answer(lambda db: LandedRecords(db).of(source, thing), [])

    def _open(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return connection(self.path, self.patience_seconds)

    def _read(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return connection(self.path, self.patience_seconds, writes=False)

    def _answer(
        self, ask: Callable[[duckdb.DuckDBPyConnection], _Answer], before: _Answer
    ) -> _Answer:
        """What the open file answers; `before` the first act that writes, which makes it."""
        if not self.path.exists():
            return before
        with self._read() as db:
            return ask(db)
