"""What a simulated world is made from: one frozen value decides every byte of it."""

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args
from zlib import crc32

import numpy as np
import pandas as pd

Structure = Literal["mixed", "main", "interactions", "noise"]


@dataclass(frozen=True)
class WorldSpec:
    """The size, the period and the difficulty of a simulated company.

    Attributes:
        seed: Redraws everything, the true effects included. The truth of a seed does not depend on
            `wins`, `prospects`, `missing` or the period: a larger world is more of the same.
        wins: About how many deals are won in the period.
        start: First day of the period, which is the first of a month.
        months: Length of the period. Deals are created and revenue is billed up to its end.
        prospects: Further accounts that never had a deal.
        structure: Which effects make up the truth: single attributes ("main"), pairs of them
            ("interactions"), both ("mixed"), or none ("noise": every account has the same
            expected retention, growth and chance of a win; prices still differ).
        signal: Scale of the spread of the truth between accounts, 1 being realistic.
        hidden: Share of the spread of churn and growth that is due to a factor nobody records,
            when `signal` is 1.
        shift_month: Accounts whose deal is created from this month of the period on follow a
            second truth. None means that the market never shifts.
        missing: Average share of attribute values that are empty.
    """

    seed: int
    wins: int = 1200
    start: date = date(2022, 1, 1)
    months: int = 48
    prospects: int = 4000
    structure: Structure = "mixed"
    signal: float = 1.0
    hidden: float = 0.35
    shift_month: int | None = 26
    missing: float = 0.15

    def __post_init__(self) -> None:
        """Refuse values that describe no world."""
        sound = {
            "seed": self.seed >= 0,
            "wins": self.wins >= 1,
            "start": self.start.day == 1,
            "months": self.months >= 6,
            "prospects": self.prospects >= 0,
            "structure": self.structure in get_args(Structure),
            "signal": self.signal >= 0,
            "hidden": 0 <= self.hidden < 1,
            "missing": 0 <= self.missing <= 0.6,
        }
        for name, is_sound in sound.items():
            if not is_sound:
                raise ValueError(f"a world cannot have {name}={getattr(self, name)!r}")

    @property
    def first_day(self) -> pd.Timestamp:
        """The first day of the period."""
        return pd.Timestamp(self.start)

    @property
    def end(self) -> pd.Timestamp:
        """The day after the last day of the period."""
        return self.first_day + pd.DateOffset(months=self.months)

    @property
    def days(self) -> int:
        """Length of the period in days."""
        return (self.end - self.first_day).days

    @property
    def shift_day(self) -> pd.Timestamp:
        """The day from which the second truth holds; after all days when there is no shift."""
        if self.shift_month is None:
            return pd.Timestamp.max
        return self.first_day + pd.DateOffset(months=self.shift_month)

    def stream(self, part: str) -> np.random.Generator:
        """Random numbers of one part of the world, so that no part disturbs another."""
        return np.random.default_rng([self.seed, crc32(part.encode())])
