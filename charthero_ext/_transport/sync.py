"""The transport for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
from attrs import define
from charthero_client.client import Client
from charthero_client.types import Response

from charthero_ext._transport.call import Call
from charthero_ext._transport.connections import Connections, decoded, no_auth
from charthero_ext._transport.context import within
from charthero_ext._transport.failures import read_key, stream_failure, translated
from charthero_ext._transport.sink import Sink
from charthero_ext._transport.status import MAX_ERROR_BODY, status_error
from charthero_ext.config import Timeouts
from charthero_ext.errors import AuthenticationError, ChartHeroError, ConfigurationError

__all__ = ["Transport"]

#: What stands for a success whose body nobody reads.
DROPPED = Response(HTTPStatus.OK, b"", {}, parsed=True)

_T = TypeVar("_T")


@define(repr=False, eq=False)
class Transport(Connections):
    """Makes calls, from any number of threads over one pool of connections."""

    _kind = httpx.Client

    def call(
        self,
        operation: str,
        function: Callable[..., Response[_T]],
        *,
        timeout: float | Timeouts | None = None,
        **arguments: Any,
    ) -> _T:
        """Make one call through a generated function, with retries, and return the decoded body.

        Raises:
            ChartHeroError: The class that stands for what happened.
        """
        call = self._begin(operation, timeout)
        outcome = self._once(call, function, arguments)
        if not isinstance(outcome, BaseException):
            return outcome
        for attempt in self._retries(call):
            with attempt:
                if attempt.num > 1:
                    outcome = self._once(call, function, arguments)
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome
        raise AssertionError("unreachable: the last attempt returns or raises")

    def probe(self, operation: str, path: str, query: Mapping[str, str]) -> ChartHeroError | None:
        """Ask for something whose status alone matters; return what stands for it, None for a success.

        The body of a success is dropped unread.

        Raises:
            ConfigurationError: The call cannot be made.
        """

        def dropped(*, client: Client) -> Response[bool]:
            with client.get_httpx_client().stream("GET", path, params=query):
                return DROPPED

        try:
            self.call(operation, dropped)
        except ConfigurationError:
            raise
        except ChartHeroError as failure:
            return failure
        return None

    def receive(self, sink: Sink) -> None:
        """Stream something from a host that gets no key.

        Raises:
            ChartHeroError: It did not arrive, or not whole; the sink says which.
        """
        failure = self._stream(sink)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Close the connections. A second close does nothing."""
        if self._shut():
            if self._given is not None:
                self._give_back()
            elif self._process:
                self._client.get_httpx_client().close()

    def _open(self, client: Client) -> None:
        if self._given is not None:
            client.set_httpx_client(self._given)
        client.get_httpx_client()

    def _once(self, call: Call, function: Callable[..., Response[_T]], arguments: dict[str, Any]) -> _T | BaseException:
        call.go_on_with(self._key())
        outcome = self._send(call, function, arguments)
        if isinstance(outcome, AuthenticationError) and call.go_on_with(self._key()):
            outcome = self._send(call, function, arguments)
        return outcome

    def _send(self, call: Call, function: Callable[..., Response[_T]], arguments: dict[str, Any]) -> _T | BaseException:
        client = self._usable_client()
        call.begin_attempt()
        outcome: _T | BaseException
        with within(self.settings, call):
            try:
                outcome = decoded(function(client=client, **arguments), call.operation)
            except BaseException as error:  # noqa: BLE001 - whatever happened must leave without its frames and its request
                outcome = translated(error, call)
        self._end_attempt(call, outcome)
        return outcome

    def _stream(self, sink: Sink) -> BaseException | None:
        with within(self.settings):
            try:
                with self._elsewhere(sink.url) as client:
                    request = self._request_elsewhere(client, sink)
                    with closing(client.send(request, stream=True, auth=no_auth, follow_redirects=False)) as response:
                        sink.begin(response.status_code, response.headers)
                        for chunk in response.iter_bytes():
                            sink.write(chunk)
                        sink.end()
            except BaseException as error:  # noqa: BLE001 - whatever happened must leave without the frames that hold the URL
                return stream_failure(error, sink)
        return None

    @contextmanager
    def _elsewhere(self, url: str) -> Iterator[httpx.Client]:
        if self._reaches(url):
            yield self._usable_client().get_httpx_client()
        else:
            with httpx.Client(**self._arguments_elsewhere(url)) as client:
                yield client

    def _key(self) -> str:
        # No key is ever a local variable of a frame that can raise: tracebacks are shown with locals.
        return self.settings.key_source.checked(read_key(self.settings.key_source))

    def _on_request(self, request: httpx.Request) -> None:
        self._prepare(request)

    def _on_response(self, response: httpx.Response) -> None:
        call = self._note(response)
        if call is not None:
            body = b""
            with suppress(httpx.HTTPError):  # what can be read of it is enough: the status says what happened
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ERROR_BODY:
                        break
            raise status_error(response.status_code, response.headers, body, call.operation)
