"""The locks are held against advisories; what cannot be known is said."""

import importlib.util
import json
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "requirements" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _archive(folder: Path, *advisories: dict) -> Path:
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as written:
        for advisory in advisories:
            written.writestr(f"{advisory['id']}.json", json.dumps(advisory))
    return path


def _advisory(name: str, *events: dict[str, str], **more: object) -> dict:
    about = {
        "package": {"name": name, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
    }
    return {"id": "GHSA-1", "affected": [about]} | more


def test_every_package_of_the_locks_is_held_against_them(audit):
    locked = audit.pins((ROOT / "requirements" / name).read_text() for name in audit.LOCKS)
    assert {"prefect", "mlflow", "pandas", "hatchling", "pytest", "psycopg-binary"} <= locked.keys()
    assert len(locked) > 100
    assert all(version[0].isdigit() for version in locked.values())


@pytest.mark.parametrize(
    ("events", "is_affected"),
    [
        ([{"introduced": "0"}, {"fixed": "99"}], True),
        ([{"introduced": "0"}, {"fixed": "0.1"}], False),
        ([{"introduced": "0"}, {"last_affected": "99"}], True),
        ([{"introduced": "99"}], False),
        ([{"introduced": "0"}], True),
        ([{"introduced": "0"}, {"fixed": "0.1"}, {"introduced": "1"}, {"fixed": "99"}], True),
    ],
)
def test_a_locked_version_with_an_advisory_ends_with_1(
    audit, tmp_path, capsys, events, is_affected
):
    archive = _archive(tmp_path, _advisory("MLflow", *events))
    assert audit.main(["--advisories", str(archive)]) == int(is_affected)
    assert ("GHSA-1" in capsys.readouterr().out) == is_affected


def test_what_was_accepted_withdrawn_or_is_about_others_is_no_fault(
    audit, tmp_path, capsys, monkeypatch
):
    everything = {"introduced": "0"}
    archive = _archive(
        tmp_path,
        _advisory("mlflow", everything, id="GHSA-2", withdrawn="2026-01-01T00:00:00Z"),
        _advisory("nobody-locked-this", everything, id="GHSA-3"),
        _advisory("mlflow", everything, id="GHSA-4"),
    )
    for name in audit.LOCKS:
        (tmp_path / name).write_text((ROOT / "requirements" / name).read_text())
    (tmp_path / "accepted.txt").write_text("# why\nGHSA-4 only on Windows\n")
    monkeypatch.setattr(audit, "HERE", tmp_path)
    assert audit.main(["--advisories", str(archive)]) == 0
    said = capsys.readouterr().out
    assert "(accepted: only on Windows)" in said
    assert "GHSA-2" not in said
    assert "GHSA-3" not in said


def test_what_cannot_be_reached_is_said(audit, tmp_path, capsys):
    assert audit.main(["--advisories", str(tmp_path / "none.zip")]) == 0
    assert "advisories could not be reached" in capsys.readouterr().out


def test_continuous_integration_runs_it():
    assert "make audit" in (ROOT / ".ci" / "run").read_text()
