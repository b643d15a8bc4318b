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
from icploop.pipelines.target_list import log_release, write_release

# A round takes a minute or two; whatever else is to be done waits for it.
PATIENCE_SECONDS = 300.0
_RELEASES_KEPT = 14


def publish(at: AsOf) -> Path:
    """Publish the scores and the list of the version in force as of a day; returns their folder.

    What is published is sealed in the ledger first. Raises RefusedError where the version's page is
    not the one of its verdict.
    """
    with one_at_a_time(at.home, at.lineage, PATIENCE_SECONDS):
        finish(at)
        at = at.anew()
        version = at.describe(CHAMPION).number
        built = build_release(at, version)
        current = at.standing.in_force
        if current and (current.release, current.release_hash) != tuple(built.values()):
            details = {"content_hash": current.content_hash, **built}
            row = LedgerRow("publication", at.lineage, at.day, version, details=details)
            at.warehouse.append(row)
        releases = Releases(at.home, at.lineage)
        _lead_to(at, built["release"], version)
        releases.prune({known.release for known in at.standing_now().history}, _RELEASES_KEPT)
        show_and_notify(at)
        return releases.published


def build_release(at: AsOf, version: str) -> dict[str, str]:
    """Build what a version publishes on a day, seen by nobody yet.

    Returns what a row of the ledger says of it: `release`, its name, and `release_hash`.
    """
    page = at.page(version)

    def write(folder: Path) -> None:
        write_release(at, folder, version)
        text_to(folder / "icp.md", page)

    releases = Releases(at.home, at.lineage)
    name = releases.build(version, at.day, write)
    return {"release": name, "release_hash": releases.hash_of(name)}


def carry_out(at: AsOf, decision: LedgerRow) -> Path:
    """Publish, show in MLflow, read back, and write down that it was done, on the decision's day.

    All that can fail of itself was built before the decision went on record. Returns where the
    scores and the list are published. The caller holds the lock.
    """
    at = replace(at, day=decision.as_of)
    version, said = str(decision.version), decision.details
    releases, release = Releases(at.home, at.lineage), said["release"]
    releases.verify(release, said["release_hash"])
    _lead_to(at, release, version)
    done = LedgerRow(
        EFFECTS[decision.event],
        at.lineage,
        at.day,
        version,
        decision.who,
        decision.reason,
        said,
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


def _lead_to(at: AsOf, release: str, version: str) -> None:
    """Let everybody read a release; its list is what sales work from now on."""
    releases = Releases(at.home, at.lineage)
    releases.point_to(release)
    log_release(at, releases.folder / release, version)


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
        registry.load(at.home, at.lineage, str(begun.version), begun.details["content_hash"])
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
        releases.point_to(in_force.release)
    show_and_notify(replace(at, day=begun.as_of))


def show_and_notify(at: AsOf) -> list[str]:
    """Show the ledger in MLflow and send the notices that are due; says what was put right."""
    done = mirror(at)
    send_notices(at)
    return done
