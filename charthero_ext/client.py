"""The client for synchronous code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from charthero_ext._call import RawResponse, Session
from charthero_ext._follow_up import FollowUp, follow_up
from charthero_ext._http import Driver
from charthero_ext._key_source import ApiKey
from charthero_ext._lazy import lazily
from charthero_ext._resources import Documents, Encounters
from charthero_ext._secret import Secret, opaque
from charthero_ext._spec import PUBLISHED, SpecReport, check_spec
from charthero_ext.config import Settings, Timeouts
from charthero_ext.errors import ConfigurationError
from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.scopes import AccessReport, check_access

if TYPE_CHECKING:
    import httpx

    from charthero_ext.async_client import AsyncChartHero, AsyncDocuments, AsyncEncounters

__all__ = [
    "AsyncChartHero",
    "AsyncDocuments",
    "AsyncEncounters",
    "ChartHero",
    "Documents",
    "Encounters",
    "FollowUp",
    "RawResponse",
    "SpecReport",
]


class ChartHero:
    """A client for synchronous code. Threads may share it. A forked process makes its own connections.

    Close it, or use it in a ``with`` statement.
    """

    # Declared on the class for mock.create_autospec. Every client has its own.
    settings: Settings = cast("Settings", None)
    encounters: Encounters = Encounters.__new__(Encounters)
    documents: Documents = Documents.__new__(Documents)

    @opaque
    def __init__(
        self,
        *,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        settings: Settings | None = None,
        http_client: httpx.Client | None = None,
        httpx_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Use *settings*, or load them from the arguments, the environment and the profile.

        The first call makes the connections. It reads the certificates and proxies of the machine. *http_client* and
        *httpx_args* are checked now.

        Args:
            api_key: The key, or a callable that returns it.
            base_url: The host, with or without ``/external/v1``.
            settings: The settings, instead of *api_key* and *base_url*.
            http_client: Your own httpx client, used unchanged. Its event hooks see responses, and requests with the
                key. You close it.
            httpx_args: For the connections: ``proxy``, ``verify``, ``cert``, ``limits``, ``transport``, ….

        Raises:
            ConfigurationError: Something is missing, unreadable or misspelt. The text says what to set.
        """
        self.settings = chosen_settings(settings, api_key, base_url)
        self._session = Session(self.settings)
        self._driver = Driver(self.settings, Secret(httpx_args), http_client)
        self.encounters = Encounters(self._session, self._driver)
        self.documents = Documents(self._session, self._driver)

    def get(self, path: str, *, timeout: float | Timeouts | None = None, **query: str | int) -> RawResponse:
        """Request any path of the configured host, with the same key, retries and exceptions.

        Use it for routes that this version does not know.

        Args:
            path: The path, such as ``/external/v1/encounters``.
            timeout: Seconds for each part of a request.
            query: The query parameters.

        Raises:
            ValueError: The path does not begin with one ``/``.
            ChartHeroError: The call failed.
        """
        return self._driver.run(self._session.get(path, query, timeout))

    def check_spec(self, url: str = PUBLISHED) -> SpecReport:
        """Compare the artifact that this package was built from with the one published at *url*, which gets no key.

        An unusable response is never reported as *same*.
        """
        return self._driver.run(check_spec(self._session, url))

    def check_access(self, *operations: str) -> AccessReport:
        """Find out which routes this key may use, without reading patient data.

        Each route gets a query that the server refuses before it reads a record. The report covers all routes.
        *operations* are those that you need, such as ``"documents.audio"``; by default all.

        Raises:
            ValueError: There is no such operation.
            ConfigurationError: There is no usable key.
        """
        return self._driver.run(check_access(self._session, operations))

    def follow_up(self, event: TranscriptReadyEvent, *, audio: bool = False, patience: float = 60.0) -> FollowUp:
        """Fetch what an event points at: the encounter, the document, its transcript, and its recording if requested.

        Args:
            event: The event, as a webhook receiver hands it over.
            audio: Also get the signed URL of the recording; the key then needs ``recordings:read``.
            patience: Seconds to wait for a transcript that is not ready yet.

        Raises:
            TypeError: It is an event of another type.
            NotFoundError: The encounter or the document is gone, or there was no transcript in time.
            ChartHeroError: A call failed otherwise.
        """
        return self._driver.run(follow_up(self._session, event, audio=audio, patience=patience))

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return client_repr(self)

    def __reduce__(self) -> NoReturn:
        refuse_copy()


def chosen_settings(settings: Settings | None, api_key: ApiKey | None, base_url: str | None) -> Settings:
    """Return *settings*, or load them from the other arguments."""
    if settings is None:
        return Settings.load(api_key=api_key, base_url=base_url)
    if api_key is not None or base_url is not None:
        raise ConfigurationError("give either settings, or api_key and base_url; settings already hold both")
    return settings


def client_repr(client: object) -> str:
    """Return the repr of a client, also of one whose settings were refused."""
    settings = vars(client).get("settings")
    return f"{type(client).__name__}(base_url={settings.base_url!r})" if settings else f"<{type(client).__name__}>"


def refuse_copy() -> NoReturn:
    """Refuse to pickle or copy a client."""
    raise ConfigurationError("a client cannot be pickled or copied; pass its settings, and make a client from them")


if not TYPE_CHECKING:  # asyncio takes as long to load as half of httpx.
    __getattr__, __dir__ = lazily(
        __name__,
        dict.fromkeys(("AsyncChartHero", "AsyncDocuments", "AsyncEncounters"), "charthero_ext.async_client"),
    )
