"""Writing that takes effect once, over calls that may fail at any moment.

A write is never sent twice blindly. Whatever the CRM answers, the companies are read again, and
only what still differs is written again: a call that failed after it took effect is found out that
way, and so is what a killed run had sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from icploop.errors import UnfinishedError
from icploop.io.crm.journal import Journal
from icploop.io.crm.records import Change, Crm
from icploop.io.http import RejectedError, Sleep, UncertainError, waits

# An account that the CRM refuses so often is given up; some refusals, like a lock, pass.
_TRIES = 3
# So many refusals before anything was accepted mean that the settings are wrong, not the accounts.
_HOPELESS = 20
# How long a CRM that accepted a write may take to show it, in seconds from look to look.
_UNTIL_SHOWN = (1.0, 2.0)


class Writing:
    """One run of writing to a CRM; `refused` says by account why it was given up."""

    def __init__(self, crm: Crm, journal: Journal, sleep: Sleep) -> None:
        self.crm, self.journal = crm, journal
        self.refused: dict[str, str] = {}
        self._sleep = sleep
        self._accepted_any = False

    def settle(self, changes: list[Change]) -> list[Change]:
        """Write a batch until each account reads back right or is given up; those that are right.

        Raises UnfinishedError when the CRM fails however long we wait, or refuses everything.
        """
        planned = {change.account_id: change for change in changes}
        settled: list[Change] = []
        tries: Counter[str] = Counter()
        pauses = waits()
        while changes:
            self.journal.sending(changes)
            try:
                refused = self.crm.write(changes)
            except RejectedError as error:
                return settled + self._divided(changes, str(error))
            except UncertainError as error:
                refused = {change.account_id: str(error) for change in changes}
            else:
                tries.update(refused.keys())
            still = self._read_back(changes, refused)
            settled += [planned[account_id] for account_id in self._noted_right(changes, still)]
            for change in still:
                if change.account_id not in refused:
                    self._give_up(change.account_id, _not_kept(change))
                elif tries[change.account_id] >= _TRIES:
                    self._give_up(change.account_id, refused[change.account_id])
            changes = [change for change in still if change.account_id not in self.refused]
            if changes:
                self._wait(next(pauses), refused[changes[0].account_id])
        return settled

    def _divided(self, changes: list[Change], why: str) -> list[Change]:
        """The batch was refused as a whole: halve it until those whose fault it is stand alone."""
        if len(changes) == 1:
            self._give_up(changes[0].account_id, why)
            return []
        half = len(changes) // 2
        return self.settle(changes[:half]) + self.settle(changes[half:])

    def _read_back(self, changes: list[Change], refused: Collection[str]) -> list[Change]:
        """What still differs; a write that was accepted is given a moment to show."""
        still = self._differing(changes)
        for pause in _UNTIL_SHOWN:
            if all(change.account_id in refused for change in still):
                break
            self._sleep(pause)
            still = self._differing(changes)
        return still

    def _differing(self, changes: list[Change]) -> list[Change]:
        found = self.crm.read([change.account_id for change in changes])
        still = []
        for change in changes:
            records = found.get(change.account_id, [])
            held = next((r.held for r in records if r.id == change.record_id), {})
            after = {f: value for f, value in change.after.items() if held.get(f) != value}
            if after:
                before = {f: held.get(f) for f in after}
                still.append(Change(change.account_id, change.record_id, before, after))
        return still

    def _noted_right(self, changes: list[Change], still: list[Change]) -> list[str]:
        """The accounts that read back right, now in the journal."""
        differing = {change.account_id for change in still}
        right = {c.account_id: c.record_id for c in changes if c.account_id not in differing}
        self.journal.found_right(right)
        self._accepted_any = self._accepted_any or bool(right)
        return list(right)

    def _give_up(self, account_id: str, why: str) -> None:
        self.refused[account_id] = why
        if len(self.refused) >= _HOPELESS and not self._accepted_any:
            raise UnfinishedError(
                f"{self.crm.name} refused the first {_HOPELESS} accounts and accepted none: {why}. "
                "Mend that (the types of the properties, perhaps) and run the same command again"
            )

    def _wait(self, pause: float | None, why: str) -> None:
        if pause is None:
            raise UnfinishedError(
                f"{self.crm.name} does not take what is written: {why}; run the same command again "
                "to go on"
            )
        self._sleep(pause)


def _not_kept(change: Change) -> str:
    told = [
        f"{field} {value!r} reads back as {change.before[field]!r}"
        for field, value in change.after.items()
    ]
    return f"accepted, but {', '.join(told)}"
