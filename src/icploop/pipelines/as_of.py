"""A motion on a day: what an act goes by, each thing read once and handed on.

Settings are parsed when it is made; what the warehouse holds is read in one go when it is first
asked for, so an act sees one state, even if an ingest ends while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from icploop.domain.ledger import LedgerRow, Sealed
from icploop.domain.standing import Standing, standing_of
from icploop.domain.tables import Tables
from icploop.errors import RefusedError, UsageError
from icploop.io import versions
from icploop.io.home import Home
from icploop.io.versions import CHALLENGER, CHAMPION, PREVIOUS, Registered
from icploop.io.warehouse import State, Warehouse
from icploop.modeling.accounts.market import Sight
from icploop.settings import Settings, digest

if TYPE_CHECKING:
    from icploop.modeling.scoring.version import IcpVersion

_WORDS = (CHAMPION, CHALLENGER, PREVIOUS)


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class AsOf:
    """A motion of a home's company on a day.

    `today` is the day that it really is: what has waited too long does not become young again by
    another `day`. `given` are tables to go by instead of those of the warehouse, for a company that
    is simulated. The lists of years are long, so only who takes them `with_lists` waits for them.
    """

    home: Home
    settings: Settings
    motion: str
    day: date
    given: Tables | None = field(default=None, repr=False)
    with_lists: bool = False
    today: date = field(default_factory=_today)

    @classmethod
    def of(cls, home: Home, motion: str | None, day: date) -> AsOf:
        """Read the settings; the first motion is the default.

        Raises UsageError for settings that are missing or wrong, and for a motion that they do not
        name.
        """
        settings = home.settings()
        chosen = settings.motions[0] if motion is None else motion
        if chosen not in settings.motions:
            raise UsageError(
                f"--motion {chosen!r} is not in conf/icp.yaml; motions: "
                f"{', '.join(settings.motions)}"
            )
        return cls(home, settings, chosen, day)

    def anew(self, *, with_lists: bool = False) -> AsOf:
        """The same, with nothing read yet: for an act that has waited for others, or written."""
        return replace(self, with_lists=with_lists)

    @property
    def lineage(self) -> str:
        """The name under which versions are registered and decided on."""
        return self.settings.lineage(self.motion)

    @property
    def warehouse(self) -> Warehouse:
        """Where to write; what is read there and not here may be of another moment."""
        return Warehouse(self.home.warehouse_file)

    @cached_property
    def state(self) -> State:
        """All that the warehouse held for the lineage when it was first asked for."""
        return self.warehouse.state(self.lineage, with_lists=self.with_lists)

    @property
    def tables(self) -> Tables:
        """All that is stored, later rows too. Raises DataError before the first ingest."""
        return self.state.tables if self.given is None else self.given

    @cached_property
    def sight(self) -> Sight:
        """What the day sees."""
        return Sight.of(self.tables, self.settings, self.motion, self.day)

    @property
    def seen(self) -> Tables:
        """The tables as the day sees them, each company once."""
        return self.sight.seen

    @cached_property
    def ledger(self) -> Sequence[LedgerRow]:
        """The rows of the lineage, oldest first."""
        return self.state.rows_of(self.lineage)

    @cached_property
    def standing(self) -> Standing:
        """Where the lineage stands."""
        return standing_of(self.ledger)

    @property
    def listings(self) -> pd.DataFrame:
        """The lists so far. Raises ValueError where they were not taken along."""
        if not self.with_lists:
            raise ValueError("take lists along: at.anew(with_lists=True)")
        return self.state.listings

    def standing_now(self) -> Standing:
        """Where the lineage stands at this moment, for acts that write on the way."""
        return standing_of(self.warehouse.ledger(self.lineage))

    def verdict_on(self, version: str) -> Sealed | None:
        """The last verdict on a version as it stands in the ledger at this moment."""
        return next(
            (
                sealed
                for sealed in reversed(self.warehouse.sealed_ledger())
                if (sealed.row.lineage, sealed.row.event) == (self.lineage, "verdict")
                and sealed.row.version == version
            ),
            None,
        )

    def describe(self, which: str, stands: Standing | None = None) -> Registered:
        """What the registry knows of a version; `champion`, `challenger`, `previous` by `standing`.

        `stands` is where the lineage stands where that is known better. Raises UsageError where
        there is no such version, and RefusedError while none is in force, and where that in force
        was deleted in MLflow.
        """
        standing = stands or self.standing
        number = standing.aliases().get(which, which)
        if which == CHAMPION and number == which:
            raise RefusedError(
                f"No ICP version of `{self.motion}` is in force yet; train one with `icp retrain` "
                "and approve it with `icp approve`, or name a version by its number"
            )
        if number in _WORDS:
            raise UsageError(
                f"No version of `{self.motion}` is the {which} now; name one by its number"
            )
        try:
            return versions.describe(self.home, self.lineage, number)
        except UsageError as error:
            if standing.in_force is None or standing.in_force.version != number:
                raise
            raise RefusedError(
                f"Version {number} of `{self.motion}` is in force, but was deleted in MLflow; "
                f"{_without_it(standing)}"
            ) from error

    def page(self, version: str) -> str:
        """The page of a version as it was when it was judged, to the byte.

        Raises RefusedError where somebody wrote another one into MLflow since.
        """
        page, judged = self.describe(version).description, self.verdict_on(version)
        if judged and digest(page) != judged.row.details.get("page_hash"):
            raise RefusedError(
                f"The page of version {version} of `{self.motion}` in MLflow (its description) is "
                "not the one of its verdict, so who reads it reads of another version; put back "
                f"the text of the artifact icp.md of its run {judged.row.details.get('run_id')}, "
                "or train again with `icp retrain --force`"
            )
        return page

    def version(self, which: str) -> tuple[IcpVersion, str]:
        """A version and its number. Raises as `describe` does.

        Raises RefusedError when it is not what its verdict was about.
        """
        number = self.describe(which).number
        if number not in self._versions:
            judged = [
                row.details.get("content_hash")
                for row in self.ledger
                if row.event == "verdict" and row.version == number
            ]
            content = judged[-1] if judged else None
            self._versions[number] = versions.load(self.home, self.lineage, number, content)
        return self._versions[number], number

    @cached_property
    def _versions(self) -> dict[str, IcpVersion]:
        return {}


def _without_it(standing: Standing) -> str:
    if earlier := standing.previous:
        return f'`icp rollback --by WHO --reason "..."` puts version {earlier.version} back'
    return "train another one with `icp retrain --force`"
