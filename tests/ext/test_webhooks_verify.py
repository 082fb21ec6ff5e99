"""Which deliveries are genuine. Signatures are computed by openssl, and by nothing of ours."""

from __future__ import annotations

import copy
import hmac
import json
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from charthero_ext import errors
from charthero_ext.errors import ChartHeroError, ConfigurationError, WebhookVerificationError
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


def of(change: Callable[[dict[str, Any]], object]) -> bytes:
    event = copy.deepcopy(EVENT)
    change(event)
    return json.dumps(event).encode()


def refusal(headers: Any, body: bytes = BODY, secrets: Any = SECRET, **others: Any) -> WebhookVerificationError:
    with pytest.raises(WebhookVerificationError) as caught:
        verify(headers, body, secrets, **{"now": NOW, **others})
    return caught.value


# What holds


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is the independent implementation")
@pytest.mark.parametrize("secret", [SECRET, "short", "with spaces inside", "ünïcode", "x" * 200])
@pytest.mark.parametrize("stamp", [str(NOW), "0", f"00{NOW}"])
def test_a_signature_made_by_openssl_holds(secret: str, stamp: str) -> None:
    body = json.dumps(EVENT, indent=3).encode()
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.encode().hex()}", "-r"]
    done = subprocess.run(command, input=f"{stamp}.".encode() + body, capture_output=True, check=True)
    headers = {
        "ChartHero-Event-Id": EVENT["id"],
        "ChartHero-Delivery-Id": "dlv_synthetic_0001",
        "ChartHero-Timestamp": stamp,
        "ChartHero-Signature": f"v1={done.stdout.split()[0].decode()}",
        "ChartHero-Webhook-Version": EVENT["api_version"],
    }
    event = verify(headers, body, secret, now=int(stamp))
    assert isinstance(event, TranscriptReadyEvent)
    assert (event.id, event.resources.document_id) == (EVENT["id"], EVENT["resources"]["document_id"])
    made = sign(body, secret, timestamp=int(stamp), delivery_id="dlv_synthetic_0001")
    if stamp == str(int(stamp)):
        assert made == {"Content-Type": "application/json", **headers}


def test_a_signature_written_down_from_the_contract_holds() -> None:
    # printf '%s' '1777649395.{"id":…}' | openssl dgst -sha256 -hmac whsec_synthetic_1
    body = b'{"id":"evt_1","type":"x","api_version":"y"}'
    known = "v1=43b73eefbd88dceb3c1b64efd24b0d3e4bef289e93579ce56067f85e7540073c"
    assert sign(body, SECRET, timestamp=NOW)["ChartHero-Signature"] == known


def test_what_is_signed_now_holds_now() -> None:
    assert verify(sign(BODY, SECRET), BODY, SECRET).id == EVENT["id"]


@pytest.mark.parametrize(
    "form",
    [
        lambda h: h,
        lambda h: {name.upper(): value for name, value in h.items()},
        lambda h: {name.lower().encode(): value.encode() for name, value in h.items()},
        lambda h: [(name.lower().encode(), value.encode()) for name, value in h.items()],
        lambda h: iter(h.items()),
        lambda h: httpx.Headers(h),
        lambda h: Headers(h),
    ],
    ids=["mapping", "upper case", "bytes", "ASGI", "iterator", "httpx", "starlette"],
)
def test_headers_are_taken_in_every_form_and_case(form: Callable[[dict[str, str]], Any]) -> None:
    assert verify(form(signed()), BODY, SECRET, now=NOW).id == EVENT["id"]


@pytest.mark.parametrize("off", [-300, -299.9, 0, 299.9, 300])
def test_a_clock_may_be_off_by_the_tolerance_either_way(off: float) -> None:
    assert verify(signed(), BODY, SECRET, now=NOW + off).id == EVENT["id"]


@pytest.mark.parametrize("secrets", [[OTHER, SECRET], (SECRET, OTHER), iter([OTHER, "third", SECRET])])
def test_any_of_several_secrets_will_do_while_one_is_rotated(secrets: Any) -> None:
    assert verify(signed(), BODY, secrets, now=NOW).id == EVENT["id"]


@pytest.mark.parametrize("arranged", ["{wrong},{right}", "{right}, {wrong}", "v2=abc , {right}", "{right}"])
def test_one_of_several_signatures_has_to_match(arranged: str) -> None:
    right, wrong = signed()["ChartHero-Signature"], "v1=" + "0" * 64
    headers = signed(**{"ChartHero-Signature": arranged.format(right=right, wrong=wrong)})
    assert verify(headers, BODY, SECRET, now=NOW).id == EVENT["id"]


def test_a_field_that_is_new_in_an_event_is_kept() -> None:
    body = of(lambda event: event.update(added_later=1))
    event = verify(signed(body), body, SECRET, now=NOW)
    assert isinstance(event, TranscriptReadyEvent)
    assert event.to_dict()["added_later"] == 1


@pytest.mark.parametrize(("name", "value"), [("type", "recording.deleted"), ("api_version", "2027-01-01")])
def test_an_unknown_type_or_version_is_an_event_of_its_own_that_shows_no_payload(name: str, value: str) -> None:
    body = of(lambda event: event.update({name: value, "canary": "canary", "resources": "other"}))
    event = verify(signed(body), body, SECRET, now=NOW)
    assert isinstance(event, UnknownEvent)
    assert (event.id, getattr(event, name)) == (EVENT["id"], value)
    assert event.payload["canary"] == "canary"
    assert "canary" not in repr(event)
    assert hash(event) == hash(copy.copy(event))


# What does not


@pytest.mark.parametrize("name", [name for name in signed() if name != "Content-Type"])
def test_a_header_that_is_missing_empty_or_repeated_is_refused(name: str) -> None:
    headers = signed()
    for changed in ({**headers, name: ""}, {key: value for key, value in headers.items() if key != name}):
        error = refusal(changed)
        assert (error.reason, type(error), error.status_code) == ("missing_header", errors.MissingHeaderError, 400)
        assert name in str(error)
    for repeated in ([*headers.items(), (name.lower(), headers[name])], {**headers, name.lower(): headers[name]}):
        error = refusal(repeated)
        assert (error.reason, type(error), error.status_code) == ("repeated_header", errors.RepeatedHeaderError, 400)


@pytest.mark.parametrize(
    "stamp",
    ["-1", "+1", "1.0", "1e9", " 1", "1 ", "1\n", "0x1", "٣٠٠", "²", "1_000", "now", "1" * 13, "1,2", "None"],
)
def test_a_timestamp_that_is_no_plain_whole_number_is_refused(stamp: str) -> None:
    error = refusal(signed(**{"ChartHero-Timestamp": stamp}))
    assert (error.reason, type(error)) == ("invalid_timestamp", errors.InvalidTimestampError)


@pytest.mark.parametrize("off", [-301, -300.1, 300.1, 301, 10**9])
def test_a_replay_and_a_delivery_from_the_future_are_refused(off: float) -> None:
    error = refusal(signed(), now=NOW + off)
    assert (error.reason, type(error), error.status_code) == ("stale_timestamp", errors.StaleTimestampError, 401)


def test_without_a_clock_given_the_machine_s_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = sign(BODY, SECRET)
    present = time.time()
    monkeypatch.setattr(time, "time", lambda: present + 302)
    with pytest.raises(errors.StaleTimestampError):
        verify(headers, BODY, SECRET)
    assert verify(headers, BODY, SECRET, tolerance=400)


@pytest.mark.parametrize(
    "signature",
    [
        "{hex}",
        "v2={hex}",
        "V1={hex}",
        "v1=",
        "v1={upper}",
        "v1={hex}0",
        "v1={short}",
        "v1= {hex}",
        "v1={hex}\n",
        "sha256={hex}",
        "v0={hex};v1={hex}",
    ],
)
def test_a_signature_in_any_form_but_the_documented_one_is_refused(signature: str) -> None:
    digest = signed()["ChartHero-Signature"].removeprefix("v1=")
    text = signature.format(hex=digest, upper=digest.upper().replace("0", "A"), short=digest[:-1])
    error = refusal(signed(**{"ChartHero-Signature": text}))
    assert (error.reason, error.status_code) == ("unsupported_signature", 401)


@pytest.mark.parametrize("secrets", [OTHER, [OTHER], [OTHER, SECRET.upper()]])
def test_a_signature_by_another_secret_is_refused(secrets: Any) -> None:
    error = refusal(signed(), secrets=secrets)
    assert (error.reason, error.status_code) == ("signature_mismatch", 401)


def test_a_forged_delivery_learns_nothing_of_the_clock_or_the_body() -> None:
    error = refusal(signed(secret=OTHER), now=NOW + 10**6)
    assert error.reason == "signature_mismatch"
    assert refusal(signed(b'{"id":"a","api_version":"b"}', OTHER), b"<not JSON>").reason == "signature_mismatch"


def test_a_body_that_is_too_large_is_refused_before_it_is_looked_at() -> None:
    error = refusal(signed(), b"x" * 65_537)
    assert (error.reason, error.status_code) == ("body_too_large", 413)
    assert refusal(signed(), max_body=len(BODY) - 1).reason == "body_too_large"
    assert verify(signed(), BODY, SECRET, now=NOW, max_body=len(BODY)).id == EVENT["id"]


def signed_by_hand(body: bytes) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), f"{NOW}.".encode() + body, "sha256").hexdigest()
    return signed(**{"ChartHero-Signature": f"v1={digest}"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"<html>",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        BODY[:-1],
        b"[" * 60_000,
        of(lambda event: event.pop("id")),
        of(lambda event: event.update(id=1)),
        of(lambda event: event.update(type=None)),
        of(lambda event: event.update(api_version="")),
        of(lambda event: event.pop("resources")),
        of(lambda event: event.update(resources=[])),
        of(lambda event: event["resources"].pop("encounter_id")),
        of(lambda event: event["resources"].update(document_id="")),
    ],
)
def test_a_genuine_body_that_is_no_event_is_refused(body: bytes) -> None:
    error = refusal(signed_by_hand(body), body)
    assert (error.reason, type(error), error.status_code) == ("malformed_event", errors.MalformedEventError, 400)


@pytest.mark.parametrize("name", ["ChartHero-Event-Id", "ChartHero-Webhook-Version"])
def test_a_header_that_names_another_event_or_version_than_the_body_is_refused(name: str) -> None:
    error = refusal(signed(**{name: "evt_other"}))
    assert (error.reason, type(error), error.status_code) == ("mismatched_event", errors.MismatchedEventError, 400)


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


@given(body=st.binary(max_size=200), before=st.binary(max_size=5))
@examples(100)
def test_a_signature_belongs_to_one_body_only(body: bytes, before: bytes) -> None:
    for other in (body, before + BODY, BODY + before):
        if other != BODY:
            assert refusal(signed(), other).reason == "signature_mismatch"


@given(
    headers=st.lists(st.tuples(st.sampled_from(list(signed())) | st.text(max_size=9), st.text(max_size=99))),
    body=st.binary(max_size=99),
)
@examples(200)
def test_whatever_is_delivered_is_refused_by_an_error_of_ours(headers: list[tuple[str, str]], body: bytes) -> None:
    assert refusal(headers, body).reason != "unverified"


def test_every_secret_is_compared_with_every_signature_in_constant_time_whichever_matches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = []
    compare = hmac.compare_digest

    def counting(first: str, second: str) -> bool:
        compared.append((first, second))
        return compare(first, second)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    right, wrong = signed()["ChartHero-Signature"], "v1=" + "0" * 64
    for secrets in ([SECRET, OTHER, "third"], [OTHER, "third", SECRET], [OTHER, "third", "fourth"]):
        for signatures in (f"{right},{wrong}", f"{wrong},{right}"):
            compared.clear()
            try:
                verify(signed(**{"ChartHero-Signature": signatures}), BODY, secrets, now=NOW)
            except errors.SignatureMismatchError:
                assert SECRET not in secrets
            assert len(set(compared)) == len(compared) == len(secrets) * 2


def test_nothing_is_parsed_before_the_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(*_: Any, **__: Any) -> Any:
        raise AssertionError("parsed")

    headers = signed(secret=OTHER)
    monkeypatch.setattr(json, "loads", loads)
    assert refusal(headers).reason == "signature_mismatch"


class Unread(str):
    """A header value that only says how long it is."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used before the length was checked")

    __str__ = __iter__ = __getitem__ = __contains__ = __hash__ = __eq__ = __format__ = None  # type: ignore[assignment]


HOSTILE = [lambda size: "x" + " " * size + "x", lambda size: "," * size, lambda size: "v1=," * size, "9".__mul__]


@pytest.mark.parametrize("name", [name for name in signed() if name != "Content-Type"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_header_over_the_size_limit_is_refused_unread_and_before_the_hmac(
    name: str, hostile: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = signed()
    monkeypatch.setattr(hmac, "new", lambda *_, **__: pytest.fail("the HMAC was computed"))
    for size in (2**power for power in range(11, 21)):
        error = refusal({**headers, name: Unread(hostile(size))})
        assert (error.reason, error.status_code) == ("missing_header", 400)
        assert refusal({**headers, name: hostile(size).encode()}).reason == "missing_header"
        assert refusal({**headers, hostile(size): "x", name: ""}).reason == "missing_header"


@pytest.mark.parametrize("hostile", [*HOSTILE, lambda size: "v1=" + "0" * size, lambda size: "\t \t," * size])
def test_the_work_on_the_longest_allowed_signature_header_grows_with_its_length(hostile: Callable[[int], str]) -> None:
    def calls(size: int) -> int:
        counted = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal counted
            counted += 1

        headers = signed(**{"ChartHero-Signature": hostile(size)[:1024]})
        sys.setprofile(count)
        try:
            with pytest.raises(WebhookVerificationError):
                verify(headers, BODY, SECRET, now=NOW)
        finally:
            sys.setprofile(None)
        return counted

    counts = [calls(2**power) for power in range(3, 11)]
    assert max(counts) < 20 * 1024
    assert all(larger <= 2.5 * smaller for smaller, larger in pairwise(counts))


# What is said of it


def test_reasons_are_distinct_and_every_refusal_is_of_one_kind() -> None:
    kinds = WebhookVerificationError.__subclasses__()
    assert len({kind.reason for kind in kinds}) == len(kinds) == 9
    assert all(getattr(errors, kind.__name__) is kind and kind.__name__ in errors.__all__ for kind in kinds)


def test_a_refusal_has_no_cause_and_can_be_pickled() -> None:
    for error in (refusal(signed(secret=OTHER)), refusal(signed_by_hand(b'{"canary": '), b'{"canary": ')):
        assert (error.__cause__, error.__context__) == (None, None)
        revived = pickle.loads(pickle.dumps(error))
        assert (type(revived), str(revived), revived.reason) == (type(error), str(error), error.reason)


@pytest.mark.parametrize("secrets", [[], "", " ", ["", SECRET], [f"{SECRET}canary\n"], " canary", [None], [b"canary"]])
def test_secrets_that_cannot_be_meant_are_a_mistake_of_the_configuration(secrets: Any) -> None:
    with pytest.raises(ConfigurationError, match="signing secret"):
        verify({}, BODY, secrets, now=NOW)


@pytest.mark.parametrize("body", [BODY.decode(), EVENT, None])
def test_a_body_that_is_not_the_raw_bytes_is_a_mistake_of_the_caller(body: Any) -> None:
    with pytest.raises(TypeError, match="raw bytes"):
        verify(signed(), body, SECRET, now=NOW)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"id": 1, "api_version": "x"}'])
def test_only_an_event_can_be_signed(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"event|Expecting"):
        sign(body, SECRET)
    with pytest.raises(ChartHeroError):
        sign(BODY, "")
