"""One workshop for all tests, which begins with the trees that the chosen tests need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .shapes import Shape
from .trees import Workshop


@pytest.fixture(scope="session")
def workshop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("trees"))
    for item in request.session.items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and isinstance(shape := callspec.params.get("shape"), Shape):
            made.order(shape)
    yield made
    made.close()
