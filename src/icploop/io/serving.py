"""How a registered ICP version is loaded and served by MLflow, without flows or warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from icploop.errors import DataError
from icploop.modeling.scoring.version import IcpVersion, content_hash


@dataclass(frozen=True)
class ServedVersion:
    """What `mlflow.pyfunc.load_model` hands out."""

    version: IcpVersion
    label: str

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Scores of raw accounts, as the contract's section 5 has them.

        `params["as_of"]` (YYYY-MM-DD) is the day at whose end dates are aged; without it, today.
        With `params["reasons"]` false the columns of reasons are empty, and it is faster.
        A model does not know the number it was registered under, so `icp_version` is the start of
        the content hash that the registered version carries as a tag.
        """
        asked = params or {}
        stated = asked.get("as_of")
        day = date.fromisoformat(stated) if stated else datetime.now(UTC).date()
        with_reasons = bool(asked.get("reasons", True))
        return self.version.score(frame, day, self.label, with_reasons=with_reasons)


def read_parts(folder: Path) -> dict[str, bytes]:
    """The pieces of a version that lie in a folder. Raises DataError when there is no folder."""
    try:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    except OSError as error:
        raise DataError(f"{folder} does not hold an ICP version: {error}") from error


def _load_pyfunc(path: str) -> ServedVersion:
    parts = read_parts(Path(path))
    return ServedVersion(IcpVersion.from_parts(parts), content_hash(parts)[:12])
