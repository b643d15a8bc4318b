"""A folder in an object store (Amazon S3 and what speaks like it, Google, Azure), brought here.

Its files are copied into the home folder and read there like any other folder. Only what is new or
has changed moves. Each store's credentials are found as its own tools find them: in environment
variables, a profile, or the identity of the machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from icploop.errors import DataError
from icploop.io.secrets import stated
from icploop.io.whole_file import private_folder

# What the stores' own tools read of the environment, by how the address begins.
_CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "abfs": ("AZURE_CLIENT_SECRET", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"),
    "abfss": ("AZURE_CLIENT_SECRET", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"),
}
# As long as a file is on its way it has this ending, and nobody reads it.
_ON_ITS_WAY = ".part"
_CHUNK = 1 << 20


def brought_here(address: str, folder: Path, is_wanted: Callable[[str], bool], place: str) -> Path:
    """Make `folder` hold the files below an address that are wanted, by their path below it.

    Files whose size and time of change are the store's stay as they are; what the store no longer
    has is removed. `place` names the settings in errors. Returns the folder. Raises DataError where
    the store does not answer, refuses, or has no such file, with what was fetched so far kept: the
    next run goes on there; UsageError for credentials that cannot be ones.
    """
    # Its options are nobody's business.
    shown = address.partition("?")[0]
    credentials = stated(_CREDENTIALS.get(address.partition("://")[0], ()), place)
    try:
        store, base = FileSystem.from_uri(address)
        there = {
            relative: info
            for info in store.get_file_info(FileSelector(base, recursive=True))
            if info.type is FileType.File
            and is_wanted(relative := _relative(info.path, base, place))
        }
        if not there:
            raise DataError(f"{place}: {shown} has none of the files that are asked for")
        _remove_others(folder, there.keys())
        for relative, info in sorted(there.items()):
            _fetch(store, info, folder / relative)
    except (OSError, ValueError) as error:
        trouble = (str(error).splitlines() or [type(error).__name__])[0]
    else:
        return folder
    for hidden in credentials:
        trouble = hidden.hidden_in(trouble)
    raise DataError(
        f"{place}: {shown} cannot be read: {trouble}; check the address, the credentials in the "
        "environment, and the room on the disk"
    )


def _relative(path: str, base: str, place: str) -> str:
    """The path below the folder; no key may lead out of it."""
    relative = path.removeprefix(base).lstrip("/")
    if ".." in PurePosixPath(relative).parts or "\\" in relative:
        raise DataError(f"{place}: the object {path!r} is named like a way out of its folder")
    return relative


def _remove_others(folder: Path, kept: Collection[str]) -> None:
    """Remove what is not kept; deepest first, so that a file may take a folder's place."""
    private_folder(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in kept:
            path.unlink()


def _fetch(store: FileSystem, info: FileInfo, target: Path) -> None:
    if target.is_file():
        known = target.stat()
        if (known.st_size, known.st_mtime_ns) == (info.size, info.mtime_ns):
            return
    private_folder(target.parent)
    part = target.with_name(target.name + _ON_ITS_WAY)
    with store.open_input_stream(info.path) as source, part.open("wb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)
    after = store.get_file_info(info.path)
    now = part.stat().st_size, after.size, after.mtime_ns
    if now != (info.size, info.size, info.mtime_ns):
        raise OSError(f"{info.path} was written while it was read; run the same command again")
    os.utime(part, ns=(info.mtime_ns, info.mtime_ns))
    part.replace(target)
