"""Calls to a CRM that keep its pace, wait when told to, and stop while there are calls left.

The token comes from the environment, goes into one header, and is in no message.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Self

import httpx

from icploop.errors import UnfinishedError, UsageError
from icploop.settings import CrmSettings

Sleep = Callable[[float], None]
# How long to wait after the first, second, ... failure of one call, in seconds.
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
_LONGEST_WAIT = 120.0
_TIMEOUT = httpx.Timeout(60, connect=10)
# Locked (423) and being moved (477) pass, like a server's own faults.
_PASSING = {408, 423, 477}
_GO_ON = "run the same command again to go on"


class UncertainError(Exception):
    """A call failed in a way that does not tell whether it took effect."""


class RejectedError(UsageError):
    """The CRM understood a call and refused it; nothing was changed."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """The status of an answer and its JSON."""

    status: int
    body: Any


@dataclass(frozen=True)
class Limits:
    """How a CRM tells of its limits.

    `left` finds in an answer's headers how many of how many calls the day has left; `spent` says of
    a refusal's JSON whether the day's calls are used up, `window` after how many seconds at the
    latest a refused call may be made again.
    """

    left: Callable[[Mapping[str, str]], tuple[int, int] | None]
    spent: Callable[[Any], bool]
    window: Callable[[Any], float] = lambda _: _LONGEST_WAIT


class Calls:
    """The way to one CRM; `made` counts the calls. Use it as a context.

    Raises UsageError for a token that is missing or not accepted, and UnfinishedError when the CRM
    has no calls left today, or does not answer however often it is asked.
    """

    def __init__(
        self, settings: CrmSettings, name: str, limits: Limits, sleep: Sleep = time.sleep
    ) -> None:
        self.name, self.made = name, 0
        self._settings, self._limits, self._sleep = settings, limits, sleep
        self._token = token_of(settings)
        self._next_at = 0.0
        self._reserve_reached = ""
        self._client = httpx.Client(
            base_url=settings.base_url,
            headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json"},
            timeout=_TIMEOUT,
            follow_redirects=False,
            # A proxy of the environment must not see a token that is meant for this machine.
            trust_env=settings.base_url.startswith("https:"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Make a call that may be made twice, as often as it takes."""
        pauses = waits()
        while True:
            try:
                return self.act(method, path, body)
            except UncertainError as error:
                self.pause(next(pauses), str(error))

    def act(self, method: str, path: str, body: Any = None) -> Answer:
        """Make a call that may take effect only once; it is repeated only when it was not let in.

        Raises UncertainError when it may have taken effect or not.
        """
        pauses = waits()
        while True:
            response = self._response(method, path, body)
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return self._judged(response, f"{method} {path.partition('?')[0]}")
            told = _json(response)
            self._stop_if_spent(told)
            asked = self._asked_wait(response, told, next(pauses))
            self.pause(asked, "it says that we call too often")

    def pause(self, wait: float | None, why: str) -> None:
        """Wait so many seconds. Raises UnfinishedError when there is no waiting any more."""
        if wait is None:
            raise UnfinishedError(f"{self.name} does not let us through: {why}; {_GO_ON}")
        self._sleep(wait)

    def _response(self, method: str, path: str, body: Any) -> httpx.Response:
        if self._reserve_reached:
            raise UnfinishedError(self._reserve_reached)
        self._keep_pace()
        self.made += 1
        try:
            response = self._client.request(method, path, json=body)
        except httpx.RequestError as error:
            raise UncertainError(self._clean(f"{type(error).__name__} {error}")) from None
        self._note_what_is_left(response.headers)
        return response

    def _judged(self, response: httpx.Response, what: str) -> Answer:
        status, told = response.status_code, _json(response)
        if response.is_success:
            if told is None and response.content:
                raise UncertainError(f"{what} was answered by something that is not JSON")
            return Answer(status, told)
        message = self._clean(_message(told) or response.text)
        if response.is_server_error or status in _PASSING:
            raise UncertainError(f"{what} failed with {status}: {message}")
        self._stop_if_spent(told)
        if status in (401, 403):
            raise UsageError(
                f"{self.name} does not accept the token in {self._settings.token_env} for {what} "
                f"({status}: {message}); renew it, or give it the rights that docs/crm.md names, "
                f"and {_GO_ON}"
            )
        raise RejectedError(f"{self.name} refused {what} ({status}): {message}", status)

    def _stop_if_spent(self, told: Any) -> None:
        if self._limits.spent(told):
            raise UnfinishedError(
                f"{self.name} has no calls left today ({self._clean(_message(told))}); "
                f"{_GO_ON} when it has"
            )

    def _asked_wait(self, response: httpx.Response, told: Any, ours: float | None) -> float | None:
        """How long the answer asks to wait; our own wait where it does not say."""
        stated = response.headers.get("Retry-After", "")
        if ours is None or not re.fullmatch(r"\d+(\.\d+)?", stated):
            return ours
        asked = min(float(stated), self._limits.window(told))
        if float(stated) > asked >= _LONGEST_WAIT:
            raise UnfinishedError(f"{self.name} asks to wait {stated} seconds; {_GO_ON} then")
        return asked

    def _note_what_is_left(self, headers: Mapping[str, str]) -> None:
        found = self._limits.left(headers)
        reserve = self._settings.reserve
        if found and found[0] < reserve * found[1]:
            self._reserve_reached = (
                f"{self.name} has {found[0]} of {found[1]} calls left today, less than the "
                f"{reserve:.0%} that `reserve` in conf/crm.yaml leaves to others; {_GO_ON} when "
                "there are more"
            )

    def _keep_pace(self) -> None:
        now = time.monotonic()
        if now < self._next_at:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1 / self._settings.calls_per_second

    def _clean(self, text: str) -> str:
        """One short line without the token."""
        line = " ".join(text.replace(self._token, "***").split())
        return "".join(c for c in line if c.isprintable())[:300]


def waits() -> Iterator[float | None]:
    """How long to wait after each failure of one call, then None: there is no waiting any more."""
    return chain(WAITS, repeat(None))


def token_of(settings: CrmSettings) -> str:
    """The access token. Raises UsageError, which does not repeat it, where there is none."""
    token = os.environ.get(settings.token_env, "").strip()
    if not token:
        raise UsageError(
            f"conf/crm.yaml: token_env: the environment has no {settings.token_env}; set it to the "
            "access token, as docs/crm.md says"
        )
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UsageError(
            f"{settings.token_env} has characters that no token has, such as spaces; copy it again"
        )
    return token


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _message(told: Any) -> str:
    """What a refusal's JSON says; HubSpot answers an object, Salesforce a list of them."""
    first = told[0] if isinstance(told, list) and told else told
    return str(first.get("message") or "") if isinstance(first, dict) else ""
