"""Canonical bytes, digests, envelopes and keys."""

from __future__ import annotations

import base64
import copy
import json
import stat
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from django.core.exceptions import ImproperlyConfigured
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings
from securesystemslib.dsse import Envelope as PeerEnvelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from audit import seal
from audit.events import Event
from portal.errors import Invalid, Refused

TYPE = "application/vnd.in-toto+json"
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PlainJson = st.recursive(
    st.none() | st.booleans() | st.integers(-seal.MAX_INTEGER, seal.MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


def pem(private: Any) -> str:
    public = private.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, spki).decode()


def envelope(message: bytes, *signed: tuple[str, bytes], payload_type: str = TYPE) -> dict[str, Any]:
    return {
        "payload": base64.b64encode(message).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": hint, "sig": base64.b64encode(raw).decode()} for hint, raw in signed],
    }


def test_canonical_bytes_are_those_of_rfc_8785() -> None:
    # The sorting example of RFC 8785 §3.2.3: keys are ordered by UTF-16 code units.
    keys = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert seal.canonical(keys) == '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}'.encode()
    assert seal.canonical({"b": [True, None, "é\n"], "a": -1}) == '{"a":-1,"b":[true,null,"é\\n"]}'.encode()


# Everything a text may hold that encoders write differently, as keys and as values.
AWKWARD = st.text(
    st.sampled_from('"\\/\b\f\n\r\t\x00\x1f\x7f\x80<&a\u00f6\u2028\ud7ff\ue000\ufb33\uffff\U00010000\U0010ffff'),
    max_size=4,
)
AwkwardJson = st.recursive(
    st.none() | st.booleans() | AWKWARD | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(AWKWARD, inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(AwkwardJson)
def test_our_canonical_bytes_are_those_of_another_implementation(value: Any) -> None:
    assert seal.canonical(value) == rfc8785.dumps(value)


@given(PlainJson)
def test_canonical_bytes_say_what_the_value_says(value: Any) -> None:
    written = seal.canonical(value)
    assert json.loads(written) == value
    assert seal.canonical(json.loads(written)) == written


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, 0.5]}, "$.a[1]"),
        ({"a": float("nan")}, "$.a"),
        ([2**53], "$[0]"),
        ([-(2**53)], "$[0]"),
        ({1: "x"}, "$"),
        ({"a": Decimal("0.5")}, "$.a"),
        ({"a": b"x"}, "$.a"),
        ("\ud800", "$"),
    ],
)
def test_what_readers_would_see_differently_has_no_canonical_bytes(value: Any, where: str) -> None:
    with pytest.raises(Invalid) as refusal:
        seal.canonical(value)
    assert refusal.value.faults[0].field == where


def test_nesting_is_bounded() -> None:
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(Invalid, match="levels"):
        seal.canonical(deep)
    with pytest.raises(Invalid, match="levels"):
        seal.plain(deep)


def test_plain_turns_decimals_times_and_identifiers_into_text() -> None:
    east = timezone(timedelta(hours=2))
    value = {
        "value": Decimal("0.9130"),
        "at": datetime(2026, 11, 23, 11, 0, tzinfo=east),
        "on": date(2026, 11, 23),
        "id": UUID(int=7),
        "event": Event.ASSET_CHANGED,
        "list": (1, "two", None),
    }
    assert seal.plain(value) == {
        "value": "0.9130",
        "at": "2026-11-23T09:00:00.000000Z",
        "on": "2026-11-23",
        "id": "00000000-0000-0000-0000-000000000007",
        "event": "asset.changed",
        "list": [1, "two", None],
    }


@pytest.mark.parametrize(
    "value",
    [0.5, float("inf"), Decimal("NaN"), datetime(2026, 11, 23, 9, 0), {1, 2}, b"x", object()],  # noqa: DTZ001
)
def test_plain_refuses_what_has_no_one_obvious_text(value: Any) -> None:
    with pytest.raises(Invalid, match=r"details\.x"):
        seal.plain({"x": value}, "details")


def test_a_digest_is_of_bytes_as_they_are_or_of_canonical_json() -> None:
    assert seal.digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert seal.digest({"b": 1, "a": 2}) == seal.digest(b'{"a":2,"b":1}')


def test_the_pre_authentication_encoding_is_that_of_dsse() -> None:
    # The example of the DSSE protocol text.
    assert seal.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_what_we_sign_verifies_with_us_and_with_an_independent_implementation() -> None:
    signed = seal.sign(b'{"verdict":"APPROVED"}', TYPE)
    key = seal.decision_key()
    verified = seal.verify(signed, [key])
    assert verified.payload == b'{"verdict":"APPROVED"}'
    assert verified.fingerprints == {key.fingerprint}
    peer = PeerEnvelope.from_dict(copy.deepcopy(signed))
    assert key.fingerprint in peer.verify([SSlibKey.from_crypto(key.key, key.fingerprint)], 1)


def test_a_bundle_is_a_sigstore_bundle_with_the_key_as_a_hint() -> None:
    signed = seal.sign(b"{}", TYPE)
    bundle = seal.bundle(signed)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"]["publicKey"] == {"hint": seal.decision_key().fingerprint}
    assert bundle["dsseEnvelope"] == signed


def signers() -> list[tuple[str, Any, Any]]:
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    edwards, rivest = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 3072)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    return [
        ("ed25519", edwards, edwards.sign),
        ("ecdsa-p256", p256, lambda message: p256.sign(message, ec.ECDSA(hashes.SHA256()))),
        ("ecdsa-p384", p384, lambda message: p384.sign(message, ec.ECDSA(hashes.SHA384()))),
        ("rsa-pss", rivest, lambda message: rivest.sign(message, pss, hashes.SHA256())),
    ]


@pytest.mark.parametrize(
    ("scheme", "private", "sign"), signers(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_kind_of_key_verifies_its_own_signature_and_no_other(scheme: str, private: Any, sign: Any) -> None:
    key = seal.load_public_key(pem(private))
    assert key.scheme == scheme
    assert seal.load_public_key(key.pem).fingerprint == key.fingerprint
    signature = sign(seal.pae(TYPE, b"payload"))
    assert seal.verify(envelope(b"payload", ("", signature)), [key]).fingerprints == {key.fingerprint}
    for forged in (
        envelope(b"payload!", ("", signature)),
        envelope(b"payload", ("", signature), payload_type="text/plain"),
        envelope(b"payload", ("", signature[:-1] + bytes([signature[-1] ^ 1]))),
        envelope(b"payload", ("", b"")),
    ):
        with pytest.raises(Refused):
            seal.verify(forged, [key])


def test_a_key_counts_once_however_often_it_signs_and_under_whatever_names() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    key = seal.load_public_key(pem(private))
    signature = private.sign(seal.pae(TYPE, b"payload"))
    twice = envelope(b"payload", ("first", signature), ("second", signature))
    with pytest.raises(Refused, match="Of the 2 signatures"):
        seal.verify(twice, [key, key], threshold=2)


def test_two_keys_reach_a_threshold_of_two() -> None:
    privates = [ed25519.Ed25519PrivateKey.generate() for _ in range(2)]
    keys = [seal.load_public_key(pem(private)) for private in privates]
    message = seal.pae(TYPE, b"payload")
    both = envelope(b"payload", *(("", private.sign(message)) for private in privates))
    assert seal.verify(both, keys, threshold=2).fingerprints == {key.fingerprint for key in keys}


def test_an_unknown_key_is_told_apart_from_a_broken_signature() -> None:
    signed = seal.sign(b"payload", TYPE)
    stranger = seal.load_public_key(pem(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(Refused) as unknown:
        seal.verify(signed, [stranger])
    assert unknown.value.code == "untrusted-key"
    broken = {**signed, "payload": base64.b64encode(b"other").decode()}
    with pytest.raises(Refused) as wrong:
        seal.verify(broken, [seal.decision_key()])
    assert wrong.value.code == "bad-signature"
    with pytest.raises(Refused):
        seal.verify(signed, [])


def test_a_key_id_is_only_a_hint() -> None:
    signed = seal.sign(b"payload", TYPE)
    signed["signatures"][0]["keyid"] = "somebody else"
    assert seal.verify(signed, [seal.decision_key()]).payload == b"payload"
    del signed["signatures"][0]["keyid"]
    assert seal.verify(signed, [seal.decision_key()]).payload == b"payload"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"payload": None}, "payload"),
        ({"payload": "not base64!"}, "payload"),
        ({"payload": "ü"}, "payload"),
        ({"payloadType": 7}, "payloadType"),
        ({"payloadType": ""}, "payloadType"),
        ({"signatures": []}, "signatures"),
        ({"signatures": [{"sig": "AA=="}] * 17}, "signatures"),
        ({"signatures": ["AA=="]}, "signatures[0]"),
        ({"signatures": [{"sig": "*"}]}, "signatures[0].sig"),
        ({"signatures": [{"sig": "A" * 40_000}]}, "signatures[0].sig"),
    ],
)
def test_a_malformed_envelope_is_invalid_and_says_where(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        seal.verify({**seal.sign(b"payload", TYPE), **changed}, [seal.decision_key()])
    assert refusal.value.faults[0].field == field


def test_url_safe_base64_is_read_as_dsse_allows() -> None:
    message = b"\xfb\xff\xfe payload"
    signed = seal.sign(message, TYPE)
    signed["payload"] = base64.urlsafe_b64encode(message).decode()
    assert seal.verify(signed, [seal.decision_key()]).payload == message


@pytest.mark.parametrize(
    "text",
    ["", "not a key", pem(rsa.generate_private_key(65537, 2048)), pem(ec.generate_private_key(ec.SECP521R1()))],
    ids=["empty", "prose", "rsa-2048", "p521"],
)
def test_a_key_that_is_none_or_too_weak_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        seal.load_public_key(text)


def test_keys_are_created_once_and_readable_by_us_only(settings: Settings, tmp_path: Path) -> None:
    settings.KEYS_DIR = tmp_path / "keys"
    seal.ensure_keys()
    files = sorted((tmp_path / "keys").iterdir())
    assert [file.name for file in files] == ["decision.pem", "ledger.pem"]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    before = [file.read_bytes() for file in files]
    seal.ensure_keys()
    assert [file.read_bytes() for file in files] == before


def test_nothing_is_signed_with_a_key_that_appeared_by_itself(settings: Settings, tmp_path: Path) -> None:
    settings.KEYS_DIR = tmp_path / "lost"
    with pytest.raises(ImproperlyConfigured, match="Restore it"):
        seal.sign(b"payload", TYPE)
    with pytest.raises(ImproperlyConfigured, match="Restore it"):
        seal.ledger_key()


def test_a_signer_address_replaces_the_key_file(settings: Settings, tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    place = tmp_path / "kept elsewhere.pem"
    place.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    settings.KEYS_DIR = tmp_path / "keys"
    settings.DECISION_SIGNER_URI = f"file2:{place}"
    seal.ensure_keys()
    assert not (tmp_path / "keys" / "decision.pem").exists()
    (tmp_path / "keys" / "decision.pub.pem").write_text(pem(private))
    assert seal.verify(seal.sign(b"payload", TYPE), [seal.load_public_key(pem(private))]).payload == b"payload"


def test_instants_are_utc_with_microseconds() -> None:
    assert seal.instant(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02T03:04:05.000006Z"
