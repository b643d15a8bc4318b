"""Calls over HTTP, one way for sources, the CRM and the webhook: paced, patient, with a secret.

A call is repeated where the server may answer better a moment later: when it refuses for haste
(429), fails (5xx), hangs up, or sends half of an answer. What will not change is told at once. A
call that may take effect only once is not repeated, and who made it is told that nobody knows.

The secret goes to the one server that it is meant for: no redirect is followed, and a path that
would lead elsewhere is not called. It is in no message, whatever a server says of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain, repeat
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import httpx

from icploop.errors import IcpError, UnavailableError, UsageError
from icploop.io.limits import LONGEST_WAIT, UNTOLD, Limits
from icploop.io.secrets import PROXIES, Secret, proxies

# They note every address, and that of a webhook is a secret.
for _talkative in ("httpx", "httpcore"):
    logging.getLogger(_talkative).setLevel(logging.WARNING)

Sleep = Callable[[float], None]
Json = dict[str, Any]

# How long to wait after the first, second, ... failure of one call, in seconds: 37 in all, more
# than the ten seconds for which HubSpot counts calls.
WAITS = (0.1, 0.3, 0.9, 2.7, 8.0, 25.0)
_THIS_MACHINE = {("http", host) for host in ("127.0.0.1", "::1", "localhost")}
# Timeouts and haste, locked (423) and being moved (477) pass, like a server's own faults.
_PASSING = {408, 423, 425, 477}


class UncertainError(Exception):
    """A call failed in a way that does not tell whether it took effect.

    `wait` is for how many seconds the server asks; None where it does not say.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class RejectedError(UsageError):
    """The server understood a call and refused it; nothing was changed."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Reply:
    """The status of a reply and its JSON."""

    status: int
    body: Any


def waits(seconds: Sequence[float] = WAITS) -> Iterator[float | None]:
    """How long to wait after each failure of one call, then None: there is no waiting any more."""
    return chain(seconds, repeat(None))


@dataclass
class Client:
    """The way to one server, `name` in messages; use it as a context. `made` counts the calls.

    `place` names the settings in messages. At most `per_second` calls are made in a second, and
    none once less than `reserve` (a share) of the day's calls is left. `also_secret` are secrets
    beside the token that no message may have. Where the server has no calls left, or does not
    answer however often it is asked, `stops` is raised, with `go_on` saying what to do then.

    Raises UsageError for a `base_url` that is no address, or not safe for a secret.
    """

    base_url: str = field(repr=False)
    token: Secret | None
    name: str
    place: str
    per_second: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = UNTOLD
    reserve: float = 0.0
    stops: type[IcpError] = UnavailableError
    go_on: str = "run `icp ingest` again later: it goes on where it stopped"
    also_secret: tuple[Secret, ...] = ()
    timeout: float = 60.0
    patience: Sequence[float] = WAITS
    sleep: Sleep = time.sleep
    made: int = field(default=0, init=False)
    last_answered: datetime = field(default=datetime(1970, 1, 1, tzinfo=UTC), init=False)

    def __post_init__(self) -> None:
        if not _may_be_told_secrets(self.base_url):
            raise UsageError(
                f"{self.place}: {self.name}: the address is none, or a secret would travel in the "
                "clear; it must begin with https://, unless it is on this machine"
            )
        is_afar = self.base_url.startswith("https:")
        # A proxy of the environment must not see a token that is meant for this machine.
        self._hidden = [hidden for hidden in (self.token, *self.also_secret) if hidden]
        self._hidden += proxies(self.place) if is_afar else []
        bearer = {"Authorization": f"Bearer {self.token.reveal()}"} if self.token else {}
        try:
            client = httpx.Client(
                headers={"Accept": "application/json", **bearer, **self.headers},
                timeout=httpx.Timeout(self.timeout, connect=min(self.timeout, 10)),
                follow_redirects=False,
                trust_env=is_afar,
            )
        except (ValueError, ImportError, httpx.InvalidURL):
            client = None
        if client is None:
            names = ", ".join(PROXIES)
            raise UsageError(
                f"{self.place}: a proxy that the environment names cannot be used ({names}); "
                "give it as http://host:port, or unset it"
            )
        self._client = client
        self._next_at = 0.0
        self._reserve_reached = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, params: Sequence[tuple[str, str]] = (), *, must_have: str) -> Json:
        """The JSON object at a path; `must_have` is a key that every whole answer has."""
        return self._whole("GET", path, must_have, params=list(params) or None)

    def post(self, path: str, body: Json, *, must_have: str) -> Json:
        """The JSON object with which the server answers a question that changes nothing."""
        return self._whole("POST", path, must_have, json=body)

    def ask(self, method: str, path: str, body: Any = None, must_have: str = "") -> Reply:
        """Make a call that may be made twice, as often as it takes.

        Raises UsageError where the token is refused, RejectedError for what the server refuses, and
        `stops` when patience is over.
        """
        return self._ask(method, path, must_have, json=body)

    def act(self, method: str, path: str, body: Any = None) -> Reply:
        """Make a call that may take effect only once; it is repeated only when it was not let in.

        Raises UncertainError when it may have taken effect or not, and else as `ask`.
        """
        return self._judged(
            method, path, self._let_in(method, path, waits(self.patience), json=body)
        )

    def deliver(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Hand over a body; whatever is answered, if only it was taken. Raises as `ask`."""
        self._ask("POST", path, None, content=content, headers=headers)

    def pause(self, wait: float | None, why: str) -> None:
        """Wait so many seconds. Raises `stops` when there is no waiting any more."""
        if wait is None:
            self._stop(f"does not let us through: {why}")
        self.sleep(wait)

    def clean(self, text: str) -> str:
        """What somebody else said, as one short line without a secret."""
        for hidden in self._hidden:
            text = hidden.hidden_in(text)
        return "".join(c for c in " ".join(text.split()) if c.isprintable())[:300]

    def _whole(self, method: str, path: str, must_have: str, **what: Any) -> Json:
        found: Json = self._ask(method, path, must_have, **what).body
        return found

    def _ask(self, method: str, path: str, must_have: str | None, **what: Any) -> Reply:
        pauses = waits(self.patience)
        while True:
            try:
                response = self._let_in(method, path, pauses, **what)
                return self._judged(method, path, response, must_have)
            except UncertainError as error:
                asked, why = error.wait, str(error)
            ours = next(pauses)
            self.pause(ours if ours is None or asked is None else asked, why)

    def _let_in(
        self, method: str, path: str, pauses: Iterator[float | None], **what: Any
    ) -> httpx.Response:
        """The answer to a call that was not refused for haste."""
        while True:
            response = self._response(method, path, **what)
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return response
            told = _json(response)
            self._stop_if_spent(told)
            ours = next(pauses)
            asked = self._asked_wait(response, told)
            wait = ours if ours is None or asked is None else asked
            self.pause(wait, "it says that we call too often")

    def _response(self, method: str, path: str, **what: Any) -> httpx.Response:
        if self._reserve_reached:
            self._stop(self._reserve_reached)
        address = self._address(path)
        self._keep_pace()
        self.made += 1
        try:
            response = self._client.request(method, address, **what)
        except httpx.RequestError as error:
            trouble = f"{type(error).__name__}: {error}"
        else:
            self._note_what_is_left(response.headers)
            return response
        # Out of the block: the library's error may hold what a server said.
        raise UncertainError(self.clean(trouble))

    def _address(self, path: str) -> str:
        """The address of a path of this server. Raises `stops` for one that leads elsewhere."""
        if _origin(self.base_url + path) != _origin(self.base_url):
            self._stop(f"names a next page that is not its own: {self.clean(path)!r}")
        return self.base_url + path

    def _judged(
        self, method: str, path: str, response: httpx.Response, must_have: str | None = ""
    ) -> Reply:
        status, told = response.status_code, _json(response)
        what = f"{method} {path.partition('?')[0]}".strip()
        if response.is_success:
            if must_have is not None:
                self._must_be_whole(what, response, told, must_have)
            self.last_answered = _server_time(response)
            return Reply(status, told)
        message = self.clean(_message(told) or response.text)
        if response.is_server_error or status in _PASSING:
            asked = self._asked_wait(response, told)
            raise UncertainError(f"{what} failed with {status}: {message}", asked)
        self._stop_if_spent(told)
        if response.is_redirect:
            # Cleaned first: half of an address may be half of a secret.
            where = _origin(self.clean(response.headers.get("Location", "")))[1]
            message = f"it sends us on to {where or 'another page'}, where no token is sent"
        if self.token and status in (401, 403):
            raise UsageError(
                f"{self.place}: {self.name} does not accept the token in {self.token.name} for "
                f"{what} ({status}: {message}); renew it, or let it read and write what "
                f"{self.place} asks for, and {self.go_on}"
            )
        raise RejectedError(
            f"{self.place}: {self.name} refused {what} ({status}): {message}", status
        )

    def _must_be_whole(
        self, what: str, response: httpx.Response, told: Any, must_have: str
    ) -> None:
        if told is None and (must_have or response.content):
            raise UncertainError(f"{what} was answered by something that is not JSON")
        if must_have and not (isinstance(told, dict) and must_have in told):
            raise UncertainError(
                f"{what} was answered without {must_have!r}: half a page, or a changed API"
            )

    def _stop(self, why: str) -> NoReturn:
        raise self.stops(f"{self.place}: {self.name} {why}; {self.go_on}")

    def _stop_if_spent(self, told: Any) -> None:
        if self.limits.spent(told):
            self._stop(f"has no calls left today ({self.clean(_message(told))})")

    def _asked_wait(self, response: httpx.Response, told: Any) -> float | None:
        """How long the answer asks to wait. Raises `stops` where that is too long."""
        stated = _stated_wait(response)
        if stated is None:
            return None
        asked = min(stated, self.limits.window(told))
        if stated > asked >= LONGEST_WAIT:
            self._stop(f"asks to wait {stated:.0f} seconds")
        return asked

    def _note_what_is_left(self, headers: Mapping[str, str]) -> None:
        found = self.limits.left(headers)
        if found and found[0] < self.reserve * found[1]:
            self._reserve_reached = (
                f"has {found[0]} of {found[1]} calls left today, less than the "
                f"{self.reserve:.0%} that `reserve` leaves to others"
            )

    def _keep_pace(self) -> None:
        now = time.monotonic()
        if now < self._next_at:
            self.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1 / self.per_second


def _may_be_told_secrets(address: str) -> bool:
    """Whether an address is one, and nobody between here and there can listen."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return False
    return bool(url.host) and (url.scheme == "https" or (url.scheme, url.host) in _THIS_MACHINE)


def _origin(address: str) -> tuple[str, str]:
    """The scheme and the host with its port; nothing where there is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _message(told: Any) -> str:
    """What a refusal's JSON says; HubSpot answers an object, Salesforce a list of them."""
    first = told[0] if isinstance(told, list) and told else told
    if not isinstance(first, dict):
        return ""
    # Stripe puts it one level deeper.
    inner = first.get("error")
    first = inner if isinstance(inner, dict) else first
    code = first.get("errorCode")
    return " ".join(str(part) for part in (code, first.get("message")) if part)


def _stated_wait(response: httpx.Response) -> float | None:
    """The seconds of Retry-After, which may also be a moment."""
    stated = response.headers.get("Retry-After", "")
    if re.fullmatch(r"\d+(\.\d+)?", stated):
        return float(stated)
    try:
        until = parsedate_to_datetime(stated).astimezone(UTC)
    except ValueError:
        return None
    return max((until - _server_time(response)).total_seconds(), 0.0)


def _server_time(response: httpx.Response) -> datetime:
    """By the server's clock, for that is the one which dates its records."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)
