"""Which deliveries are accepted, and which are refused with what error. openssl computes the signatures to compare."""

from __future__ import annotations

import copy
import hmac
import json
import pickle
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from charthero_ext import errors
from charthero_ext.errors import ConfigurationError, WebhookVerificationError
from charthero_ext.models import TranscriptReadyEvent
from charthero_ext.webhooks import UnknownEvent, sign, verify
from tests.examples import examples
from tests.payloads import EVENT

SECRET = "whsec_synthetic_1"
OTHER = "whsec_synthetic_2"
NOW = 1_777_649_395
BODY = json.dumps(EVENT).encode()


def signed(body: bytes = BODY, secret: str = SECRET, **changes: str) -> dict[str, str]:
    return {**sign(body, secret, timestamp=NOW, delivery_id="dlv_synthetic_0001"), **changes}


NAMES = [name for name in signed() if name != "Content-Type"]


def of(change: Callable[[dict[str, Any]], object]) -> bytes:
    event = copy.deepcopy(EVENT)
    change(event)
    return json.dumps(event).encode()


def refusal(
    kind: type[WebhookVerificationError], headers: Any, body: bytes = BODY, secrets: Any = SECRET, **others: Any
) -> WebhookVerificationError:
    with pytest.raises(kind) as caught:
        verify(headers, body, secrets, **{"now": NOW, **others})
    return caught.value


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is the independent implementation")
@pytest.mark.parametrize("secret", [SECRET, "with spaces inside", "ünïcode", "x" * 200])
@pytest.mark.parametrize("timestamp", [str(NOW), "0", f"00{NOW}"])
def test_a_signature_by_openssl_is_accepted_and_equals_ours(secret: str, timestamp: str) -> None:
    body = json.dumps(EVENT, indent=3).encode()
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.encode().hex()}", "-r"]
    done = subprocess.run(command, input=f"{timestamp}.".encode() + body, capture_output=True, check=True)
    headers = {
        "ChartHero-Event-Id": EVENT["id"],
        "ChartHero-Delivery-Id": "whd_synthetic_0001",
        "ChartHero-Timestamp": timestamp,
        "ChartHero-Signature": f"v1={done.stdout.split()[0].decode()}",
        "ChartHero-Webhook-Version": EVENT["api_version"],
    }
    event = verify(headers, body, secret, now=int(timestamp))
    assert isinstance(event, TranscriptReadyEvent)
    assert (event.id, event.resources.document_id) == (EVENT["id"], EVENT["resources"]["document_id"])
    if not timestamp.startswith("00"):
        ours = sign(body, secret, timestamp=int(timestamp), delivery_id="whd_synthetic_0001")
        assert ours == {"Content-Type": "application/json", **headers}


FORMS: dict[str, Callable[[dict[str, str]], Any]] = {
    "mapping": lambda h: h,
    "upper case": lambda h: {name.upper(): value for name, value in h.items()},
    "bytes": lambda h: {name.lower().encode(): value.encode() for name, value in h.items()},
    "ASGI": lambda h: [(name.lower().encode(), value.encode()) for name, value in h.items()],
    "iterator": lambda h: iter(h.items()),
    "httpx": httpx.Headers,
    "starlette": Headers,
}


@pytest.mark.parametrize("form", FORMS)
def test_headers_are_accepted_in_every_form_and_case(form: str) -> None:
    assert verify(FORMS[form](signed()), BODY, SECRET, now=NOW).id == EVENT["id"]


@pytest.mark.parametrize("secrets", [(OTHER, SECRET), (SECRET, OTHER, "third"), (OTHER, "third"), (SECRET,)])
@pytest.mark.parametrize("signatures", ["{wrong},{right}", "{right}, {wrong}", "v2=abc ,{wrong} ,\t{right}"])
def test_one_signature_by_one_secret_must_match_and_every_pair_is_compared(
    secrets: tuple[str, ...], signatures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, compare = [], hmac.compare_digest

    def counting(first: str, second: str) -> bool:
        compared.append((first, second))
        return compare(first, second)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    right, wrong = signed()["ChartHero-Signature"], "v1=" + "0" * 64
    headers = signed(**{"ChartHero-Signature": signatures.format(right=right, wrong=wrong)})
    if SECRET in secrets:
        assert verify(headers, BODY, iter(secrets), now=NOW).id == EVENT["id"]
    else:
        refusal(errors.SignatureMismatchError, headers, secrets=secrets)
    assert len(set(compared)) == len(compared) == 2 * len(secrets)


@pytest.mark.parametrize(("name", "value"), [("type", "recording.deleted"), ("api_version", "2027-01-01")])
def test_an_unknown_type_or_version_is_an_unknown_event_whose_repr_hides_the_payload(name: str, value: str) -> None:
    body = of(lambda event: event.update({name: value, "canary": "canary", "resources": "other"}))
    event = verify(signed(body), body, SECRET, now=NOW)
    assert isinstance(event, UnknownEvent)
    assert (event.id, getattr(event, name)) == (EVENT["id"], value)
    assert event.payload["canary"] == "canary"
    assert "canary" not in repr(event)
    assert hash(event) == hash(copy.copy(event))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_empty_or_repeated_header_is_refused(name: str) -> None:
    headers = signed()
    for changed in ({**headers, name: ""}, {key: value for key, value in headers.items() if key != name}):
        assert name in str(refusal(errors.MissingHeaderError, changed))
    for repeated in ([*headers.items(), (name.lower(), headers[name])], {**headers, name.lower(): headers[name]}):
        refusal(errors.RepeatedHeaderError, repeated)


NO_NUMBERS = ["-1", "+1", "1.0", "1e9", "0x1", "٣٠٠", "²", "1_000", "now", "1,2", "None", " 1", "1 ", "1\n", "1" * 13]


@pytest.mark.parametrize("timestamp", NO_NUMBERS)
def test_a_timestamp_that_is_not_a_whole_number_is_refused(timestamp: str) -> None:
    refusal(errors.InvalidTimestampError, signed(**{"ChartHero-Timestamp": timestamp}))


@pytest.mark.parametrize("difference", [300, 299.9, 0, -299.9, -300])
def test_the_timestamp_may_differ_from_the_clock_by_the_tolerance(difference: float) -> None:
    assert verify(signed(), BODY, SECRET, now=NOW + difference).id == EVENT["id"]
    refusal(errors.StaleTimestampError, signed(), now=NOW + difference + (600.1 if difference >= 0 else -600.1))


def test_the_clock_of_the_machine_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    headers, present = sign(BODY, SECRET), time.time()
    monkeypatch.setattr(time, "time", lambda: present + 302)
    with pytest.raises(errors.StaleTimestampError):
        verify(headers, BODY, SECRET)
    assert verify(headers, BODY, SECRET, tolerance=400)


FORGED = ["{hex}", "v2={hex}", "V1={hex}", "v1=", "v1={upper}", "v1={hex}0", "v1={short}", "sha256={hex}"]


@pytest.mark.parametrize("signature", [*FORGED, "v0={hex};v1={hex}", "v1= {hex}", "v1={hex}\n"])
def test_a_signature_in_an_undocumented_form_is_refused(signature: str) -> None:
    digest = signed()["ChartHero-Signature"].removeprefix("v1=")
    text = signature.format(hex=digest, upper=digest.upper().replace("0", "A"), short=digest[:-1])
    refusal(errors.UnsupportedSignatureError, signed(**{"ChartHero-Signature": text}))


@pytest.mark.parametrize("secrets", [OTHER, [OTHER], [OTHER, SECRET.upper()]])
def test_a_forged_signature_is_refused_before_the_clock_and_the_body_are_read(secrets: Any) -> None:
    for body, now in ((BODY, NOW), (BODY, NOW + 10**6), (b"<not JSON>", NOW)):
        refusal(errors.SignatureMismatchError, signed(), body, secrets, now=now)


def test_a_large_body_is_refused_before_its_signature_is_checked() -> None:
    refusal(errors.BodyTooLargeError, signed(), b"x" * 65_537)
    refusal(errors.BodyTooLargeError, signed(), max_body=len(BODY) - 1)
    assert verify(signed(), BODY, SECRET, now=NOW, max_body=len(BODY)).id == EVENT["id"]


def signed_by_hand(body: bytes) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), f"{NOW}.".encode() + body, "sha256").hexdigest()
    return signed(**{"ChartHero-Signature": f"v1={digest}"})


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda event: event.pop("id"),
    lambda event: event.update(id=1),
    lambda event: event.update(type=None),
    lambda event: event.update(api_version=""),
    lambda event: event.pop("resources"),
    lambda event: event.update(resources=[]),
    lambda event: event["resources"].pop("encounter_id"),
    lambda event: event["resources"].update(document_id=""),
]
NOT_JSON = [b"", b"\xff\xfe", b"<html>", b"[]", b"null", b'"text"', b"{}", BODY[:-1], b"[" * 60_000]


@pytest.mark.parametrize("body", [*NOT_JSON, *map(of, CHANGES)])
def test_a_genuine_body_that_is_not_an_event_is_refused(body: bytes) -> None:
    refusal(errors.MalformedEventError, signed_by_hand(body), body)


@pytest.mark.parametrize("name", ["ChartHero-Event-Id", "ChartHero-Webhook-Version"])
def test_headers_that_name_another_event_or_version_than_the_body_are_refused(name: str) -> None:
    refusal(errors.MismatchedEventError, signed(**{name: "evt_other"}))


@given(data=st.data())
@examples(300)
def test_no_byte_of_body_timestamp_or_signature_can_be_changed(data: st.DataObject) -> None:
    headers, body = signed(), BODY
    part = data.draw(st.sampled_from(["body", "ChartHero-Timestamp", "ChartHero-Signature"]))
    original = body if part == "body" else headers[part].encode()
    place = data.draw(st.integers(0, len(original) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != original[place]))
    changed = original[:place] + bytes([value]) + original[place + 1 :]
    if part == "body":
        body = changed
    with pytest.raises(WebhookVerificationError):
        verify({**headers, **({} if part == "body" else {part: changed})}, body, SECRET, now=NOW, tolerance=10**13)


@given(
    headers=st.lists(st.tuples(st.sampled_from(list(signed())) | st.text(max_size=9), st.text(max_size=99))),
    body=st.binary(max_size=99),
)
@examples(200)
def test_any_forged_delivery_is_refused_by_one_of_our_errors(headers: list[tuple[str, str]], body: bytes) -> None:
    assert refusal(WebhookVerificationError, headers, body).reason != "unverified"


class Unread(str):
    """A header value that only says how long it is."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used before the length was checked")

    __str__ = __iter__ = __getitem__ = __contains__ = __hash__ = __eq__ = __format__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hostile", ["x{blanks}x", "{blanks}", "9" * 1025])
def test_a_header_over_the_size_limit_is_refused_unread_and_before_the_hmac(
    name: str, hostile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = signed()
    monkeypatch.setattr(hmac, "new", lambda *_, **__: pytest.fail("the HMAC was computed"))
    for size in (2**power for power in range(11, 21)):
        value = hostile.format(blanks=" " * size)
        refusal(errors.MissingHeaderError, {**headers, name: Unread(value)})
        refusal(errors.MissingHeaderError, {**headers, name: value.encode()})
        refusal(errors.MissingHeaderError, {**headers, name: "", value: "x"})


def test_every_refusal_is_a_public_class_with_its_own_reason() -> None:
    kinds = WebhookVerificationError.__subclasses__()
    assert len({kind.reason for kind in kinds}) == len(kinds) == 9
    assert {kind.__name__ for kind in kinds} <= set(errors.__all__)


def test_a_refusal_has_no_cause_and_can_be_pickled() -> None:
    error = refusal(errors.MalformedEventError, signed_by_hand(b'{"canary": '), b'{"canary": ')
    assert (error.__cause__, error.__context__) == (None, None)
    revived = pickle.loads(pickle.dumps(error))
    assert (type(revived), str(revived), revived.reason) == (type(error), str(error), error.reason)


@pytest.mark.parametrize(
    "secrets", [None, [], "", " ", ["", SECRET], [SECRET + "\n"], " x", "\ud800", [None], [b"x"], b"x"]
)
def test_missing_or_blank_secrets_are_a_configuration_error(secrets: Any) -> None:
    with pytest.raises(ConfigurationError, match="signing secret"):
        verify({}, BODY, secrets, now=NOW)


@pytest.mark.parametrize("body", [BODY.decode(), EVENT, None])
def test_a_body_that_is_not_bytes_is_a_type_error(body: Any) -> None:
    with pytest.raises(TypeError, match="raw bytes"):
        verify(signed(), body, SECRET, now=NOW)


@pytest.mark.parametrize(
    "headers",
    [
        *(None, 1, ["one"], [("name", "value", "more")], {"name": 1}, [(None, "value")]),
        {name: [value] for name, value in signed().items()},
    ],
)
def test_headers_of_another_type_are_a_type_error(headers: Any) -> None:
    with pytest.raises(TypeError, match="headers must be a mapping"):
        verify(headers, BODY, SECRET, now=NOW)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"id": 1, "api_version": "x"}', BODY.decode()])
def test_only_an_event_can_be_signed(body: Any) -> None:
    with pytest.raises(ValueError, match="not an event"):
        sign(body, SECRET)
