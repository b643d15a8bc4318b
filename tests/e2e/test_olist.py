"""Real deals: the Olist example runs by settings alone, gives the same numbers, names its leak."""

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from icploop.io.home import Home
from tests.unit.io_fixtures import icp

ROOT = Path(__file__).parents[2]
OLIST = ROOT.parent / "shared" / "data" / "olist"
AS_OF = "2018-08-31"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not OLIST.is_dir() and os.environ.get("CI") != "true",
        reason="the Olist data are not beside this checkout; docs/olist.md says what they are",
    ),
]


def _icp(home: Path, *words: str) -> dict:
    done = icp(*words, "--json", home=Home(home))
    assert done.status == 0, done.err
    return done.json


def _home(folder: Path, data: Path) -> Path:
    shutil.copytree(ROOT / "conf" / "examples" / "olist", folder / "conf")
    source = folder / "conf" / "sources" / "files.yaml"
    source.write_text(source.read_text().replace("../data/olist", str(data)))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = _home(tmp_path_factory.mktemp("olist") / "home", OLIST)
    _icp(made, "ingest")
    return made


def test_the_one_deal_that_closes_before_it_opens_is_in_quarantine(home):
    report = _icp(home, "ingest")
    assert report["quarantine"] == {"deals: closed_at is not before created_at": 1}
    assert report["tables"]["accounts"]["stored"] == 8000


def test_the_challenger_is_judged_and_its_list_can_be_looked_at(home, tmp_path):
    report = _icp(home, "retrain", "--as-of", AS_OF)
    assert report["n_matured"] > 200
    # Honest models of these data reach an AUC of about .6, so nothing may look too good.
    assert report["verdict"] != "INVALID"
    assert report["uplift"]["low"] < report["uplift"]["estimate"] < report["uplift"]["high"]
    target = tmp_path / "targets.csv"
    listed = _icp(
        home, "list", "--out", str(target), "--as-of", AS_OF, "--version", report["version"]
    )
    assert listed["listed"] > 0
    assert len(target.read_text().splitlines()) == listed["listed"] + 1


@pytest.fixture(scope="module")
def with_everything(tmp_path_factory):
    """A home whose accounts carry every column of the data, declared as attributes."""
    made = _home(tmp_path_factory.mktemp("everything") / "home", OLIST)
    source = made / "conf" / "sources" / "files.yaml"
    more = "a.state, a.city, a.zip3, a.has_company, a.has_gtin, a.average_stock, "
    source.write_text(
        source.read_text().replace(
            "a.state", more + "a.declared_product_catalog_size, a.declared_monthly_revenue"
        )
    )
    settings = made / "conf" / "icp.yaml"
    kinds = {
        "state": "category",
        "city": "category",
        "zip3": "category",
        "has_company": "flag",
        "has_gtin": "flag",
        "average_stock": "category",
        "declared_product_catalog_size": "number",
        "declared_monthly_revenue": "number",
    }
    declared = "".join(f"    {name}: {kind}\n" for name, kind in kinds.items())
    settings.write_text(
        settings.read_text().replace(
            "  # pain_proof:\n  #   state: category\n", "  pain_proof:\n" + declared
        )
    )
    _icp(made, "ingest")
    return made


def test_the_location_columns_are_called_leaks_and_nothing_honest(with_everything):
    report = _icp(with_everything, "retrain", "--as-of", AS_OF, "--force")
    assert report["verdict"] == "INVALID"
    refused = [found for found in report["findings"] if found["severity"] == "refusal"]
    leaks = [found["message"] for found in refused if found["code"].startswith("leak_")]
    assert {leak.split("`")[1] for leak in leaks} == {"state", "city", "zip3"}


def test_a_backtest_gives_the_same_numbers_again_whatever_happens_after_its_day(home, tmp_path):
    day = "2018-06-30"
    once = _icp(home, "backtest", "--to", day)
    altered = tmp_path / "altered"
    altered.mkdir()
    with duckdb.connect() as db:
        for name in ("accounts", "deals", "revenue_monthly"):
            db.execute(
                f"CREATE TABLE {name} AS FROM read_csv('{OLIST / name}.csv', all_varchar=true)"
            )
        db.execute(f"DELETE FROM deals WHERE opened_on > '{day}'")
        db.execute(
            "UPDATE deals SET stage = 'not_won', closed_on = NULL WHERE account_id IN "
            f"(SELECT account_id FROM deals WHERE closed_on > '{day}' LIMIT 100)"
        )
        db.execute(f"UPDATE revenue_monthly SET revenue = '77.5' WHERE month_start > '{day}'")
        for name in ("accounts", "deals", "revenue_monthly"):
            db.execute(f"COPY {name} TO '{altered / name}.csv' (HEADER)")
    other = _home(tmp_path / "home", altered)
    _icp(other, "ingest")
    again = _icp(other, "backtest", "--to", day)
    assert again == once
