"""What one write-back did so far, line by line on disk, so that a killed run can be gone on with.

The journal of a run that is not finished bears the digest of what it writes; a finished one gets
the moment into its name and stays, as a record of what each company held before and after.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from icploop.errors import RefusedError, UnavailableError
from icploop.io.crm.records import Change
from icploop.io.whole_file import private_folder


class Journal:
    """The journal at a path.

    `verified` are the accounts that read back right, with the CRM's id of each; `sent` those about
    which something was sent.

    Raises RefusedError while another process writes the same scores, UnavailableError where
    the journal cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            private_folder(path.parent)
            self._file = path.open("a+b")
        except OSError as error:
            raise UnavailableError(
                f"{path} cannot be written: {error}; nothing was sent"
            ) from error
        if not self._is_alone():
            self._file.close()
            raise RefusedError(
                f"Another process writes these scores to the CRM ({path}); wait until it is done"
            )
        self.verified: dict[str, str] = {}
        self.sent: set[str] = set()
        self._recall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def sending(self, changes: Iterable[Change]) -> None:
        """Put on disk what is about to be written."""
        listed = {
            c.account_id: {"id": c.record_id, "before": c.before, "after": c.after} for c in changes
        }
        self._note({"sending": listed})
        self.sent.update(listed)

    def found_right(self, record_ids: dict[str, str]) -> None:
        """Put on disk which accounts were read and hold what they should, with their CRM's id."""
        if record_ids:
            self._note({"verified": record_ids})
            self.verified.update(record_ids)

    def finish(self) -> Path | None:
        """Close the books; the journal's new name, or None where nothing was written."""
        if not self.sent:
            self.path.unlink()
            return None
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        return self.path.rename(self.path.with_suffix(f".{moment}.done.jsonl"))

    def _is_alone(self) -> bool:
        """Whether the lock is ours, and on the file that still bears the name."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            return False

    def _recall(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        # A line that a kill cut short was not acted upon.
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        for line in whole.splitlines():
            entry = json.loads(line)
            self.verified.update(entry.get("verified", {}))
            self.sent.update(entry.get("sending", {}))

    def _note(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
