"""Which version a name means, by the ledger, and its content if nobody altered it since."""

from __future__ import annotations

from icploop.domain.standing import Standing, standing_of
from icploop.errors import RefusedError, UsageError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.warehouse import Warehouse
from icploop.modeling.scoring.version import IcpVersion

_WORDS = (registry.CHAMPION, registry.CHALLENGER, registry.PREVIOUS)


def standing(home: Home, lineage: str) -> Standing:
    """Where a lineage stands by its ledger."""
    return standing_of(Warehouse(home.warehouse_file).ledger(lineage))


def describe_version(home: Home, motion: str, which: str) -> registry.Registered:
    """What the registry knows of a version; `champion`, `challenger`, `previous` by the ledger.

    Raises RefusedError while none is in force, and where that in force was deleted in MLflow.
    """
    lineage = home.settings().lineage(motion)
    stands = standing(home, lineage)
    number = stands.aliases().get(which, which)
    if which == registry.CHAMPION and number == which:
        raise RefusedError(
            f"No ICP version of `{motion}` is in force yet; train one with `icp retrain` and "
            "approve it with `icp approve`, or name a version by its number"
        )
    if number in _WORDS:
        raise UsageError(f"No version of `{motion}` is the {which} now; name one by its number")
    try:
        return registry.describe(home, lineage, number)
    except UsageError as error:
        if stands.in_force is None or stands.in_force.version != number:
            raise
        earlier = stands.previous
        remedy = (
            f'`icp rollback --by WHO --reason "..."` puts version {earlier.version} back'
            if earlier
            else "train another one with `icp retrain --force`"
        )
        raise RefusedError(
            f"Version {number} of `{motion}` is in force, but was deleted in MLflow; {remedy}"
        ) from error


def load_version(home: Home, motion: str, which: str) -> tuple[IcpVersion, str]:
    """A version and its number. Raises RefusedError when it is not what its verdict was about."""
    found = describe_version(home, motion, which)
    lineage = home.settings().lineage(motion)
    judged = [
        row.details.get("content_hash")
        for row in Warehouse(home.warehouse_file).ledger(lineage)
        if row.event == "verdict" and row.version == found.number
    ]
    content = judged[-1] if judged else None
    return registry.load(home, lineage, found.number, content), found.number
