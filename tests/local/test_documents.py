"""Documents of the software NSM: the form of AWS's, verified by hand and by strongroom_attest."""

import hashlib
from datetime import UTC, datetime, timedelta

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.x509 import load_der_x509_certificate
from strongroom_attest import Challenge, Exactly, Mode, Unchecked
from strongroom_attest.errors import (
    AttestationError,
    ClockDisagreement,
    EvidenceError,
    RootNotPinned,
    TestRootRefused,
)
from strongroom_attest.nitro.live import verify_archived, verify_live
from strongroom_attest.nitro.policy import NitroPolicy
from strongroom_attest.nitro.roots import Roots
from strongroom_attest.nitro.verify import authenticate
from strongroom_enclave.platform.nsm import NsmPlatform
from strongroom_local.measure import DEBUG
from strongroom_local.nsm import SoftwareNsm, wall_clock_ms
from strongroom_local.pki import new_root

from tests.local.nitro import MEASURED, NOW, ROOT, Clock, ask, document, launch, payload

OURS = Roots.of_certificates(ROOT.der)
NONCE = b"nonce of the verifier"
FORMS = pytest.mark.parametrize("indefinite", [False, True], ids=["definite", "indefinite"])


def policy(mode: Mode = Mode.DEVELOPMENT, pcr0: bytes = MEASURED.pcr0) -> NitroPolicy:
    return NitroPolicy(
        pcrs={0: Exactly(pcr0), 1: Exactly(MEASURED.pcr1), 2: Exactly(MEASURED.pcr2)},
        public_key=Unchecked("null here"),
        user_data=Exactly(b"commitment"),
        nonce=Unchecked("compared with the challenge"),
        mode=mode,
    )


@FORMS
def test_form_is_that_of_recorded_documents(indefinite: bool) -> None:
    encoded = document(launch(indefinite=indefinite), b"u", b"n", b"k")
    assert encoded.startswith(bytes.fromhex("8444a1013822a059"))
    protected, unprotected, body, signature = cbor2.loads(encoded)
    assert (protected, unprotected, len(signature)) == (b"\xa1\x01\x38\x22", {}, 96)
    assert body[0] == (0xBF if indefinite else 0xA9)
    assert body.endswith(b"\xff") or not indefinite
    fields = payload(encoded)
    assert list(fields) == [
        "module_id",
        "digest",
        "timestamp",
        "pcrs",
        "certificate",
        "cabundle",
        "public_key",
        "user_data",
        "nonce",
    ]
    assert b"\x64pcrs\xb0" in body  # these two keep definite lengths in either form
    assert b"\x68cabundle\x84" in body
    assert (fields["public_key"], fields["user_data"], fields["nonce"]) == (b"k", b"u", b"n")
    assert fields["digest"] == "SHA384"
    assert fields["timestamp"] == Clock()()


def test_absent_fields_are_null_and_empty_ones_empty() -> None:
    fields = payload(document(launch(), None, b""))
    assert (fields["public_key"], fields["user_data"], fields["nonce"]) == (None, None, b"")


@FORMS
def test_signature_and_chain_by_hand(indefinite: bool) -> None:
    protected, _, body, signature = cbor2.loads(document(launch(indefinite=indefinite), b"u"))
    fields = cbor2.loads(body)
    chain = [load_der_x509_certificate(der) for der in fields["cabundle"]]
    leaf = load_der_x509_certificate(fields["certificate"])
    assert fields["cabundle"][0] == ROOT.der
    for issuer, certificate in zip([chain[0], *chain], [*chain, leaf], strict=True):
        certificate.verify_directly_issued_by(issuer)
        assert certificate.not_valid_before_utc <= NOW <= certificate.not_valid_after_utc
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    signed = cbor2.dumps(["Signature1", protected, b"", body])
    key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA384()))


@FORMS
def test_verifies_live_under_its_own_root(indefinite: bool) -> None:
    evidence = document(launch(indefinite=indefinite), b"commitment", NONCE)
    verified = verify_live(evidence, policy(), OURS, NOW, Challenge(NONCE))
    assert verified.nonce == NONCE


@FORMS
def test_verifies_archived_under_its_own_root(indefinite: bool) -> None:
    evidence = document(launch(indefinite=indefinite), b"commitment", NONCE)
    assert abs(verify_archived(evidence, policy(), OURS).as_of - NOW) < timedelta(seconds=1)


def test_verifies_at_the_largest_size() -> None:
    nsm = launch()
    NsmPlatform(nsm.handle).lock(32)
    fields = bytes(1024), bytes(1024), bytes(1024)
    assert len(authenticate(document(nsm, *fields), OURS, NOW).document.pcrs) == 32


def test_a_real_clock_verifies_at_once() -> None:
    # The leaf starts in the very second of the document: it is not backdated, as on Nitro.
    now = datetime.now(UTC)
    nsm = SoftwareNsm(new := new_root(now), MEASURED, clock_ms=wall_clock_ms)
    evidence = document(nsm, b"commitment", NONCE)
    roots = Roots.of_certificates(new.der)
    verify_live(evidence, policy(), roots, datetime.now(UTC), Challenge(NONCE))


def test_a_production_policy_refuses_it_even_if_the_root_is_pinned() -> None:
    evidence = document(launch(), b"commitment", NONCE)
    with pytest.raises(TestRootRefused):
        verify_live(evidence, policy(Mode.PRODUCTION), OURS, NOW, Challenge(NONCE))


def test_aws_roots_refuse_it() -> None:
    evidence = document(launch(), b"commitment", NONCE)
    with pytest.raises(RootNotPinned):
        verify_live(evidence, policy(), Roots.aws(), NOW, Challenge(NONCE))


def test_the_root_of_another_run_refuses_it() -> None:
    evidence = document(launch(), b"commitment", NONCE)
    with pytest.raises(RootNotPinned):
        authenticate(evidence, Roots.of_certificates(new_root(NOW).der), NOW)


def test_a_debug_launch_shows() -> None:
    nsm = SoftwareNsm(ROOT, DEBUG, clock_ms=Clock())
    assert authenticate(document(nsm), OURS, NOW).document.is_debug
    assert not authenticate(document(launch()), OURS, NOW).document.is_debug


def test_a_flipped_bit_in_any_byte_is_refused() -> None:
    evidence = document(launch(), b"commitment", NONCE)
    for at in range(0, len(evidence), 7):
        flipped = bytearray(evidence)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(EvidenceError):
            authenticate(bytes(flipped), OURS, NOW)


def test_changed_registers_change_the_verdict() -> None:
    evidence = document(launch(), b"commitment", NONCE)
    with pytest.raises(AttestationError):
        verify_live(evidence, policy(pcr0=bytes(48)), OURS, NOW, Challenge(NONCE))


# --- time -----------------------------------------------------------------------------------------


def test_the_platforms_time_is_the_clocks() -> None:
    clock = Clock()
    platform = NsmPlatform(launch(clock_ms=clock).handle)
    for by in (0, 1, -2, 3600 * 24 * 300, -3600 * 24 * 500):
        clock.turn(seconds=by)
        assert platform.now_ms() == clock()


@pytest.mark.parametrize("days", [-300, -5, -0.2, 0.1, 1, 6, 30, 3000])
def test_documents_stay_consistent_with_a_moved_clock(days: float) -> None:
    clock = Clock()
    nsm = launch(clock_ms=clock)
    document(nsm)
    clock.turn(days=days)
    evidence = document(nsm, b"commitment", NONCE)
    verify_live(evidence, policy(), OURS, clock.now, Challenge(NONCE))
    # A verifier with the right time sees what the moved clock has done.
    with pytest.raises((ClockDisagreement, AttestationError)):
        verify_live(evidence, policy(), OURS, NOW, Challenge(NONCE))


def test_leaves_are_renewed_15_minutes_before_their_end() -> None:
    clock = Clock()
    nsm = launch(clock_ms=clock)
    seen = [payload(document(nsm))["certificate"]]
    for minutes in (164, 2, 1, 163, 3):
        clock.turn(minutes=minutes)
        fields = payload(document(nsm))
        leaf = load_der_x509_certificate(fields["certificate"])
        assert leaf.not_valid_after_utc - clock.now >= timedelta(minutes=15)
        seen.append(fields["certificate"])
    first, same, second, also, still, third = seen
    assert first == same != second == also == still != third


def test_many_documents_differ_in_their_signatures_only() -> None:
    nsm = launch()
    pairs = [cbor2.loads(document(nsm, b"u", b"n"))[2:] for _ in range(3)]
    assert len({body for body, _ in pairs}) == 1
    assert len({signature for _, signature in pairs}) == 3


def test_module_id_is_the_same_everywhere() -> None:
    nsm = launch()
    fields = payload(document(nsm))
    name = ask(nsm, "DescribeNSM")["DescribeNSM"]["module_id"]
    assert fields["module_id"] == name
    assert name in load_der_x509_certificate(fields["certificate"]).subject.rfc4514_string()
    zero = bytes(48)
    instance = name.partition("-enc")[0].encode()
    assert fields["pcrs"][4] == hashlib.sha384(zero + instance).digest()
