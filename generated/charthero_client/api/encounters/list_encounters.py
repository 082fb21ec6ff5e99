import datetime
from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.encounter_page import EncounterPage
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    sort_order: str | Unset = UNSET,
    start_at: datetime.datetime | Unset = UNSET,
    end_at: datetime.datetime | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["limit"] = limit

    params["offset"] = offset

    params["sort_order"] = sort_order

    json_start_at: str | Unset = UNSET
    if not isinstance(start_at, Unset):
        json_start_at = start_at.isoformat()
    params["start_at"] = json_start_at

    json_end_at: str | Unset = UNSET
    if not isinstance(end_at, Unset):
        json_end_at = end_at.isoformat()
    params["end_at"] = json_end_at

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/external/v1/encounters",
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> EncounterPage | None:
    if response.status_code == 200:
        response_200 = EncounterPage.from_body(response.content)

        return response_200

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[EncounterPage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    sort_order: str | Unset = UNSET,
    start_at: datetime.datetime | Unset = UNSET,
    end_at: datetime.datetime | Unset = UNSET,
) -> Response[EncounterPage]:
    """List public encounters

     Pages by offset and is not snapshot-consistent. Any other query key is refused with
    `unsupported_filter`.

    Args:
        limit (int | Unset):
        offset (int | Unset):
        sort_order (str | Unset):
        start_at (datetime.datetime | Unset):
        end_at (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[EncounterPage]
    """

    kwargs = _get_kwargs(
        limit=limit,
        offset=offset,
        sort_order=sort_order,
        start_at=start_at,
        end_at=end_at,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    sort_order: str | Unset = UNSET,
    start_at: datetime.datetime | Unset = UNSET,
    end_at: datetime.datetime | Unset = UNSET,
) -> EncounterPage | None:
    """List public encounters

     Pages by offset and is not snapshot-consistent. Any other query key is refused with
    `unsupported_filter`.

    Args:
        limit (int | Unset):
        offset (int | Unset):
        sort_order (str | Unset):
        start_at (datetime.datetime | Unset):
        end_at (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        EncounterPage
    """

    return sync_detailed(
        client=client,
        limit=limit,
        offset=offset,
        sort_order=sort_order,
        start_at=start_at,
        end_at=end_at,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    sort_order: str | Unset = UNSET,
    start_at: datetime.datetime | Unset = UNSET,
    end_at: datetime.datetime | Unset = UNSET,
) -> Response[EncounterPage]:
    """List public encounters

     Pages by offset and is not snapshot-consistent. Any other query key is refused with
    `unsupported_filter`.

    Args:
        limit (int | Unset):
        offset (int | Unset):
        sort_order (str | Unset):
        start_at (datetime.datetime | Unset):
        end_at (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[EncounterPage]
    """

    kwargs = _get_kwargs(
        limit=limit,
        offset=offset,
        sort_order=sort_order,
        start_at=start_at,
        end_at=end_at,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
    sort_order: str | Unset = UNSET,
    start_at: datetime.datetime | Unset = UNSET,
    end_at: datetime.datetime | Unset = UNSET,
) -> EncounterPage | None:
    """List public encounters

     Pages by offset and is not snapshot-consistent. Any other query key is refused with
    `unsupported_filter`.

    Args:
        limit (int | Unset):
        offset (int | Unset):
        sort_order (str | Unset):
        start_at (datetime.datetime | Unset):
        end_at (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        EncounterPage
    """

    return (
        await asyncio_detailed(
            client=client,
            limit=limit,
            offset=offset,
            sort_order=sort_order,
            start_at=start_at,
            end_at=end_at,
        )
    ).parsed
