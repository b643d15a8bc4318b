"""The services of docker/compose.yaml, started without Docker: the same commands, environment,
health checks and order, with a real PostgreSQL; only hosts, ports and paths are translated."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest

from icploop.io.home import Home
from tests.docker_files import ROOT, filled_in, image_environment, services
from tests.free_ports import free_ports
from tests.postgres import postgres_server, program
from tests.unit import planted
from tests.unit.io_fixtures import inbox, new_home, require, write_csv

pytestmark = pytest.mark.slow

# Signs that a URL or a shell would take for its own.
AWKWARD = "p@ss/w:rd %20#&'\"\\"
SECRETS = {
    "POSTGRES_PASSWORD": f"superuser {AWKWARD}",
    "PREFECT_DATABASE_PASSWORD": f"prefect {AWKWARD}",
    "MLFLOW_DATABASE_PASSWORD": f"mlflow {AWKWARD}",
    "MLFLOW_ADMIN_PASSWORD": f"admin {AWKWARD}",
    "MLFLOW_WORKER_PASSWORD": f"worker {AWKWARD}",
    "MLFLOW_SECRET_KEY": f"key {AWKWARD}",
    "PREFECT_AUTH_STRING": "ops:s3cr3t-w0rd",
}
PROXY = {"MLFLOW_URL": "https://mlflow.example", "PREFECT_URL": "https://prefect.example"}
ADMIN = ("admin", SECRETS["MLFLOW_ADMIN_PASSWORD"])
OPS = ("ops", "s3cr3t-w0rd")
PORTS = ("5432", "5000", "4200", "8080")
PATIENCE_SECONDS = 180


@dataclass(frozen=True)
class Place:
    """Where the services run instead of in containers."""

    folder: Path
    company: Home
    ports: dict[str, str]

    def translated(self, text: str, service: str) -> str:
        """The text of a service with its hosts, ports and volumes as they are here."""
        text = filled_in(text, SECRETS | PROXY | {"COMPANY_FOLDER": str(self.company.root)})
        for name in services():
            text = re.sub(rf"(?<=[/=]){name}(?=:\d)", "127.0.0.1", text)
        for port, here in self.ports.items():
            text = re.sub(rf"(?<=[:=]){port}\b|^{port}$", here, text)
        for target, source in self._volumes(service).items():
            text = re.sub(rf"(?<![\w/]){target}", str(source), text)
        return text.replace("0.0.0.0", "127.0.0.1")

    def environment(self, service: str) -> dict[str, str]:
        """The image's and the service's, and nothing else of this process but its interpreter."""
        stated = image_environment() | services()[service]["environment"]
        hosts = {name: "127.0.0.1" for name, value in stated.items() if value == "postgres"}
        own = {name: self.translated(value, service) for name, value in stated.items()}
        interpreter = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
        }
        return own | hosts | interpreter

    def _volumes(self, service: str) -> dict[str, Path]:
        found = {}
        for volume in services()[service]["volumes"]:
            source, target = filled_in(volume, {"COMPANY_FOLDER": "/company"}).split(":")[:2]
            named = self.folder / "volumes" / source.lstrip("./")
            found[target] = self.company.root if source == "/company" else named
        return found

    def make_volumes(self, service: str) -> None:
        for path in self._volumes(service).values():
            path.mkdir(parents=True, exist_ok=True)

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"

    def query(self, role: str, database: str, sql: str) -> list[tuple[Any, ...]]:
        """What a role sees in a database."""
        with psycopg.connect(
            host="127.0.0.1",
            port=self.ports["5432"],
            user=role,
            password=SECRETS[f"{role.upper()}_DATABASE_PASSWORD"],
            dbname=database,
        ) as connection:
            return connection.execute(sql).fetchall()


@contextmanager
def _running(place: Place, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A service from its start until its whole process group has ended."""
    place.make_volumes(name)
    command = [place.translated(word, name) for word in services()[name]["command"]]
    log = place.folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=place.environment(name),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        except BaseException:
            sys.stderr.write(f"--- {name}\n{log.read_text(errors='replace')[-6000:]}\n")
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for word in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, word)
            process.wait(timeout=5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _wait_until_healthy(place: Place, name: str, process: subprocess.Popen[bytes]) -> None:
    """Ask as compose.yaml asks, until the service answers."""
    [kind, *words] = services()[name]["healthcheck"]["test"]
    assert kind == "CMD"
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        asked = subprocess.run(
            words, cwd=ROOT, env=place.environment(name), capture_output=True, check=False
        )
        if asked.returncode == 0:
            return
        assert process.poll() is None, f"{name} ended at once"
        time.sleep(1)
    raise AssertionError(f"{name} is not healthy: {asked.stderr.decode()[-300:]}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """All services, healthy, on a company that has a year of deals and no version yet."""
    require("flask-wtf, for MLflow's basic authentication", find_spec("flask_wtf"))
    company = new_home(tmp_path_factory.mktemp("company") / "home", planted.SETTINGS)
    write_csv(inbox(company), planted.company())
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    here = Place(tmp_path_factory.mktemp("server"), company, ports)
    with ExitStack() as stack:
        database = stack.enter_context(
            postgres_server(
                SECRETS["POSTGRES_PASSWORD"], "postgres", "127.0.0.1", int(ports["5432"])
            )
        )
        [script] = [v for v in services()["postgres"]["volumes"] if "initdb" in v]
        database.run_sql(ROOT / "docker" / script.split(":")[0], here.environment("postgres"))
        servers = {
            name: stack.enter_context(_running(here, name)) for name in ("mlflow", "prefect")
        }
        for name in services()["worker"]["depends_on"]:
            _wait_until_healthy(here, name, servers[name])
        worker = stack.enter_context(_running(here, "worker"))
        _wait_until_healthy(here, "worker", worker)
        yield here


def _ask(
    url: str,
    user: tuple[str, str] | None = None,
    body: dict[str, Any] | None = None,
    **headers: str,
) -> Any:
    """The JSON of an answer; HTTPError where it is refused."""
    if user:
        token = base64.b64encode(":".join(user).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"} | headers)
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _refusal(*words: Any, **headers: str) -> int:
    with pytest.raises(HTTPError) as refused:
        _ask(*words, **headers)
    return refused.value.code


def _run(place: Place, flow: str, parameters: dict[str, Any]) -> str:
    """Order a run of a deployment and return the state in which it ended."""
    api = place.url("4200") + "/api"
    deployment = _ask(f"{api}/deployments/name/{flow}/{flow}", OPS)["id"]
    order = {"parameters": parameters}
    run = _ask(f"{api}/deployments/{deployment}/create_flow_run", OPS, order)["id"]
    until = time.monotonic() + PATIENCE_SECONDS
    state = ""
    while time.monotonic() < until:
        state = _ask(f"{api}/flow_runs/{run}", OPS)["state_type"]
        if state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
            return state
        time.sleep(0.3)
    raise AssertionError(f"the run of {flow} is still {state}")


def test_mlflow_answers_to_its_users_at_its_own_name_only(place: Place):
    search = place.url("5000") + "/api/2.0/mlflow/experiments/search?max_results=5"
    assert _refusal(search) == 401
    assert _refusal(search, ("admin", "password1234")) == 401
    assert _refusal(search, ADMIN, Host="evil.example") == 403
    for host in ("mlflow.example", f"localhost:{place.ports['5000']}"):
        found = _ask(search, ADMIN, Host=host)
        assert "Default" in {experiment["name"] for experiment in found["experiments"]}


def test_mlflow_takes_changes_from_pages_of_its_own_origin_only(place: Place):
    create = place.url("5000") + "/api/2.0/mlflow/experiments/create"
    assert _refusal(create, ADMIN, {"name": "other"}, Origin="https://evil.example") == 403
    # Every page of this machine would be let in by MLflow's own rules.
    assert _refusal(create, ADMIN, {"name": "other"}, Origin="http://localhost:9999") == 403
    own = {"Origin": PROXY["MLFLOW_URL"], "Host": "mlflow.example"}
    assert _ask(create, ADMIN, {"name": "own"}, **own)["experiment_id"]


def test_prefect_answers_to_those_who_know_its_auth_string_only(place: Place):
    count = place.url("4200") + "/api/deployments/count"
    assert _refusal(count, None, {}) == 401
    assert _refusal(count, ("ops", "wrong"), {}) == 401
    assert _ask(count, OPS, {}) > 0
    assert _refusal(count, OPS, {}, Origin="https://evil.example") == 403
    assert _refusal(count, OPS, {}, Host="evil.example") == 403
    assert _ask(count, OPS, {}, Origin=PROXY["PREFECT_URL"], Host="prefect.example") > 0
    assert _ask(place.url("4200") + "/ui-settings")["api_url"] == "https://prefect.example/api"
    assert list((place.folder / "volumes" / "prefect" / "ui").rglob("index.html"))


def test_the_worker_has_deployed_everything_in_prefect_yaml(place: Place):
    import yaml

    wanted = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    found = _ask(place.url("4200") + "/api/deployments/filter", OPS, {})
    assert {d["name"] for d in found} == {d["name"] for d in wanted}
    assert {d["work_pool_name"] for d in found} == {"icploop"}
    assert {d["parameters"]["home"] for d in found} == {str(place.company.root)}


def test_each_server_keeps_its_tables_in_a_database_of_its_own(place: Place):
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    in_mlflow = {name for (name,) in place.query("mlflow", "mlflow", tables)}
    in_prefect = {name for (name,) in place.query("prefect", "prefect", tables)}
    assert {"runs", "registered_models", "users"} <= in_mlflow
    assert {"flow_run", "deployment", "work_pool"} <= in_prefect
    users = place.query("mlflow", "mlflow", "SELECT username, is_admin FROM users")
    assert dict(users) == {"admin": True, "worker": False}
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        place.query("mlflow", "prefect", "SELECT 1")


def test_a_round_runs_through_the_worker_and_its_version_is_in_mlflow(place: Place):
    assert _run(place, "ingest", {}) == "COMPLETED"
    day = planted.LAST_DAY.isoformat()
    assert _run(place, "retrain", {"as_of": day, "force": True}) == "COMPLETED"

    versions = _ask(
        f"{place.url('5000')}/api/2.0/mlflow/model-versions/search"
        f"?filter=name%3D%27icp-{planted.MOTION}%27&max_results=5",
        ADMIN,
    )["model_versions"]
    [run] = {version["run_id"] for version in versions}
    status = place.query("mlflow", "mlflow", f"SELECT status FROM runs WHERE run_uuid = '{run}'")
    assert status == [("FINISHED",)]
    ended = "SELECT name FROM flow_run WHERE state_type = 'COMPLETED'"
    assert len(place.query("prefect", "prefect", ended)) >= 2
    # The artifacts went through the server onto its volume, and nothing into the company's folder.
    assert list((place.folder / "volumes" / "artifacts").rglob("MLmodel"))
    assert not place.company.mlruns.exists()


def test_a_dump_of_a_database_gives_it_back(place: Place, tmp_path: Path):
    """As docs/server.md has it, but into an empty database beside the one in use."""
    words = ["--host=127.0.0.1", f"--port={place.ports['5432']}", "--username=postgres"]
    environment = os.environ | {"PGPASSWORD": SECRETS["POSTGRES_PASSWORD"]}

    def run(name: str, *more: str) -> None:
        subprocess.run([str(program(name)), *words, *more], check=True, env=environment)

    for database, table in (("mlflow", "runs"), ("prefect", "flow_run")):
        dump = str(tmp_path / f"{database}.dump")
        run("pg_dump", "--format=custom", f"--file={dump}", database)
        run("createdb", f"--owner={database}", f"{database}_back")
        run("pg_restore", "--exit-on-error", "--clean", "--if-exists", f"-d{database}_back", dump)
        # Schedules go on, so what is counted is what has ended.
        ended = f"SELECT count(*) FROM {table} WHERE end_time IS NOT NULL"
        kept = place.query(database, f"{database}_back", ended)
        assert kept == place.query(database, database, ended)
        assert kept > [(0,)]


def test_no_password_stands_in_what_the_services_print(place: Place):
    for name in ("mlflow", "prefect", "worker"):
        printed = (place.folder / f"{name}.log").read_text(errors="replace")
        assert printed
        assert not [secret for secret in SECRETS.values() if secret in printed], name
