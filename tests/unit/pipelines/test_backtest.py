import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icploop.domain.calendar import seen_by
from icploop.domain.tables import Tables, check_table
from icploop.errors import DataError, UsageError
from icploop.io.home import Home
from icploop.modeling.judging.round import Round, snapshot_hash
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.backtest import BacktestReport, backtest
from icploop.settings import parse_settings
from tests.unit import planted
from tests.unit.io_fixtures import icp, inbox, new_home, write_csv

MOTION, TO = planted.MOTION, date(2024, 8, 31)
# A short horizon, so that customers won after the first promotion mature within the company's time.
SETTINGS: dict[str, Any] = planted.SETTINGS | {
    "outcome": {"horizon_months": 3},
    "trigger": {"closed_deals": 120, "calendar_floor_days": 10_000},
    "policy": {"min_matured": 40, "newest": 80, "draws": 200},
}


def replaying(
    frames: dict[str, pd.DataFrame], to: date = TO, motion: str = MOTION, **policy: int
) -> AsOf:
    """A company that is in no warehouse, on the last day that is replayed."""
    stated = SETTINGS | {"policy": SETTINGS["policy"] | policy}
    settings = parse_settings(yaml.safe_dump(stated), "conf/icp.yaml")
    return AsOf(Home(Path("nowhere")), settings, motion, to, given=tables(frames))


def tables(frames: dict[str, pd.DataFrame]) -> Tables:
    """The tables of frames as ingest would store them."""
    return Tables(
        **{
            name: check_table(name, frame, max_money=1e9, place=name).rows
            for name, frame in frames.items()
        }
    )


def answer_of(report: BacktestReport) -> str:
    return json.dumps(report.as_dict(), sort_keys=True)


@pytest.fixture(scope="module")
def first_answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `icp backtest --json` says, from files to answer."""
    home: Home = new_home(tmp_path_factory.mktemp("backtest"), SETTINGS)
    write_csv(inbox(home), planted.company())
    assert icp("ingest", home=home).status == 0
    answer = icp("backtest", "--to", TO, "--json", home=home)
    assert answer.status == 0
    assert "replaying" in answer.err
    return answer.json


def test_rounds_run_when_they_are_due(first_answer: dict[str, Any]):
    rounds = first_answer["rounds"]
    assert [r["closed_deals"] for r in rounds] == [120, 240][: len(rounds)]
    assert len(rounds) >= 1
    deals = planted.company()["deals"]
    for r in rounds:
        closed_by = (deals["closed_at"] <= r["as_of"]).sum()
        assert closed_by == r["closed_deals"]


def test_the_planted_signal_is_promoted_at_once(first_answer: dict[str, Any]):
    first = first_answer["rounds"][0]
    assert (first["verdict"], first["rival"]) == ("PROMOTE", "the average customer profile")
    assert first["uplift"] > 0.01
    assert first["champion"] == first["as_of"]


def test_versions_in_force_are_judged_on_customers_won_afterwards(first_answer: dict[str, Any]):
    found = first_answer["prospective"]
    assert found["accounts"] > 10
    assert found["icp_nrr"] > found["everyone_nrr"]
    assert found["icp_nrr"] - found["average_customer_nrr"] == pytest.approx(
        found["uplift"]["estimate"]
    )


def test_a_second_run_gives_the_same_numbers_from_rows_in_any_order(first_answer: dict[str, Any]):
    shuffled = {
        name: frame.sample(frac=1, random_state=1) for name, frame in planted.company().items()
    }
    again = backtest(replaying(shuffled))
    assert json.loads(answer_of(again)) == first_answer


def test_changing_all_that_is_dated_later_changes_nothing(first_answer: dict[str, Any]):
    other = backtest(replaying(_another_future()))
    assert json.loads(answer_of(other)) == first_answer


def _another_future() -> dict[str, pd.DataFrame]:
    """The planted company, with everything after `TO` changed."""
    frames = planted.company()
    after = pd.Timestamp(TO) + pd.Timedelta(days=1)
    deals = frames["deals"]
    later = deals["created_at"] >= after
    deals.loc[later, ["outcome", "acv"]] = ["lost", 1.0]
    deals.loc[later, "closed_at"] = deals["created_at"]
    # A deal that is not yet decided then may end in any way.
    undecided = ~later & ~(deals["closed_at"] < after)
    deals.loc[undecided, "outcome"] = "won"
    deals.loc[undecided, "closed_at"] = after
    revenue = frames["revenue"]
    revenue.loc[revenue["month"] >= after, "mrr"] = 1e6
    accounts = frames["accounts"]
    rewritten = accounts.drop_duplicates("account_id").assign(
        observed_at=after, industry="gaming", employees=1.0, gossip="only later"
    )
    known_later = accounts["observed_at"] >= after
    signals = frames["signals"].assign(at=after, value=9.0)
    return {
        "accounts": pd.concat([accounts[~known_later], rewritten]),
        "deals": deals,
        "revenue": revenue,
        "signals": signals,
    }


@pytest.mark.parametrize(("day", "same"), [(TO, True), (TO + timedelta(days=1), False)])
def test_the_future_that_is_changed_begins_the_day_after(day: date, same: bool):
    """Else the test above would hold for changes that nobody could have noticed."""
    ours, other = (
        snapshot_hash(seen_by(tables(frames), day))
        for frames in (planted.company(), _another_future())
    )
    assert (ours == other) == same


def test_every_round_is_reported_while_it_runs():
    seen: list[tuple[str, int, int]] = []

    def note(judged: Round, done: int, total: int) -> None:
        seen.append((judged.ruling.verdict, done, total))

    report = backtest(replaying(planted.company(), min_matured=10_000), on_round=note)
    assert [verdict for verdict, *_ in seen] == report.rounds["verdict"].tolist()
    assert all(0 < done <= total for _, done, total in seen)
    assert report.prospective is None


class TestWithoutAnythingToReplay:
    @pytest.mark.parametrize("first", [None, date(2023, 1, 1)])
    def test_a_motion_without_deals_is_told_those_that_there_are(self, first: date | None):
        with pytest.raises(DataError, match=r"No deal of the motion `upsell`.*found: default"):
            backtest(replaying(planted.company(), motion="upsell"), first=first)

    def test_a_day_before_the_first_deal_is_refused(self):
        with pytest.raises(DataError, match="was created by then"):
            backtest(replaying(planted.company(), date(2021, 12, 31)))

    def test_days_in_the_wrong_order_are_wrong_usage(self):
        with pytest.raises(UsageError, match="--from 2024-09-01 comes after --to 2024-08-31"):
            backtest(replaying(planted.company()), first=date(2024, 9, 1))

    def test_a_time_in_which_no_round_is_due_has_an_empty_answer(self):
        report = backtest(replaying(planted.company(), date(2022, 2, 1)))
        assert report.as_dict() == {"rounds": [], "prospective": None}
