"""The connections of a client, and the driver that performs steps with threads.

Only this module and ``_async_http``, its twin for asyncio, use httpx. They are two modules because asyncio takes half
as long to load as httpx. A request goes straight to an httpx transport, where OpenTelemetry, respx, pytest-httpx and
vcrpy hook in. An ``httpx.Client`` is used only if the caller passes one, or if arguments or logging need one, because
its URL merging, cookies, redirects and authentication are not needed.

An exception that leaves a driver has no frames of httpx and no chained exception, because these hold the key.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from functools import lru_cache
from threading import Event
from typing import Any, ClassVar, Final, NoReturn, TypeVar

import httpx

from charthero_ext._lazy import forks_wait, loaded
from charthero_ext._proxies import EnvironmentProxy, environment_proxy
from charthero_ext._quiet import quiet
from charthero_ext._secret import Secret, without_origin
from charthero_ext._steps import CallbackError, ReadKey, Run, Send, Sink, Step, Steps, StoppedError
from charthero_ext._transport_reason import PROBLEMS, transport_reason
from charthero_ext.config import Settings
from charthero_ext.errors import ConfigurationError, RequestTimeoutError, TransportError

__all__ = ["NOT_SENT", "Connections", "Driver", "begin", "no_auth"]

T = TypeVar("T")

#: The arguments that may be passed to httpx. Others would change how keys, statuses or timeouts are handled.
HTTPX_ARGUMENTS: Final = frozenset(
    {"cert", "http1", "http2", "limits", "mounts", "proxy", "transport", "trust_env", "verify"}
)
#: What httpx raises if no complete response arrives. Host names that cannot be encoded raise UnicodeError.
NOT_SENT: Final = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError)
#: What httpx raises if it cannot use its arguments or the certificates of the machine.
NOT_MADE: Final = (AttributeError, OSError, TypeError, ValueError, httpx.InvalidURL)


class Connections:
    """The httpx objects of one client: made at the first request, one set per process, without locks."""

    _client_class: ClassVar[Any]
    _transport_class: ClassVar[Any]
    _base_transport_class: ClassVar[type]

    def __init__(self, settings: Settings, arguments: Any, given: Any) -> None:
        self._settings = settings
        # As in httpx, None means that an argument is not given.
        self._arguments = Secret(
            {name: value for name, value in (arguments.reveal() or {}).items() if value is not None}
        )
        self._given = given
        self._process = os.getpid()
        # By process, scheme and proxy variable. So a forked child makes its own.
        self._made: dict[tuple[int, str, str], Any] = {}
        # Reading the environment for each request would take longer than building it.
        self._environment_proxy = lru_cache(maxsize=64)(environment_proxy)
        self._is_closed = False
        names = self._arguments.reveal().keys()
        if unknown := (arguments.reveal() or {}).keys() - HTTPX_ARGUMENTS:
            raise ConfigurationError(
                f"httpx_args does not allow {', '.join(sorted(unknown))}; "
                f"it allows {', '.join(sorted(HTTPX_ARGUMENTS))}"
            )
        self._brings_connections = given is not None or not names.isdisjoint({"transport", "mounts"})
        transport = self._arguments.reveal().get("transport")
        if transport is not None and not isinstance(transport, self._base_transport_class):
            raise ConfigurationError(f"the transport must be an httpx.{self._base_transport_class.__name__}")
        self._needs_client = settings.http_logging or "mounts" in names or {"transport", "proxy"} <= names
        try:
            home = httpx.URL(settings.base_url)
            host = home.host
        except (httpx.InvalidURL, UnicodeError):
            home, host = httpx.URL(), ""
        if not host:
            raise ConfigurationError(f"{settings.base_url} has an invalid host name; correct the base URL")
        if given is not None:
            self._check_given(home)
        elif names:
            self._target(home)  # Report arguments that httpx refuses now, not at the first request.

    def _check_given(self, home: httpx.URL) -> None:
        if self._arguments.reveal():
            raise ConfigurationError("give either http_client or httpx_args; an httpx client brings its own settings")
        if not isinstance(self._given, self._client_class):
            raise ConfigurationError(f"the http_client must be an httpx.{self._client_class.__name__}")
        if str(self._given.base_url).rstrip("/") not in ("", self._settings.base_url):
            raise ConfigurationError("the http_client has another base_url than the settings")
        proxy = environment_proxy("http", home.host, home.port) if home.scheme == "http" else None
        if proxy is not None and self._given.trust_env:
            raise ConfigurationError(
                f"{proxy.variable} would get the key in clear text; make the http_client with trust_env=False, "
                "or add the host to NO_PROXY"
            )

    def _target(self, url: httpx.URL) -> Any:
        """Return the client or transport that requests for *url* go through."""
        if self._is_closed:
            raise ConfigurationError("this client was closed; make another")
        process = os.getpid()
        if self._brings_connections and process != self._process:
            raise ConfigurationError("the connections were made before a fork; make a client in each process")
        if self._given is not None:
            if self._given.is_closed:
                raise ConfigurationError("the http_client was closed")
            return self._given
        if self._needs_client or self._brings_connections:
            key, proxy = (process, "", ""), None
        else:
            proxy = self._proxy(url)
            key = (process, url.scheme, proxy.variable if proxy else "")
        found = self._made.get(key)
        if found is None:
            # Two first requests may both make one, and the second closes its own. A fork, a signal handler or an
            # interrupt could leave a lock locked.
            made = self._make(url.scheme, proxy)
            found = self._made.setdefault(key, made)
            if found is not made:
                self._discard(made)
            if self._is_closed:
                self._discard(self._made.pop(key, None))
                raise ConfigurationError("this client was closed; make another")
        return found

    def _proxy(self, url: httpx.URL) -> EnvironmentProxy | None:
        # Plain http is for loopback: a proxy would get the key in clear text.
        arguments = self._arguments
        if url.scheme == "http" or "proxy" in arguments.reveal() or not arguments.reveal().get("trust_env", True):
            return None
        return self._environment_proxy(url.scheme, url.host, url.port)

    def _make(self, scheme: str, proxy: EnvironmentProxy | None) -> Any:
        arguments = Secret(dict(self._arguments.reveal()))
        if self._needs_client:
            make = self._client_class
            if self._settings.base_url.startswith("http:"):
                arguments.reveal().setdefault("trust_env", False)
        elif self._brings_connections:
            return arguments.reveal()["transport"]
        else:
            make = self._transport_class
            if scheme == "http":
                # Loading certificates takes 15 ms, and plain http has none.
                arguments.reveal().update(trust_env=False, verify=False)
        culprit = "httpx_args, or certificates of the machine,"
        if arguments.reveal().keys().isdisjoint({"cert", "proxy", "verify"}):
            culprit = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ), culprit)
        try:
            if proxy is not None:
                culprit, usable = proxy.variable, culprit
                arguments.reveal()["proxy"] = httpx.Proxy(proxy.url.reveal())
                culprit = usable
            if arguments.reveal().get("http2"):
                loaded("h2")  # Otherwise it would be missed only when a server chooses HTTP/2.
            with forks_wait:  # httpx loads httpcore and uses OpenSSL.
                loaded("encodings.idna")  # The first connection would load it.
                return make(**arguments.reveal())
        except ImportError as error:
            problem = f"httpx needs another package: {error}"
        except NOT_MADE as error:
            problem = f"{culprit} cannot be used: {getattr(error, 'strerror', None) or type(error).__name__}"
        raise ConfigurationError(problem)

    def _discard(self, made: Any) -> None:
        """Close what another thread made at the same time. It has no connections yet."""
        if isinstance(made, (httpx.Client, httpx.HTTPTransport)):
            made.close()

    def _request(self, step: Send) -> httpx.Request:
        seconds_left = max(step.deadline - time.monotonic(), 0.001)
        parts = ("connect", "read", "write", "pool")
        timeouts = {part: min(getattr(step.timeouts, part), seconds_left) for part in parts}
        extensions: dict[str, Any] = {"timeout": timeouts}
        url = httpx.URL(step.url.reveal())
        if step.is_signed and not self._brings_connections:
            # Tracing and logging that wrap httpx see only the host.
            extensions["target"] = url.raw_path
            url = url.copy_with(raw_path=b"/")
        return httpx.Request("GET", url, headers=step.headers.reveal(), extensions=extensions)

    def _fail(self, error: Exception, step: Send) -> NoReturn:
        """Raise a TransportError for *error*, without its text, which may contain the URL."""
        is_proxied, host = False, "an invalid URL"
        with suppress(httpx.InvalidURL, UnicodeError):
            url = httpx.URL(step.url.reveal()).copy_with(raw_path=b"/")
            host = url.host
            has_proxy = "proxy" in self._arguments.reveal() or self._proxy(url) is not None
            is_proxied = has_proxy and not self._brings_connections
        reason = transport_reason(error, is_proxied=is_proxied)
        kind = RequestTimeoutError if reason == "timeout" else TransportError
        raise kind(f"no complete response from {host}: {PROBLEMS[reason]} ({type(error).__name__})", reason=reason)

    def _shut(self) -> list[Any]:
        """Refuse further requests. Return what this process has to close."""
        self._is_closed = True
        keys = [key for key in list(self._made) if key[0] == os.getpid()]
        # Another thread may close at the same time, or discard what it just made.
        return [made for key in keys if (made := self._made.pop(key, None)) is not None]


class Driver(Connections):
    """Performs steps on the calling thread. Threads may share it."""

    _client_class = httpx.Client
    _transport_class = httpx.HTTPTransport
    _base_transport_class = httpx.BaseTransport

    def run(self, steps: Steps[T], stopped: Event | None = None) -> T:
        """Perform *steps* and return their result. Once *stopped* is set, send nothing more and end every wait."""
        step: Step | None = None
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._perform(step, stopped)
                except BaseException as error:  # noqa: BLE001 - the steps decide what every failure means
                    step = steps.throw(without_origin(error))
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except BaseException as error:  # noqa: BLE001 - an interruption holds the request as well
            failure = error.raised if isinstance(error, CallbackError) else without_origin(error)
        try:
            raise failure
        finally:
            # Break the reference cycle of the traceback and this frame, which would keep the body in memory.
            del failure, step

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        for made in self._shut():
            made.close()

    def _perform(self, step: Step, stopped: Event | None) -> Any:
        if stopped is not None and stopped.is_set():
            raise StoppedError
        if isinstance(step, Send):
            return self._send(step)
        if isinstance(step, ReadKey):
            return step.source.checked(step.source.read())
        if isinstance(step, Run):
            return step.function()
        if stopped is None:
            return time.sleep(step.seconds)
        if stopped.wait(step.seconds):
            raise StoppedError
        return None

    def _send(self, step: Send) -> None:
        with quiet(not self._settings.http_logging):
            try:
                sent = self._request(step)
                target = self._target(sent.url)
                if isinstance(target, httpx.Client):
                    response = target.send(sent, stream=True, auth=no_auth, follow_redirects=False)
                else:
                    response = target.handle_request(sent)
                with closing(response):
                    if begin(response, step.sink):
                        chunks = response.iter_bytes() if response.is_stream_consumed else response.iter_raw()
                        for chunk in chunks:
                            step.sink.write(chunk)
                            if time.monotonic() > step.deadline:
                                raise RequestTimeoutError("the body did not arrive in time")
                        step.sink.end()
                return
            except NOT_SENT as error:
                failure = error
        self._fail(failure, step)


def begin(response: httpx.Response, sink: Sink) -> bool:
    # httpx has already decoded a response from memory, such as one of a mock or a cassette.
    return sink.begin(response.status_code, response.headers, is_decoded=response.is_stream_consumed)


def no_auth(request: httpx.Request) -> httpx.Request:
    # Passed as ``auth``, this keeps httpx from adding a password of the client or of a netrc file.
    return request
