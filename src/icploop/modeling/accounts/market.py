"""What a day sees of a motion: who is known, who is still to be won, and what they are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import pandas as pd

from icploop.domain.calendar import last_moment
from icploop.domain.identity import companies_seen_by
from icploop.domain.outcomes import decided_deals, of_motion, outcomes
from icploop.domain.tables import Tables
from icploop.modeling.accounts.features import AttributeHistory
from icploop.settings import Attribute, Settings


@dataclass(frozen=True)
class Sight:
    """A motion as a day sees it; what follows from that is worked out once, when it is asked for.

    `seen` is what the day could have seen, each company once (`companies_seen_by`).
    """

    seen: Tables
    settings: Settings
    motion: str
    as_of: date

    @classmethod
    def of(cls, tables: Tables, settings: Settings, motion: str, as_of: date) -> Sight:
        """What a day sees of `tables`, which may hold later rows."""
        return cls(companies_seen_by(tables, as_of, settings.identity), settings, motion, as_of)

    @cached_property
    def accounts(self) -> pd.Index:
        """Every account that the day knows, in the order in which they are stored."""
        return pd.Index(self.seen.accounts["account_id"].unique())

    @cached_property
    def prospects(self) -> pd.Index:
        """The accounts that never became a customer: no won deal of the motion, never billed."""
        deals = self.seen.deals[of_motion(self.seen.deals, self.motion)]
        won = deals.loc[deals["outcome"] == "won", "account_id"]
        revenue = self.seen.revenue
        billed = revenue.loc[revenue["mrr"] > 0, "account_id"].unique()
        return self.accounts[~self.accounts.isin({*won, *billed})]

    @cached_property
    def capacity(self) -> float:
        """How much of the market the team can pursue; a number of accounts is set against it."""
        stated = self.settings.capacity
        if stated.accounts is None:
            return stated.share
        return min(stated.accounts / max(len(self.prospects), 1), 0.99)

    @cached_property
    def sold(self) -> pd.DataFrame:
        """What became of the won accounts (`outcomes`), by account_id."""
        found = outcomes(self.seen, self.motion, self.settings.outcome)
        return found.set_index("account_id", drop=False).rename_axis(None)

    @cached_property
    def decided(self) -> pd.DataFrame:
        """The closed deals with strangers (`decided_deals`)."""
        return decided_deals(self.seen, self.motion)

    @cached_property
    def history(self) -> AttributeHistory:
        """What was recorded of the accounts, each attribute typed once."""
        return AttributeHistory.of(self.seen.accounts)

    def everybody(self, attributes: Sequence[Attribute]) -> pd.DataFrame:
        """The attribute frame of every account at the day's end, by account_id."""
        wanted = tuple(attributes)
        if wanted not in self._frames:
            moments = pd.DataFrame({"account_id": self.accounts, "at": last_moment(self.as_of)})
            at_the_end = moments.set_index(self.accounts)
            self._frames[wanted] = self.history.at(at_the_end, wanted)
        return self._frames[wanted]

    def market(self, attributes: Sequence[Attribute]) -> pd.DataFrame:
        """The attribute frame of the prospects at the day's end, by account_id."""
        return self.everybody(attributes).loc[self.prospects]

    @cached_property
    def _frames(self) -> dict[tuple[Attribute, ...], pd.DataFrame]:
        return {}
