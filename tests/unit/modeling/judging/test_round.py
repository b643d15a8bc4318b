from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from icploop.domain.calendar import seen_by
from icploop.domain.findings import of_code
from icploop.domain.gate import Prospective
from icploop.domain.outcomes import kpis
from icploop.domain.tables import Tables
from icploop.errors import DataError, UsageError
from icploop.modeling.accounts.market import Sight
from icploop.modeling.judging.round import Before, Round, run_round, snapshot_hash
from icploop.modeling.judging.trial import (
    AVERAGE,
    CHALLENGER,
    CHAMPION,
    CONTROL,
    HYPOTHESIS,
    PAGE,
    RANDOM,
)
from icploop.modeling.learning import mixture
from icploop.settings import Settings
from tests.companies import (
    AS_OF,
    DECLARED,
    SETTINGS,
    changed_after,
    company,
    deal,
    tables,
)

COMPANY = company()
# Only as much as a round needs, for rounds of which no number is looked at.
QUICK = company(wins=140, prospects=10)


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "_TREES_OF_FEW", 25)


def settings(**more: Any) -> Settings:
    policy = {"min_matured": 20, "newest": 40, "draws": 200} | more.pop("policy", {})
    return Settings(**(DECLARED | {"policy": policy} | more))


@cache
def judged() -> Round:
    return run_round(Sight.of(COMPANY, SETTINGS, "default", AS_OF))


@cache
def challenged() -> Round:
    """A quarter later, against the first round's version."""
    later = AS_OF + timedelta(days=91)
    return run_round(Sight.of(COMPANY, SETTINGS, "default", later), Before(judged().version))


def with_attribute(known: Tables, name: str, values: Any, seen: str | None = None) -> Tables:
    """The company with one more column, or another one, in its accounts."""
    rows = known.accounts.assign(**{name: values})
    if seen is not None:
        rows[name] = rows[name].where(rows["observed_at"] >= pd.Timestamp(seen))
    return replace(known, accounts=rows)


def declaring(name: str, kind: str) -> dict[str, Any]:
    return DECLARED["dimensions"] | {"pain_proof": {name: kind}}


def test_a_planted_truth_beats_the_average_customer_and_is_promoted() -> None:
    found = judged()
    assert found.ruling.verdict == "PROMOTE"
    assert found.comparison is not None
    assert found.comparison.rival == "the average customer profile"
    assert found.comparison.nrr.estimate > 0.1
    assert found.n_matured == found.trial.matured.shape[0] >= 60
    assert found.closed_deals == seen_by(COMPANY, AS_OF).deals["closed_at"].notna().sum()


def test_the_version_knows_what_it_was_learned_from() -> None:
    found = judged()
    assert found.version.motion == "default"
    assert found.version.as_of == AS_OF
    assert found.version.attributes == SETTINGS.attributes
    assert found.version.snapshot_hash == found.snapshot_hash
    assert found.version.policy_hash == found.policy_hash == SETTINGS.policy.digest()
    assert found.version.profile.matured == found.n_matured
    archived = found.version.archived
    assert sorted(archived.index) == sorted(found.trial.customers.index)
    assert len(archived) > found.n_matured
    fair = found.trial.scores[CHALLENGER]
    assert archived[fair.index].to_dict() == fair.to_dict()
    assert set(found.trial.judged.index) < set(fair.index)


def test_every_rival_is_judged_on_the_same_accounts_at_the_same_capacity() -> None:
    found = judged()
    rivals = found.trial.rivals
    assert list(rivals) == [CHALLENGER, AVERAGE, PAGE, RANDOM]
    assert rivals[CHALLENGER] == found.comparison.challenger
    assert rivals[AVERAGE] == found.comparison.rival_kpis
    holdout = found.trial.matured.loc[found.trial.holdout]
    assert rivals[RANDOM].nrr == pytest.approx(kpis(holdout).nrr)
    assert found.trial.everyone == kpis(holdout)


def test_the_holdout_is_the_newest_matured_accounts() -> None:
    before = Before(judged().version)
    trial = run_round(Sight.of(QUICK, settings(), "default", AS_OF), before).trial
    assert len(trial.holdout) == 40
    oldest_inside = trial.matured.loc[trial.holdout, "at"].min()
    outside = trial.matured.drop(trial.holdout)
    assert (outside["at"] <= oldest_inside).all()


def test_the_reference_is_the_prospects_as_they_are_known_today() -> None:
    version = judged().version
    features = Sight.of(COMPANY, SETTINGS, "default", AS_OF).market(version.attributes)
    assert len(features) >= 50
    expected = version.fit_model.predict(features)["expected_nrr"]
    assert version.reference.tolist() == sorted(expected)


def test_too_few_matured_accounts_give_no_version_and_say_how_many_more_are_needed() -> None:
    early = date(2023, 3, 31)
    found = run_round(Sight.of(COMPANY, SETTINGS, "default", early))
    assert 0 < found.n_matured < 40
    assert found.ruling.verdict == "INCONCLUSIVE"
    assert found.ruling.needed_matured == 40 - found.n_matured
    assert (found.version, found.comparison, found.trial) == (None, None, None)
    assert found.closed_deals > 0


def test_old_data_are_noted_first() -> None:
    few = company(wins=20)
    found = run_round(Sight.of(few, SETTINGS, "default", date(2024, 12, 31)))
    assert "days old on 2024-12-31" in found.notes[0].message


@pytest.mark.parametrize("known", [tables(), tables(deals=[deal("a", "2023-01-01", "2023-01-02")])])
def test_a_company_without_history_is_inconclusive(known: Tables) -> None:
    found = run_round(Sight.of(known, SETTINGS, "default", AS_OF))
    assert (found.ruling.verdict, found.ruling.needed_matured) == ("INCONCLUSIVE", 40)


@pytest.mark.parametrize("seed", [1, 2])
def test_changing_anything_after_the_day_changes_no_byte_of_the_round(seed: int) -> None:
    again = run_round(Sight.of(changed_after(COMPANY, AS_OF, seed), SETTINGS, "default", AS_OF))
    assert again.ruling == judged().ruling
    assert again.comparison == judged().comparison
    assert again.snapshot_hash == judged().snapshot_hash
    assert again.version.parts() == judged().version.parts()


def test_the_order_of_rows_changes_no_byte_of_the_round() -> None:
    shuffled = Tables(
        **{
            name: getattr(COMPANY, name).sample(frac=1, random_state=1)
            for name in ("accounts", "deals", "revenue", "signals")
        }
    )
    again = run_round(Sight.of(shuffled, SETTINGS, "default", AS_OF))
    assert again.version.parts() == judged().version.parts()
    assert again.ruling == judged().ruling


def test_a_champion_is_the_rival_and_is_judged_by_what_it_said_before_it_knew() -> None:
    champion = judged().version
    champion = replace(champion, archived=champion.archived[::2])
    found = run_round(Sight.of(QUICK, settings(), "default", AS_OF), Before(champion))
    assert found.comparison.rival == "the champion"
    assert list(found.trial.scores) == [CHALLENGER, CHAMPION, AVERAGE, PAGE, RANDOM]
    said = found.trial.scores[CHAMPION]
    learned = champion.archived.index.intersection(said.index)
    assert said[learned].tolist() == champion.archived[learned].tolist()
    fresh = found.trial.features.loc[said.index].drop(learned)
    assert len(fresh) > 5
    expected = champion.fit_model.predict(fresh[[a.name for a in champion.attributes]])
    assert said[fresh.index].tolist() == expected["expected_nrr"].tolist()


def test_the_prospective_reading_knows_only_what_matured_after_the_champion() -> None:
    then = AS_OF - timedelta(days=150)
    earlier = run_round(Sight.of(COMPANY, settings(), "default", then))
    found = run_round(Sight.of(COMPANY, settings(), "default", AS_OF), Before(earlier.version))
    later = found.comparison.prospective
    assert later.n == len(found.trial.holdout.difference(earlier.trial.matured.index))
    assert 20 <= later.n < len(found.trial.holdout)
    assert later.uplift is not None
    of_today = run_round(Sight.of(COMPANY, settings(), "default", AS_OF), Before(judged().version))
    assert of_today.comparison.prospective == Prospective(0, None)
    assert judged().comparison.prospective is None


def test_customers_of_an_earlier_list_are_weighed_beside_the_plain_reading() -> None:
    plain = run_round(Sight.of(QUICK, settings(), "default", AS_OF))
    trial = plain.trial
    ids = QUICK.accounts["account_id"].drop_duplicates()
    rng = np.random.default_rng(0)
    on_list = rng.random(len(ids)) < 0.5
    listing = pd.DataFrame(
        {
            "as_of": trial.judged.loc[trial.holdout, "at"].median().normalize(),
            "account_id": ids,
            "propensity": on_list.astype(float),
            "listed": on_list,
        }
    )
    found = run_round(
        Sight.of(QUICK, settings(), "default", AS_OF), Before(listings=listing)
    ).comparison
    assert found.weighted is not None
    assert 0.1 < found.weighted.listed < 0.4
    assert found.weighted.n_effective <= found.n_holdout
    assert found.uplift == plain.comparison.uplift


def test_a_champion_that_rests_on_an_attribute_that_has_left_the_settings_is_still_judged() -> None:
    dimensions = {"firmographic": {"employees": "number", "industry": "category"}}
    found = run_round(
        Sight.of(QUICK, settings(dimensions=dimensions), "default", AS_OF), Before(judged().version)
    )
    assert found.comparison.rival == "the champion"
    assert found.trial.scores[CHAMPION].notna().all()
    assert [a.name for a in found.version.attributes] == ["employees", "industry"]


def test_without_a_champion_every_customer_tells() -> None:
    trial = run_round(Sight.of(QUICK, settings(), "default", AS_OF)).trial
    assert sorted(trial.holdout) == sorted(trial.matured.index)
    assert trial.telling is trial.customers


def test_a_refit_is_believed_by_its_turnover_and_its_growth() -> None:
    belief = challenged().comparison.belief
    assert belief.refit.changed == ()
    assert belief.refit.learned_then == len(judged().trial.customers)
    assert belief.refit.learned_now == len(challenged().trial.customers)
    assert 0 < belief.refit.turnover < 1
    assert belief.change is None
    assert str(belief) in challenged().ruling.reasons[0]


def test_another_recipe_is_judged_beside_the_old_one_refitted() -> None:
    dimensions = {"firmographic": {"employees": "number"}}
    later = AS_OF + timedelta(days=91)
    changed = settings(dimensions=dimensions)
    found = run_round(Sight.of(COMPANY, changed, "default", later), Before(judged().version))
    belief = found.comparison.belief
    assert belief.refit.changed == ("attributes",)
    assert CONTROL in found.trial.scores
    assert belief.change is not None
    # What the company lives by is not among its attributes any more.
    assert belief.change.points < 0
    # The old recipe, refitted, gives what a round without the change learns.
    same = challenged().trial.scores[CHALLENGER]
    assert found.trial.scores[CONTROL].corr(same) > 0.999


def test_code_that_changed_cannot_be_run_again_and_has_no_prior() -> None:
    version = judged().version
    older = replace(version.learned, recipe=replace(version.learned.recipe, revision=0))
    found = run_round(
        Sight.of(QUICK, settings(), "default", AS_OF), Before(replace(version, learned=older))
    )
    assert CONTROL not in found.trial.scores
    assert found.comparison.belief.refit.changed == ("the fit model's code",)
    assert found.comparison.belief.prior.points == 0
    unknown = Before(replace(version, learned=None))
    found = run_round(Sight.of(QUICK, settings(), "default", AS_OF), unknown)
    assert found.comparison.belief.refit.changed
    assert found.changed_outcomes is None


def test_a_past_that_reads_differently_makes_the_round_invalid() -> None:
    version = judged().version
    assert challenged().changed_outcomes.share == 0
    seen = version.learned.outcomes
    moved = version.learned.outcomes.where(np.arange(len(seen)) % 4 > 0, seen + 0.3)
    rewritten = Before(replace(version, learned=replace(version.learned, outcomes=moved)))
    later = AS_OF + timedelta(days=91)
    found = run_round(Sight.of(COMPANY, SETTINGS, "default", later), rewritten)
    assert found.ruling.verdict == "INVALID"
    assert "The past has changed" in found.ruling.reasons[0]
    assert found.changed_outcomes.share == pytest.approx(0.25, abs=0.02)
    assert found.changed_outcomes.typical == pytest.approx(30)


def test_without_a_champion_the_stated_hypothesis_is_the_rival() -> None:
    stated = settings(hypothesis=[{"attribute": "industry", "any_of": ["retail"], "points": 2}])
    found = run_round(Sight.of(QUICK, stated, "default", AS_OF))
    assert found.comparison.rival == "the hypothesis"
    retail = found.trial.features["industry"].eq("retail")
    assert found.trial.scores[HYPOTHESIS].tolist() == (2.0 * retail).tolist()


def test_a_leak_makes_the_round_invalid_and_names_the_column() -> None:
    last_bill = QUICK.revenue.groupby("account_id")["month"].max()
    stayed = QUICK.accounts["account_id"].map(last_bill) >= pd.Timestamp(2023, 12, 1)
    leaking = with_attribute(QUICK, "renewed", np.where(stayed, "1", None))
    found = run_round(
        Sight.of(leaking, settings(dimensions=declaring("renewed", "flag")), "default", AS_OF)
    )
    assert found.ruling.verdict == "INVALID"
    leaks = [why for why in found.ruling.findings if "`renewed`" in why.message]
    assert {leak.severity for leak in leaks} == {"refusal"}
    assert found.allowed_leaks == {}


def test_an_allowed_leak_is_learned_from_and_told() -> None:
    last_bill = QUICK.revenue.groupby("account_id")["month"].max()
    stayed = QUICK.accounts["account_id"].map(last_bill) >= pd.Timestamp(2023, 12, 1)
    leaking = with_attribute(QUICK, "renewed", np.where(stayed, "1", None))
    stated = settings(dimensions=declaring("renewed", "flag"))
    found = run_round(
        Sight.of(leaking, stated, "default", AS_OF), allowed_leaks={"renewed": "we ask before"}
    )
    assert found.ruling.verdict != "INVALID"
    assert found.allowed_leaks == {"renewed": "we ask before"}
    (told,) = of_code(found.notes, ["leak_allowed"])
    assert told.message.startswith("Allowed, because we ask before: Leak: `renewed`")


def test_only_a_declared_column_can_be_allowed() -> None:
    with pytest.raises(UsageError, match="`renewal` is to be allowed"):
        run_round(Sight.of(QUICK, settings(), "default", AS_OF), allowed_leaks={"renewal": "why"})


@pytest.mark.parametrize(
    ("values", "seen", "note"),
    [
        ("same", None, "`extra` is left out: every matured account has the same value."),
        (
            "late",
            "2023-12-01",
            "`extra` is left out: none of the matured accounts had a value before the sale",
        ),
    ],
)
def test_an_attribute_that_teaches_nothing_is_left_out_with_a_note(
    values: str, seen: str | None, note: str
) -> None:
    known = with_attribute(QUICK, "extra", values, seen)
    stated = settings(dimensions=declaring("extra", "category"))
    found = run_round(Sight.of(known, stated, "default", AS_OF))
    assert [str(said).startswith(note) for said in found.notes] == [True]
    assert found.version.attributes == SETTINGS.attributes
    assert "extra" not in found.version.fit_model.encoding_.kinds


def test_where_no_attribute_teaches_anything_the_round_says_so() -> None:
    known = with_attribute(QUICK, "extra", "same")
    alone = settings(dimensions={"pain_proof": {"extra": "category"}})
    found = run_round(Sight.of(known, alone, "default", AS_OF))
    assert found.ruling.verdict == "INVALID"
    assert "`extra` is left out" in found.ruling.reasons[0]
    assert [why.as_dict()["severity"] for why in found.findings] == ["refusal"]
    assert (found.version, found.comparison) == (None, None)
    assert found.n_matured > 0


def test_an_attribute_that_no_account_carries_stops_the_round() -> None:
    stated = settings(dimensions=declaring("absent", "flag"))
    with pytest.raises(DataError, match="declares `absent`"):
        run_round(Sight.of(QUICK, stated, "default", AS_OF))


@pytest.mark.parametrize("name", ["accounts", "deals", "revenue", "signals"])
def test_the_snapshot_hash_changes_with_any_table_and_not_with_the_order_of_signals(
    name: str,
) -> None:
    seen = seen_by(QUICK, AS_OF)
    table = getattr(seen, name)
    assert snapshot_hash(replace(seen, **{name: table[:-1]})) != snapshot_hash(seen)
    renamed = table.rename(columns={table.columns[-1]: "other"})
    assert snapshot_hash(replace(seen, **{name: renamed})) != snapshot_hash(seen)
    shuffled = seen.signals.sample(frac=1, random_state=1)
    assert snapshot_hash(replace(seen, signals=shuffled)) == snapshot_hash(seen)


def test_customers_that_have_not_matured_are_learned_from_too() -> None:
    trial = judged().trial
    young = trial.customers[~trial.customers["matured"]]
    assert len(young) > 20
    assert young["nrr"].isna().all()
    assert young["months_at_risk"].between(1, 12).all()
    assert not set(young.index) & set(trial.judged.index)


@pytest.mark.parametrize(
    ("objective", "column"), [("grr", "expected_grr"), ("retention", "p_retained")]
)
def test_another_objective_ranks_and_judges_by_itself(objective: str, column: str) -> None:
    found = run_round(Sight.of(QUICK, settings(objective=objective), "default", AS_OF))
    assert found.comparison.uplift == getattr(found.comparison, objective)
    assert found.version.lineage == f"default.{objective}"
    expected = found.trial.expected[column]
    assert found.version.archived.to_dict() == expected.to_dict()
    predicted = found.version.fit_model.predict(found.trial.features)[column]
    pd.testing.assert_series_equal(
        found.version.ranked(found.trial.features), predicted, check_names=False
    )


VALUE = {"objective": "value", "value": {"gross_margin": 0.7, "cost_of_pursuit": 500}}


def test_value_is_judged_on_won_and_lost_deals() -> None:
    found = run_round(Sight.of(COMPANY, settings(**VALUE), "default", AS_OF))
    judged_accounts = found.trial.judged
    lost = judged_accounts[judged_accounts["won"] == 0]
    assert len(lost) >= 3
    # A deal of 1,200 a year that is lost costs 500; mean ACV is 1,200.
    assert lost["value"].round(6).eq(round(-500 / 1200, 6)).all()
    won = judged_accounts[judged_accounts["won"] == 1]
    earned = 0.7 * (1 + won["nrr"]) - 500 / 1200
    assert won["value"].tolist() == pytest.approx(earned.tolist())
    assert found.comparison.uplift == found.comparison.value
    assert found.version.lineage == "default.value"
    assert found.version.score_columns[-1] == "expected_value"
    assert "value of a deal" in " ".join(found.ruling.reasons)


def test_the_average_customer_of_value_is_learned_from_the_customers() -> None:
    found = run_round(Sight.of(COMPANY, settings(**VALUE), "default", AS_OF))
    assert found.trial.scores[AVERAGE].std() > 0


def test_value_without_lost_deals_stops_the_round_with_the_remedy() -> None:
    without = replace(QUICK, deals=QUICK.deals[QUICK.deals["outcome"] == "won"])
    with pytest.raises(DataError, match="needs lost deals"):
        run_round(Sight.of(without, settings(**VALUE), "default", AS_OF))


def test_without_lost_deals_the_chance_to_win_is_unknown_and_the_rest_goes_on() -> None:
    without = replace(QUICK, deals=QUICK.deals[QUICK.deals["outcome"] == "won"])
    found = run_round(Sight.of(without, settings(), "default", AS_OF))
    assert of_code(found.notes, ["p_win_unknown"])
    ids = pd.Series(found.trial.features.index)
    features = found.trial.features.reset_index(drop=True)
    scores = found.version.score_features(ids, features, AS_OF, "1")
    assert scores["p_win"].isna().all()
    assert scores["expected_nrr"].notna().all()


def test_a_half_life_makes_old_customers_count_less() -> None:
    plain = run_round(Sight.of(QUICK, settings(), "default", AS_OF)).trial.customers
    halved = settings(learning={"half_life_months": 6})
    weight = run_round(Sight.of(QUICK, halved, "default", AS_OF)).trial.customers["weight"]
    assert "weight" not in plain
    oldest, newest = plain["at"].idxmin(), plain["at"].idxmax()
    months = (plain.loc[newest, "at"] - plain.loc[oldest, "at"]).days / (365.25 / 12)
    assert weight[newest] / weight[oldest] == pytest.approx(2 ** (months / 6), rel=1e-3)


def test_the_stated_hypothesis_is_a_column_of_the_model() -> None:
    lines = [
        {"attribute": "industry", "any_of": ["retail"], "points": 2},
        {"attribute": "extra", "any_of": ["same"], "points": 1},
    ]
    stated = settings(hypothesis=lines, dimensions=declaring("extra", "category"))
    known = with_attribute(QUICK, "extra", "same")
    model = run_round(Sight.of(known, stated, "default", AS_OF)).version.fit_model
    # The line of an attribute that teaches nothing is left out with it.
    assert [line.attribute for line in model.hypothesis] == ["industry"]
    assert "stated hypothesis" in model.get_feature_names_out()


def test_with_too_few_matured_customers_the_round_points_to_the_hypothesis() -> None:
    lines = [{"attribute": "industry", "any_of": ["retail"], "points": 2}]
    early = date(2023, 3, 31)
    found = run_round(Sight.of(COMPANY, settings(hypothesis=lines), "default", early))
    assert found.ruling.verdict == "INCONCLUSIVE"
    assert [why.code for why in found.findings] == ["too_few_matured", "hypothesis_mode"]
    assert run_round(Sight.of(COMPANY, settings(), "default", early)).notes == ()


@pytest.mark.parametrize("seed", range(3))
def test_where_attributes_say_nothing_the_run_says_no_better_than_the_average_customer(
    seed: int,
) -> None:
    rows = QUICK.accounts.copy()
    names = ["employees", "industry", "tech", "funded_on", "has_sponsor"]
    dealt = np.random.default_rng(seed).permutation(len(rows))
    rows[names] = rows[names].to_numpy()[dealt]
    found = run_round(Sight.of(replace(QUICK, accounts=rows), settings(), "default", AS_OF))
    assert of_code(found.notes, ["no_skill"])
    assert not of_code(judged().notes, ["no_skill"])
