"""What docker/ says, read as Docker would read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<how>:[?-])(?P<rest>[^}]*))?\}")


def compose() -> dict[str, Any]:
    """docker/compose.yaml with its anchors merged and its variables as they stand."""
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def services() -> dict[str, dict[str, Any]]:
    return compose()["services"]


def variables() -> dict[str, set[str]]:
    """Of each variable of compose.yaml: whether it is required (`:?`) or has a default (`:-`)."""
    found: dict[str, set[str]] = {}
    for match in _VARIABLE.finditer((ROOT / "docker" / "compose.yaml").read_text()):
        found.setdefault(match["name"], set()).add(match["how"])
    return found


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables replaced; KeyError where a required one is missing or empty."""

    def value(match: re.Match[str]) -> str:
        given = values.get(match["name"], "")
        if not given and match["how"] == ":?":
            raise KeyError(f"{match['name']}: {match['rest']}")
        return given or match["rest"] or ""

    return _VARIABLE.sub(value, text)


def image_environment() -> dict[str, str]:
    """The ENV of the image that docker/Dockerfile builds."""
    lines = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    stated = [line.removeprefix("ENV ").split() for line in lines if line.startswith("ENV ")]
    return dict(word.split("=", 1) for words in stated for word in words)
