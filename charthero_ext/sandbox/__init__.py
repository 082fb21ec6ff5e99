"""A local ChartHero that behaves as published, with synthetic data: for tests, demos and development.

Install it with ``pip install "charthero-ext[sandbox]"``. In a shell, run ``python -m charthero_ext.sandbox``. In a
test::

    with Sandbox(encounters=1000) as sandbox:
        httpx.get(f"{sandbox.base_url}/external/v1/encounters", headers={"Authorization": f"Bearer {sandbox.api_key}"})

Control routes change a running sandbox from a shell or another program. In a test, the methods of :class:`Sandbox` do
the same. With ``SANDBOX=http://127.0.0.1:8400/_sandbox``::

    curl $SANDBOX  # show this table, the keys, the webhook secret, ...
    curl -X POST $SANDBOX/encounters  # add an encounter
    curl -X POST $SANDBOX/encounters -d '{"created_at": "2026-05-01T09:00:00Z"}'  # add one that arrives late
    curl -X POST $SANDBOX/encounters -d '{"ready": false}'  # add one whose transcript is unfinished
    curl -X POST $SANDBOX/encounters/ENCOUNTER_ID/transcript  # finish the transcript
    curl -X POST $SANDBOX/encounters/ENCOUNTER_ID/documents -d '{"title": "Addendum"}'  # add a document
    curl -X PATCH $SANDBOX/encounters/ENCOUNTER_ID -d '{"status": "amended"}'  # change fields
    curl -X DELETE $SANDBOX/encounters/ENCOUNTER_ID  # delete the encounter
    curl -X PUT $SANDBOX/clock -d '{"instant": "2100-01-01T00:00:00Z"}'  # stop the clock
    curl -X PUT $SANDBOX/clock -d '{"instant": null}'  # let the clock run
    curl -X POST $SANDBOX/faults -d '{"kind": "status", "status": 503}'  # break the next request
    curl -X PUT $SANDBOX/faults/random -d '{"rate": 0.1}'  # break some requests
    curl -X DELETE $SANDBOX/faults  # remove all faults
    curl -X PUT $SANDBOX/keys/ch_sk_mine -d '{"scopes": ["encounters:read"]}'  # issue or change a key
    curl -X PUT $SANDBOX/routes/documents.audio -d '{"enabled": false}'  # disable a route
    curl -X PUT $SANDBOX/webhooks -d '{"url": "http://127.0.0.1:8000/"}'  # deliver webhooks
    curl -X POST $SANDBOX/webhooks/ENCOUNTER_ID -d '{"copies": 2}'  # send webhooks again
    curl -X POST $SANDBOX/reset  # start again

The webhook secret is ``whsec_sandbox_synthetic`` unless you choose another; the banner and the first line show it.
"""

try:
    from charthero_ext.sandbox.server import Sandbox
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
        raise
    raise ModuleNotFoundError(
        'The sandbox needs the extra "sandbox": pip install "charthero-ext[sandbox]"', name=error.name
    ) from error

__all__ = ["Sandbox"]
