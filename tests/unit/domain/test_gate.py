import math
from dataclasses import fields, replace
from datetime import date
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.findings import Finding
from icploop.domain.gate import Comparison, Difference, Ruling, Weighted, decide, too_few
from icploop.domain.outcomes import Kpis
from icploop.domain.posterior import Belief, Gain, Refit
from icploop.settings import GatePolicy

POLICY = GatePolicy(
    probability_better=0.8,
    min_uplift=0.01,
    grr_margin=0.05,
    retention_margin=0.03,
    min_matured=60,
)
NAN = float("nan")
SAID = Gain(1.0, 2.0)
REFIT = Refit(0.12, 341, skill_z=3.0, learned_then=300)


def difference(estimate: float, ahead: float = 0.5, error: float = 0.02) -> Difference:
    return Difference(estimate, estimate - 2 * error, estimate + 2 * error, ahead, error)


def belief(better: float, gain: float = 3.0, customers: Gain = SAID) -> Belief:
    """A belief that it is better with this probability, by so many points on average."""
    far = NormalDist().inv_cdf(min(max(better, 1e-9), 1 - 1e-9))
    points = math.copysign(gain, far)
    posterior = Gain(points, abs(points / far) if far else 1.0) if far else Gain(0.0, 1.0)
    return Belief(REFIT, Gain(0.4, 0.6), customers, posterior, 200)


def comparison(
    uplift: float,
    better: float,
    *,
    gain: float = 3.0,
    customers: Gain = SAID,
    grr: float = 0.0,
    retention: float = 0.0,
    error: float = 0.02,
) -> Comparison:
    return Comparison(
        rival="the champion",
        n_holdout=200,
        challenger=Kpis(1.1, 0.9, 0.9, 200),
        rival_kpis=Kpis(1.1 - uplift, 0.9 - grr, 0.9 - retention, 200),
        nrr=difference(uplift, error=error),
        grr=difference(grr),
        retention=difference(retention),
        belief=belief(better, gain, customers),
    )


def weighted(uplift: float, better: float) -> Weighted:
    return Weighted(0.4, 0.3, 90.0, difference(uplift, better))


@pytest.mark.parametrize(
    ("better", "gain", "verdict"),
    [
        (0.99, 3.0, "PROMOTE"),
        (0.801, 3.0, "PROMOTE"),
        (0.799, 3.0, "INCONCLUSIVE"),
        (0.99, 0.99, "INCONCLUSIVE"),
        (0.99, 1.01, "PROMOTE"),
        (0.5, 3.0, "INCONCLUSIVE"),
        (0.201, 3.0, "INCONCLUSIVE"),
        (0.199, 3.0, "KEEP"),
        (0.001, 3.0, "KEEP"),
    ],
)
def test_the_verdict_follows_from_the_probability_and_the_gain(
    better: float, gain: float, verdict: str
) -> None:
    assert decide(comparison(0.05, better, gain=gain), POLICY).verdict == verdict


@pytest.mark.parametrize(
    ("uplift", "customers", "verdict"),
    [
        (0.01, 1.0, "PROMOTE"),
        (0.01, -1.0, "PROMOTE"),
        (-0.01, 1.0, "PROMOTE"),
        (-0.01, -1.0, "INCONCLUSIVE"),
        (0.0, 0.0, "INCONCLUSIVE"),
    ],
)
def test_the_holdout_speaks_for_a_winner_by_its_nrr_or_by_what_customers_did(
    uplift: float, customers: float, verdict: str
) -> None:
    seen = comparison(uplift, 0.99, customers=Gain(customers, 2.0))
    found = decide(seen, POLICY)
    assert found.verdict == verdict
    assert ("policy.holdout" in found.reasons[0]) == (verdict == "INCONCLUSIVE")
    may_disagree = POLICY.model_copy(update={"holdout": "may_disagree"})
    assert decide(seen, may_disagree).verdict == "PROMOTE"


@pytest.mark.parametrize(("points", "verdict"), [(1.69, "PROMOTE"), (1.67, "INCONCLUSIVE")])
def test_strict_asks_what_customers_did_alone_too(points: float, verdict: str) -> None:
    seen = comparison(0.05, 0.9, customers=Gain(points, 2.0))
    assert decide(seen, GatePolicy(preset="strict")).verdict == verdict


def test_what_does_not_know_good_from_bad_is_never_promoted() -> None:
    seen = comparison(0.05, 0.99)
    blind = replace(seen.belief, refit=replace(REFIT, skill_z=0.0))
    found = decide(replace(seen, belief=blind), POLICY)
    assert found.verdict == "INCONCLUSIVE"
    assert "good customers from others" in found.reasons[0]


@pytest.mark.parametrize(("change", "verdict"), [(-2.0, "KEEP"), (0.5, "PROMOTE")])
def test_a_recipe_that_is_worse_than_the_old_one_does_not_ride_on_its_refit(
    change: float, verdict: str
) -> None:
    seen = comparison(0.05, 0.9)
    changed = replace(
        seen.belief, refit=replace(REFIT, changed=("attributes",)), change=Gain(change, 1.0)
    )
    found = decide(replace(seen, belief=changed), POLICY)
    assert found.verdict == verdict
    assert ("Undo the change" in found.reasons[0]) == (verdict == "KEEP")


def test_without_a_belief_nothing_is_decided() -> None:
    with pytest.raises(ValueError, match="belief"):
        decide(replace(comparison(0.05, 0.9), belief=None), POLICY)


@pytest.mark.parametrize(("better", "verdict"), [(0.249, "KEEP"), (0.26, "INCONCLUSIVE")])
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


@given(numbers, numbers, numbers, numbers, numbers, numbers)
def test_only_a_finite_winner_within_the_guards_is_ever_promoted(
    uplift: float, gain: float, error: float, customers: float, grr: float, retention: float
) -> None:
    seen = comparison(uplift, 0.9, grr=grr, retention=retention)
    known = replace(seen.belief, posterior=Gain(gain, error), evidence=Gain(customers, 2.0))
    found = decide(replace(seen, belief=known), POLICY)
    if found.verdict == "PROMOTE":
        assert all(map(math.isfinite, (uplift, gain, error, customers, grr, retention)))
        assert gain >= 100 * POLICY.min_uplift
        assert known.probability_better >= POLICY.probability_better
        assert uplift > 0 or customers > 0
        assert grr >= -POLICY.grr_margin
        assert retention >= -POLICY.retention_margin
    assert found.reasons


@pytest.mark.parametrize(
    ("found", "numbers"),
    [
        (decide(comparison(0.05, 0.97), POLICY), ["200", "110.0%", "105.0%", "+5.0", "97%"]),
        (decide(comparison(-0.05, 0.1), POLICY), ["worse", "200", "-5.0", "10%"]),
        (decide(comparison(0.02, 0.6), POLICY), ["80%", "60%", "more matured"]),
        (decide(comparison(0.02, 0.9, gain=0.5), POLICY), ["by less than the 1.0 points"]),
    ],
)
def test_a_reason_has_the_numbers_that_decided(found: Ruling, numbers: list[str]) -> None:
    (reason,) = found.reasons
    assert all(number in reason for number in numbers), reason
    assert reason[0].isupper()
    assert reason.endswith(".")


@given(st.floats(0.36, 0.64), st.floats(-10, 10), st.floats(0.1, 20))
def test_whoever_cannot_tell_says_how_many_more_customers_would(
    better: float, customers: float, error: float
) -> None:
    found = decide(comparison(0.0, better, customers=Gain(customers, error)), GatePolicy())
    assert found.verdict == "INCONCLUSIVE"
    assert found.needed_matured >= 1
    assert f"About {found.needed_matured} more matured customers" in found.reasons[0]


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


def test_a_winner_that_breaks_a_guard_of_the_round_is_kept_out_with_its_sentence() -> None:
    harm = Finding("guard_part", "refusal", "Guard: x.")
    assert decide(comparison(0.05, 0.99), POLICY, guards=[harm]) == Ruling("KEEP", (harm,))
    # A guard says nothing about one that would not be promoted anyway.
    assert decide(comparison(0.05, 0.6), POLICY, guards=[harm]).verdict == "INCONCLUSIVE"


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
