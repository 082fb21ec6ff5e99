"""The httpx client of a transport: its own or a given one, its hooks, and where the key may go."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from http.cookiejar import CookieJar
from threading import RLock
from typing import Any, ClassVar, TypeVar, cast

import httpx
from attrs import asdict, define, field
from charthero_client.client import Client
from charthero_client.types import Response

from charthero_ext._transport.call import Call, LastResponse
from charthero_ext._transport.context import current_call, keep_last_response, last_response
from charthero_ext._transport.failures import NOT_MADE, not_made
from charthero_ext._transport.sink import Sink
from charthero_ext.config import Settings, Timeouts
from charthero_ext.errors import ConfigurationError, UnexpectedResponseError

__all__ = ["Connections", "decoded", "no_auth"]

_T = TypeVar("_T")

#: What may be passed through to httpx. The rest would take the key, the statuses or the timeouts out of our hands.
HTTPX_ARGUMENTS = frozenset({"cert", "http1", "http2", "limits", "mounts", "proxy", "transport", "trust_env", "verify"})


class NoCookies(CookieJar):
    """Keeps none of an answer, so that it has no say in the requests after it. To look for them takes longer, too."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Leave them."""


@define
class BoundedStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that has to arrive before its call is given up, however slowly it drips in."""

    _stream: Any
    _call: Call

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._check()
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._check()
            yield chunk

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _check(self) -> None:
        if self._call.seconds_left < 0:
            raise httpx.ReadTimeout("")


@define(repr=False, eq=False)
class Connections:
    """The connections of one client, and what is done to every request and response; waiting is left to its heirs."""

    settings: Settings
    _arguments: Mapping[str, Any]
    _given: Any
    _home: tuple[str, str, int | None] = field(init=False)
    _client: Client = field(init=False)
    _process: int = field(init=False, default=0)  # that the client was made in
    _closed: bool = field(init=False, default=False)
    _locks: dict[int, Any] = field(init=False, factory=dict)

    _kind: ClassVar[type[httpx.Client | httpx.AsyncClient]]

    def __attrs_post_init__(self) -> None:
        self._home = _home(self.settings.base_url)
        if unknown := self._arguments.keys() - HTTPX_ARGUMENTS:
            raise ConfigurationError(
                f"httpx_args may not have {', '.join(sorted(unknown))}; "
                f"it may have {', '.join(sorted(HTTPX_ARGUMENTS))}"
            )
        if self._given is not None:
            self._check_given()
        if self._given is not None or self._arguments:
            self._make_client()  # so that what httpx refuses of it is refused here

    @property
    def last_response(self) -> LastResponse | None:
        """The last response to a call that this thread or task made."""
        return last_response(self)

    @property
    def _hooks(self) -> dict[str, Any]:
        return {"request": self._on_request, "response": self._on_response}

    @property
    def _brings_connections(self) -> bool:
        """Whether the caller's own objects make the connections; what they are for goes for the media host too."""
        return self._given is not None or not self._arguments.keys().isdisjoint({"transport", "mounts"})

    def _check_given(self) -> None:
        if self._arguments:
            raise ConfigurationError("give either http_client or httpx_args; an httpx client brings its own settings")
        if not isinstance(self._given, self._kind):
            raise ConfigurationError(f"the http_client has to be an httpx.{self._kind.__name__}")
        if str(self._given.base_url).rstrip("/") not in ("", self.settings.base_url):
            raise ConfigurationError("the http_client has another base_url than the settings")

    def _make_client(self) -> None:
        """Make the generated client, through which every request passes our hooks."""
        url = self.settings.base_url
        if self._given is not None:
            # Ours come last: those of the caller see no key, and every response.
            hooks = self._given.event_hooks
            self._given.event_hooks = {name: [*hooks[name], hook] for name, hook in self._hooks.items()}
            self._given.base_url = url
            client = Client(base_url=url)
        else:
            client = self._own_client(url)
        try:
            self._open(client)
        except NOT_MADE as error:
            failure = not_made(error)
        else:
            if self._process != os.getpid():  # or the handler of a signal was quicker, and has connections open
                self._client = client
                self._process = os.getpid()  # last: whoever finds it there takes the client
            return
        del client  # its repr shows a proxy with its password, and tracebacks are shown with locals
        raise failure

    def _own_client(self, url: str) -> Client:
        arguments = dict(self._arguments)
        verify = arguments.pop("verify", True)
        if url.startswith("http:"):
            # Only loopback may use it: a proxy from the environment would get the key in the clear.
            arguments.setdefault("trust_env", False)
            # Loading certificates that nobody will look at takes 15 ms.
            verify = verify if self._brings_connections else False
        return Client(
            base_url=url,
            cookies=cast("Any", NoCookies()),  # httpx takes a jar, and the generated client hands it on
            verify_ssl=verify,
            timeout=httpx.Timeout(self.settings.timeouts.read),
            httpx_args={**arguments, "event_hooks": {name: [hook] for name, hook in self._hooks.items()}},
        )

    # The two ways differ in whether these are awaited.
    _open: ClassVar[Callable[..., None]]
    _on_request: ClassVar[Callable[..., Any]]
    _on_response: ClassVar[Callable[..., Any]]

    def _usable_client(self) -> Client:
        """Return the generated client, which is made when it is first needed, since loading certificates takes long.

        In a forked child, where connections cannot be shared, it is another.
        """
        self._refuse_if_closed()
        if self._given is not None and self._given.is_closed:
            raise ConfigurationError("the http_client was closed")
        if self._process != os.getpid():
            if self._brings_connections:
                raise ConfigurationError("the connections were made before a fork; make a client in each process")
            with self._lock:
                self._refuse_if_closed()
                if self._process != os.getpid():
                    self._make_client()
        return self._client

    @property
    def _lock(self) -> Any:
        # One for each process: a child that is forked in the middle of a first call would find it taken for ever.
        # Reentrant: the handler of a signal may make a call, too.
        return self._locks.setdefault(os.getpid(), RLock())

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ConfigurationError("this client was closed; make another")

    def _shut(self) -> bool:
        """Let no call begin from now on; False where that was so before."""
        with self._lock:  # a first call may be making the connections, which are closed next
            before, self._closed = self._closed, True
        return not before

    def _give_back(self) -> None:
        """Take our hooks out of the client that was given."""
        hooks = self._given.event_hooks
        self._given.event_hooks = {
            name: [other for other in hooks[name] if other != hook] for name, hook in self._hooks.items()
        }

    def _begin(self, operation: str, timeout: float | Timeouts | None) -> Call:
        timeouts = self.settings.timeouts if timeout is None else Timeouts.of(timeout)
        return Call(operation, timeouts, time.monotonic() + self.settings.total_timeout)

    def _retries(self, call: Call) -> Any:
        """Return the attempts, of which the first was made already: it is told what came of it, and waits, or gives up.

        Most calls succeed at once, and need not wait for what they do not need.
        """
        from stamina import retry_context

        return retry_context(on=call.wait, attempts=self.settings.attempts, timeout=None)

    def _end_attempt(self, call: Call, result: object) -> None:
        if call.last is not None:
            keep_last_response(self, call.last)
        call.end_attempt(result if isinstance(result, BaseException) else None)

    def _prepare(self, request: httpx.Request) -> None:
        """Give a request of ours the key and its timeouts."""
        call = self._call_of(request)
        if call is not None:
            request.headers["Authorization"] = f"Bearer {call.key}"
            left = max(call.seconds_left, 0.001)
            request.extensions["timeout"] = {part: min(at, left) for part, at in asdict(call.timeouts).items()}

    def _call_of(self, request: httpx.Request) -> Call | None:
        """Return the call a request belongs to, where it goes to the host the key was issued for."""
        call = current_call()
        return call if _origin(request.url) == self._home else None

    def _note(self, response: httpx.Response) -> Call | None:
        """Note a response of ours; return its call where it is no success and has to be raised."""
        call = self._call_of(response.request)
        if call is None:
            return None
        call.last = LastResponse(response.status_code, response.headers)
        response.stream = BoundedStream(response.stream, call)
        return None if response.is_success else call

    def _reaches(self, url: str) -> bool:
        """Whether these connections can be used for the URL: those of plain http verify no certificates."""
        return self._brings_connections or (self.settings.base_url.startswith("https:") and url.startswith("https:"))

    def _arguments_elsewhere(self, url: str) -> dict[str, Any]:
        arguments = dict(self._arguments)
        if url.startswith("http:"):
            arguments.setdefault("trust_env", False)
        return arguments

    def _request_elsewhere(self, client: Any, sink: Sink) -> httpx.Request:
        """Return a request that carries nothing of what an httpx client holds for the API."""
        timeout = httpx.Timeout(**asdict(self.settings.timeouts))
        request: httpx.Request = client.build_request("GET", sink.url, headers=sink.request_headers(), timeout=timeout)
        for name in ("authorization", "cookie"):
            request.headers.pop(name, None)
        return request


def no_auth(request: httpx.Request) -> httpx.Request:
    # Given as the authentication, it keeps httpx from looking for a password in the client or the environment.
    return request


def decoded(response: Response[_T], operation: str) -> _T:
    if response.parsed is None:
        raise UnexpectedResponseError(f"{operation}: success without the body the contract describes")
    return response.parsed


def _home(base_url: str) -> tuple[str, str, int | None]:
    try:
        return _origin(httpx.URL(base_url))
    except (httpx.InvalidURL, UnicodeError):
        pass  # what is raised here has a URL that was made by half, which nobody can show
    raise ConfigurationError(f"{base_url} names a host that no network can have")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
