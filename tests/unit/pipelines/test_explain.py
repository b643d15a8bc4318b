import pytest

from icploop.errors import UsageError
from icploop.io.home import Home
from icploop.pipelines.explain import ExplainReport, explain
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.io_fixtures import icp
from tests.unit.planted import at

MOTION, DAY = planted.MOTION, planted.LAST_DAY


@pytest.fixture
def home(trained: Trained) -> Home:
    return trained.home


@pytest.fixture(scope="module")
def healthy(trained: Trained) -> ExplainReport:
    """p1 is in health and lacks nothing."""
    return explain(at(trained.home, DAY), "p1")


@pytest.fixture(scope="module")
def empty(trained: Trained) -> ExplainReport:
    """Of p4 nothing is known."""
    return explain(at(trained.home, DAY), "p4")


def test_the_field_that_counts_comes_first_and_deleting_it_costs_about_its_points(
    healthy: ExplainReport,
) -> None:
    first = healthy.fields[0]
    assert (first.field, first.points > 5) == ("industry", True)
    assert first.if_deleted is not None
    assert first.if_deleted < -first.points / 2
    assert healthy.scores["reasons_for"].startswith("industry is health: +")


def test_the_customers_most_like_it_are_in_its_industry_and_grew(healthy: ExplainReport) -> None:
    accounts = planted.company()["accounts"].drop_duplicates("account_id").set_index("account_id")
    assert len(healthy.neighbours) == 5
    industries = [accounts.loc[n.account_id, "industry"] for n in healthy.neighbours]
    assert industries.count("health") >= 4
    assert all(n.account_id.startswith("w") for n in healthy.neighbours)
    assert [n.likeness for n in healthy.neighbours] == sorted(
        (n.likeness for n in healthy.neighbours), reverse=True
    )
    assert healthy.neighbours[0].name == f"Company {healthy.neighbours[0].account_id}"


def test_of_an_empty_account_the_field_that_counts_is_worth_asking_first(
    empty: ExplainReport,
) -> None:
    assert empty.scores["tier"] == "unknown"
    assert empty.scores["note"] == "only 0 of 5 fields known"
    first, *others = empty.empty
    assert first.field == "industry"
    assert first.spread > 3 * max(other.spread for other in others)
    assert first.low < empty.scores["expected_nrr"] < first.high
    assert 0 <= first.other_tier <= 1


def test_an_account_that_lacks_nothing_has_nothing_to_ask(healthy: ExplainReport) -> None:
    assert healthy.empty == ()


@pytest.mark.parametrize("word", ["p1", "P1", "p1.example", "company p1"])
def test_it_is_found_by_id_domain_or_name(home: Home, word: str) -> None:
    assert explain(at(home, DAY), word).account_id == "p1"


def test_who_is_not_there_is_named_with_who_was_probably_meant(home: Home) -> None:
    with pytest.raises(UsageError, match=r"'p1.exampel' as of .*; did you mean .*p1\.example"):
        explain(at(home, DAY), "p1.exampel")


def test_it_fits_one_screen(home: Home) -> None:
    for account in ("p1", "p4"):
        told = icp("explain", account, "--as-of", DAY, home=home).out
        assert len(told.splitlines()) <= 40
        assert max(map(len, told.splitlines())) <= 100
        assert "nan" not in told.lower()
        assert "most like it" in told
    assert "Unknown because: only 0 of 5 fields known" in told


def test_as_json_it_carries_every_field(home: Home) -> None:
    told = icp("explain", "p1", "--json", "--as-of", DAY, home=home).json
    assert {field["field"] for field in told["fields"]} == {
        *("industry", "employees", "tech", "has_sponsor", "funded_on")
    }
    assert told["scores"]["account_id"] == "p1"
    assert len(told["neighbours"]) == 5
