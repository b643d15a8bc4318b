"""Rules that docker/ holds to: no secret in it, nothing open to the network, nothing as root."""

import re
import shutil
import subprocess
import tomllib

import pytest

from tests.docker_files import (
    DOCKERFILE,
    ROOT,
    compose,
    filled_in,
    image_environment,
    services,
    variables,
)

OURS = {"mlflow", "prefect", "worker"}
SECRET = re.compile("PASSWORD|SECRET_KEY|AUTH_STRING")


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / lock).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", text, re.MULTILINE))


def _example() -> dict[str, str]:
    lines = (ROOT / "docker" / ".env.example").read_text().splitlines()
    return dict(line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#?\w+=", line))


@pytest.mark.parametrize("name", services())
def test_a_secret_comes_from_outside_and_has_no_default(name):
    secrets = {k: v for k, v in services()[name]["environment"].items() if SECRET.search(k)}
    assert secrets
    for variable, value in secrets.items():
        assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable


@pytest.mark.parametrize("name", services())
def test_no_secret_stands_on_a_command_line(name):
    assert not SECRET.search(" ".join(services()[name].get("command", [])))


def test_nothing_starts_while_a_secret_is_missing():
    required = {name for name, how in variables().items() if ":?" in how}
    assert {name for name in variables() if SECRET.search(name)} <= required
    text = (ROOT / "docker" / "compose.yaml").read_text()
    for missing in required:
        with pytest.raises(KeyError, match=missing):
            filled_in(text, dict.fromkeys(required, "x") | {missing: ""})


def test_the_example_names_every_variable_and_gives_no_value():
    assert _example() == dict.fromkeys(variables(), "")


def test_ports_are_published_on_this_machine_only():
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in published)
    assert "network_mode" not in str(compose())


@pytest.mark.parametrize("name", services())
def test_a_service_has_a_health_check_and_waits_for_the_health_of_others(name):
    service = services()[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert name == "postgres" or service["environment"]["HEALTH_URL"].startswith("http://127.")
    waits = service.get("depends_on", {})
    assert all(how == {"condition": "service_healthy"} for how in waits.values())
    assert bool(waits) == (name in OURS)


def test_every_volume_is_declared_and_what_must_last_is_on_one():
    used = [volume for service in services().values() for volume in service["volumes"]]
    named = {volume.split(":")[0] for volume in used if re.match(r"\w", volume)}
    assert named == set(compose()["volumes"])
    environment = services()["prefect"]["environment"]
    assert f"prefect:{environment['PREFECT_HOME']}" in used
    [where] = [w for w in services()["mlflow"]["command"] if w.startswith("--artifacts-dest")]
    assert f"artifacts:{where.split('=')[1]}" in used


@pytest.mark.parametrize("name", services())
def test_a_service_has_no_rights_of_root_and_no_more_memory_than_it_is_given(name):
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+g|\$\{\w+:-\d+g\}", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert name in OURS or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])


def test_an_image_from_elsewhere_is_named_with_its_digest_or_nothing_starts():
    assert services()["postgres"]["image"].startswith("${POSTGRES_IMAGE:?")
    assert compose()["x-icploop"]["build"]["args"]["PYTHON_IMAGE"].startswith("${PYTHON_IMAGE:?")
    from_lines = re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert set(from_lines) == {"${PYTHON_IMAGE}"}
    assert re.search(r"^ARG PYTHON_IMAGE$", DOCKERFILE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("digest", "sound"),
    [
        ("@sha256:" + "a" * 64, True),
        ("", False),
        ("@sha256:abc", False),
        ("@md5:" + "a" * 64, False),
    ],
)
def test_the_file_of_images_is_checked_for_a_digest_of_each(tmp_path, digest, sound):
    shutil.copy(ROOT / "docker" / "pin.sh", tmp_path)
    (tmp_path / "images.env").write_text(
        "PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:" + "b" * 64 + "\n"
        f"POSTGRES_IMAGE=postgres:17-bookworm{digest}\n"
    )
    words = ["sh", str(tmp_path / "pin.sh"), "--check"]
    checked = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (checked.returncode == 0) == sound
    assert sound or "digest of postgres:17-bookworm" in checked.stderr
    images = ROOT / "docker" / "images.env"
    assert (
        not images.exists()
        or subprocess.run(
            ["sh", str(ROOT / "docker" / "pin.sh"), "--check"], check=False
        ).returncode
        == 0
    )


def test_the_worker_is_not_mlflows_administrator():
    worker, mlflow = services()["worker"]["environment"], services()["mlflow"]["environment"]
    assert worker["MLFLOW_TRACKING_USERNAME"] != mlflow["MLFLOW_AUTH_ADMIN_USERNAME"]
    assert worker["MLFLOW_TRACKING_PASSWORD"] == mlflow["ICP_WORKER_PASSWORD"]
    assert "ADMIN" not in str(worker)


def test_both_pages_stand_behind_a_door():
    for name in ("mlflow", "prefect"):
        service = services()[name]
        [port] = [port.split(":")[1] for port in service["ports"]]
        page = f"${{{name.upper()}_URL:-http://127.0.0.1:{port}}}"
        assert service["environment"]["ICP_PAGE"] == page
        also = service["environment"]["ICP_ALSO"].split()
        assert {host.split(":")[1] for host in also} == {port}
        assert f"{name}:{port}" in also
    assert "flows.server" in services()["prefect"]["command"]
    assert "--app-name=icploop" in services()["mlflow"]["command"]


def test_our_services_give_up_every_right_and_share_one_image():
    for name in OURS:
        service = services()[name]
        assert service["image"] == "icploop"
        assert "user" not in service
        assert "privileged" not in service


def test_the_image_runs_as_a_user_with_few_rights_and_has_a_health_check():
    last_stage = DOCKERFILE.read_text().split("\nFROM ")[-1]
    [user] = re.findall(r"^USER (.+)$", last_stage, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert "\nHEALTHCHECK" in last_stage


def test_the_image_installs_with_hashes_only_what_the_locks_name():
    installs = re.findall(r"pip install (.+?)(?:&&|\n(?! ))", DOCKERFILE.read_text(), re.DOTALL)
    assert len(installs) == 3
    for words in installs:
        assert "--no-deps" in words
        assert "--require-hashes" in words or "--editable ." in words


def test_the_image_is_quiet_and_holds_no_secret():
    stated = image_environment()
    assert stated["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert stated["DO_NOT_TRACK"] == "1"
    assert stated["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert not SECRET.search(DOCKERFILE.read_text())


def test_the_image_is_given_what_it_runs_and_no_data():
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().split()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    needed = {path.split("/")[0] for path in package["targets"]["wheel"]["packages"]}
    assert needed | {"prefect.yaml", "pyproject.toml", "conf", "docker", "requirements"} <= let_in
    assert not {"data", "mlruns", "tests", ".git"} & let_in
    assert all((ROOT / path).exists() for path in let_in)
    assert "docker/.env" in ignored


def test_the_locks_agree_and_hold_what_the_services_need():
    run, build, everything = _pins("run.txt"), _pins("build.txt"), _pins("dev.txt")
    assert run.items() | build.items() <= everything.items()
    assert {"mlflow", "prefect", "flask-wtf", "asyncpg", "psycopg-binary"} <= run.keys()
    assert {"hatchling", "editables"} <= build.keys()
    assert "pytest" not in run
