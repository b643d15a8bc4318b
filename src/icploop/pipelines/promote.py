"""Promote: ops decide on a pending challenger, and what they approved comes into force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from icploop.domain.ledger import LedgerRow
from icploop.errors import RefusedError, UsageError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.registry import CHALLENGER, CHAMPION, PREVIOUS
from icploop.io.warehouse import Warehouse
from icploop.settings import Settings


@dataclass(frozen=True)
class PromotionReport:
    """Which version came into force, and which one it replaced."""

    motion: str
    version: str
    replaced: str | None
    approved_by: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-like values."""
        return {
            "motion": self.motion,
            "champion": self.version,
            "previous": self.replaced,
            "approved_by": self.approved_by,
            "reason": self.reason,
        }


def approve(
    home: Home, motion: str, which: str, *, who: str, reason: str, as_of: date
) -> PromotionReport:
    """Approve a version whose verdict is PROMOTE, and make it the champion.

    Raises UsageError without a name and a reason, and RefusedError, with nothing changed, when the
    version is not pending, was judged against a champion that is no longer in force, was altered
    since, or the approver is not one of `owners.approvers`.
    """
    settings = home.settings()
    lineage = settings.lineage(motion)
    version = registry.describe(home, lineage, which)
    current = registry.aliases(home, lineage)
    _check(settings, version, current, who, reason)
    # What is approved is what was judged: loading refuses a version that was altered since.
    registry.load(home, lineage, version.number)
    replaced = current.get(CHAMPION)
    warehouse = Warehouse(home.warehouse_file)
    details = {"content_hash": version.tags["content_hash"]}
    warehouse.append(LedgerRow("approval", lineage, as_of, version.number, who, reason, details))
    if replaced:
        registry.set_alias(home, lineage, PREVIOUS, replaced)
    registry.set_alias(home, lineage, CHAMPION, version.number)
    registry.set_alias(home, lineage, CHALLENGER, None)
    registry.tag_version(
        home,
        lineage,
        version.number,
        {
            "approved_by": who,
            "approval_reason": reason,
            "approved_on": as_of.isoformat(),
            "promoted_on": as_of.isoformat(),
        },
    )
    warehouse.append(
        LedgerRow("promotion", lineage, as_of, version.number, who, reason, {"replaced": replaced})
    )
    return PromotionReport(motion, version.number, replaced, who, reason)


def _check(
    settings: Settings,
    version: registry.Registered,
    current: dict[str, str],
    who: str,
    reason: str,
) -> None:
    if not who.strip() or not reason.strip():
        raise UsageError("An approval needs a name and a reason: --by WHO --reason R")
    approvers = settings.owners.approvers
    if approvers and who not in approvers:
        raise RefusedError(
            f"{who!r} may not approve; owners.approvers in conf/icp.yaml names "
            f"{', '.join(approvers)}"
        )
    verdict = version.tags.get("verdict")
    if verdict != "PROMOTE":
        raise RefusedError(
            f"Version {version.number} has the verdict {verdict}, so it cannot be approved: "
            f"{version.tags.get('reasons', '')} It can be looked at with `icp show "
            f"{version.number}` and `icp list --version {version.number}`"
        )
    if current.get(CHALLENGER) != version.number:
        pending = current.get(CHALLENGER)
        raise RefusedError(
            f"Version {version.number} is not waiting for approval; "
            + (f"version {pending} is" if pending else "nothing is")
            + (", and it is in force already" if current.get(CHAMPION) == version.number else "")
        )
    judged_against = version.tags.get("judged_against", "none")
    in_force = current.get(CHAMPION, "none")
    if judged_against != in_force:
        raise RefusedError(
            f"Version {version.number} was judged against champion {judged_against}, but "
            f"{in_force} is in force now; train again with `icp retrain --force`"
        )
