"""How a registered ICP version is loaded and served by MLflow, without flows or warehouse.

Its pieces and its code are compared with what was registered before any of it is used. So this
module imports nothing of ours until that is done.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from icploop.modeling.scoring.version import IcpVersion

# What a model says of itself in its MLmodel file, and a version in its tags. Whoever serves it can
# demand both by the variables ICP_CONTENT_HASH and ICP_CODE_HASH.
CONTENT, CODE = "content_hash", "code_hash"


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
    from icploop.errors import DataError  # noqa: PLC0415 - nothing of ours before it is checked

    try:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    except OSError as error:
        raise DataError(f"{folder} does not hold an ICP version: {error}") from error


def code_hash(package: Path) -> str:
    """The SHA-256 of a folder of code: its files by their paths, without what Python compiled."""
    total = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(package).as_posix()
            total.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _load_pyfunc(path: str) -> ServedVersion:
    model = Path(path).parents[1]
    registered = _registered(model / "MLmodel")
    if CODE in registered:
        _compare(model / "code", CODE, code_hash(model / "code" / "icploop"), registered)
    from icploop.modeling.scoring.version import (  # noqa: PLC0415 - not before it is checked
        IcpVersion,
        content_hash,
    )

    parts = read_parts(Path(path))
    content = content_hash(parts)
    if CONTENT in registered:
        _compare(Path(path), CONTENT, content, registered)
    return ServedVersion(IcpVersion.from_parts(parts), content[:12])


def _registered(description: Path) -> dict[str, str]:
    """The hashes that a model was registered with, or that whoever serves it demands."""
    import yaml  # noqa: PLC0415 - the package's other modules do not need it to serve

    said = yaml.safe_load(description.read_text("utf-8")) if description.is_file() else {}
    metadata = said.get("metadata") or {}
    demanded = {name: os.environ.get(f"ICP_{name.upper()}") for name in (CONTENT, CODE)}
    return {
        name: str(demanded[name] or metadata[name])
        for name in (CONTENT, CODE)
        if demanded[name] or name in metadata
    }


def _compare(place: Path, name: str, found: str, registered: dict[str, str]) -> None:
    if found != registered[name]:
        raise RuntimeError(
            f"{place} was altered after it was registered (its {name} is {found[:12]}, not "
            f"{registered[name][:12]}); serve the version of its registry, or train again"
        )
