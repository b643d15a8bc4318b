import math
from dataclasses import fields, replace
from datetime import date
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.findings import Finding
from icploop.domain.gate import (
    Comparison,
    Difference,
    Ruling,
    Weighted,
    accounts_needed,
    decide,
    too_few,
)
from icploop.domain.outcomes import Kpis
from icploop.settings import GatePolicy

POLICY = GatePolicy(
    probability_better=0.8,
    min_uplift=0.01,
    grr_margin=0.05,
    retention_margin=0.03,
    min_matured=60,
)
NAN = float("nan")


def difference(estimate: float, better: float = 0.5, error: float = 0.02) -> Difference:
    return Difference(estimate, estimate - 2 * error, estimate + 2 * error, better, error)


def comparison(
    uplift: float, better: float, *, grr: float = 0.0, retention: float = 0.0, error: float = 0.02
) -> Comparison:
    return Comparison(
        rival="the champion",
        n_holdout=200,
        challenger=Kpis(1.1, 0.9, 0.9, 200),
        rival_kpis=Kpis(1.1 - uplift, 0.9 - grr, 0.9 - retention, 200),
        nrr=difference(uplift, better, error),
        grr=difference(grr),
        retention=difference(retention),
    )


def weighted(uplift: float, better: float) -> Weighted:
    return Weighted(0.4, 0.3, 90.0, difference(uplift, better))


@pytest.mark.parametrize(
    ("uplift", "better", "verdict"),
    [
        (0.05, 0.99, "PROMOTE"),
        (0.05, 0.8, "PROMOTE"),
        (0.05, 0.79, "INCONCLUSIVE"),
        (0.01, 0.99, "INCONCLUSIVE"),
        (0.011, 0.99, "PROMOTE"),
        (0.0, 0.5, "INCONCLUSIVE"),
        (0.0, 0.99, "INCONCLUSIVE"),
        (-0.05, 0.21, "INCONCLUSIVE"),
        (-0.05, 0.19, "KEEP"),
        (-0.05, 0.0, "KEEP"),
        (-0.001, 0.0, "KEEP"),
    ],
)
def test_the_verdict_follows_from_the_uplift_and_its_probability(
    uplift: float, better: float, verdict: str
) -> None:
    assert decide(comparison(uplift, better), POLICY).verdict == verdict


@pytest.mark.parametrize(("better", "verdict"), [(0.25, "KEEP"), (0.26, "INCONCLUSIVE")])
def test_a_loser_is_as_sure_as_a_winner_has_to_be(better: float, verdict: str) -> None:
    found = decide(comparison(-0.05, better), GatePolicy(probability_better=0.75))
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("falls", "reasons"),
    [
        ({"grr": -0.05, "retention": -0.03}, []),
        ({"grr": -0.051}, ["Guard: GRR falls by 5.1 points, more than the 5.0 points"]),
        ({"retention": -0.04}, ["Guard: logo retention falls by 4.0 points, more than the 3.0"]),
        (
            {"grr": -0.2, "retention": -0.1},
            ["Guard: GRR falls by 20.0 points", "Guard: logo retention falls by 10.0 points"],
        ),
    ],
)
def test_a_winner_that_breaks_a_guard_is_not_promoted(
    falls: dict[str, float], reasons: list[str]
) -> None:
    found = decide(comparison(0.05, 0.99, **falls), POLICY)
    assert found.verdict == ("KEEP" if reasons else "PROMOTE")
    if reasons:
        assert {said.severity for said in found.findings} == {"refusal"}
        assert len(found.reasons) == len(reasons)
        assert all(said.startswith(r) for said, r in zip(found.reasons, reasons, strict=True))


def test_distrust_makes_even_a_clear_winner_invalid_and_gives_its_reasons() -> None:
    doubts = (
        Finding("leak_time", "refusal", "Leak: x."),
        Finding("too_good", "refusal", "Odd: y."),
    )
    found = decide(comparison(0.3, 1.0), POLICY, doubts)
    assert found == Ruling("INVALID", doubts)
    assert found.reasons == ("Leak: x.", "Odd: y.")


@pytest.mark.parametrize("metric", ["nrr", "grr", "retention"])
@pytest.mark.parametrize("number", [f.name for f in fields(Difference)])
@pytest.mark.parametrize("missing", [NAN, math.inf, -math.inf])
def test_the_gate_fails_closed_on_any_number_that_is_missing(
    metric: str, number: str, missing: float
) -> None:
    whole = comparison(0.3, 0.99)
    broken = replace(getattr(whole, metric), **{number: missing})
    assert decide(replace(whole, **{metric: broken}), POLICY).verdict == "INVALID"


numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(numbers, numbers, numbers, numbers, numbers)
def test_only_a_finite_winner_within_the_guards_is_ever_promoted(
    uplift: float, better: float, error: float, grr: float, retention: float
) -> None:
    found = decide(comparison(uplift, better, grr=grr, retention=retention, error=error), POLICY)
    if found.verdict == "PROMOTE":
        assert all(map(math.isfinite, (uplift, better, error, grr, retention)))
        assert uplift > POLICY.min_uplift
        assert better >= POLICY.probability_better
        assert grr >= -POLICY.grr_margin
        assert retention >= -POLICY.retention_margin
    assert found.reasons


@pytest.mark.parametrize(
    ("found", "numbers"),
    [
        (decide(comparison(0.05, 0.97), POLICY), ["200", "110.0%", "105.0%", "+5.0", "97%"]),
        (decide(comparison(-0.05, 0.1), POLICY), ["worse", "200", "-5.0", "10%"]),
        (decide(comparison(0.02, 0.6), POLICY), ["1.0 points", "80%", "60%", "more matured"]),
        (decide(comparison(0.0, 0.5), POLICY), ["no number of accounts would tell"]),
    ],
)
def test_a_reason_is_a_sentence_with_the_number_that_decided(
    found: Ruling, numbers: list[str]
) -> None:
    (reason,) = found.reasons
    assert all(number in reason for number in numbers), reason
    assert reason[0].isupper()
    assert reason.endswith(".")


@pytest.mark.parametrize(("matured", "missing"), [(0, 60), (59, 1), (60, None), (61, None)])
def test_too_few_matured_accounts_decide_nothing_and_say_how_many_more_are_needed(
    matured: int, missing: int | None
) -> None:
    found = too_few(matured, POLICY)
    if missing is None:
        assert found is None
    else:
        assert found is not None
        assert (found.verdict, found.needed_matured) == ("INCONCLUSIVE", missing)
        assert f"{missing} more are needed" in found.reasons[0]


def test_too_few_matured_accounts_name_the_month_in_which_there_will_be_enough() -> None:
    found = too_few(59, POLICY, date(2025, 3, 1))
    assert found is not None
    assert "by 2025-03 at the earliest." in found.reasons[0]


def test_a_month_that_is_over_lacks_its_revenue() -> None:
    late = too_few(0, POLICY, date(2024, 3, 1), as_of=date(2025, 1, 31))
    assert late.reasons[0].endswith(
        "revenue of 2024-03 has not been seen yet: ingest newer revenue."
    )
    now = too_few(0, POLICY, date(2025, 1, 1), as_of=date(2025, 1, 31))
    assert "by 2025-01 at the earliest" in now.reasons[0]


def test_the_accounts_needed_are_those_at_which_the_uplift_would_reach_the_probability() -> None:
    # z(.8) = .842 and z(.69) = .496: errors must fall to .589, so n must grow by 2.88 times.
    seen = comparison(0.03, 0.69)
    needed = accounts_needed(seen, POLICY, 0.8)
    assert needed == 377
    reached = NormalDist().inv_cdf(0.69) * math.sqrt((seen.n_holdout + needed) / seen.n_holdout)
    assert reached == pytest.approx(NormalDist().inv_cdf(0.8), rel=0.01)
    assert decide(seen, POLICY).needed_matured == needed


@pytest.mark.parametrize(
    ("uplift", "better", "needed"),
    [(0.0, 0.7, 0), (0.01, 0.7, 0), (0.02, 0.5, 0), (0.02, 0.3, 0), (0.02, 1.0, 0), (0.5, 0.9, 1)],
)
def test_where_more_accounts_would_not_help_none_are_asked_for(
    uplift: float, better: float, needed: int
) -> None:
    assert accounts_needed(comparison(uplift, better), POLICY, 0.8) == needed


def test_a_round_may_ask_for_more_than_the_policy() -> None:
    seen = comparison(0.05, 0.9)
    assert decide(seen, POLICY, required=0.89).verdict == "PROMOTE"
    found = decide(seen, POLICY, required=0.95)
    assert found.verdict == "INCONCLUSIVE"
    assert "95%" in found.reasons[0]
    assert decide(comparison(-0.05, 0.06), POLICY, required=0.95).verdict == "INCONCLUSIVE"


def test_a_winner_that_breaks_a_guard_of_the_round_is_kept_out_with_its_sentence() -> None:
    harm = Finding("guard_part", "refusal", "Guard: x.")
    assert decide(comparison(0.05, 0.99), POLICY, guards=[harm]) == Ruling("KEEP", (harm,))
    # A guard says nothing about one that would not be promoted anyway.
    assert decide(comparison(0.05, 0.6), POLICY, guards=[harm]).verdict == "INCONCLUSIVE"


@given(st.floats(0.011, 0.5), st.floats(0.5, 0.99))
def test_a_surer_policy_never_asks_for_fewer_accounts(uplift: float, probability: float) -> None:
    seen = comparison(uplift, 0.6)
    lax, strict = (accounts_needed(seen, POLICY, p) for p in (probability, 0.99))
    assert 1 <= lax <= strict


@pytest.mark.parametrize(
    ("uplift", "better", "other", "verdict"),
    [
        (0.05, 0.99, weighted(0.02, 0.6), "PROMOTE"),
        # The other reading points elsewhere, but is not sure of it.
        (0.05, 0.99, weighted(-0.02, 0.3), "PROMOTE"),
        (0.05, 0.99, weighted(-0.02, 0.19), "INCONCLUSIVE"),
        (-0.05, 0.05, weighted(0.02, 0.81), "INCONCLUSIVE"),
        (-0.05, 0.05, weighted(-0.02, 0.1), "KEEP"),
    ],
)
def test_where_the_reading_weighted_for_earlier_lists_disagrees_nothing_is_decided(
    uplift: float, better: float, other: Weighted, verdict: str
) -> None:
    found = decide(replace(comparison(uplift, better), weighted=other), POLICY)
    assert found.verdict == verdict
    if verdict == "INCONCLUSIVE":
        (reason,) = found.reasons
        assert "40% of the 200 holdout accounts" in reason
        assert f"{100 * uplift:+.1f} points" in reason
        assert f"{100 * other.uplift.estimate:+.1f} (" in reason
