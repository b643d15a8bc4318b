import numpy as np
import pandas as pd
import pytest

from icploop.modeling.leaks import (
    SUSPICIOUS_AUC,
    SUSPICIOUS_GAP,
    Leak,
    filled_by_outcome,
    too_good,
)


def accounts(n: int, seed: int = 0, retention: float = 0.8) -> pd.DataFrame:
    """Outcomes of n accounts, of which `retention` stay."""
    stayed = np.random.default_rng(seed).permutation(n) < retention * n
    return pd.DataFrame({"retained": stayed.astype("float64")}, index=[f"a{i}" for i in range(n)])


def filled(outcomes: pd.DataFrame, if_stayed: float, if_left: float, seed: int = 1) -> pd.DataFrame:
    """A column that is filled in for these shares of the accounts, exactly."""
    rng = np.random.default_rng(seed)
    column = pd.Series(np.nan, index=outcomes.index)
    for retained, share in ((1.0, if_stayed), (0.0, if_left)):
        members = outcomes.index[outcomes["retained"] == retained].to_numpy()
        column[rng.permutation(members)[: round(share * len(members))]] = 1.0
    return pd.DataFrame({"column": column})


OUTCOMES = accounts(200)


@pytest.mark.parametrize(("if_stayed", "if_left"), [(0.95, 0.1), (0.1, 0.95), (1.0, 0.0)])
def test_a_column_that_is_filled_in_by_the_outcome_is_named_with_the_evidence(
    if_stayed: float, if_left: float
) -> None:
    (leak,) = filled_by_outcome(filled(OUTCOMES, if_stayed, if_left), OUTCOMES)
    assert leak.attribute == "column"
    assert leak.filled_if_retained == pytest.approx(if_stayed, abs=0.01)
    assert leak.filled_if_lost == pytest.approx(if_left, abs=0.03)


def test_the_warning_says_what_was_seen_and_what_to_do() -> None:
    said = str(Leak("state", 0.95, 0.1))
    assert all(part in said for part in ("`state`", "95%", "10%", "conf/icp.yaml", "observed_at"))


def test_only_the_leaking_one_of_two_alike_columns_is_named() -> None:
    both = filled(OUTCOMES, 0.95, 0.1).assign(
        clean=filled(OUTCOMES, 0.6, 0.6)["column"], full=1.0, empty=np.nan
    )
    assert [leak.attribute for leak in filled_by_outcome(both, OUTCOMES)] == ["column"]


@pytest.mark.parametrize(("beyond", "named"), [(-0.05, False), (0.05, True)])
def test_the_gap_must_be_wide(beyond: float, named: bool) -> None:
    many = accounts(4000)
    gap = SUSPICIOUS_GAP + beyond
    assert bool(filled_by_outcome(filled(many, 0.9, 0.9 - gap), many)) == named


def test_a_wide_gap_among_a_few_accounts_may_be_chance() -> None:
    few = accounts(8, retention=0.5)
    assert filled_by_outcome(filled(few, 1.0, 0.5), few) == []


@pytest.mark.parametrize("retention", [0.0, 1.0])
def test_where_all_stayed_or_all_left_there_is_nothing_to_tell(retention: float) -> None:
    alike = accounts(50, retention=retention)
    assert filled_by_outcome(filled(alike, 0.5, 0.5), alike) == []
    assert too_good(pd.Series(range(50), alike.index), alike["retained"]) == []


def test_outcomes_are_matched_by_account_and_not_by_position() -> None:
    leaking = filled(OUTCOMES, 0.95, 0.1).sample(frac=1, random_state=2)
    assert len(filled_by_outcome(leaking, OUTCOMES)) == 1
    scores = OUTCOMES["retained"].sample(frac=1, random_state=3)
    assert len(too_good(scores, OUTCOMES["retained"])) == 1


def test_honest_gaps_hardly_ever_raise_an_alarm() -> None:
    """Twenty columns with random gaps, on sixty accounts, a hundred times."""
    alarms = 0
    for seed in range(100):
        outcomes = accounts(60, seed=seed, retention=0.85)
        rng = np.random.default_rng(1000 + seed)
        gaps = rng.random((60, 20)) < rng.uniform(0.05, 0.95, 20)
        features = pd.DataFrame(np.where(gaps, np.nan, 1.0), index=outcomes.index)
        alarms += bool(filled_by_outcome(features, outcomes))
    assert alarms <= 5


def scores_with_auc(auc: float) -> pd.Series:
    """Scores of OUTCOMES: `auc` of the lost accounts stand below all that stayed, others above."""
    lost = OUTCOMES.index[OUTCOMES["retained"] == 0]
    scores = pd.Series(1.0, index=OUTCOMES.index)
    scores[lost] = 2.0
    scores[lost[: round(auc * len(lost))]] = 0.0
    return scores


@pytest.mark.parametrize(
    ("auc", "suspicious"),
    [(0.0, False), (0.5, False), (0.775, False), (SUSPICIOUS_AUC, True), (1.0, True)],
)
def test_scores_that_tell_too_well_who_stays_are_suspicious(auc: float, suspicious: bool) -> None:
    found = too_good(scores_with_auc(auc), OUTCOMES["retained"])
    assert bool(found) == suspicious
    assert all(f"{auc:.2f}" in sentence for sentence in found)
