"""The faults a user can cause or meet, each with the exit status the contract gives it.

Every message names the value, the place and the remedy, because it is printed without a traceback.
"""


class IcpError(Exception):
    """A fault told to the user in one message; `exit_status` is what the process returns."""

    exit_status = 1


class UsageError(IcpError):
    """Wrong usage or settings (exit status 2)."""

    exit_status = 2


class DataError(IcpError):
    """Bad data; nothing was changed (exit status 3)."""

    exit_status = 3


class UnavailableError(DataError):
    """A store does not answer or cannot be written; what was begun can be finished later (3)."""


class RefusedError(IcpError):
    """A rule refused the act: approval, lock, stale hash; nothing was changed (exit status 4)."""

    exit_status = 4


class UnfinishedError(IcpError):
    """Only a part was done; the same command, run again, goes on from there (exit status 1)."""
