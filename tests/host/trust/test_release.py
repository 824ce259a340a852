"""Signed releases: what verifies, and for each check an input that only this check refuses."""

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.trust.dsse import Envelope, key_id, pae
from strongroom_host.trust.release import (
    RELEASE_TYPE,
    VerifiedRelease,
    accept_unsigned,
    load_release,
    production_trust,
    verify_release,
)
from strongroom_host.trust.release_errors import (
    KeyNotInForce,
    KeyRevoked,
    KeysMalformed,
    KeyUnknown,
    PayloadTypeWrong,
    RecordContradictsItself,
    ReleaseMalformed,
    ReleaseRefused,
    ReleaseUnsigned,
    SignaturesTooFew,
    SignatureWrong,
)
from strongroom_host.trust.release_keys import PINNED_KEYS, KeyEntry, KeyRing

from tests.host.trust.releases import (
    NOW,
    entry,
    envelope,
    key,
    public,
    record,
    record_of,
    revoked,
    ring,
    sign,
    signature,
)

RECORD = record_of()
SIGNED = sign(RECORD)


def verify(
    data: bytes = SIGNED, keys: KeyRing | None = None, at: datetime = NOW
) -> VerifiedRelease:
    return verify_release(data, keys or ring(), at)


# --- What holds ----------------------------------------------------------------------------------


def test_a_signed_release_verifies_to_its_exact_bytes() -> None:
    found = verify()
    assert found.payload == RECORD
    assert found.record.version == "1.2.3"
    assert [signer.name for signer in found.signers] == ["key 1"]
    assert found.signed
    assert found.ignored == ()


def test_the_encoding_that_is_signed_is_the_specifications() -> None:
    # The example of the specification, protocol.md.
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_our_signer_makes_what_the_specification_says() -> None:
    assert Envelope(RELEASE_TYPE, RECORD).signed_by(key()).serialise() == (
        Envelope.parse(SIGNED).serialise()
    )


@given(st.text(max_size=20), st.binary(max_size=50), st.text(max_size=20), st.binary(max_size=50))
def test_no_two_statements_are_signed_as_the_same_bytes(
    kind: str, payload: bytes, other_kind: str, other: bytes
) -> None:
    if (kind, payload) != (other_kind, other):
        assert pae(kind, payload) != pae(other_kind, other)


def test_signing_again_replaces_and_another_key_adds() -> None:
    once = Envelope(RELEASE_TYPE, RECORD).signed_by(key())
    assert once.signed_by(key()) == once
    both = Envelope.parse(once.signed_by(key(2)).serialise())
    assert {s.keyid for s in both.signatures} == {key_id(public(1)), key_id(public(2))}
    verify(both.serialise(), ring(entry(1), entry(2), release=2))


def test_a_release_becomes_production_trust() -> None:
    trust = production_trust(verify())
    assert trust.mode == "production"
    assert trust.images[0].pcr0 == record()["pcrs"]["0"]


# --- Each check ----------------------------------------------------------------------------------


def changed(**members: Any) -> bytes:
    return json.dumps(json.loads(SIGNED) | members).encode()


def of_type(kind: str) -> bytes:
    return envelope(RECORD, signature(RECORD, kind=kind), kind=kind)


OTHER = record_of(version="6.6.6")
REFUSED: list[tuple[str, type[HostError], bytes, KeyRing]] = [
    ("bare record", ReleaseUnsigned, RECORD, ring()),
    ("garbage", ReleaseMalformed, b"junk", ring()),
    ("other type", PayloadTypeWrong, of_type("application/vnd.in-toto+json"), ring()),
    ("record swapped", SignatureWrong, envelope(OTHER, signature(RECORD)), ring()),
    ("signed as another type", SignatureWrong,
     envelope(RECORD, signature(RECORD, kind="text/plain")), ring()),
    ("no signature", SignaturesTooFew, envelope(RECORD), ring()),
    ("unknown key", KeyUnknown, sign(RECORD, 2), ring()),
    ("revoked key", KeyRevoked, SIGNED, ring(revoked(entry()))),
    ("key of the past", KeyNotInForce, SIGNED, ring(entry(end=NOW))),
    ("key of the future", KeyNotInForce, SIGNED,
     ring(entry(start=NOW + timedelta(seconds=1)))),
    ("below the threshold", SignaturesTooFew, SIGNED, ring(entry(1), entry(2), release=2)),
    ("one key twice", SignaturesTooFew,
     envelope(RECORD, signature(RECORD), signature(RECORD)), ring(entry(1), entry(2), release=2)),
    ("other role", SignaturesTooFew, SIGNED, ring(entry(role="rebuild"))),
    ("nobody rebuilt it", SignaturesTooFew, SIGNED,
     ring(entry(), entry(2, "rebuild"), release=1, rebuild=1)),
    ("no key pinned", KeyUnknown, SIGNED, KeyRing.of((), {"release": 1})),
    ("impossible size", RecordContradictsItself,
     sign(record_of(eif=record()["eif"] | {"size": 10})), ring()),
    ("not a record", ReleaseMalformed, sign(b'{"version": "1.2.3"}'), ring()),
]  # fmt: skip


@pytest.mark.parametrize(("what", "leaf", "data", "keys"), REFUSED, ids=[r[0] for r in REFUSED])
def test_each_check_refuses(what: str, leaf: type[HostError], data: bytes, keys: KeyRing) -> None:
    with pytest.raises(leaf) as caught:
        verify(data, keys)
    # The leaf itself: a broader one would hide that another check caught it.
    assert type(caught.value) is leaf
    assert caught.value.remedy


def test_every_refusal_has_its_own_code() -> None:
    found: list[type[ReleaseRefused]] = []
    pending = [ReleaseRefused]
    while pending:
        found.append(pending.pop())
        pending += found[-1].__subclasses__()
    codes = [leaf.code for leaf in found]
    assert len(set(codes)) == len(codes)


def test_a_wrong_signature_is_refused_even_if_others_suffice() -> None:
    data = envelope(RECORD, signature(RECORD), signature(OTHER, 2))
    with pytest.raises(SignatureWrong):
        verify(data, ring(entry(1), entry(2)))


def test_signatures_that_do_not_count_are_named_and_harm_nothing() -> None:
    found = verify(sign(RECORD, 1, 2, 3), ring(entry(1), revoked(entry(2))))
    assert [signer.name for signer in found.signers] == ["key 1"]
    assert len(found.ignored) == 2
    assert any("laptop stolen" in reason for reason in found.ignored)


def test_a_rebuild_key_confirms() -> None:
    keys = ring(entry(), entry(2, "rebuild"), release=1, rebuild=1)
    assert len(verify(sign(RECORD, 1, 2), keys).signers) == 2


def test_every_flipped_bit_of_an_envelopes_meaning_is_refused() -> None:
    document = json.loads(SIGNED)
    for name in ("payload", "sig"):
        text = document["payload"] if name == "payload" else document["signatures"][0]["sig"]
        raw = bytearray(base64.b64decode(text))
        for at in range(0, len(raw), 7):
            raw[at] ^= 1
            bent = base64.b64encode(raw).decode()
            raw[at] ^= 1
            if name == "payload":
                data = changed(payload=bent)
            else:
                data = changed(signatures=[document["signatures"][0] | {"sig": bent}])
            with pytest.raises(SignatureWrong):
                verify(data)


@pytest.mark.parametrize(
    "data",
    [
        changed(extra=1), changed(payload="*"), changed(payload=None), changed(payloadType=""),
        changed(signatures=[{"keyid": "00", "sig": ""}]),
        changed(signatures=[{"keyid": "00" * 32, "sig": "AAAA"}]),
        changed(signatures=[{"keyid": "00" * 32, "sig": "*"}]),
        changed(signatures=[signature(RECORD) | {"cert": "x"}]),
        b"", b"\xff", b"[]", SIGNED + b"x",
    ],
)  # fmt: skip
def test_malformed_envelopes(data: bytes) -> None:
    with pytest.raises(ReleaseMalformed):
        verify(data)


@given(st.binary(max_size=200))
def test_only_our_errors_come_out(data: bytes) -> None:
    with pytest.raises(HostError):
        verify(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "strongroom-release/2"}, {"version": "../../etc"}, {"version": ""},
        {"eif": record()["eif"] | {"sha256": "zz" * 32}}, {"eif": record()["eif"] | {"size": -1}},
        {"sections": []}, {"pcrs": {"0": "00" * 48}}, {"pcrs": {"0": "", "1": "", "2": ""}},
    ],
)  # fmt: skip
def test_malformed_records(changes: dict[str, Any]) -> None:
    with pytest.raises(ReleaseMalformed):
        verify(sign(record_of(**changes)))


# --- Unsigned ------------------------------------------------------------------------------------


def test_unsigned_has_to_be_asked_for_and_says_so() -> None:
    found = accept_unsigned(RECORD)
    assert not found.signed
    # Signatures are there to be verified: an envelope is not taken in this way.
    with pytest.raises(ReleaseMalformed):
        accept_unsigned(SIGNED)


def test_nobody_else_makes_a_verified_release() -> None:
    with pytest.raises(TypeError):
        VerifiedRelease(
            record=verify().record,
            payload=RECORD,
            signers=(),
            proof=object(),  # type: ignore[arg-type]
        )


# --- Keys ----------------------------------------------------------------------------------------


def test_a_ring_survives_its_file(tmp_path: Path) -> None:
    made = ring(entry(1), revoked(entry(2)), entry(3, "rebuild"), release=2, rebuild=1)
    made.save(tmp_path / "keys.json")
    assert KeyRing.load(tmp_path / "keys.json") == made


def test_the_pinned_keys_of_this_tree_are_readable_and_ask_for_a_signature() -> None:
    assert KeyRing.load().threshold["release"] >= 1
    assert KeyRing.load(PINNED_KEYS).keys == KeyRing.load().keys


def test_no_private_key_lies_beside_the_releases() -> None:
    files = [path for path in PINNED_KEYS.parents[1].rglob("*") if path.is_file()]
    assert PINNED_KEYS in files
    assert [path for path in files if b"PRIVATE KEY" in path.read_bytes()] == []


def file(*entries: dict[str, Any], **members: Any) -> bytes:
    made = {"format": "strongroom-release-keys/1", "threshold": {"release": 1}, "keys": entries}
    return json.dumps(made | members, default=str).encode()


def plain(made: KeyEntry, **changes: Any) -> dict[str, Any]:
    fields = {name: getattr(made, name) for name in KeyEntry.__struct_fields__}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in (fields | changes).items()
    }


GOOD = plain(entry())


def test_the_good_file_is_good() -> None:
    assert KeyRing.parse(file(GOOD)) == ring()


@pytest.mark.parametrize(
    "data",
    [
        file(GOOD, GOOD),
        file(GOOD | {"id": "00" * 32}),
        file(plain(entry(2), id=entry(1).id)),
        file(GOOD | {"role": "root"}),
        file(GOOD | {"not_after": GOOD["not_before"]}),
        file(GOOD | {"not_after": "2030-01-01T00:00:00"}),
        file(GOOD | {"more": 1}),
        file(GOOD, threshold={"release": 0}),
        file(GOOD, threshold={}),
        file(GOOD, threshold={"rebuild": 3}),
        file(GOOD, format="x"),
        b"junk",
    ],
)
def test_keys_that_would_let_anybody_release_are_refused(data: bytes) -> None:
    with pytest.raises(KeysMalformed):
        KeyRing.parse(data)


def test_load_release_takes_the_named_keys(tmp_path: Path) -> None:
    path, keys = tmp_path / "1.2.3.dsse.json", tmp_path / "keys.json"
    path.write_bytes(SIGNED)
    ring().save(keys)
    assert load_release(path, NOW, keys=keys).signed
    ring(entry(2)).save(keys)
    with pytest.raises(KeyUnknown):
        load_release(path, NOW, keys=keys)
