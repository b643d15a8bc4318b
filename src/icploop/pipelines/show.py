"""Show: the readable ICP of a registered version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icploop.domain.profile import Profile
from icploop.errors import RefusedError
from icploop.io import registry
from icploop.io.home import Home


@dataclass(frozen=True)
class ShownVersion:
    """A version's page as text, its profile as a value, and its tags."""

    number: str
    text: str
    profile: Profile
    tags: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "version": self.number,
            "tags": self.tags,
            "profile": self.profile.as_dict(),
            "markdown": self.text,
        }


def describe_version(home: Home, motion: str, which: str) -> registry.Registered:
    """What the registry knows of a version. Raises RefusedError while none is in force."""
    lineage = home.settings().lineage(motion)
    if which == registry.CHAMPION and which not in registry.aliases(home, lineage):
        raise RefusedError(
            f"No ICP version of `{motion}` is in force yet; train one with `icp retrain` and "
            "approve it with `icp approve`, or name a version by its number"
        )
    return registry.describe(home, lineage, which)


def show(home: Home, motion: str, which: str) -> ShownVersion:
    """The version that a number or an alias names. Raises UsageError where there is none."""
    found = describe_version(home, motion, which)
    version = registry.load(home, home.settings().lineage(motion), found.number)
    return ShownVersion(found.number, found.description, version.profile, dict(found.tags))
