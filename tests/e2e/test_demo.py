"""The README's demo command as a stranger runs it, and its pages in a real browser."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pandas as pd
import pytest

from icploop.io.home import Home
from icploop.io.password import password_of
from tests.unit.io_fixtures import require

pytestmark = pytest.mark.slow

BROWSER, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"


def _icp(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "icploop.cli", *words]
    environment = {**os.environ, **settings}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    home = tmp_path_factory.mktemp("demo") / "company"
    done = _icp("demo", "--home", str(home), "--json")
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout)


def test_the_demo_replays_years_of_rounds_and_knows_the_truth(demo):
    _, report = demo
    rounds = pd.DataFrame(report["replay"]["rounds"])
    assert len(rounds) > 8
    assert rounds["as_of"].min() < "2023"
    assert rounds["as_of"].max() > "2025"
    assert rounds["as_of"].is_monotonic_increasing
    judged = rounds[rounds["uplift"].notna()]
    assert judged["true_uplift"].notna().all()
    assert (judged["low"] <= judged["high"]).all()
    assert "PROMOTE" in set(rounds["verdict"])


def test_the_last_round_ran_on_record_and_its_version_is_in_force_or_explained(demo):
    home, report = demo
    last = report["last_round"]["round"]
    assert last["verdict"] in {"PROMOTE", "KEEP", "INCONCLUSIVE"}
    status = json.loads(
        _icp("status", "--home", str(home), "--as-of", last["as_of"], "--json").stdout
    )
    assert status["champion"] == report["champion"]
    assert status["round_due"] is False
    assert status["pending_approval"] is None


def test_the_target_list_holds_prospects_only_best_first(demo):
    home, report = demo
    targets = pd.read_csv(report["targets"]["out"])
    deals = pd.read_csv(home / "data" / "inbox" / "deals.csv")
    # The list was drawn up on the last round's day; who was won later could stand on it.
    won = (deals["outcome"] == "won") & (
        deals["closed_at"] <= report["last_round"]["round"]["as_of"]
    )
    customers = set(deals.loc[won, "account_id"])
    assert len(customers) > 300
    assert len(targets) == report["targets"]["listed"]
    assert targets["fit_score"].is_monotonic_decreasing
    assert not customers & set(targets["account_id"])
    assert set(targets["tier"]) <= {"A", "B", "C", "D"}


def test_a_second_demo_in_the_same_folder_is_refused_and_changes_nothing(demo):
    home, _ = demo
    before = (home / "conf" / "icp.yaml").read_bytes()
    done = _icp("demo", "--home", str(home))
    assert done.returncode == 2
    assert "holds a company already" in done.stderr
    assert (home / "conf" / "icp.yaml").read_bytes() == before


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pages(NamedTuple):
    """Where the servers answer, and the addresses that open their pages once."""

    mlflow: str
    prefect: str
    home: Path
    opens: dict[str, str]

    def ask_prefect(self, path: str):
        token = base64.b64encode(password_of(Home(self.home)).encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        with urlopen(Request(self.prefect + path, b"{}", headers), timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def pages(demo):
    require("chromium with chromium-driver", shutil.which(DRIVER) and shutil.which(BROWSER))
    home, _ = demo
    ports = _free_port(), _free_port()
    options = ("--mlflow-port", str(ports[0]), "--prefect-port", str(ports[1]))
    command = [sys.executable, "-m", "icploop.cli", "up", "--home", str(home), *options]
    servers = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = [servers.stdout.readline() for _ in range(4)]
    assert [line.split(":")[0] for line in said] == ["starting", *["ready"] * 3], said
    opens = {line.split()[1]: line.split()[-1] for line in said[1:3]}
    yield Pages(*(f"http://127.0.0.1:{port}" for port in ports), home, opens)
    # A shell that started this in its background lets its children ignore SIGINT.
    servers.send_signal(signal.SIGTERM)
    assert servers.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def browser(pages):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1400,1000",
    ):
        options.add_argument(switch)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    for opens, shows in ((pages.opens["MLflow"], "Experiments"), (pages.opens["Prefect"], "Flow")):
        _text_with(driver, opens, shows)
    yield driver
    driver.quit()


def _text_with(browser, page: str, wanted: str, patience: float = 45) -> str:
    browser.get(page)
    until = time.monotonic() + patience
    seen = ""
    while time.monotonic() < until:
        seen = str(browser.execute_script("return document.body?.innerText ?? ''"))
        if wanted in seen:
            return seen
        time.sleep(0.5)
    raise AssertionError(f"{wanted!r} is not on {page}; it shows:\n{seen[:2000]}")


def test_the_mlflow_version_page_shows_the_icp_that_people_read(browser, pages, demo):
    _, report = demo
    page = f"{pages.mlflow}/#/models/icp-new-business/versions/{report['champion']}"
    shown = _text_with(browser, page, "ICP of Demo company")
    assert "Do not pursue" in shown
    assert "How it was judged" in shown
    assert "champion" in shown


def test_the_prefect_runs_page_shows_every_flow_of_the_last_round(browser, pages):
    shown = _text_with(browser, f"{pages.prefect}/runs", "ingest")
    assert {"ingest", "watch", "retrain", "promote", "list"} <= set(shown.split())
    states = [run["state_type"] for run in pages.ask_prefect("/api/flow_runs/filter")]
    # Ingest, watch, retrain, list, and a promotion or two: the last round's version may pass too.
    # The schedules may have run once meanwhile, and what is yet to come is scheduled.
    assert 5 <= states.count("COMPLETED") <= 8
    assert set(states) <= {"COMPLETED", "SCHEDULED", "PENDING", "RUNNING"}


def test_the_flows_of_the_last_round_leave_artifacts_worth_looking_at(pages, demo):
    _, report = demo
    artifacts = pages.ask_prefect("/api/artifacts/filter")
    # The newest of each key stands last.
    found = {a["key"]: a["data"] for a in sorted(artifacts, key=lambda a: a["created"])}
    assert '"deals"' in str(found["ingest"])
    assert report["last_round"]["round"]["verdict"] in str(found["verdict"])
    assert "# ICP of" in found["icp"]
    assert float(found["retrain-progress"]) == 100
    assert "fit_score" in str(found["target-list"])


@pytest.fixture(scope="module")
def page(demo):
    home, report = demo
    target = home / "icp.html"
    day = report["last_round"]["round"]["as_of"]
    words = ("show", "--home", str(home), "--as-of", day, "--out", str(target))
    assert _icp(*words).returncode == 0
    return target.as_uri()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_that_people_read_fits_the_screen_and_asks_for_nothing_else(page, browser, width):
    browser.set_window_size(width, 900)
    browser.get(page)
    # Headless Chromium has a least width of its own, so what is asked is what the page gets.
    wide, inside = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert wide <= inside
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert asked == []
    heads = browser.execute_script(
        "return [...document.querySelectorAll('h2')].map(head => head.textContent)"
    )
    assert heads[:2] == ["Pursue", "Do not pursue"]
