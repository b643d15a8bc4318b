"""Which addresses settings may name: no secret in them, and no token in the clear."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

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


Address = Annotated[str, AfterValidator(safe_address)]
Folder = Annotated[str, AfterValidator(safe_folder)]
