"""Real deals: the Olist example runs by settings alone, gives the same numbers, names its leak."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

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
    command = [sys.executable, "-m", "icploop.cli", *words, "--home", str(home), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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


def test_adding_state_is_called_a_leak_and_too_good_to_be_true(home):
    settings = home / "conf" / "icp.yaml"
    honest = settings.read_text()
    try:
        settings.write_text(
            honest.replace("  # pain_proof:\n  #   state", "  pain_proof:\n    state")
        )
        report = _icp(home, "retrain", "--as-of", AS_OF, "--force")
    finally:
        settings.write_text(honest)
    assert report["verdict"] == "INVALID"
    said = " ".join(report["reasons"])
    assert "Leak: `state`" in said
    assert "Suspicious" in said


def test_a_backtest_gives_the_same_numbers_twice_whatever_happens_after_its_day(home, tmp_path):
    day = "2018-06-30"
    once = _icp(home, "backtest", "--to", day)
    again = _icp(home, "backtest", "--to", day)
    assert once == again
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
    assert _icp(other, "backtest", "--to", day) == once
