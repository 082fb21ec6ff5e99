"""A local ChartHero that behaves as published, over synthetic data: for tests, demos and development.

Needs the extra: ``pip install "charthero-ext[sandbox]"``. From a shell: ``python -m charthero_ext.sandbox``. In a
test::

    with Sandbox(encounters=1000) as sandbox:
        httpx.get(f"{sandbox.base_url}/external/v1/encounters", headers={"Authorization": f"Bearer {sandbox.api_key}"})
"""

try:
    from charthero_ext.sandbox.server import Sandbox
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
        raise
    raise ModuleNotFoundError(
        'The sandbox needs its extra: pip install "charthero-ext[sandbox]"', name=error.name
    ) from error

__all__ = ["Sandbox"]
