"""The name and password with which the servers of a home let in, and tickets that hand them over.

.icp/password            icp:..., made once; whoever reads it may run every flow of the home
.icp/open-prefect        the ticket of an address that opens a page once; gone when it was used
"""

from __future__ import annotations

import secrets
import stat

from icploop.errors import UnavailableError, UsageError
from icploop.io.home import Home
from icploop.io.whole_file import private_folder, text_to

_NAME = "icp"


def password_of(home: Home) -> str:
    """`name:password` of the home, made the first time.

    Raises UsageError where others can read it, or it is none.
    """
    path = private_folder(home.access_folder) / "password"
    if not path.exists():
        text_to(path, f"{_NAME}:{secrets.token_urlsafe(32)}\n", private=True)
    try:
        stands, mode = path.read_text(encoding="ascii").strip(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(
            f"{path} cannot be read: {error}; delete it for a new one"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"{path} can be read by others; delete it, and a new one is made")
    if not stands.isprintable() or " " in stands or not all(stands.partition(":")):
        raise UsageError(f"{path} must hold name:password; delete it, and a new one is made")
    return stands


def new_ticket(home: Home, server: str) -> str:
    """A ticket that opens a server's page once; the one before it is worth nothing."""
    ticket = secrets.token_urlsafe(32)
    text_to(home.ticket_file(server), ticket, private=True)
    return ticket
