"""Promote: what was decided comes into force as one act, or not at all.

A decision stands in the ledger first and is carried out then: published (scores, target list),
shown in MLflow (aliases, tags), read back, and only then written down as done. Whoever dies in
between is finished, or undone, by the next act on the lineage.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from icploop.domain.ledger import EFFECTS, LedgerRow
from icploop.domain.standing import standing_of
from icploop.errors import IcpError, UnavailableError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.lock import one_at_a_time
from icploop.io.releases import Releases
from icploop.io.warehouse import Warehouse
from icploop.pipelines.mirror import mirror
from icploop.pipelines.notify import send_notices
from icploop.pipelines.score import list_again, log_list, write_release
from icploop.pipelines.versions import describe_version, standing
from icploop.settings import Settings

# A round takes a minute or two; whatever else is to be done waits for it.
PATIENCE_SECONDS = 300.0
_RELEASES_KEPT = 14


def publish(home: Home, motion: str, as_of: date) -> Path:
    """Publish the scores and the list of the version in force as of a day; returns their folder."""
    settings = home.settings()
    lineage = settings.lineage(motion)
    with one_at_a_time(home, lineage, PATIENCE_SECONDS):
        finish(home, settings, motion)
        version = describe_version(home, motion, registry.CHAMPION).number
        releases = Releases(home, lineage)
        releases.point_to(_release(home, motion, version, as_of))
        history = standing(home, lineage).history
        keep = {releases.last_of(known.version) or known.release for known in history}
        releases.prune(keep, _RELEASES_KEPT)
        return releases.published


def carry_out(home: Home, settings: Settings, motion: str, decision: LedgerRow) -> Path:
    """Publish, show in MLflow, read back, and write down that it was done.

    Returns where the scores and the list are published. The caller holds the lock.
    """
    lineage, version = decision.motion, str(decision.version)
    releases = Releases(home, lineage)
    said = decision.details
    registry.load(home, lineage, version, said["content_hash"])
    release = said.get("release") or _release(home, motion, version, decision.as_of)
    releases.verify(release)
    releases.point_to(release)
    if decision.event == "rollback":
        list_again(home, lineage, releases.folder / release, version, decision.as_of)
    done = LedgerRow(
        EFFECTS[decision.event],
        lineage,
        decision.as_of,
        version,
        decision.who,
        decision.reason,
        {**said, "release": release},
    )
    # Aliases come last before the end.
    _show(home, lineage, done)
    if releases.current() != release:
        raise UnavailableError(
            f"{releases.published} does not lead to {release} after it was published; run the same "
            "command again"
        )
    Warehouse(home.warehouse_file).append(done)
    tell(home, settings, lineage, decision.as_of)
    return releases.published


def _release(home: Home, motion: str, version: str, as_of: date) -> str:
    lineage = home.settings().lineage(motion)

    def write(folder: Path) -> None:
        drawn = write_release(home, motion, folder, as_of, version)
        page = describe_version(home, motion, version).description
        (folder / "icp.md").write_text(page, encoding="utf-8")
        log_list(home, motion, drawn, as_of)

    return Releases(home, lineage).build(version, as_of, write)


def _show(home: Home, lineage: str, done: LedgerRow) -> None:
    """Let MLflow's aliases say what the ledger is about to say, and read them back."""
    rows = [*Warehouse(home.warehouse_file).ledger(lineage), done]
    wanted = standing_of(rows).aliases()
    registry.set_aliases(home, lineage, {alias: wanted.get(alias) for alias in registry.ALIASES})
    if registry.aliases(home, lineage) != wanted:
        raise UnavailableError(
            f"MLflow's aliases of {registry.model_name(lineage)} are not {wanted} after they were "
            "set; run the same command again"
        )


def finish(home: Home, settings: Settings, motion: str) -> list[str]:
    """Finish, or undo, a decision that a killed process left half done; says what was done.

    The caller holds the lock.
    """
    lineage = settings.lineage(motion)
    begun = standing(home, lineage).unfinished
    if begun is None:
        return []
    try:
        carry_out(home, settings, motion, begun)
    except UnavailableError:
        raise
    except IcpError as error:
        _undo(home, settings, lineage, begun, str(error))
        return [f"The {begun.event} of version {begun.version} was undone: {error}"]
    return [f"The {begun.event} of version {begun.version} was finished"]


def _undo(home: Home, settings: Settings, lineage: str, begun: LedgerRow, why: str) -> None:
    """Go back to what the ledger says was in force before a decision that cannot be carried out."""
    Warehouse(home.warehouse_file).append(
        LedgerRow(
            "failure",
            lineage,
            begun.as_of,
            begun.version,
            reason=f"The {begun.event} was undone: {why}",
            details={"undone": begun.event},
        )
    )
    in_force = standing(home, lineage).in_force
    if in_force:
        releases = Releases(home, lineage)
        releases.point_to(releases.last_of(in_force.version) or in_force.release)
    tell(home, settings, lineage, begun.as_of)


def tell(home: Home, settings: Settings, lineage: str, as_of: date) -> list[str]:
    """Show the ledger in MLflow and send the notices that are due; says what was put right."""
    done = mirror(home, lineage, as_of)
    send_notices(home, settings, lineage, as_of)
    return done
