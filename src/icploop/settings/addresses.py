"""What settings may name: addresses without a secret, variables that hold one, time zones."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STORE_OPTIONS = ("region", "endpoint_override", "scheme")
OBJECT_STORES = ("s3", "gs", "gcs", "abfs", "abfss")


def safe_folder(folder: str) -> str:
    """A path, or the address of a folder in an object store, without a secret in it."""
    if "://" not in folder:
        return folder
    parts = urlsplit(folder)
    options = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _STORE_OPTIONS or name in options:
            raise ValueError(
                f"{name!r} is no option of an address, or stands there twice; options are "
                f"{', '.join(_STORE_OPTIONS)}, and secrets belong into the environment"
            )
        options[name] = value
    if parts.scheme not in OBJECT_STORES:
        raise ValueError(
            f"{parts.scheme}:// is no object store; give {', '.join(OBJECT_STORES)}, or a path"
        )
    # Azure writes the container before the account, where others have a user.
    if parts.password or (parts.username and not parts.scheme.startswith("abfs")):
        raise ValueError("credentials belong into the environment, not into the address")
    if "://" in options.get("endpoint_override", ""):
        raise ValueError("give endpoint_override as host:port")
    endpoint = urlsplit("//" + options.get("endpoint_override", "")).hostname
    if options.get("scheme") == "http" and endpoint not in _LOOPBACK:
        raise ValueError("scheme=http is for this machine only: data must not travel in the clear")
    return folder


def safe_address(address: str) -> str:
    """The address without a trailing slash, if a token may be sent there."""
    parts = urlsplit(address)
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not plain or parts.path.strip("/"):
        raise ValueError("give the address alone, such as https://api.hubapi.com")
    if parts.scheme != "https" and not loopback:
        raise ValueError("use https: a token must not travel in the clear")
    return address.rstrip("/")


def variable(name: str) -> str:
    """The name of an environment variable; a secret that was written there by mistake is none."""
    is_name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    if not is_name or re.match(r"(sk|rk|pk|whsec|xox[a-z]|ghp)_", name):
        raise ValueError(
            "give the name of an environment variable, such as CRM_TOKEN; what it holds stands in "
            "no file"
        )
    return name


def time_zone(name: str) -> str:
    """A time zone by its IANA name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("give a time zone by its IANA name, such as Europe/Berlin") from None
    return name


Address = Annotated[str, AfterValidator(safe_address)]
Folder = Annotated[str, AfterValidator(safe_folder)]
Variable = Annotated[str, AfterValidator(variable)]
TimeZone = Annotated[str, AfterValidator(time_zone)]
