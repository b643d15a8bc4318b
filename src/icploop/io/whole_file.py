"""Files that appear under their name only when they are whole, and folders that nobody else reads.

Whatever the program writes goes through here or into a folder of a home that only its owner opens.
What is written below a home is readable by its owner only, whatever the umask; elsewhere the umask
decides, as for any other program. A name that is a link is refused, so that nobody can lead what is
written to another place; a folder that is a link is followed, for who names it chose it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icploop.errors import UnavailableError, UsageError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


@contextmanager
def whole_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """An empty file beside `path` to be filled, which takes its name when the block has ended well.

    Until then `path` is what it was, and after a fault it stays so. What a killed process left
    beside it is removed. `private` closes it to others wherever it lies. Raises UsageError where
    nothing can be written there, or the name is a link, and UnavailableError where the disk has no
    room.
    """
    check_place(path)
    for left in path.parent.glob(f".{glob_escaped(path.name)}.*.part"):
        _remove_if_left(left)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        # Nobody put a link there before us, and who looks meanwhile sees no more than at the end.
        held = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (OSError, ValueError) as error:
        raise _told(path, error) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield part
        if not (private or _is_below_a_home(path)):
            os.fchmod(held, 0o666 & ~_umask())
        os.fsync(held)
        part.replace(path)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _told(path, error) from error
        raise
    finally:
        part.unlink(missing_ok=True)
        os.close(held)


def text_to(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file, whole or not at all. Raises as `whole_file` does."""
    with whole_file(path, private=private) as part:
        part.write_text(text, encoding="utf-8")


def check_place(path: Path) -> None:
    """Raise UsageError where no file can be written at `path`, before work is done for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            raise UsageError(
                f"{path} is a link to {path.readlink()}; name the file that is meant itself"
            )
        is_taken = path.is_dir() or (path.exists() and not path.is_file())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be written: {error}; give another place") from error
    if is_taken or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written there; give another place")


def private_folder(path: Path) -> Path:
    """The folder, made where it is missing, with its missing parents, and closed to other users.

    Raises UnavailableError where that cannot be.
    """
    try:
        for folder in reversed([path, *path.parents]):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        found = path.stat()
        # A folder of somebody else's is theirs to close.
        if stat.S_IMODE(found.st_mode) & _OTHERS and found.st_uid == os.geteuid():
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error}; make its folder writable, or make room on the disk"
        ) from error
    return path


def glob_escaped(name: str) -> str:
    """A file's name as a pattern that matches nothing else."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


def _remove_if_left(part: Path) -> None:
    """Remove what a dead process was writing: a living one holds its lock."""
    try:
        held = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink(missing_ok=True)
    except OSError:
        return
    finally:
        os.close(held)


def _told(path: Path, error: OSError | ValueError) -> UnavailableError | UsageError:
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return UnavailableError(
            f"{path} cannot be written: {error}; make room on the disk, or give another place. "
            "What stood there before is as it was"
        )
    return UsageError(f"{path} cannot be written: {error}; give another place")


def _is_below_a_home(path: Path) -> bool:
    whole = Path(os.path.normpath(Path.cwd() / path))
    return any((parent / "conf" / "icp.yaml").exists() for parent in whole.parents)


def _umask() -> int:
    """The umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
