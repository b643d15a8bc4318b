import numpy as np
import pandas as pd
import pytest

from icploop.modeling.judging.selection import Selection, selection

LISTED_ON, TODAY = pd.Timestamp("2024-01-31"), pd.Timestamp("2025-01-01")
NOTHING = pd.DataFrame({"account_id": ["a"], "created_at": [LISTED_ON]}).head(0)


def market(seed: int, explore: float = 0.1) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A holdout (with `wanted`), the deals, and the list of those who are wanted, explored too.

    Of the listed accounts 40% are pursued within a year, of the others 4%.
    """
    rng = np.random.default_rng(seed)
    ids = np.array([f"a{i}" for i in range(6000)])
    wanted = rng.random(len(ids)) < 0.25
    propensity = np.where(wanted, 1.0, explore)
    listed = rng.random(len(ids)) < propensity
    pursued = rng.random(len(ids)) < np.where(listed, 0.4, 0.04)
    days = pd.to_timedelta(rng.integers(1, 330, len(ids)), unit="D")
    deals = pd.DataFrame({"account_id": ids, "created_at": LISTED_ON + days})[pursued]
    holdout = pd.DataFrame({"at": deals["created_at"].to_numpy()}, index=ids[pursued])
    listing = pd.DataFrame(
        {"as_of": LISTED_ON, "account_id": ids, "propensity": propensity, "listed": listed}
    )
    return holdout.assign(wanted=wanted[pursued]), deals, listing


def found(*parts: pd.DataFrame) -> Selection:
    answer = selection(*parts, TODAY)
    assert answer is not None
    return answer


def test_weights_make_the_holdout_like_the_market() -> None:
    shares = []
    for seed in range(10):
        holdout, deals, listing = market(seed)
        weight = found(holdout, deals, listing).weight
        shares.append(np.average(holdout["wanted"], weights=weight))
        # Without weights it looks as if nearly everybody was wanted.
        assert holdout["wanted"].mean() > 0.55
    assert np.mean(shares) == pytest.approx(0.25, abs=0.03)


def test_it_says_how_many_were_listed_and_how_many_are_there_because_of_it() -> None:
    holdout, deals, listing = market(1)
    listed = listing.set_index("account_id").loc[holdout.index, "listed"].mean()
    answer = found(holdout, deals, listing)
    assert answer.listed == pytest.approx(listed)
    # Nine of ten of the listed would not have been pursued at the rate of the others.
    assert answer.because == pytest.approx(0.9 * listed, abs=0.04)
    assert answer.n_effective < len(holdout)
    assert answer.weight.mean() == pytest.approx(1.0)


def test_a_list_that_nobody_follows_changes_next_to_nothing() -> None:
    holdout, deals, listing = market(2)
    rng = np.random.default_rng(0)
    listing["listed"] = rng.random(len(listing)) < 0.5
    listing["propensity"] = 0.5
    answer = found(holdout, deals, listing)
    assert answer.weight.to_numpy() == pytest.approx(1.0)
    assert answer.because < 0.1


def test_before_any_list_there_is_nothing_to_weigh() -> None:
    holdout, deals, listing = market(3)
    assert selection(holdout, deals, listing.head(0), TODAY) is None
    before = holdout.assign(at=LISTED_ON)
    assert selection(before, deals, listing, TODAY) is None
    assert selection(holdout, deals, listing, LISTED_ON) is None


def test_customers_from_before_the_list_count_as_they_are() -> None:
    holdout, deals, listing = market(4)
    half = holdout.index[::2]
    holdout.loc[half, "at"] = LISTED_ON - pd.Timedelta(days=30)
    weight = found(holdout, deals, listing).weight
    assert (weight[half] == 1).all()
    assert weight.drop(half).nunique() == 2


def test_no_customer_counts_more_than_ten_times_another() -> None:
    holdout, deals, listing = market(5, explore=0.0)
    follow = deals["account_id"].isin(listing.loc[listing["listed"], "account_id"])
    few = deals[follow | (deals.index % 40 == 0)]
    weight = found(holdout.loc[few["account_id"]], few, listing).weight
    assert weight.max() == pytest.approx(10 * weight.min())


def test_of_several_lists_the_one_in_force_counts() -> None:
    holdout, deals, listing = market(6)
    first_half = holdout["at"] < pd.Timestamp("2024-07-01")
    later = listing.assign(as_of=pd.Timestamp("2024-06-30"), listed=False, propensity=0.0)
    both = found(holdout, deals, pd.concat([listing, later]))
    listed = listing.set_index("account_id").loc[holdout.index, "listed"] & first_half
    assert both.listed == pytest.approx(listed.mean())


def test_accounts_that_no_list_knew_and_no_deals_are_no_fault() -> None:
    holdout, _, listing = market(7)
    answer = found(holdout, NOTHING, listing.head(10))
    assert np.isfinite(answer.weight).all()
    assert answer.because <= answer.listed
