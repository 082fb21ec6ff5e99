from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.document import Document
from ...types import Response


def _get_kwargs(
    encounter_id: str,
    document_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/external/v1/encounters/{encounter_id}/documents/{document_id}".format(
            encounter_id=quote(str(encounter_id), safe=""),
            document_id=quote(str(document_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Document | None:
    if response.status_code == 200:
        response_200 = Document.from_body(response.content)

        return response_200

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Document]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    encounter_id: str,
    document_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[Document]:
    """Get a public document

     A transcript document comes as metadata only.

    Args:
        encounter_id (str):
        document_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Document]
    """

    kwargs = _get_kwargs(
        encounter_id=encounter_id,
        document_id=document_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    encounter_id: str,
    document_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Document | None:
    """Get a public document

     A transcript document comes as metadata only.

    Args:
        encounter_id (str):
        document_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Document
    """

    return sync_detailed(
        encounter_id=encounter_id,
        document_id=document_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    encounter_id: str,
    document_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[Document]:
    """Get a public document

     A transcript document comes as metadata only.

    Args:
        encounter_id (str):
        document_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Document]
    """

    kwargs = _get_kwargs(
        encounter_id=encounter_id,
        document_id=document_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    encounter_id: str,
    document_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Document | None:
    """Get a public document

     A transcript document comes as metadata only.

    Args:
        encounter_id (str):
        document_id (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Document
    """

    return (
        await asyncio_detailed(
            encounter_id=encounter_id,
            document_id=document_id,
            client=client,
        )
    ).parsed
