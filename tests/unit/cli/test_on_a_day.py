from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from icploop.cli.on_a_day import Told, on_a_day
from icploop.cli.options import Account, OfVersion
from icploop.pipelines.as_of import AsOf
from tests.unit.io_fixtures import SETTINGS, new_home


@dataclass(frozen=True)
class Asked:
    """What a command was asked, as its report."""

    account: str
    version: str
    motion: str
    day: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()

    @on_a_day(made, "icp ask acme", "ask")
    def ask_about(at: AsOf, account: Account, version: OfVersion = "champion") -> Told:
        """Ask about an account."""
        report = Asked(account, version, at.motion, at.day.isoformat())
        return report, lambda asked: f"{asked.account} on {asked.day}"

    @on_a_day(made, "icp other")
    def other(at: AsOf) -> Told:
        """Ask for nothing."""
        raise AssertionError(at)

    return made


def test_a_command_takes_its_own_options_and_those_of_every_one(
    app: typer.Typer, tmp_path: Path
) -> None:
    home = new_home(tmp_path / "home", SETTINGS)
    words = ["ask", "acme", "--home", str(home.root), "--as-of", "2024-05-31"]
    assert CliRunner().invoke(app, words).stdout == "acme on 2024-05-31\n"
    answer = CliRunner().invoke(app, [*words, "--motion", "upsell", "--version", "3", "--json"])
    assert json.loads(answer.stdout) == {
        "account": "acme",
        "version": "3",
        "motion": "upsell",
        "day": "2024-05-31",
    }
    told = CliRunner().invoke(app, ["ask", "--help"]).stdout
    assert "Ask about an account." in told
    assert "Example: icp ask acme" in told
    assert "--at" not in told
