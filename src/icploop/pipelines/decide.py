"""Decide: ops approve, reject or roll back, from wherever they are; all of it meets here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from icploop.domain.ledger import LedgerRow
from icploop.domain.standing import InForce, Pending, Standing
from icploop.errors import IcpError, RefusedError, UnavailableError, UsageError
from icploop.io import registry
from icploop.io.lock import one_at_a_time
from icploop.io.releases import Releases
from icploop.io.versions import CHALLENGER, PREVIOUS
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.promote import PATIENCE_SECONDS, carry_out, finish, show_and_notify
from icploop.settings import Settings

AUTO = "policy.approval: auto"


@dataclass(frozen=True)
class PromotionReport:
    """Which version came into force, and which one it replaced."""

    motion: str
    version: str
    replaced: str | None
    approved_by: str
    reason: str
    published: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "motion": self.motion,
            "champion": self.version,
            "previous": self.replaced,
            "approved_by": self.approved_by,
            "reason": self.reason,
            "published": self.published,
        }


@dataclass(frozen=True)
class RollbackReport:
    """Which version was left, and which is in force again."""

    motion: str
    version: str
    left: str
    who: str
    reason: str
    published: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "motion": self.motion,
            "champion": self.version,
            "left": self.left,
            "rolled_back_by": self.who,
            "reason": self.reason,
            "published": self.published,
        }


@dataclass(frozen=True)
class RejectionReport:
    """Which version was rejected."""

    motion: str
    version: str
    rejected_by: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "motion": self.motion,
            "rejected": self.version,
            "rejected_by": self.rejected_by,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class FormOutcome:
    """What came of a decision on a form."""

    refused: bool
    said: str


@dataclass(frozen=True)
class SettledReport:
    """What the scheduled act found to do: nothing, or a decision that it carried out or refused."""

    motion: str
    done: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {"motion": self.motion, "done": list(self.done)}


def approve(at: AsOf, which: str, *, who: str, reason: str) -> PromotionReport:
    """Approve a version whose verdict is PROMOTE, and put it in force.

    Raises UsageError without a name and a reason, and RefusedError, with nothing changed, when the
    version is not pending, expired or stale; when it, or the settings that its verdict rests on,
    were altered since; and when the approver is not one of `owners.approvers`, or trained it where
    the policy asks for two persons.
    """
    with one_at_a_time(at.home, at.lineage, PATIENCE_SECONDS):
        finish(at)
        return _put_in_force(at, _pending(at, which, who, reason), who, reason)


def reject(at: AsOf, which: str, *, who: str, reason: str) -> RejectionReport:
    """Reject the version that waits for approval. Raises as `approve` does."""
    with one_at_a_time(at.home, at.lineage, PATIENCE_SECONDS):
        finish(at)
        return _refuse(at, _pending(at, which, who, reason), who, reason)


def rollback(at: AsOf, which: str | None = None, *, who: str, reason: str) -> RollbackReport:
    """Put a former version back in force, with the scores and the list that it last published.

    `which` is a version that was in force before; without it, the one before the present. Raises
    RefusedError when there is none, when it was altered, and when `who` is not an approver.
    """
    home, lineage = at.home, at.lineage
    _check_person(at.settings, who, reason)
    if which not in (None, PREVIOUS):
        at.describe(which, at.standing_now())
    with one_at_a_time(home, lineage, PATIENCE_SECONDS):
        finish(at)
        stands = at.standing_now()
        former = _former(stands, at.motion, which)
        left = stands.in_force.version if stands.in_force else ""
        registry.load(home, lineage, former.version, former.content_hash)
        releases = Releases(home, lineage)
        release = releases.last_of(former.version) or former.release
        releases.verify(release)
        details = {"content_hash": former.content_hash, "left": left, "release": release}
        row = LedgerRow("rollback", lineage, at.day, former.version, who, reason, details)
        at.warehouse.append(row)
        published = carry_out(at, row)
        return RollbackReport(at.motion, former.version, left, who, reason, str(published))


def decide(at: AsOf, which: str, *, approves: bool, who: str, reason: str) -> FormOutcome:
    """Approve or reject as somebody said on a form; what is refused is told, not raised."""
    act = approve if approves else reject
    try:
        done = act(at, which, who=who, reason=reason)
    except (UsageError, RefusedError) as error:
        return FormOutcome(True, str(error))
    words = "is in force, approved" if approves else "was rejected"
    return FormOutcome(False, f"Version {done.version} of {at.motion} {words} by {who}")


def settle(at: AsOf) -> SettledReport:
    """Bring a lineage to what its ledger says, and carry out what was decided elsewhere.

    Finishes what a killed process began, takes decisions that somebody wrote on the waiting version
    in MLflow (the tag `approve` or `reject` with `WHO: REASON`), lets what passed come into force
    where the policy approves by itself, puts aliases back that were moved by hand, and sends the
    notices that are due.
    """
    with one_at_a_time(at.home, at.lineage, PATIENCE_SECONDS):
        done = finish(at)
        done += _by_tags(at)
        done += _by_policy(at)
        done += show_and_notify(at)
    return SettledReport(at.motion, tuple(done))


def put_in_force_by_policy(at: AsOf) -> PromotionReport | None:
    """Let what passed come into force where the policy asks nobody; None where nothing is to do.

    The caller holds the lock. Raises RefusedError as `approve` does.
    """
    pending = at.standing_now().pending
    if at.settings.policy.approval != "auto" or pending is None:
        return None
    return _put_in_force(at, pending, AUTO, "it passed the gate")


def _put_in_force(at: AsOf, pending: Pending, who: str, reason: str) -> PromotionReport:
    stands = at.standing_now()
    _check_fresh(at.settings, pending, stands, at.day)
    if at.settings.policy.two_persons and who == pending.trained_by:
        raise RefusedError(
            f"{who!r} trained version {pending.version}; the policy asks for two persons, so "
            "somebody else approves it"
        )
    # What is approved is what was judged: loading refuses a version that was altered since.
    registry.load(at.home, at.lineage, pending.version, pending.content_hash)
    replaced = stands.in_force.version if stands.in_force else None
    details = {"content_hash": pending.content_hash, "replaced": replaced}
    row = LedgerRow("approval", at.lineage, at.day, pending.version, who, reason, details)
    at.warehouse.append(row)
    published = carry_out(at, row)
    return PromotionReport(at.motion, pending.version, replaced, who, reason, str(published))


def _refuse(at: AsOf, pending: Pending, who: str, reason: str) -> RejectionReport:
    row = LedgerRow("rejection", at.lineage, at.day, pending.version, who, reason)
    at.warehouse.append(row)
    show_and_notify(at)
    return RejectionReport(at.motion, pending.version, who, reason)


def _pending(at: AsOf, which: str, who: str, reason: str) -> Pending:
    """The pending version, if that is what `which` names and `who` may decide on it."""
    _check_person(at.settings, who, reason)
    stands = at.standing_now()
    pending = stands.pending
    if which == CHALLENGER and pending is None:
        raise RefusedError(f"No version of `{at.motion}` is waiting for approval")
    version = at.describe(which, stands)
    if pending is not None and pending.version == version.number:
        return pending
    verdict = version.tags.get("verdict")
    if verdict != "PROMOTE":
        raise RefusedError(
            f"Version {version.number} has the verdict {verdict}, so it cannot be approved: "
            f"{version.tags.get('reasons', '')} It can be looked at with `icp show "
            f"{version.number}` and `icp list --version {version.number}`"
        )
    in_force = stands.in_force.version if stands.in_force else None
    raise RefusedError(
        f"Version {version.number} is not waiting for approval; "
        + (f"version {pending.version} is" if pending else "nothing is")
        + (", and it is in force already" if in_force == version.number else "")
    )


def _check_person(settings: Settings, who: str, reason: str) -> None:
    if not who.strip() or not reason.strip():
        raise UsageError("A decision needs a name and a reason: --by WHO --reason R")
    approvers = settings.owners.approvers
    if approvers and who not in approvers:
        raise RefusedError(
            f"{who!r} may not decide; owners.approvers in conf/icp.yaml names "
            f"{', '.join(approvers)}"
        )


def _check_fresh(settings: Settings, pending: Pending, stands: Standing, as_of: date) -> None:
    if stands.stale:
        current = stands.in_force.version if stands.in_force else "none"
        raise RefusedError(
            f"Version {pending.version} was judged against champion "
            f"{pending.judged_against or 'none'}, but {current} is in force now; the next "
            "`icp watch` judges again, or train now with `icp retrain --force`"
        )
    if as_of >= pending.expires_on(settings.policy):
        raise RefusedError(
            f"Version {pending.version} has waited since {pending.since}, and its verdict expired "
            f"after {settings.policy.expires_days} days (policy.expires_days); train again with "
            "`icp retrain --force`"
        )
    if pending.settings_hash != settings.judging_digest():
        raise RefusedError(
            f"conf/icp.yaml was changed since the verdict on version {pending.version} in what the "
            "verdict rests on; put it back as it was, or train again with `icp retrain --force`"
        )


def _former(stands: Standing, motion: str, which: str | None) -> InForce:
    if stands.in_force is None:
        raise RefusedError(f"No version of `{motion}` is in force, so there is nothing to leave")
    if which is None or which == PREVIOUS:
        if stands.previous is None:
            raise RefusedError(
                f"Version {stands.in_force.version} is the first of `{motion}` that came into "
                "force; there is none to go back to"
            )
        return stands.previous
    number = which.removeprefix("v")
    former = stands.once_in_force(number)
    if former is None:
        earlier = ", ".join(known.version for known in stands.history[:-1]) or "none"
        raise RefusedError(
            f"Version {number} was not in force before version {stands.in_force.version} (what a "
            f"rollback took back does not count); such were: {earlier}. Train again with "
            "`icp retrain --force` to bring its ideas back"
        )
    return former


def _by_tags(at: AsOf) -> list[str]:
    """Take the decisions that people wrote on versions in MLflow; most can only be refused."""
    written = [
        (number, act, known.tags[act])
        for number, known in registry.versions(at.home, at.lineage).items()
        for act in ("reject", "approve")
        if act in known.tags
    ]
    return [_by_tag(at, *decision) for decision in written]


def _by_tag(at: AsOf, number: str, act: str, value: str) -> str:
    """Take one decision, `WHO: REASON`; what is refused is written beside it."""
    who, _, reason = (part.strip() for part in value.partition(":"))
    try:
        pending = _pending(at, number, who, reason)
        take = _put_in_force if act == "approve" else _refuse
        take(at, pending, who, reason)
        said = f"Version {number}: {act} by {who}, from MLflow"
    except UnavailableError:
        raise
    except IcpError as error:
        remedy = " (write `WHO: REASON`)" if isinstance(error, UsageError) else ""
        said = f"Version {number}: {act} was refused. {error}{remedy}"
        registry.tag_version(at.home, at.lineage, number, {f"{act}_refused": said})
    registry.untag_version(at.home, at.lineage, number, act)
    return said


def _by_policy(at: AsOf) -> list[str]:
    """What the policy put in force, or why it did not, in words."""
    try:
        promoted = put_in_force_by_policy(at)
    except RefusedError as error:
        return [str(error)]
    return [f"Version {promoted.version} came into force by {AUTO}"] if promoted else []
