"""The contract this package was generated from. Facts only, no behaviour."""

from typing import Final

#: SHA-256 of the artifact, which is beside this file as openapi.json, byte for byte.
ARTIFACT_SHA256: Final = "1a6f5205ed903399bc7929f7060e5521dbcc9da3c194690f200ff22749a16dc4"

#: The method and path of every promised operation.
ROUTES: Final[dict[str, tuple[str, str]]] = {
    "encounters.list": ("GET", "/external/v1/encounters"),
    "encounters.get": ("GET", "/external/v1/encounters/{encounter_id}"),
    "documents.get": ("GET", "/external/v1/encounters/{encounter_id}/documents/{document_id}"),
    "documents.transcript": ("GET", "/external/v1/encounters/{encounter_id}/documents/{document_id}/transcript"),
    "documents.audio": ("GET", "/external/v1/encounters/{encounter_id}/documents/{document_id}/audio"),
}

#: The scopes a key needs for every promised operation.
SCOPES: Final[dict[str, frozenset[str]]] = {
    "encounters.list": frozenset(["documents:read", "encounters:read", "patients:read"]),
    "encounters.get": frozenset(["documents:read", "encounters:read", "patients:read"]),
    "documents.get": frozenset(["documents:read", "encounters:read"]),
    "documents.transcript": frozenset(["documents:read", "encounters:read"]),
    "documents.audio": frozenset(["documents:read", "encounters:read", "recordings:read"]),
}

#: The promised operations that the artifact deprecates.
DEPRECATED: Final[frozenset[str]] = frozenset([])

#: The largest `limit` and `offset` that the list route accepts.
MAX_LIMIT: Final = 100
MAX_OFFSET: Final = 10000
