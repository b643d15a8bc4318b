"""Decide: ops approve, reject or roll back, from wherever they are; all of it meets here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icploop.domain.ledger import LedgerRow
from icploop.domain.standing import InForce, Pending, Standing
from icploop.errors import IcpError, RefusedError, UnavailableError, UsageError
from icploop.io import registry
from icploop.io.lock import one_at_a_time
from icploop.io.releases import Releases
from icploop.io.versions import CHALLENGER, PREVIOUS
from icploop.pipelines.as_of import AsOf
from icploop.pipelines.promote import (
    PATIENCE_SECONDS,
    build_release,
    carry_out,
    finish,
    show_and_notify,
)
from icploop.settings import Settings, folded

AUTO = "policy.approval: auto"


@dataclass(frozen=True)
class PromotionReport:
    """Which version came into force, and which one it replaced; perhaps before it was asked for."""

    motion: str
    version: str
    replaced: str | None
    approved_by: str
    reason: str
    published: str
    already_done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "motion": self.motion,
            "champion": self.version,
            "previous": self.replaced,
            "approved_by": self.approved_by,
            "reason": self.reason,
            "published": self.published,
            "already_done": self.already_done,
        }


@dataclass(frozen=True)
class RollbackReport:
    """Which version was left, and which is in force again; perhaps before it was asked for."""

    motion: str
    version: str
    left: str
    who: str
    reason: str
    published: str
    already_done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "motion": self.motion,
            "champion": self.version,
            "left": self.left,
            "rolled_back_by": self.who,
            "reason": self.reason,
            "published": self.published,
            "already_done": self.already_done,
        }


@dataclass(frozen=True)
class RejectionReport:
    """Which version was rejected; perhaps before it was asked for."""

    motion: str
    version: str
    rejected_by: str
    reason: str
    already_done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "motion": self.motion,
            "rejected": self.version,
            "rejected_by": self.rejected_by,
            "reason": self.reason,
            "already_done": self.already_done,
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

    Where that was the last thing decided, it says so and does nothing. Raises UsageError without a
    name and a reason, and RefusedError, with nothing changed, when the version is not pending,
    expired or stale; when it, its page, or the settings that its verdict rests on, were altered
    since; and when the approver is not one of `owners.approvers`, or trained it where the policy
    asks for two persons.
    """
    with one_at_a_time(at.home, at.lineage, PATIENCE_SECONDS):
        finish(at)
        return _approve_held(at, which, who, reason)


def reject(at: AsOf, which: str, *, who: str, reason: str) -> RejectionReport:
    """Reject the version that waits for approval. Says and raises as `approve` does."""
    with one_at_a_time(at.home, at.lineage, PATIENCE_SECONDS):
        finish(at)
        return _reject_held(at, which, who, reason)


def rollback(at: AsOf, which: str | None = None, *, who: str, reason: str) -> RollbackReport:
    """Put a former version back in force, with the scores and the list that it last published.

    `which` is a version that was in force before; without it, the one before the present. The same
    person with the same reason goes back once: a repeat says that it was already done. Raises
    RefusedError when there is none, when it was altered, and when `who` is not an approver.
    """
    home, lineage = at.home, at.lineage
    who = _person(at.settings, who, reason)
    if which not in (None, PREVIOUS):
        at.describe(which, at.standing_now())
    with one_at_a_time(home, lineage, PATIENCE_SECONDS):
        finish(at)
        if done := _already_done(at, "restoration", which or PREVIOUS, who, reason):
            return _rollback_report(at, done, already_done=True)
        stands = at.standing_now()
        former = _former(stands, at.motion, which)
        left = stands.in_force.version if stands.in_force else ""
        registry.load(home, lineage, former.version, former.content_hash)
        Releases(home, lineage).verify(former.release, former.release_hash)
        details = {
            "content_hash": former.content_hash,
            "left": left,
            "release": former.release,
            "release_hash": former.release_hash,
        }
        row = LedgerRow("rollback", lineage, at.day, former.version, who, reason, details)
        at.warehouse.append(row)
        carry_out(at, row)
        return _rollback_report(at, row)


def _approve_held(at: AsOf, which: str, who: str, reason: str) -> PromotionReport:
    """Approve, as `approve` does, by whoever holds the lock."""
    who = _person(at.settings, who, reason)
    if done := _already_done(at, "promotion", which, who, reason):
        return _promotion_report(at, done, already_done=True)
    return _put_in_force(at, _pending(at, which), who, reason)


def _reject_held(at: AsOf, which: str, who: str, reason: str) -> RejectionReport:
    """Reject, as `reject` does, by whoever holds the lock."""
    who = _person(at.settings, who, reason)
    if done := _already_done(at, "rejection", which, who, reason):
        said = (str(done.version), str(done.who), str(done.reason))
        return RejectionReport(at.motion, *said, already_done=True)
    return _refuse(at, _pending(at, which), who, reason)


def _already_done(at: AsOf, effect: str, which: str, who: str, reason: str) -> LedgerRow | None:
    """The last thing decided, if it is what is asked for now; None where there is something to do.

    What is not shown in MLflow yet is shown.
    What names a version asks for the same whoever says it. What names none could go one step
    further each time, so only the same words of the same person are a repeat.
    """
    stands = at.standing_now()
    done = stands.done
    if done is None or done.event != effect or (which == CHALLENGER and stands.pending):
        return None
    if which in (CHALLENGER, PREVIOUS):
        said, before = (who, reason), (done.who or "", done.reason or "")
        same = [folded(text) for text in said] == [folded(text) for text in before]
    else:
        same = which.removeprefix("v") == done.version
    if not same:
        return None
    # Who died after the last row had not shown it in MLflow yet, and told nobody.
    show_and_notify(at)
    return done


def _promotion_report(at: AsOf, row: LedgerRow, *, already_done: bool = False) -> PromotionReport:
    return PromotionReport(
        at.motion,
        str(row.version),
        row.details["replaced"],
        str(row.who),
        str(row.reason),
        str(Releases(at.home, at.lineage).published),
        already_done,
    )


def _rollback_report(at: AsOf, row: LedgerRow, *, already_done: bool = False) -> RollbackReport:
    return RollbackReport(
        at.motion,
        str(row.version),
        str(row.details["left"]),
        str(row.who),
        str(row.reason),
        str(Releases(at.home, at.lineage).published),
        already_done,
    )


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
    _check_fresh(at, pending, stands)
    if at.settings.policy.two_persons and folded(who) == folded(pending.trained_by or ""):
        raise RefusedError(
            f"{who!r} trained version {pending.version}; the policy asks for two persons, so "
            "somebody else approves it"
        )
    # What is approved is what was judged: loading refuses a version that was altered since.
    registry.load(at.home, at.lineage, pending.version, pending.content_hash)
    details = {
        "content_hash": pending.content_hash,
        "replaced": stands.in_force.version if stands.in_force else None,
        **build_release(at, pending.version),
    }
    row = LedgerRow("approval", at.lineage, at.day, pending.version, who, reason, details)
    at.warehouse.append(row)
    carry_out(at, row)
    return _promotion_report(at, row)


def _refuse(at: AsOf, pending: Pending, who: str, reason: str) -> RejectionReport:
    row = LedgerRow("rejection", at.lineage, at.day, pending.version, who, reason)
    at.warehouse.append(row)
    show_and_notify(at)
    return RejectionReport(at.motion, pending.version, who, reason)


def _pending(at: AsOf, which: str) -> Pending:
    """The pending version, if that is what `which` names."""
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


def _person(settings: Settings, who: str, reason: str) -> str:
    """Who decides, as the settings write the name. Raises UsageError and RefusedError."""
    if not folded(who) or not folded(reason):
        raise UsageError("A decision needs a name and a reason: --by WHO --reason R")
    approver = settings.owners.approver(who)
    if approver is None:
        raise RefusedError(
            f"{who!r} may not decide; owners.approvers in conf/icp.yaml names "
            f"{', '.join(settings.owners.approvers)}"
        )
    if folded(approver) == folded(AUTO):
        raise RefusedError(f"{who!r} is no person; it stands for what came into force by itself")
    return approver


def _check_fresh(at: AsOf, pending: Pending, stands: Standing) -> None:
    settings = at.settings
    if stands.stale:
        current = stands.in_force.version if stands.in_force else "none"
        raise RefusedError(
            f"Version {pending.version} was judged against champion "
            f"{pending.judged_against or 'none'}, but {current} is in force now; the next "
            "`icp watch` judges again, or train now with `icp retrain --force`"
        )
    judged = at.verdict_on(pending.version)
    # Another day on paper makes no verdict younger than it really is.
    waited = (at.today - judged.written_on).days if judged else 0
    if at.day >= pending.expires_on(settings.policy) or waited >= settings.policy.expires_days:
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
        # Where the former act died before it took the tag away, this one says so and takes it.
        take = _approve_held if act == "approve" else _reject_held
        done = take(at, number, who, reason)
        before = "; it was already done" if done.already_done else ""
        said = f"Version {number}: {act} by {who}, from MLflow{before}"
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
