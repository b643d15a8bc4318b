from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from icploop.domain.findings import Finding
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Evidence, Refusal
from icploop.domain.tiers import tier_of
from icploop.modeling.judging.guards import DealChange, broken, deal_changes, missing_slices
from icploop.modeling.judging.trial import Trial
from icploop.modeling.scoring.version import IcpVersion
from icploop.settings import GatePolicy, Tiers
from tests.companies import market
from tests.unit.modeling.scoring.test_version import version

KNOWN = market(300, seed=11)
POLICY = GatePolicy()
ALL_TIERS = pd.Series(["A", "B", "C", "D"] * 10)


def trial(challenger: pd.Series | None = None, expected: pd.Series | None = None) -> Trial:
    truth = KNOWN.truth
    said = truth if expected is None else expected
    scores = pd.DataFrame(
        {"challenger": truth if challenger is None else challenger, "champion": truth.mean()}
    )
    frame = pd.DataFrame({"expected_nrr": said, "expected_grr": said, "p_retained": said})
    customers = KNOWN.outcomes.assign(account_id=KNOWN.outcomes.index)
    return Trial(
        KNOWN.features, customers, customers, scores, frame, customers.index, capacity=0.25
    )


def found(
    given: Trial, policy: GatePolicy = POLICY, tiers: pd.Series = ALL_TIERS, **more: object
) -> list[Finding]:
    changes = more.get("changes", ())
    chosen = more.get("version", without_anti(version()))
    return broken(given, "champion", chosen, tiers, changes, policy)  # type: ignore[arg-type]


def without_anti(one: IcpVersion) -> IcpVersion:
    return replace(one, profile=replace(one.profile, anti=()))


def test_a_sound_challenger_breaks_nothing() -> None:
    assert found(trial()) == []


def test_harm_to_a_declared_slice_is_named_with_its_number() -> None:
    gaming = KNOWN.features["industry"].eq("gaming")
    # Right everywhere, and upside down within one industry.
    upside_down = KNOWN.truth.where(~gaming, -KNOWN.truth)
    quiet = found(trial(upside_down))
    told = found(trial(upside_down), GatePolicy(slices=("industry",)))
    (said,) = (harm for harm in told if harm not in quiet)
    assert (said.code, said.severity) == ("guard_part", "refusal")
    assert said.message.startswith(f"Guard: in industry gaming ({gaming.sum()} customers) outcomes")
    assert "the limit is -2.33" in said.message


def test_a_slice_without_enough_customers_cannot_be_judged() -> None:
    given = trial()
    assert missing_slices(given, GatePolicy(slices=("industry", "employees"))) == []
    (said,) = missing_slices(given, GatePolicy(slices=("industry",), slice_min=250))
    assert "no level of `industry` has 250 holdout customers" in said.message


def test_expectations_that_are_too_far_apart_are_named() -> None:
    wild = KNOWN.truth.mean() + 8 * (KNOWN.truth - KNOWN.truth.mean())
    (said,) = found(trial(expected=wild))
    assert "too far apart: realised rises by 0.1" in said.message
    assert said.code == "guard_calibration"


@pytest.mark.parametrize(("allowed", "broke"), [(0.05, True), (0.9, False)])
def test_an_anti_icp_that_refuses_good_customers_is_named(allowed: float, broke: bool) -> None:
    nothing = Evidence(0, 0, 0, 0, 0, 0, 0, 0, 0)
    health = Predicate("industry", any_of=("health",))
    refuses = Refusal("firmographic", health, True, "", (), 0, 0.0, nothing)
    one = replace(version(), profile=replace(version().profile, anti=(refuses,)))
    said = found(trial(), GatePolicy(max_refused_good=allowed), version=one)
    assert bool(said) == broke
    if broke:
        assert said[0].code == "guard_refuses_good"
        assert "more than the 5% that the policy allows" in said[0].message


def test_a_market_that_is_mostly_unknown_or_refused_is_too_narrow() -> None:
    tiers = pd.Series(["A", "B", "C", "D"] + ["unknown"] * 10 + ["anti"] * 6)
    (said,) = found(trial(), tiers=tiers)
    assert "only 20% of the 20 prospects" in said.message
    assert said.code == "guard_narrow"


def test_a_tier_without_anybody_is_named() -> None:
    tiers = tier_of(
        pd.Series([99.0, 98.0, 97.0]),
        pd.Series(1.0, range(3)),
        is_anti=pd.Series(False, range(3)),
        meets=pd.Series(True, range(3)),
        tiers=Tiers(),
    )
    said = found(trial(), tiers=tiers)
    assert [empty.code for empty in said] == ["guard_empty_tier"] * 2
    assert [tier in empty.message for tier, empty in zip("BC", said, strict=True)] == [True, True]


def deals(n: int = 800) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(n), rng.random(n)
    return pd.DataFrame(
        {
            "won": (rng.random(n) < 0.1 + 0.4 * theirs).astype(float),
            "gross_margin": np.nan,
            "cycle_days": 30 + 100 * ours + rng.normal(0, 5, n),
            "challenger": ours,
            "rival": theirs,
        }
    )


def test_deals_that_get_worse_are_told_with_their_numbers() -> None:
    changes = {change.name: change for change in deal_changes(deals(), 0.25)}
    # No deal has a margin, so nothing is said of it.
    assert set(changes) == {"win rate", "sales cycle in days"}
    rate, cycle = changes["win rate"], changes["sales cycle in days"]
    assert rate.before > rate.after
    assert rate.z < -2.33
    assert rate.worse == pytest.approx(1 - rate.after / rate.before)
    assert cycle.after > cycle.before
    assert cycle.worse == pytest.approx(cycle.after / cycle.before - 1)


def test_deals_that_get_better_or_stay_alike_are_not_told() -> None:
    turned = deals().rename(columns={"challenger": "rival", "rival": "challenger"})
    assert deal_changes(turned, 0.25) == []
    same = deals().assign(challenger=lambda d: d["rival"])
    assert deal_changes(same, 0.25) == []
    assert deal_changes(deals(0), 0.25) == []


@pytest.mark.parametrize(("after", "broke"), [(0.16, False), (0.14, True)])
def test_the_policy_says_how_much_worse_deals_may_get(after: float, broke: bool) -> None:
    change = DealChange("win rate", 0.3, after, 500, -6.0, more_is_better=True)
    said = found(trial(), changes=[change])
    assert bool(said) == broke
    if broke:
        assert "the win rate of the deals it would pursue goes from 0.3 to 0.14" in said[0].message
        assert "the policy allows 50%" in said[0].message
