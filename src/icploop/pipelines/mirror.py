"""Mirror: show the ledger in MLflow, where ML engineers live. The ledger decides, MLflow shows it.

Each row becomes a tag of its version, or of the registered model where it has none; aliases follow
the ledger. The tag `ledger_end` says which row MLflow saw last, by number and seal, so a ledger
that was cut off at its end, or replaced by another one, can be told.
"""

from __future__ import annotations

from icploop.domain.ledger import End, LedgerRow, Sealed
from icploop.domain.standing import standing_of
from icploop.errors import RefusedError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.versions import ALIASES, CHALLENGER, CHAMPION, PREVIOUS, Registered
from icploop.pipelines.as_of import AsOf

MIRRORED = "ledger_end"
# MLflow takes no longer values of tags.
_LONGEST = 5000


def seen_by_mlflow(home: Home, lineage: str) -> End | None:
    """The last row of a lineage that MLflow saw; None before the first one."""
    said = (registry.tags_of_model(home, lineage) or {}).get(MIRRORED)
    return _end(said) if said else None


def check_with_mlflow(at: AsOf) -> None:
    """Raises RefusedError where the ledger is not the one that MLflow saw; nothing is put right."""
    end = seen_by_mlflow(at.home, at.lineage)
    lost = end.lost_from(at.warehouse.sealed_ledger()) if end else None
    if lost:
        raise RefusedError(
            f"The ledger is not the one that MLflow saw: {lost}. Put back data/ and mlruns/ from "
            "one backup, or see `When the ledger is not whole` in docs/operate.md"
        )


def mirror(at: AsOf) -> list[str]:
    """Bring MLflow's tags and aliases to what the ledger says; tells what somebody had moved.

    An alias that was moved by hand is put back, and that goes on record.
    """
    home, lineage, warehouse = at.home, at.lineage, at.warehouse
    tags = registry.tags_of_model(home, lineage)
    if tags is None:
        return []
    rows = [sealed for sealed in warehouse.sealed_ledger() if sealed.row.lineage == lineage]
    seen = _end(tags[MIRRORED]).number if MIRRORED in tags else 0
    fresh = [sealed for sealed in rows if sealed.number > seen]
    wanted = standing_of([sealed.row for sealed in rows]).aliases()
    known = registry.versions(home, lineage)
    moved = [] if fresh else _moved(registry.aliases(home, lineage), wanted, known)
    right = {alias: wanted.get(alias) for alias in ALIASES}
    registry.set_aliases(home, lineage, {a: n for a, n in right.items() if n is None or n in known})
    if moved and (row := LedgerRow("failure", lineage, at.day, reason=" ".join(moved))).reason != (
        rows[-1].row.reason if rows else None
    ):
        warehouse.append(row)
        fresh = [
            s for s in warehouse.sealed_ledger() if s.row.lineage == lineage and s.number > seen
        ]
    # A version in force is published every day: that would bury the tags that people look for.
    for sealed in (s for s in fresh if s.row.event != "publication"):
        _tag(home, lineage, sealed, known)
    if fresh:
        registry.tag_model(home, lineage, {MIRRORED: f"{fresh[-1].number} {fresh[-1].seal}"})
    return moved


def _moved(
    found: dict[str, str], wanted: dict[str, str], known: dict[str, Registered]
) -> list[str]:
    """What each alias that somebody moved said, and what it says again."""
    moved = []
    for alias in (CHAMPION, PREVIOUS, CHALLENGER):
        stated, right = found.get(alias), wanted.get(alias)
        if stated != right and (right is None or right in known):
            moved.append(
                f"The alias {alias} was moved by hand to {stated or 'nothing'}; it is "
                f"{right or 'nothing'} again, as decided."
            )
        elif stated != right:
            moved.append(f"Version {right}, the {alias}, was deleted in MLflow.")
    return moved


def _end(said: str) -> End:
    """What the tag says; of what somebody wrote over it no row has the seal."""
    number, _, seal = said.partition(" ")
    return End(int(number), seal) if number.isdecimal() else End(1, said)


def _tag(home: Home, lineage: str, sealed: Sealed, known: dict[str, Registered]) -> None:
    row = sealed.row
    said = f"{row.as_of} {row.who or 'icploop'}: {row.reason or ''} [{sealed.seal[:12]}]"
    tag = {f"ledger.{sealed.number:05}.{row.event}": said[-_LONGEST:]}
    if row.version in known:
        registry.tag_version(home, lineage, str(row.version), tag | _decided(row))
    else:
        registry.tag_model(home, lineage, tag)


def _decided(row: LedgerRow) -> dict[str, str]:
    """Who decided, why and on what day, as tags that people look for."""
    who, reason, day = row.who or "", row.reason or "", row.as_of.isoformat()
    if row.event == "promotion":
        named = {"approved_by": who, "approval_reason": reason, "approved_on": day}
        return named | {"promoted_on": day}
    if row.event == "restoration":
        return {"restored_by": who, "restoration_reason": reason, "restored_on": day}
    if row.event == "rejection":
        return {"rejected_by": who, "rejection_reason": reason, "rejected_on": day}
    return {}
