"""What pages of other origins can do to `icp up`, tried in a real browser: nothing.

The whole chain is tried from a deployment's pull steps to a shell command: once by a program that
knows the password, so that it is known to work, and then by foreign pages.
"""

import base64
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from icploop.io.home import Home
from icploop.io.password import password_of
from tests.free_ports import free_ports
from tests.unit.io_fixtures import require

pytestmark = pytest.mark.slow

BROWSER, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
PATIENCE_SECONDS = 180
REBOUND = "rebound.example"
SHELL = "prefect.deployments.steps.run_shell_script"

# What a page can try, as JavaScript: each answers with what it saw, and never throws.
TRY = """
const [kind, url, method, body] = arguments, done = arguments[arguments.length - 1];
const seen = text => done(String(text));
if (kind === 'websocket') {
  const socket = new WebSocket(url, method ? [method] : undefined);
  socket.onopen = () => seen('opened');
  socket.onerror = () => seen('refused');
} else {
  const options = {method, mode: kind};
  if (body && kind === 'no-cors') options.body = new Blob([body]);
  if (body && kind !== 'no-cors') {
    options.body = body;
    options.headers = {'Content-Type': 'application/json'};
  }
  fetch(url, options).then(
    answer => seen(answer.type === 'opaque' ? 'sent unseen' : answer.status),
    () => seen('blocked'));
}
"""


@dataclass(frozen=True)
class Served:
    """A home that `icp up` serves."""

    home: Home
    prefect: str
    mlflow: str
    opens: dict[str, str]

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """What Prefect answers to a program that knows the password."""
        return ask(self.prefect + path, body, method, password_of(self.home))

    def deployment(self, flow: str) -> dict[str, Any]:
        name = "all" if flow == "ingest" else "default"
        return self.ask(f"/api/deployments/name/{flow}/{name}")


def ask(url: str, body: Any = None, method: str | None = None, password: str = "") -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if password:
        headers["Authorization"] = "Basic " + base64.b64encode(password.encode()).decode()
    for patience in (5, 15, 0):
        try:
            with urlopen(Request(url, data, headers, method=method), timeout=60) as answer:
                content = answer.read()
            return json.loads(content) if content else None
        except HTTPError as error:
            # SQLite was locked: Prefect's own clients try again too.
            if error.code != 503 or not patience:
                raise
            time.sleep(patience)
    raise AssertionError(url)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    require("chromium with chromium-driver", shutil.which(DRIVER) and shutil.which(BROWSER))
    home = Home(tmp_path_factory.mktemp("served") / "home")
    icp = [sys.executable, "-m", "icploop.cli"]
    subprocess.run([*icp, "init", str(home.root)], check=True, capture_output=True)
    mlflow, prefect = free_ports(2)
    ports = ("--mlflow-port", mlflow, "--prefect-port", prefect)
    words = [*icp, "up", "--home", str(home.root), *ports]
    up = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, umask=0)
    assert up.stdout is not None
    said = [up.stdout.readline() for _ in range(4)]
    assert [line.split(":")[0] for line in said] == ["starting", *["ready"] * 3], said
    opens = {line.split()[1]: line.split()[-1] for line in said[1:3]}
    here = Served(home, f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{mlflow}", opens)
    _until(lambda: _has_deployments(here))
    yield here
    up.send_signal(signal.SIGTERM)
    assert up.wait(timeout=90) == 0
    assert {path.name for path in home.access_folder.iterdir()} == {"password"}


def _has_deployments(here: Served) -> bool:
    try:
        return bool(here.deployment("retrain"))
    except HTTPError:
        return False


def _until(holds: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.5)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page of another origin on this machine."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "index.html").write_text("<title>foreign</title>")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
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
        f"--host-resolver-rules=MAP *.example 127.0.0.1, MAP {REBOUND} 127.0.0.1",
    ):
        options.add_argument(switch)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


def tried(browser: Any, kind: str, url: str, method: str = "GET", body: Any = None) -> str:
    text = None if body is None else json.dumps(body)
    return browser.execute_async_script(TRY, kind, url, method, text)


def _shows(browser: Any, wanted: str) -> None:
    seen = ""

    def found() -> bool:
        nonlocal seen
        seen = str(browser.execute_script("return document.body?.innerText ?? ''"))
        return wanted in seen

    try:
        _until(found)
    except AssertionError:
        raise AssertionError(f"{wanted!r} is not on {browser.current_url}: {seen[:500]}") from None


def test_prefects_page_opens_by_its_address_once_and_then_knows_the_password(served, browser):
    browser.get(served.prefect + "/dashboard")
    _shows(browser, "Login")
    browser.get(served.opens["Prefect"])
    _shows(browser, "Flow Runs")
    assert "#" not in browser.current_url
    # By the other name too, which leads to the page's own.
    browser.get(served.prefect.replace("127.0.0.1", "localhost") + "/deployments")
    _shows(browser, "ingest")
    assert browser.current_url == f"{served.prefect}/deployments"
    assert tried(browser, "cors", "/api/deployments/count", "POST", {}) == "401"
    browser.get(served.opens["Prefect"])
    _shows(browser, "used before")


def test_mlflows_page_opens_by_its_address_once_and_then_knows_the_password(served, browser):
    with pytest.raises(HTTPError, match="401"):
        ask(served.mlflow + "/")
    browser.get(served.opens["MLflow"])
    _shows(browser, "Experiments")
    search = "/ajax-api/2.0/mlflow/experiments/search?max_results=5"
    assert tried(browser, "cors", search) == "200"
    create = "/ajax-api/2.0/mlflow/experiments/create"
    assert tried(browser, "cors", create, "POST", {"name": "own"}) == "200"
    browser.get(served.opens["MLflow"])
    _shows(browser, "used before")


def _attack_mlflow(browser: Any, served: Served, of: str) -> list[str]:
    url = of + "/ajax-api/2.0/mlflow/experiments/"
    graphql = {"query": "{ mlflowSearchRuns { runs { info { runId } } } }"}
    return [
        tried(browser, "cors", url + "search?max_results=5"),
        tried(browser, "cors", of + "/graphql", "POST", graphql),
        tried(browser, "cors", url + "create", "POST", {"name": "foreign"}),
        tried(browser, "no-cors", url + "create", "POST", {"name": "foreign, unseen"}),
    ]


def _attack_prefect(browser: Any, served: Served, of: str, script: str) -> list[str]:
    """From a deployment's pull steps to a shell command, by every way that a page has."""
    deployment = served.deployment("retrain")["id"]
    steps = {"pull_steps": [{SHELL: {"script": script}}]}
    url = of + "/api"
    variable = {"name": "foreign", "value": "wrote"}
    return [
        tried(browser, "cors", f"{url}/deployments/{deployment}"),
        tried(browser, "cors", f"{url}/deployments/{deployment}", "PATCH", steps),
        tried(browser, "cors", f"{url}/deployments/{deployment}/create_flow_run", "POST", {}),
        tried(browser, "no-cors", f"{url}/deployments/{deployment}/create_flow_run", "POST", {}),
        tried(browser, "no-cors", f"{url}/variables/", "POST", variable),
        tried(browser, "websocket", url.replace("http", "ws", 1) + "/events/out", "prefect"),
        tried(browser, "websocket", url.replace("http", "ws", 1) + "/events/in", ""),
    ]


def _unchanged(served: Served, marker: Path) -> None:
    assert served.ask("/api/variables/filter", {}) == []
    assert not served.deployment("retrain")["pull_steps"]
    asked = {"deployments": {"id": {"any_": [served.deployment("retrain")["id"]]}}}
    assert served.ask("/api/flow_runs/filter", asked) == []
    search = served.mlflow + "/api/2.0/mlflow/experiments/search?max_results=9"
    found = ask(search, password=password_of(served.home))["experiments"]
    assert {experiment["name"] for experiment in found} <= {"Default", "own"}
    assert not marker.exists()


def test_a_page_of_another_origin_reads_writes_and_runs_nothing(served, browser, foreign, tmp_path):
    marker = tmp_path / "was-here"
    # The page's own storage holds the password by now; a foreign page gets none of it.
    for page in (foreign, foreign.replace("127.0.0.1", "evil.example")):
        browser.get(page)
        assert browser.title == "foreign"
        attacked = _attack_prefect(browser, served, served.prefect, f"touch {marker}")
        assert set(attacked) <= {"blocked", "sent unseen", "refused"}, attacked
        assert "opened" not in attacked
        attacked = _attack_mlflow(browser, served, served.mlflow)
        assert set(attacked) <= {"blocked", "sent unseen"}, attacked
        _unchanged(served, marker)


def test_a_name_that_is_bound_to_this_machine_reads_writes_and_runs_nothing(
    served, browser, tmp_path
):
    marker = tmp_path / "was-here"
    for server, attack in (
        (served.prefect, partial(_attack_prefect, script=f"touch {marker}")),
        (served.mlflow, _attack_mlflow),
    ):
        rebound = server.replace("127.0.0.1", REBOUND)
        browser.get(rebound + "/")
        attacked = attack(browser, served, rebound)
        assert set(attacked) <= {"403", "sent unseen", "refused", "blocked"}, attacked
        assert "403" in attacked
    _unchanged(served, marker)


def test_who_knows_the_password_runs_flows_and_the_chain_is_the_one_that_pages_tried(
    served, tmp_path
):
    marker = tmp_path / "was-here"
    deployment = served.deployment("retrain")["id"]
    steps = {"pull_steps": [{SHELL: {"script": f"touch {marker}"}}]}
    served.ask(f"/api/deployments/{deployment}", steps, "PATCH")
    served.ask(f"/api/deployments/{deployment}/create_flow_run", {})
    _until(marker.exists)
    # And a flow as it stands: without any file to read it fails as bad data, on record.
    ingest = served.ask(f"/api/deployments/{served.deployment('ingest')['id']}/create_flow_run", {})

    def ended() -> bool:
        run = served.ask(f"/api/flow_runs/{ingest['id']}")
        return run["state_type"] in {"COMPLETED", "FAILED"} and run["run_count"] == 1

    _until(ended)


def test_nothing_below_the_home_is_open_to_others_and_only_this_machine_is_listened_to(served):
    folders = {path for path in served.home.root.rglob("*") if path.is_dir()}
    open_to_others = [f for f in (served.home.root, *folders) if f.stat().st_mode & 0o077]
    assert open_to_others == []
    databases = [*served.home.root.rglob("*.db")]
    assert len(databases) >= 2
    assert not [path for path in databases if path.stat().st_mode & 0o077]
    for log in (served.home.root / "data" / "logs").iterdir():
        assert password_of(served.home) not in log.read_text(errors="replace")
    assert oct((served.home.access_folder / "password").stat().st_mode)[-3:] == "600"
