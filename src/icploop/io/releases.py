"""What a version in force has published: folders that never change, and a link to the current one.

    data/releases/LINEAGE/00007-v3-2026-03-31/   targets.csv, scores.parquet, ..., release.json
    data/published/LINEAGE -> ../releases/LINEAGE/00007-v3-2026-03-31

A release appears under its name only when it is whole, and the link changes in one step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from icploop.errors import RefusedError, UnavailableError
from icploop.io.home import Home
from icploop.io.whole_file import private_folder, text_to

_MANIFEST = "release.json"
_AGAIN = "publish anew with `icp publish`"


@dataclass(frozen=True)
class Releases:
    """The releases of one lineage in a home folder."""

    home: Home
    lineage: str

    @property
    def folder(self) -> Path:
        """Where the releases lie."""
        return self.home.root / "data" / "releases" / self.lineage

    @property
    def published(self) -> Path:
        """The link that people and programs read through."""
        return self.home.root / "data" / "published" / self.lineage

    def build(self, version: str, as_of: date, write: Callable[[Path], None]) -> str:
        """Let `write` fill the folder of a new release, and return its name.

        Where it would be what was released last, to the byte, that stays. What a killed attempt
        left behind is removed first. Raises UnavailableError where the disk does not take it;
        then nothing appears.
        """
        try:
            private_folder(self.folder)
            for left in self.folder.glob(".*.part"):
                shutil.rmtree(left)
            newest = self._names()[-1:]
            number = int(newest[0].split("-")[0]) + 1 if newest else 1
            name = f"{number:05}-v{version}-{as_of}"
            part = self.folder / f".{name}.part"
            private_folder(part)
            write(part)
            hashes = {path.name: _sha256(path) for path in sorted(part.iterdir())}
            manifest = {"version": version, "as_of": as_of.isoformat(), "files": hashes}
            if newest and self._manifest(newest[-1]) == manifest:
                shutil.rmtree(part)
                return newest[-1]
            text_to(part / _MANIFEST, json.dumps(manifest, indent=1) + "\n")
            _to_disk(part)
            part.rename(self.folder / name)
        except OSError as error:
            raise UnavailableError(
                f"{self.folder} cannot be written: {error}; make room on the disk or the folder "
                "writable, and run the same command again"
            ) from error
        return name

    def verify(self, name: str, manifest_hash: str) -> dict[str, str]:
        """The hashes of a release's files, whose manifest has the hash that the ledger states.

        Raises RefusedError where a file is not what was built, is missing, or was put beside them.
        """
        folder = self.folder / name
        try:
            if self.hash_of(name) != manifest_hash:
                raise RefusedError(
                    f"{folder / _MANIFEST} was altered after it was published; {_AGAIN}"
                )
            stated: dict[str, str] = self._manifest(name)["files"]
            for file, hashed in stated.items():
                if _sha256(folder / file) != hashed:
                    raise RefusedError(
                        f"{folder / file} was altered after it was published; {_AGAIN}"
                    )
            strangers = {path.name for path in folder.iterdir()} - {*stated, _MANIFEST}
        except (OSError, ValueError, KeyError) as error:
            raise RefusedError(f"The release {folder} is not whole: {error}; {_AGAIN}") from error
        if strangers:
            raise RefusedError(
                f"{folder / min(strangers)} does not belong to what was published; take it away"
            )
        return stated

    def hash_of(self, name: str) -> str:
        """The hash of a release's manifest, which has the hashes of its files."""
        return _sha256(self.folder / name / _MANIFEST)

    def point_to(self, name: str) -> None:
        """Let the link lead to a release, in one step."""
        try:
            private_folder(self.published.parent)
            fresh = self.published.with_name(f".{self.lineage}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(Path(os.path.relpath(self.folder / name, self.published.parent)))
            fresh.replace(self.published)
        except OSError as error:
            raise UnavailableError(
                f"{self.published} cannot be written: {error}; make its folder writable, or move "
                "away what stands where the link belongs (a copy that followed links, perhaps)"
            ) from error

    def current(self) -> str | None:
        """The release that the link leads to; None before the first one."""
        try:
            return self.published.readlink().name
        except OSError:
            return None

    def prune(self, keep: Collection[str], newest: int) -> None:
        """Delete releases but the `newest` ones and those to `keep`."""
        for name in self._names()[:-newest]:
            if name not in keep:
                shutil.rmtree(self.folder / name)

    def _names(self) -> list[str]:
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(path.name for path in found if not path.name.startswith("."))

    def _manifest(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / name / _MANIFEST).read_text("utf-8"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(folder: Path) -> None:
    """A machine that loses power after the release got its name still has what is in it."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
