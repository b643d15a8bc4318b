"""Leaks are named, and honest columns are not, however few the customers."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from icploop.demo.world import WorldSpec, simulate
from icploop.domain.tables import Tables, check_table
from icploop.modeling.accounts.features import AttributeHistory
from icploop.modeling.trust.leaks import (
    HONEST_GAP,
    Leak,
    Leaks,
    Sales,
    best_alone,
    find_leaks,
    shared_groups,
    shared_parents,
    too_good,
)
from icploop.settings import TABLES, Attribute, Kind, Settings
from tests.leaking import (
    PLANTS,
    declaring,
    planted,
    sales_of,
    with_changed_status,
    with_late_fills,
)

MOTION = "new-business"


def demo_company(seed: int, wins: int) -> tuple[Tables, Settings, pd.Timestamp]:
    world = simulate(WorldSpec(seed=seed, wins=wins, prospects=0, months=36, shift_month=None))
    checked = {
        name: check_table(name, getattr(world, name), max_money=1e12, place="tests").rows
        for name in TABLES
    }
    settings = Settings(company="Demo", motions=(MOTION,), dimensions=world.attributes)
    return Tables(**checked), settings, (world.spec.end - pd.Timedelta(days=1)).date()


@cache
def company() -> tuple[Tables, Settings, pd.Timestamp]:
    return demo_company(seed=11, wins=380)


@cache
def small_company() -> tuple[Tables, Settings, pd.Timestamp]:
    return demo_company(seed=12, wins=120)


def named(known: Tables, settings: Settings, day: pd.Timestamp) -> dict[str, str]:
    found = find_leaks(sales_of(known, settings, MOTION, day), settings.attributes)
    return {leak.attribute: leak.rule for leak in found.leaks}


def test_the_clean_demo_company_has_no_leak_and_nothing_to_mind() -> None:
    known, settings, day = company()
    found = find_leaks(sales_of(known, settings, MOTION, day), settings.attributes)
    assert found == Leaks()


def test_every_planted_leak_is_named_and_no_honest_column() -> None:
    known, settings, day = company()
    leaking, stated = planted(known, settings, MOTION, day, PLANTS)
    assert named(leaking, stated, day) == {
        "renewal_manager": "filled_by_outcome",
        "onboarding_lead": "filled_for_won_only",
        "churn_interview": "missingness",
        "health_score": "tells_alone",
        "current_mrr": "filled_for_won_only",
        "record_number": "identifier",
        "vat_code": "identifier",
        "cohort": "time",
    }


@pytest.mark.parametrize(
    ("name", "plant", "rule"),
    [
        ("partner", with_late_fills, "filled_after_close"),
        ("status", with_changed_status, "changes_after_outcome"),
    ],
)
def test_a_late_habit_is_a_leak_without_dates_and_worth_a_note_with_them(
    name: str, plant, rule: str
) -> None:
    known, settings, day = small_company()
    stated = declaring(settings, {name: "category"})
    assert named(plant(known, name, undated=True), stated, day) == {name: rule}
    dated = plant(known, name, undated=False)
    found = find_leaks(sales_of(dated, stated, MOTION, day), stated.attributes)
    assert found.leaks == ()
    (note,) = found.notes
    assert (note.code, note.severity) == ("backfilled", "note")
    assert f"`{name}`" in note.message


def test_a_column_that_was_introduced_late_is_no_habit() -> None:
    """Old accounts get their first value after the close, because there was no such column."""
    known, settings, day = small_company()
    accounts = known.accounts
    since = pd.Timestamp(day) - pd.DateOffset(months=18)
    accounts = accounts.assign(score=np.where(accounts["observed_at"] >= since, "x", None))
    # Everybody was recorded again on that day.
    again = accounts.drop_duplicates("account_id").assign(observed_at=since, score="x")
    there = accounts.loc[accounts["observed_at"] < since, "account_id"]
    again = again[again["account_id"].isin(there)]
    whole = replace(known, accounts=pd.concat([accounts, again], ignore_index=True))
    stated = declaring(settings, {"score": "category"})
    found = find_leaks(sales_of(whole, stated, MOTION, day), stated.attributes)
    assert (found.leaks, found.notes) == ((), ())


@pytest.mark.slow
def test_clean_companies_of_any_size_raise_no_alarm() -> None:
    alarms = 0
    for seed in range(4):
        known, settings, day = demo_company(seed, wins=[100, 180, 300, 560][seed % 4])
        alarms += bool(named(known, settings, day))
    assert alarms == 0


@pytest.mark.slow
def test_every_planted_leak_is_named_in_other_companies_too() -> None:
    for seed in range(2):
        known, settings, day = demo_company(seed, wins=400)
        leaking, stated = planted(known, settings, MOTION, day, PLANTS, seed)
        assert set(named(leaking, stated, day)) == set(PLANTS)


def customers(n: int, lost: int, seed: int = 0) -> pd.DataFrame:
    """Outcomes of n matured customers, of which `lost` left."""
    rng = np.random.default_rng(seed)
    stayed = (rng.permutation(n) >= lost).astype("float64")
    start = rng.lognormal(4, 1, n)
    nrr = stayed * rng.lognormal(0, 0.2, n)
    ids = [f"a{i}" for i in range(n)]
    return pd.DataFrame(
        {
            "account_id": ids,
            "deal_id": ids,
            "parent": ids,
            "at": pd.Timestamp(2023, 1, 1) + pd.to_timedelta(rng.permutation(n), unit="D"),
            "cycle_days": 30.0,
            "retained": stayed,
            "start_mrr": start,
            "end_mrr": start * nrr,
            "nrr": nrr,
            "won": 1.0,
        },
        index=ids,
    )


def looked_at(values: pd.Series, sold: pd.DataFrame, kind: Kind = "category") -> list[Leak]:
    frame = pd.DataFrame({"column": values}, index=sold.index)
    accounts = frame.assign(account_id=sold.index, observed_at=pd.NaT)
    sales = Sales(frame, sold, frame, sold, AttributeHistory.of(accounts))
    attribute = Attribute(name="column", dimension="pain_proof", kind=kind, label="column")
    return list(find_leaks(sales, [attribute]).leaks)


def filled(sold: pd.DataFrame, if_stayed: float, if_left: float) -> pd.Series:
    """A column that is filled in for these shares of the customers, exactly."""
    column = pd.Series(None, index=sold.index, dtype="str")
    for retained, part in ((1.0, if_stayed), (0.0, if_left)):
        members = sold.index[sold["retained"] == retained]
        column[members[: round(part * len(members))]] = "yes"
    return column


MANY = customers(200, 40)


@pytest.mark.parametrize(
    ("if_stayed", "if_left", "rule"),
    [
        (0.95, 0.1, "filled_by_outcome"),
        (0.1, 0.95, "filled_by_outcome"),
        (1.0, 0.0, "filled_by_outcome"),
        (0.3, 1.0, "missingness"),
    ],
)
def test_a_column_that_is_filled_in_by_the_outcome_is_named_with_its_evidence(
    if_stayed: float, if_left: float, rule: str
) -> None:
    (leak,) = looked_at(filled(MANY, if_stayed, if_left), MANY)
    assert leak.rule == rule
    said = leak.finding.message
    assert leak.finding.code == f"leak_{rule}"
    for part in ("`column`", f"{if_stayed:.0%}", f"{if_left:.0%}", "(n = 160)", "conf/icp.yaml"):
        assert part in said


@pytest.mark.parametrize(("lost", "leaks"), [(3, 0), (40, 1)])
def test_a_wide_gap_among_a_few_who_left_may_be_chance(lost: int, leaks: int) -> None:
    sold = customers(200, lost)
    assert len(looked_at(filled(sold, 0.95, 0.34), sold)) == leaks


def test_an_honest_gap_is_none_however_sure_it_is() -> None:
    sold = customers(20_000, 4000)
    assert looked_at(filled(sold, 0.9, 0.9 - HONEST_GAP + 0.02), sold) == []


@pytest.mark.parametrize("lost", [0, 200])
def test_where_all_stayed_or_all_left_there_is_nothing_to_tell(lost: int) -> None:
    alike = customers(200, lost)
    assert looked_at(filled(MANY, 0.5, 0.5), alike) == []
    scores = pd.Series(range(200), alike.index)
    assert too_good(scores, alike["retained"], scores) == []


def test_a_copy_of_the_revenue_at_the_horizon_is_named_and_size_is_not() -> None:
    rng = np.random.default_rng(1)
    paid = MANY["end_mrr"] * rng.lognormal(0, 0.05, 200)
    (leak,) = looked_at(paid, MANY, "number")
    assert leak.rule == "copy_of_outcome"
    size = MANY["start_mrr"] * rng.lognormal(0, 0.05, 200)
    assert looked_at(size, MANY, "number") == []


def test_a_number_that_counts_against_the_outcome_tells_as_much() -> None:
    risk = pd.Series(np.where(MANY["retained"] > 0, 0.0, 1.0), index=MANY.index)
    (leak,) = looked_at(risk, MANY, "flag")
    assert leak.rule in ("tells_alone", "copy_of_outcome")
    assert "which customers stayed" in leak.evidence


def test_levels_that_say_who_left_are_found_and_rare_ones_are_not_learned_by_heart() -> None:
    rng = np.random.default_rng(2)
    stage = pd.Series(np.where(MANY["retained"] > 0, "live", "closed"), index=MANY.index)
    assert len(looked_at(stage, MANY)) == 1
    rare = pd.Series(rng.integers(0, 90, 200).astype(str), index=MANY.index)
    assert looked_at(rare, MANY) == []


@pytest.mark.parametrize(
    ("values", "kind", "is_one"),
    [
        ([f"DE{i}" for i in range(200)], "category", True),
        ([f"DE{i % 100}" for i in range(200)], "category", False),
        ([5000.0 + 3 * i for i in range(200)], "number", True),
        ([float((i * 7919) % 200) for i in range(200)], "number", False),
        (["|".join((f"x{i}", f"y{i}")) for i in range(200)], "set", True),
        (["|".join((f"x{i % 9}", f"y{i % 7}")) for i in range(200)], "set", False),
    ],
)
def test_what_names_accounts_is_an_identifier(values: list, kind: Kind, is_one: bool) -> None:
    found = looked_at(pd.Series(values, index=MANY.index), MANY, kind)
    assert [leak.rule for leak in found] == ["identifier"] * is_one


def test_what_says_when_is_time() -> None:
    day = (MANY["at"] - MANY["at"].min()).dt.days
    (by_number,) = looked_at(day + 0.5, MANY, "date")
    (by_level,) = looked_at("w" + (day // 14).astype("str"), MANY)
    assert by_number.rule == by_level.rule == "time"


@pytest.mark.parametrize(
    ("after", "seen", "named"),
    [
        (150, pd.NaT, ["dated_after_sale"]),
        (-150, pd.NaT, []),
        # Somebody wrote down before the sale that a contract with another one would end.
        (150, pd.Timestamp(2022, 12, 1), []),
    ],
)
def test_a_date_after_the_sale_is_a_leak_where_nobody_can_have_known_it(
    after: int, seen: pd.Timestamp, named: list[str]
) -> None:
    days = pd.Series(np.random.default_rng(1).integers(-100, 100, 200) + after, MANY.index)
    dates = MANY["at"] + pd.to_timedelta(days, unit="D")
    accounts = pd.DataFrame(
        {"account_id": MANY.index, "column": dates.to_numpy(), "observed_at": seen}
    )
    frame = pd.DataFrame({"column": -days.astype("float64")})
    sales = Sales(frame, MANY, frame, MANY, AttributeHistory.of(accounts))
    attribute = Attribute(name="column", dimension="pain_proof", kind="date", label="column")
    leaks = find_leaks(sales, [attribute]).leaks
    assert [leak.rule for leak in leaks] == named
    if named:
        assert "days in the middle" in leaks[0].finding.message


class TestTooGood:
    def test_what_does_not_look_forward_stands_for_time_only(self) -> None:
        scores = MANY["retained"] + pd.Series(np.linspace(0, 0.5, 200), MANY.index)
        chance = pd.Series(np.random.default_rng(2).normal(size=100), MANY.index[:100])
        assert too_good(scores, MANY["retained"], chance) == []

    def test_the_columns_that_tell_most_are_named_first(self) -> None:
        rng = np.random.default_rng(4)
        frame = pd.DataFrame(
            {"size": rng.normal(size=200), "renewed": MANY["retained"] + 0.1}, MANY.index
        )
        told = [Attribute(name=n, dimension="pain_proof", kind="number", label=n) for n in frame]
        (first, alone), (second, _) = best_alone(frame, MANY["retained"], told, np.arange(200) % 5)
        assert (first, alone, second) == ("renewed", 1.0, "size")

    def test_a_high_auc_of_few_is_not_proof(self) -> None:
        """The false alarm of a first round: 78 customers of whom 8 left."""
        sold = customers(78, 8)
        rng = np.random.default_rng(6)
        scores = pd.Series(rng.normal(size=78), sold.index) + 1.25 * sold["retained"]
        assert too_good(scores, sold["retained"], scores) == []

    def test_scores_that_tell_who_stays_too_well_are_suspicious(self) -> None:
        scores = MANY["retained"] + pd.Series(np.linspace(0, 0.5, 200), MANY.index)
        dealt = scores.sample(frac=1, random_state=3)
        (said,) = too_good(dealt, MANY["retained"], dealt)
        assert (said.code, said.severity) == ("too_good", "refusal")
        assert "n = 200" in said.message

    def test_good_scores_are_not(self) -> None:
        sold = customers(4000, 800)
        rng = np.random.default_rng(7)
        scores = pd.Series(rng.normal(size=4000), sold.index) + 0.9 * sold["retained"]
        assert too_good(scores, sold["retained"], scores) == []


class TestSharedParents:
    def test_groups_on_both_sides_are_found(self) -> None:
        groups = pd.Series(["g", "g", "h", "h", None, None], index=list("abcdef"))
        found = shared_groups(groups, np.array([0, 1, 2, 2, 0, 1]))
        assert found.index.tolist() == ["a", "b"]

    def test_parents_are_never_torn_apart(self) -> None:
        parents = pd.Series([f"p{i // 3}" for i in range(90)], index=[f"a{i}" for i in range(90)])
        assert shared_parents(parents, parents, seed=0) == ([], [])

    @pytest.mark.parametrize(("siblings", "leaks"), [(60, 1), (2, 0)])
    def test_siblings_that_folds_do_not_know_are_a_leak_or_a_note(
        self, siblings: int, leaks: int
    ) -> None:
        ids = [f"a{i}" for i in range(120)]
        domains = pd.Series([f"d{i}" for i in range(120)], index=ids)
        domains.iloc[:siblings] = [f"shared{i // 2}" for i in range(siblings)]
        apart = [shared_parents(pd.Series(ids, ids), domains, seed) for seed in range(6)]
        assert max(len(found) for found, _ in apart) == leaks
        assert any(notes for _, notes in apart) == (not leaks)


def test_what_is_allowed_is_told_and_the_rest_is_refused() -> None:
    one, other = Leak("one", "time", "tells the time"), Leak("other", "time", "tells the time")
    refused, notes = Leaks((one, other)).but_for({"one": "we know", "clean": "to be sure"})
    assert refused == [other]
    assert [note.code for note in notes] == ["leak_allowed", "leak_not_found"]
    assert "because we know: Leak: `one` tells the time" in notes[0].message
    assert "`clean` was allowed as a leak (to be sure)" in notes[1].message
