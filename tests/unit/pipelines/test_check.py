"""The last list is held against today's scores, and all lists against what came of them."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from icploop.errors import DataError
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.pipelines.check import check_lists
from icploop.pipelines.target_list import target_list
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp, nothing_changes
from tests.unit.planted import at

MOTION, DAY = planted.MOTION, planted.LAST_DAY


def test_right_after_it_was_drawn_up_a_list_has_neither_gaps_nor_doubts(own: Home, tmp_path: Path):
    target_list(at(own, DAY), tmp_path / "t.csv")
    found = check_lists(at(own, DAY))
    assert found.list_of == DAY
    assert found.doubtful.empty
    assert set(found.missing["why"]) <= {
        "open deal",
        "its parent is a customer",
        "another account of its parent is listed",
        "beyond capacity",
        "held back at random",
    }
    assert "open deal" in set(found.missing["why"])


def test_what_became_anti_or_a_customer_is_doubtful_and_who_fits_is_missing(
    own: Home, tmp_path: Path
):
    target_list(at(own, DAY), tmp_path / "t.csv")
    warehouse = Warehouse(own.warehouse_file)
    kept = warehouse.listings(MOTION)
    kept = kept[kept["as_of"] == pd.Timestamp(DAY)]
    best = kept.loc[kept["tier"] == "A", "account_id"].iloc[0]
    # As if sales had been sent to a customer and to who is refused, and not to one of the best.
    wrong = kept.assign(
        listed=kept["account_id"] != best, chosen_by=kept["chosen_by"].mask(~kept["listed"])
    ).assign(chosen_by="fit score")
    extra = wrong.head(2).assign(account_id=["p5", "w2"], listed=True)
    warehouse.log_list(MOTION, "1", DAY, pd.concat([wrong, extra]))
    found = check_lists(at(own, DAY))
    why = found.doubtful.set_index("account_id")["why"]
    assert (why["p5"], why["w2"]) == ("anti-ICP", "customer, now or before")
    assert found.missing.set_index("account_id").loc[best, "why"] == "would be listed today"


def test_outcomes_are_of_deals_that_began_under_a_list(own: Home, tmp_path: Path):
    early = date(2023, 6, 30)
    target_list(at(own, early), tmp_path / "t.csv")
    found = check_lists(at(own, DAY)).outcomes.set_index(["by", "group"])
    deals = planted.company()["deals"]
    began = deals[(deals["created_at"] >= "2023-07-01") & (deals["outcome"] != "open")]
    assert 0 < found.loc["tier", "deals"].sum() <= len(began)
    assert found.loc["tier", "deals"].sum() == found.loc["chosen_by", "deals"].sum()
    assert (found["won"] <= found["deals"]).all()


def test_it_writes_nothing(own: Home, tmp_path: Path):
    target_list(at(own, DAY), tmp_path / "t.csv")
    with nothing_changes(own):
        answer = icp("check", "--as-of", DAY, "--json", home=own)
    assert answer.status == 0
    assert set(answer.json) == {"motion", "list_of", "missing", "doubtful", "outcomes"}
    assert "The list of 2025-01-31, held against" in icp("check", "--as-of", DAY, home=own).out


def test_before_the_first_list_it_says_how_to_get_one(trained: Trained):
    with pytest.raises(DataError, match="write one with `icp list`"):
        check_lists(at(trained.home, date(2022, 1, 31)))
