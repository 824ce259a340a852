"""Signing, re-signing and verifying, over all curves; what AWS's tool leaves stale stays right."""

import hashlib
from datetime import timedelta

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from strongroom_eif import (
    Algorithm,
    EcdsaKey,
    KeyInMemory,
    errors,
    measure,
    parse,
    parse_signature,
    resign,
    serialise,
    sign,
    unsign,
    verify,
    verify_signature,
)

from tests.eif.samples import (
    CMDLINE,
    CURVES,
    KERNEL,
    METADATA,
    NOW,
    RAMDISK,
    RAMDISKS,
    SIGNATURE,
    baseline,
    certificate,
    key,
    pcr,
    signature_section,
)

PLAIN = parse(baseline().data())
PCR0 = pcr(KERNEL, CMDLINE, *RAMDISKS)


def memory(curve: str) -> KeyInMemory:
    return KeyInMemory(key(curve))


@pytest.mark.parametrize("curve", CURVES)
def test_the_section_is_the_one_made_by_hand(curve: str) -> None:
    signed = sign(PLAIN, memory(curve), certificate(curve), NOW)
    assert signed.signature == signature_section(PCR0, curve)
    data = serialise(signed)
    assert data == baseline().adding((SIGNATURE, signature_section(PCR0, curve))).data()
    assert serialise(sign(PLAIN, memory(curve), certificate(curve), NOW)) == data
    verified = verify(data, NOW)
    assert verified.signature is not None
    assert verified.measurements.pcr8 == pcr(verified.signature.der)
    assert unsign(parse(data)) == PLAIN


def test_the_encoding_is_arrays_of_integers_in_this_order() -> None:
    section = sign(PLAIN, memory("P-256"), certificate("P-256"), NOW).signature
    assert section is not None
    assert section[:22] == b"\x81\xa2\x73signing_certificate"
    [members] = cbor2.loads(section)
    assert list(members) == ["signing_certificate", "signature"]
    assert bytes(members["signing_certificate"]) == certificate("P-256")
    protected, unprotected, payload, raw = cbor2.loads(bytes(members["signature"]))
    assert (protected, unprotected, len(raw)) == (b"\xa1\x01\x26", {}, 64)
    assert cbor2.loads(payload) == {"register_index": 0, "register_value": list(PCR0)}
    assert bytes(members["signature"])[:1] == b"\x84"


@pytest.mark.parametrize("before", CURVES)
@pytest.mark.parametrize("after", CURVES)
@pytest.mark.parametrize("place", ["last", "between"])
def test_resigning_with_another_length_leaves_nothing_stale(
    before: str, after: str, place: str
) -> None:
    old = (SIGNATURE, signature_section(PCR0, before))
    sections = [*baseline().sections, old]
    if place == "between":
        sections = [*sections[:3], old, *sections[3:5]]
    image = parse(baseline().but(sections=tuple(sections)).data())
    again = resign(image, memory(after), certificate(after), NOW)
    new = (SIGNATURE, signature_section(PCR0, after))
    expected = [new if kind == SIGNATURE else (kind, data) for kind, data in sections]
    assert serialise(again) == baseline().but(sections=tuple(expected)).data()
    assert verify(serialise(again), NOW).measurements.pcr0 == PCR0


def test_what_awss_resigning_leaves_behind_is_refused() -> None:
    old, new = signature_section(PCR0, "P-521"), signature_section(PCR0, "P-256")
    stale = baseline().adding((SIGNATURE, new)).but(sizes={5: len(old)})
    with pytest.raises(errors.EifError) as caught:
        parse(stale.data())
    assert caught.value.code == "section-size"
    assert "sign-eif" in caught.value.elsewhere


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    ("days", "code"),
    [
        (-31, "certificate-not-yet-valid"),
        (-30, ""),
        (0, ""),
        (335, ""),
        (336, "certificate-expired"),
    ],
)
def test_certificates_are_judged_at_the_given_time(curve: str, days: int, code: str) -> None:
    at = NOW + timedelta(days=days)
    data = baseline().adding((SIGNATURE, signature_section(PCR0, curve))).data()

    def found(attempt: object) -> str:
        try:
            assert callable(attempt)
            attempt()
        except errors.SignatureError as error:
            return error.code
        return ""

    assert found(lambda: verify(data, at)) == code
    assert found(lambda: sign(PLAIN, memory(curve), certificate(curve), at)) == code
    assert found(lambda: resign(parse(data), memory(curve), certificate(curve), at)) == code


def test_a_changed_image_no_longer_matches_its_signature() -> None:
    signed = baseline().adding((SIGNATURE, signature_section(PCR0)))
    with pytest.raises(errors.SignatureWrongImage):
        verify(signed.replacing(1, b"init=/bin/sh").data(), NOW)
    # The label is in no PCR, so it may change under the signature; verify says so.
    relabelled = signed.replacing(2, baseline().sections[2][1].replace(b"1.2.3", b"9.9.9"))
    assert "metadata-unmeasured" in {n.code for n in verify(relabelled.data(), NOW).notices}


@pytest.mark.parametrize("curve", CURVES)
def test_every_part_of_a_signature_counts(curve: str) -> None:
    signature = parse_signature(signature_section(PCR0, curve))
    other = parse_signature(signature_section(PCR0, curve, pem=certificate(curve, 2)))
    with pytest.raises(errors.SignatureInvalid):
        verify_signature(other, PCR0, NOW)
    with pytest.raises(errors.SignatureWrongImage):
        verify_signature(signature, bytes(48), NOW)
    verify_signature(signature, PCR0, NOW)


class Token:
    """A key elsewhere, which may sign wrongly."""

    def __init__(self, curve: str, *, honest: bool = True) -> None:
        self._memory, self._honest = memory(curve), honest

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._memory.public_key()

    def sign(self, data: bytes, algorithm: Algorithm) -> bytes:
        return self._memory.sign(data if self._honest else data + b"!", algorithm)


def test_a_key_elsewhere_signs_as_well_and_is_checked() -> None:
    good: EcdsaKey = Token("P-384")
    assert sign(PLAIN, good, certificate(), NOW) == sign(PLAIN, memory("P-384"), certificate(), NOW)
    with pytest.raises(errors.SignatureInvalid):
        sign(PLAIN, Token("P-384", honest=False), certificate(), NOW)


def pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_keys_from_files() -> None:
    assert KeyInMemory.from_pem(pem(key())).public_key() == key().public_key()
    locked = pem(key(), b"secret")
    assert KeyInMemory.from_pem(locked, b"secret").public_key() == key().public_key()
    for data, passphrase in (
        (locked, None),
        (locked, b"wrong"),
        (pem(key()), b"needless"),
        (b"no key", None),
        (pem(rsa.generate_private_key(65537, 2048)), None),
    ):
        with pytest.raises(errors.KeyUnsupported) as caught:
            KeyInMemory.from_pem(data, passphrase)
        assert "PRIVATE" not in str(caught.value)


def test_curves_that_the_format_has_not() -> None:
    unusual = KeyInMemory(ec.derive_private_key(7, ec.SECP256K1()))
    with pytest.raises(errors.KeyUnsupported):
        sign(PLAIN, unusual, certificate(), NOW)


def test_order_of_sections_and_version_survive() -> None:
    kernel, cmdline, label, first, second = baseline().sections
    raw = baseline().but(sections=(cmdline, kernel, first, label, second), mem=7, cpus=9)
    signed = sign(parse(raw.data()), memory("P-384"), certificate(), NOW)
    assert [s.type for s in signed.sections] == [2, 1, RAMDISK, METADATA, RAMDISK, SIGNATURE]
    assert (signed.default_mem, signed.default_cpus) == (7, 9)
    assert unsign(signed) == parse(raw.data())
    assert hashlib.sha384(serialise(unsign(signed))).digest() == hashlib.sha384(raw.data()).digest()
    assert measure(signed).pcr0 == pcr(CMDLINE, KERNEL, *RAMDISKS)
