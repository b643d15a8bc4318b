"""What happened: deals, the revenue of those won, and what customers did meanwhile."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from icploop.demo.draw_world import WIN_RATE
from icploop.demo.market import Booleans, Floats, account_ids
from icploop.demo.truth import (
    DISCOUNTS,
    NEVER_BILLED,
    STEP_CHANCE,
    STEP_NOISE,
    WIN,
    Nature,
    chance,
    list_price,
    step_factor,
)
from icploop.demo.world_spec import WorldSpec

MOTION = "new-business"

_DEAL_GROWTH = 0.6  # how many more deals a day there are at the end than at the start
_CYCLE_DAYS = (10, 120)
_RETURNING = 0.06  # share of lost accounts that come back with a second deal
_PAUSE_DAYS = (60, 360)
# Share of a year's churn hazard that falls on each month after the first bill.
_CHURN_BY_MONTH = np.array([0.10] * 3 + [0.06] * 8 + [0.22])
_CHURN_BY_MONTH_TRAPPED = np.array([0.24, 0.20, 0.16] + [0.04] * 8 + [0.08])
_TYPICAL_HAZARD = 0.12


def draw_created(rng: np.random.Generator, spec: WorldSpec) -> pd.DatetimeIndex:
    """Days on which the accounts' first deals are created, in order, ever more of them."""
    mean_cycle = sum(_CYCLE_DAYS) / 2
    count = round(spec.wins / WIN_RATE / (1 - mean_cycle / spec.days))
    more = _DEAL_GROWTH
    passed = (np.sqrt(1 + (2 * more + more**2) * np.sort(rng.random(count))) - 1) / more
    return spec.first_day + pd.to_timedelta(np.floor(passed * spec.days), unit="D")


def draw_deals(
    rng: np.random.Generator,
    spec: WorldSpec,
    nature: Nature,
    market: pd.DataFrame,
    created: pd.DatetimeIndex,
) -> pd.DataFrame:
    """All deals in order of creation; `account` is the place of the account in the market.

    `acv` and `acquisition_cost` are money a year and money, `discount` and `gross_margin` ratios.
    """
    first = _pursue(rng, spec, nature, market, np.arange(len(created)), created)
    lost = first[(first["outcome"] == "lost") & (rng.random(len(first)) < _RETURNING)]
    pause = pd.to_timedelta(rng.integers(*_PAUSE_DAYS, len(lost)), unit="D")
    again = pd.DatetimeIndex(lost["closed_at"]) + pause
    account, again = lost["account"].to_numpy()[again < spec.end], again[again < spec.end]
    second = _pursue(rng, spec, nature, market, account, again)
    deals = pd.concat([first, second]).sort_values("created_at", kind="stable", ignore_index=True)
    deals.insert(0, "deal_id", _numbered("D", len(deals)))
    return deals


def _pursue(
    rng: np.random.Generator,
    spec: WorldSpec,
    nature: Nature,
    market: pd.DataFrame,
    account: npt.NDArray[np.int_],
    created: pd.DatetimeIndex,
) -> pd.DataFrame:
    count, sought = len(account), market.iloc[account]
    cycle = _CYCLE_DAYS[0] + np.floor(rng.beta(1.6, 2.2, count) * (np.ptp(_CYCLE_DAYS) + 1))
    closed = created + pd.to_timedelta(cycle, unit="D")
    won = rng.random(count) < chance(nature.fate(sought, created)[:, WIN])
    is_open = np.asarray(closed >= spec.end)
    discount = rng.choice(DISCOUNTS, count)
    price = list_price(sought) * _noise(rng, 0.35, count)
    acv = np.round(price * (1 - discount), -1)
    return pd.DataFrame(
        {
            "account": account,
            "created_at": created,
            "closed_at": closed.where(~is_open),
            "outcome": pd.Series(np.select([is_open, won], ["open", "won"], "lost"), dtype="str"),
            "motion": pd.Series(MOTION, index=range(count), dtype="str"),
            "acv": acv,
            "discount": discount,
            "gross_margin": np.round(np.clip(rng.normal(0.78, 0.05, count), 0.5, 0.95), 3),
            "acquisition_cost": np.round(0.45 * acv * _noise(rng, 0.5, count) + 1_500, -1),
        }
    )


@dataclass(frozen=True)
class Customers:
    """Won accounts that were billed, in parallel arrays; months count from the world's first.

    Attributes:
        account: Place of the account in the market.
        first_month: Month of the first bill, the one after the close.
        log_hazard: Log of the churn hazard in twelve months, hidden friction included.
        log_growth: Log of the yearly growth, hidden friction included.
        trapped: Whether the account is of the bad segment.
        mrr: Money a month, customers x months; zero where nothing is billed.
    """

    account: npt.NDArray[np.int_]
    first_month: npt.NDArray[np.int_]
    log_hazard: Floats
    log_growth: Floats
    trapped: Booleans
    mrr: Floats


def bill_customers(
    rng: np.random.Generator,
    spec: WorldSpec,
    nature: Nature,
    market: pd.DataFrame,
    deals: pd.DataFrame,
    friction: Floats,
) -> Customers:
    """Let the won accounts live, grow and leave; `friction` is that of each account."""
    won = deals[deals["outcome"] == "won"]
    won = won[rng.random(len(won)) >= NEVER_BILLED]
    account = won["account"].to_numpy()
    fate = nature.fate(market.iloc[account], pd.DatetimeIndex(won["created_at"]))
    log_hazard, log_growth = (fate[:, :WIN] + np.outer(friction[account], nature.friction)).T
    trapped = nature.trapped(market.iloc[account])
    closed = won["closed_at"].dt
    first_month = (
        (closed.year - spec.start.year) * 12 + closed.month - spec.start.month + 1
    ).to_numpy(dtype=int)
    age = np.arange(spec.months) - first_month[:, None]
    alive = _is_alive(rng, np.exp(log_hazard), trapped, age)
    grown = _growth_path(rng, log_growth, age)
    start = won["acv"].to_numpy() / 12 * _noise(rng, 0.08, len(won))
    mrr = np.where(alive, np.round(start[:, None] * grown, 2), 0.0)
    return Customers(account, first_month, log_hazard, log_growth, trapped, mrr)


def _is_alive(
    rng: np.random.Generator,
    hazard: Floats,
    trapped: Booleans,
    age: npt.NDArray[np.int_],
) -> Booleans:
    """Whether a customer is billed at each age in months; the first bill always is."""
    month = (age - 1) % 12
    share = np.where(trapped[:, None], _CHURN_BY_MONTH_TRAPPED[month], _CHURN_BY_MONTH[month])
    hazard_so_far = np.cumsum(np.where(age > 0, hazard[:, None] * share, 0), axis=1)
    lifetime = rng.exponential(size=len(hazard))
    return (age >= 0) & (hazard_so_far < lifetime[:, None])


def _growth_path(rng: np.random.Generator, log_growth: Floats, age: npt.NDArray[np.int_]) -> Floats:
    """Revenue at each age over revenue at the start, for as long as the customer lives."""
    drift = np.log(step_factor(log_growth))[:, None] - STEP_NOISE**2 / 2
    steps = (rng.random(age.shape) < STEP_CHANCE) & (age > 0)
    change = drift + rng.normal(0, STEP_NOISE, age.shape)
    return np.asarray(np.exp(np.cumsum(np.where(steps, change, 0), axis=1)))


def revenue_table(spec: WorldSpec, customers: Customers) -> pd.DataFrame:
    """One row per customer and month billed, and one of zero in the month after the last bill."""
    billed = customers.mrr > 0
    left = ~billed[:, 1:] & billed[:, :-1]
    shown = billed.copy()
    shown[:, 1:] |= left
    customer, month = np.nonzero(shown)
    return pd.DataFrame(
        {
            "account_id": account_ids(customers.account[customer]),
            "month": _month_starts(spec)[month],
            "mrr": customers.mrr[customer, month],
        }
    )


def draw_signals(rng: np.random.Generator, spec: WorldSpec, customers: Customers) -> pd.DataFrame:
    """What customers did while they were billed, tied to how they fare.

    `value` is the severity of a ticket (1 to 4), the share of paid seats in use, the money of a
    failed payment, the stars of a review (1 to 5), and 1 for a referral.
    """
    customer, month = np.nonzero(customers.mrr > 0)
    signals = _signals_by_kind(rng, customers, customer, customers.mrr[customer, month])
    where = np.concatenate([billed for billed, _ in signals.values()])
    kinds = np.repeat(list(signals), [len(billed) for billed, _ in signals.values()])
    day = pd.to_timedelta(rng.integers(0, 28, len(where)), unit="D")
    table = pd.DataFrame(
        {
            "account_id": account_ids(customers.account[customer[where]]),
            "at": _month_starts(spec)[month[where]] + day,
            "kind": pd.Series(kinds, dtype="str"),
            "value": np.concatenate([values for _, values in signals.values()]).astype(float),
        }
    )
    return table.sort_values(["at", "account_id"], kind="stable", ignore_index=True)


def _signals_by_kind(
    rng: np.random.Generator, customers: Customers, customer: npt.NDArray[np.int_], mrr: Floats
) -> dict[str, tuple[npt.NDArray[np.int_], npt.NDArray[np.generic]]]:
    """For each kind: the places among the billed months where it occurs, and its values."""
    strain = customers.log_hazard[customer] - np.log(_TYPICAL_HAZARD)
    growth, trapped = customers.log_growth[customer], customers.trapped[customer]
    count = len(customer)
    billed = np.arange(count)

    tickets = np.repeat(billed, rng.poisson(np.exp(0.4 * strain - 1.6 + 1.1 * trapped)))
    usage = np.clip(0.62 - 0.08 * strain + 0.4 * growth + rng.normal(0, 0.1, count), 0.02, 1)
    fails = rng.random(count) < 0.012 * np.exp(0.5 * strain + 1.3 * trapped)
    refers = rng.random(count) < 0.008 * np.exp(3 * growth - 0.5 * strain)
    reviews = rng.random(count) < 0.03
    stars = np.clip(np.round(4 - 0.6 * strain + 2 * growth + rng.normal(0, 0.7, count)), 1, 5)
    return {
        "ticket": (tickets, rng.integers(1, 5, len(tickets))),
        "usage": (billed, np.round(usage, 3)),
        "payment_failure": (billed[fails], mrr[fails]),
        "referral": (billed[refers], np.ones(refers.sum())),
        "review": (billed[reviews], stars[reviews]),
    }


def _month_starts(spec: WorldSpec) -> pd.DatetimeIndex:
    return pd.date_range(spec.first_day, periods=spec.months, freq="MS", unit="us")


def _noise(rng: np.random.Generator, spread: float, count: int) -> Floats:
    """Factors around one, whose mean is one."""
    return np.exp(rng.normal(-(spread**2) / 2, spread, count))


def _numbered(prefix: str, count: int) -> pd.Series:
    return prefix + pd.Series(range(1, count + 1)).astype("str").str.zfill(6)
