"""Promote: what was decided comes into force as one act, or not at all.

A decision stands in the ledger first and is carried out then: published (scores, target list),
shown in MLflow (aliases, tags), read back, and only then written down as done. Whoever dies in
between is finished, or undone, by the next act on the lineage.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icploop.domain.ledger import EFFECTS, LedgerRow
from icploop.domain.standing import standing_of
from icploop.errors import IcpError, UnavailableError
from icploop.io import registry
from icploop.io.lock import one_at_a_time
from icploop.io.releases import Releases
from icploop.io.versions import ALIASES, CHAMPION, model_name
from icploop.io.whole_file import text_to
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.mirror import check_with_mlflow, mirror
from icploop.pipelines.notify import send_notices
from icploop.pipelines.target_list import list_again, log_list, write_release

# A round takes a minute or two; whatever else is to be done waits for it.
PATIENCE_SECONDS = 300.0
_RELEASES_KEPT = 14


def publish(at: AsOf) -> Path:
    """Publish the scores and the list of the version in force as of a day; returns their folder."""
    with one_at_a_time(at.home, at.lineage, PATIENCE_SECONDS):
        finish(at)
        at = at.anew()
        version = at.describe(CHAMPION).number
        releases = Releases(at.home, at.lineage)
        releases.point_to(_release(at, version))
        history = at.standing.history
        keep = {releases.last_of(known.version) or known.release for known in history}
        releases.prune(keep, _RELEASES_KEPT)
        return releases.published


def carry_out(at: AsOf, decision: LedgerRow) -> Path:
    """Publish, show in MLflow, read back, and write down that it was done, on the decision's day.

    Returns where the scores and the list are published. The caller holds the lock.
    """
    at = replace(at, day=decision.as_of)
    version, said = str(decision.version), decision.details
    releases = Releases(at.home, at.lineage)
    registry.load(at.home, at.lineage, version, said["content_hash"])
    release = said.get("release") or _release(at, version)
    releases.verify(release)
    releases.point_to(release)
    if decision.event == "rollback":
        list_again(at, releases.folder / release, version)
    done = LedgerRow(
        EFFECTS[decision.event],
        at.lineage,
        at.day,
        version,
        decision.who,
        decision.reason,
        {**said, "release": release},
    )
    # Aliases come last before the end.
    _show(at, done)
    if releases.current() != release:
        raise UnavailableError(
            f"{releases.published} does not lead to {release} after it was published; run the same "
            "command again"
        )
    at.warehouse.append(done)
    show_and_notify(at)
    return releases.published


def _release(at: AsOf, version: str) -> str:
    def write(folder: Path) -> None:
        drawn = write_release(at, folder, version)
        page = at.describe(version).description
        text_to(folder / "icp.md", page)
        log_list(at, drawn)

    return Releases(at.home, at.lineage).build(version, at.day, write)


def _show(at: AsOf, done: LedgerRow) -> None:
    """Let MLflow's aliases say what the ledger is about to say, and read them back."""
    home, lineage = at.home, at.lineage
    wanted = standing_of([*at.warehouse.ledger(lineage), done]).aliases()
    registry.set_aliases(home, lineage, {alias: wanted.get(alias) for alias in ALIASES})
    if registry.aliases(home, lineage) != wanted:
        raise UnavailableError(
            f"MLflow's aliases of {model_name(lineage)} are not {wanted} after they were "
            "set; run the same command again"
        )


def finish(at: AsOf) -> list[str]:
    """Finish, or undo, a decision that a killed process left half done; says what was done.

    The caller holds the lock. Raises RefusedError, with nothing changed, where the ledger is not
    as it was written, or not the one that MLflow saw.
    """
    check_with_mlflow(at)
    begun = at.standing_now().unfinished
    if begun is None:
        return []
    try:
        carry_out(at, begun)
    except UnavailableError:
        raise
    except IcpError as error:
        _undo(at, begun, str(error))
        return [f"The {begun.event} of version {begun.version} was undone: {error}"]
    return [f"The {begun.event} of version {begun.version} was finished"]


def _undo(at: AsOf, begun: LedgerRow, why: str) -> None:
    """Go back to what the ledger says was in force before a decision that cannot be carried out."""
    at.warehouse.append(
        LedgerRow(
            "failure",
            at.lineage,
            begun.as_of,
            begun.version,
            reason=f"The {begun.event} was undone: {why}",
            details={"undone": begun.event},
        )
    )
    in_force = at.standing_now().in_force
    if in_force:
        releases = Releases(at.home, at.lineage)
        releases.point_to(releases.last_of(in_force.version) or in_force.release)
    show_and_notify(replace(at, day=begun.as_of))


def show_and_notify(at: AsOf) -> list[str]:
    """Show the ledger in MLflow and send the notices that are due; says what was put right."""
    done = mirror(at)
    send_notices(at)
    return done
