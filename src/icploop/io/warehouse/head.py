"""The end of the ledger, kept in a file beside the warehouse: who cuts rows off has to know of it.

It is written after the rows are. A process that dies in between leaves the end of one act before,
which the ledger still has, so nothing looks lost that is not.
"""

from __future__ import annotations

import json
from pathlib import Path

from icploop.domain.ledger import End
from icploop.errors import RefusedError
from icploop.io.whole_file import text_to


def head_of(path: Path) -> Path:
    """The file that keeps the end of the ledger of the warehouse at `path`."""
    return path.with_suffix(".head")


def kept_end(path: Path) -> End | None:
    """Where the ledger of a warehouse ended last; None where nobody kept it.

    Raises RefusedError where the file is not as it was written.
    """
    head = head_of(path)
    try:
        said = json.loads(head.read_text("utf-8"))
        return End(int(said["number"]), str(said["seal"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(
            f"{head} is not as it was written; put back data/ from a backup in which it is"
        ) from error


def keep_end(path: Path, end: End) -> None:
    """Keep where the ledger of a warehouse ends now, in one step."""
    said = json.dumps({"number": end.number, "seal": end.seal})
    text_to(head_of(path), said + "\n", private=True)
