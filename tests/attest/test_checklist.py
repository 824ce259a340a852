"""The verifier checklist: mistakes found in the wild, one named test (or more) per item.

The numbers are those of the field survey this project keeps (facts on attestation, section 2.4).
Several items also stand in `mutations.py`, which shows that one check alone refuses them.
"""

import functools
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Generic

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from strongroom_attest import Challenge, Exactly, FreshnessWindow, Mode, Unchecked, appraise
from strongroom_attest.errors import (
    AlgorithmRefused,
    CertificateExpired,
    CertificateNotYetValid,
    ChainInvalid,
    ChallengeReused,
    ClockDisagreement,
    DebugRefused,
    DocumentFromFuture,
    DocumentTooOld,
    DuplicateKey,
    EmptyPolicy,
    IssuerMismatch,
    KeyRefused,
    MalformedDocument,
    NonceMismatch,
    PolicyInvalid,
    PolicyMismatch,
    RootNotPinned,
    SignatureInvalid,
    TrailingBytes,
)
from strongroom_attest.nitro import (
    NitroPolicy,
    authenticate,
    authenticate_archived,
    verify_archived,
    verify_live,
)
from strongroom_attest.nitro import policy as nitro_policy

from tests.attest import pki
from tests.attest.pki import NONCE, NOW, PCRS, ROOTS, development_policy, issue, key, mint

MINUTE = timedelta(minutes=1)


# 1. Pin the root; never make cabundle certificates trust anchors.


def _attacker() -> tuple[pki.CertificateSpec, pki.CertificateSpec]:
    root = pki.CertificateSpec("attacker root", (-MINUTE, MINUTE))
    return root, pki.with_link("leaf")[-1]


def test_item_01_attackers_root_in_cabundle_1_is_refused() -> None:
    """The pattern that trusts cabundle[1:]: a self-signed root beside the genuine one."""
    attacker_root, leaf = issue(_attacker())
    document = mint(chain=[pki.root_certificate(), attacker_root, leaf])
    with pytest.raises(IssuerMismatch):
        authenticate(document, ROOTS, NOW)


def test_item_01_attackers_root_after_the_genuine_bundle_is_refused() -> None:
    genuine = issue(pki.AWS_SHAPE)[1:-1]
    attacker_root, leaf = issue(_attacker())
    document = mint(chain=[pki.root_certificate(), *genuine, attacker_root, leaf])
    with pytest.raises(ChainInvalid):
        authenticate(document, ROOTS, NOW)


def test_item_01_attackers_root_in_cabundle_0_is_refused() -> None:
    attacker_root, leaf = issue(_attacker())
    with pytest.raises(RootNotPinned):
        authenticate(mint(chain=[attacker_root, leaf]), ROOTS, NOW)


def test_item_01_same_names_under_another_root_key_are_refused() -> None:
    """The whole hierarchy rebuilt with the genuine names and the genuine root certificate."""
    forged = issue(tuple(replace(spec, key=key(f"forged {spec.name}")) for spec in pki.AWS_SHAPE))
    document = mint(chain=[pki.root_certificate(), *forged[1:]], signer=key("forged leaf"))
    with pytest.raises(ChainInvalid):
        authenticate(document, ROOTS, NOW)


def test_item_01_refusal_is_an_exception_not_a_return_value() -> None:
    assert issubclass(RootNotPinned, Exception)
    with pytest.raises(RootNotPinned):
        authenticate(mint(chain=issue(pki.AWS_SHAPE)), ROOTS, NOW)


# 2. PCRs are required by construction.


@pytest.mark.parametrize("silent", [0, 1, 2])
def test_item_02_a_policy_cannot_be_silent_about_a_measurement(silent: int) -> None:
    pcrs = {index: Exactly(PCRS[index]) for index in (0, 1, 2) if index != silent}
    with pytest.raises(PolicyInvalid, match=f"PCR {silent}"):
        development_policy(pcrs=pcrs)


@pytest.mark.parametrize("field", ["pcrs", "public_key", "user_data", "nonce"])
def test_item_02_no_field_of_a_policy_has_a_default_that_skips_it(field: str) -> None:
    settings: dict[str, object] = {"pcrs": {}, "public_key": None, "user_data": None, "nonce": None}
    del settings[field]
    with pytest.raises(TypeError, match=field):
        NitroPolicy(**settings)  # type: ignore[arg-type]


def test_item_02_a_policy_of_nothing_is_refused() -> None:
    nothing = Unchecked("a test")
    with pytest.raises(EmptyPolicy):
        NitroPolicy(
            pcrs=dict.fromkeys((0, 1, 2), nothing),
            public_key=nothing,
            user_data=nothing,
            nonce=nothing,
        )


def test_item_02_an_absent_pcr_is_a_mismatch() -> None:
    """Nothing was extended into PCR16, so the document does not carry it."""
    pcrs = {index: value for index, value in PCRS.items() if index != 16}
    with pytest.raises(PolicyMismatch, match="absent") as caught:
        appraise(authenticate(mint(pcrs=pcrs), ROOTS, NOW), development_policy())
    assert caught.value.field == "pcrs[16]"


# 3. Debug is refused even when the caller expects zeros, unless in development mode.


def _debug_document() -> bytes:
    return mint(pcrs=PCRS | dict.fromkeys((0, 1, 2, 8), bytes(48)))


def test_item_03_debug_is_refused_even_where_zeros_are_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nitro_policy, "PRODUCTION_ROOTS", ROOTS.fingerprints)
    genuine = authenticate(_debug_document(), ROOTS, NOW)
    zeros = dict.fromkeys((0, 1, 2), Exactly(bytes(48)))
    with pytest.raises(DebugRefused):
        appraise(genuine, development_policy(pcrs=zeros, mode=Mode.PRODUCTION))
    skipped = dict.fromkeys((0, 1, 2), Unchecked("a test"))
    with pytest.raises(DebugRefused):
        appraise(genuine, development_policy(pcrs=skipped, mode=Mode.PRODUCTION))
    appraise(genuine, development_policy(pcrs=zeros, mode=Mode.DEVELOPMENT))


def test_item_03_debug_is_recognised_though_pcr3_and_pcr4_are_set() -> None:
    document = authenticate(_debug_document(), ROOTS, NOW).document
    assert any(document.pcrs[3])
    assert any(document.pcrs[4])
    assert document.is_debug


def test_item_03_production_is_the_default_mode() -> None:
    policy = development_policy()
    assert (
        NitroPolicy(
            pcrs=policy.pcrs,
            public_key=policy.public_key,
            user_data=policy.user_data,
            nonce=policy.nonce,
        ).mode
        is Mode.PRODUCTION
    )


# 4. Freshness: nonce compared and single use; time in both directions; live and archived apart.


def _live(document: bytes | None = None, **changes: object) -> object:
    settings: dict[str, object] = {
        "policy": development_policy(),
        "roots": ROOTS,
        "now": NOW,
        "challenge": Challenge(NONCE),
    }
    return verify_live(document or mint(), **(settings | changes))  # type: ignore[arg-type]


def test_item_04_another_nonce_is_refused() -> None:
    with pytest.raises(NonceMismatch):
        _live(challenge=Challenge(bytes(32)))


@pytest.mark.parametrize("nonce", [None, b"", NONCE[:-1], NONCE + b"\0"])
def test_item_04_a_missing_or_partial_nonce_is_refused(nonce: bytes | None) -> None:
    with pytest.raises(NonceMismatch):
        _live(mint(nonce=nonce))


def test_item_04_a_challenge_is_used_up_by_success_and_by_failure() -> None:
    challenge = Challenge(NONCE)
    _live(challenge=challenge)
    with pytest.raises(ChallengeReused):
        _live(challenge=challenge)
    challenge = Challenge(NONCE)
    with pytest.raises(MalformedDocument):
        _live(b"junk", challenge=challenge)
    with pytest.raises(ChallengeReused):
        _live(challenge=challenge)


def test_item_04_old_and_future_timestamps_are_refused() -> None:
    window = FreshnessWindow(max_age=MINUTE, max_future_skew=MINUTE)
    hour = timedelta(hours=1)
    with pytest.raises(DocumentTooOld):
        _live(now=NOW + hour, window=window)
    ahead = mint(timestamp=pki.NOW_MS + int(hour.total_seconds() * 1000))
    with pytest.raises(DocumentFromFuture):
        _live(ahead, window=window)


def test_item_04_live_judges_certificates_now_and_archived_at_the_documents_time() -> None:
    long_after = NOW + timedelta(days=2)
    patient = FreshnessWindow(max_age=timedelta(days=365))
    with pytest.raises(ChainInvalid):
        _live(now=long_after, window=patient)
    verified = verify_archived(mint(), development_policy(), ROOTS)
    assert verified.as_of == NOW
    outside = mint(timestamp=int(long_after.timestamp() * 1000))
    with pytest.raises(CertificateExpired):
        verify_archived(outside, development_policy(), ROOTS)


def test_item_04_live_and_archived_results_are_unrelated_types() -> None:
    live, archived = type(_live()), type(verify_archived(mint(), development_policy(), ROOTS))
    assert not issubclass(live, archived)
    assert not issubclass(archived, live)
    shared = set(live.__mro__) & set(archived.__mro__)
    assert shared == {object, Generic}


# 5. Key binding: the whole key is compared.


@pytest.mark.parametrize("wrong", [pki.PUBLIC_KEY[:-1], pki.PUBLIC_KEY + b"\0", b"", None])
def test_item_05_the_whole_public_key_is_compared(wrong: bytes | None) -> None:
    genuine = authenticate(mint(public_key=wrong), ROOTS, NOW)
    with pytest.raises(PolicyMismatch) as caught:
        appraise(genuine, development_policy())
    assert caught.value.field == "public_key"


# 6. Algorithm exactly ES384, in the protected header; a leaf on another curve is a clean error.


@pytest.mark.parametrize("alg", [-7, -36, -8, -37, 5, None, "ES384", [-35], 0])
def test_item_06_any_other_algorithm_is_refused(alg: object) -> None:
    with pytest.raises(AlgorithmRefused):
        authenticate(mint(header={1: alg}), ROOTS, NOW)


def test_item_06_python_equality_does_not_blur_the_algorithm() -> None:
    """{1.0: -35.0} and {True: -35} equal {1: -35} in Python."""
    payload = pki.encode(pki.fields())
    for protected in (cbor2.dumps({1.0: -35.0}), cbor2.dumps({True: -35}), b"", b"\xa0"):
        document = pki.sign1(protected, payload, pki.cose_sign(protected, payload))
        with pytest.raises(AlgorithmRefused):
            authenticate(document, ROOTS, NOW)


def test_item_06_algorithm_in_the_unprotected_header_does_not_count() -> None:
    with pytest.raises(MalformedDocument):
        authenticate(mint(header={}, unprotected={1: -35}), ROOTS, NOW)


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP521R1, ec.SECP256K1])
def test_item_06_another_curve_is_an_error_and_no_crash(curve: type[ec.EllipticCurve]) -> None:
    other = ec.generate_private_key(curve())
    specs = pki.with_link("leaf", key=other)
    payload = pki.encode(pki.fields([pki.root_certificate(), *issue(specs)[1:]]))
    document = pki.sign1(cbor2.dumps(pki.ES384), payload, bytes(96))
    with pytest.raises(KeyRefused):
        authenticate(document, ROOTS, NOW)


# 7. CBOR: both map forms; duplicate keys, trailing bytes, wrong types refused; unknown keys noted.


@pytest.mark.parametrize("indefinite", [False, True])
def test_item_07_definite_and_indefinite_maps_parse(indefinite: bool) -> None:
    assert authenticate(mint(indefinite=indefinite), ROOTS, NOW).document.nonce == NONCE


@pytest.mark.parametrize("indefinite", [False, True])
@pytest.mark.parametrize("name", ["pcrs", "nonce", "public_key", "certificate"])
def test_item_07_duplicate_keys_are_refused(name: str, indefinite: bool) -> None:
    pairs = [(cbor2.dumps(n), cbor2.dumps(v)) for n, v in pki.fields().items()]
    again = (cbor2.dumps(name), cbor2.dumps(pki.fields()[name]))
    with pytest.raises(DuplicateKey):
        authenticate(mint(pki.map_of([*pairs, again], indefinite=indefinite)), ROOTS, NOW)


def test_item_07_a_pcr_named_twice_is_refused() -> None:
    pcrs = pki.map_of([(cbor2.dumps(0), cbor2.dumps(PCRS[0])), (b"\x00", cbor2.dumps(bytes(48)))])
    pairs = [
        (cbor2.dumps(n), pcrs if n == "pcrs" else cbor2.dumps(v)) for n, v in pki.fields().items()
    ]
    with pytest.raises(DuplicateKey):
        authenticate(mint(pki.map_of(pairs)), ROOTS, NOW)


def test_item_07_trailing_bytes_are_refused_outside_and_inside() -> None:
    for document in (mint() + b"\xf6", mint(pki.encode(pki.fields()) + b"\xf6")):
        with pytest.raises(TrailingBytes):
            authenticate(document, ROOTS, NOW)


def test_item_07_unknown_keys_are_ignored_and_noted() -> None:
    document = authenticate(mint(future="field"), ROOTS, NOW).document
    assert document.notes == ("unknown key 'future' ignored",)


# 8. Coordinates and r, s keep their leading zeros.


@functools.cache
def _key_with_leading_zero() -> ec.EllipticCurvePrivateKey:
    """Returns a P-384 key whose x coordinate begins with a zero byte (one in 256 does)."""
    while True:
        candidate = ec.generate_private_key(ec.SECP384R1())
        if candidate.public_key().public_numbers().x >> 376 == 0:
            return candidate


def test_item_08_a_leaf_whose_coordinate_begins_with_zero_is_accepted() -> None:
    chain = issue(pki.with_link("leaf", key=_key_with_leading_zero()))
    document = mint(chain=[pki.root_certificate(), *chain[1:]], signer=_key_with_leading_zero())
    authenticate(document, ROOTS, NOW)


@pytest.mark.parametrize("half", [0, 48])
def test_item_08_a_signature_with_a_leading_zero_is_accepted(half: int) -> None:
    payload, protected = pki.encode(pki.fields()), cbor2.dumps(pki.ES384)
    while True:
        signature = pki.cose_sign(protected, payload)
        if signature[half] == 0:
            break
    authenticate(pki.sign1(protected, payload, signature), ROOTS, NOW)
    stripped = signature[:half] + signature[half + 1 :]
    with pytest.raises(SignatureInvalid):
        authenticate(pki.sign1(protected, payload, stripped), ROOTS, NOW)


@pytest.mark.parametrize("signature", [b"", bytes(96), bytes(95), bytes(97), b"\xff" * 96])
def test_item_08_degenerate_signatures_are_refused(signature: bytes) -> None:
    payload, protected = pki.encode(pki.fields()), cbor2.dumps(pki.ES384)
    with pytest.raises(SignatureInvalid):
        authenticate(pki.sign1(protected, payload, signature), ROOTS, NOW)


# 9. The received bytes are what is verified.


def test_item_09_received_payload_bytes_are_verified_not_a_re_encoding() -> None:
    """An indefinite map re-encodes as definite, and the keys' order is the sender's."""
    for payload in (
        pki.encode(pki.fields(), indefinite=True),
        pki.encode(dict(reversed(pki.fields().items()))),
    ):
        assert cbor2.dumps(cbor2.loads(payload), canonical=True) != payload
        authenticate(mint(payload), ROOTS, NOW)


def test_item_09_a_re_encoded_payload_under_the_old_signature_is_refused() -> None:
    protected, _, payload, signature = cbor2.loads(mint(indefinite=True))
    again = cbor2.dumps(cbor2.loads(payload))
    with pytest.raises(SignatureInvalid):
        authenticate(pki.sign1(protected, again, signature), ROOTS, NOW)


# 10. "Expired" and "your clock is wrong" are different messages.


def test_item_10_an_old_document_is_called_expired() -> None:
    with pytest.raises(CertificateExpired, match="expired at") as caught:
        authenticate(mint(), ROOTS, NOW + timedelta(hours=4))
    assert caught.value.code == "certificate-expired"


def test_item_10_a_slow_clock_is_called_a_slow_clock() -> None:
    with pytest.raises(CertificateNotYetValid, match="runs slow") as caught:
        authenticate(mint(), ROOTS, NOW - timedelta(hours=1))
    assert caught.value.code == "certificate-not-yet-valid"


@pytest.mark.parametrize("off", [timedelta(hours=4), timedelta(hours=-4), timedelta(days=-4000)])
def test_item_10_a_document_with_the_fresh_nonce_proves_the_clock_wrong(off: timedelta) -> None:
    with pytest.raises(ClockDisagreement, match="your clock is wrong") as caught:
        _live(now=NOW + off)
    assert caught.value.code == "clock-disagreement"
    assert caught.value.expected == NOW


def test_item_10_an_old_document_with_another_nonce_is_still_called_expired() -> None:
    with pytest.raises(CertificateExpired):
        _live(now=NOW + timedelta(hours=4), challenge=Challenge(bytes(32)))


def test_item_10_a_clock_a_few_seconds_slow_is_accepted() -> None:
    """The leaf is not backdated: issued now, seen by a verifier 20 seconds behind."""
    chain = issue(pki.with_link("leaf", life=(timedelta(0), timedelta(hours=3))))
    document = mint(chain=[pki.root_certificate(), *chain[1:]])
    _live(document, now=NOW - timedelta(seconds=20))


# Also in that section: what identifies an instance, and an account.


def test_item_11_pcr3_and_pcr4_can_be_pinned_and_are_reported_when_they_are_not() -> None:
    genuine = authenticate_archived(mint(), ROOTS)
    pcrs = {index: Exactly(PCRS[index]) for index in (0, 1, 2, 3, 4)}
    compared = appraise(genuine, development_policy(pcrs=pcrs)).findings.compared
    assert {"pcrs[3]", "pcrs[4]"} <= set(compared)
    skipped = appraise(genuine, development_policy()).findings.skipped
    assert {"pcrs[3]", "pcrs[4]"} <= {skip.field for skip in skipped}
    instance = hashlib.sha384(bytes(48) + b"i-0123456789abcdef0").digest()
    with pytest.raises(PolicyMismatch):
        appraise(genuine, development_policy(pcrs=pcrs | {4: Exactly(instance)}))
