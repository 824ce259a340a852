"""Certificate chains beyond the table of mutations: shapes that must pass, and odd ones."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from strongroom_attest.errors import (
    AttestationError,
    CertificateExpired,
    CertificateMalformed,
    CertificateNotYetValid,
    ChainInvalid,
    InvalidArgument,
    IssuerMismatch,
    KeyRefused,
    RootNotPinned,
)
from strongroom_attest.nitro import (
    AWS_NITRO_ROOT_G1_SHA256,
    LEAF_NOT_BEFORE_LEEWAY,
    Roots,
    authenticate,
    authenticate_archived,
)

from tests.attest import pki
from tests.attest.pki import AWS_SHAPE, NOW, ROOTS, issue, key, mint, with_link

SECOND = timedelta(seconds=1)


def _chain(*specs: pki.CertificateSpec) -> list[bytes]:
    return [pki.root_certificate(), *issue(specs)[1:]]


def test_a_root_alone_may_issue_the_leaf() -> None:
    """Mock hierarchies in the wild have one CA; pathlen and the rest hold all the same."""
    root, *_, leaf = AWS_SHAPE
    assert len(authenticate(mint(chain=_chain(root, leaf)), ROOTS, NOW).chain) == 2


def test_a_leaf_without_basic_constraints_is_an_end_entity() -> None:
    authenticate(mint(chain=_chain(*with_link("leaf", ca=None))), ROOTS, NOW)


def test_non_critical_unknown_extensions_are_ignored() -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    specs = with_link("leaf", extensions=((extension, False),))
    authenticate(mint(chain=_chain(*specs)), ROOTS, NOW)


def test_the_authenticated_chain_is_reported_root_first() -> None:
    authenticated = authenticate(mint(), ROOTS, NOW)
    labels = [certificate.label for certificate in authenticated.chain]
    assert labels == [*(f"cabundle[{n}]" for n in range(4)), "certificate"]
    assert "CN=test root" in authenticated.chain[0].subject
    assert authenticated.root_sha256 == authenticated.chain[0].sha256
    assert authenticated.root_sha256 in ROOTS.fingerprints


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [0, 1, 3, 2], [0, 1, 2], [0, 1, 3], [0]])
def test_a_bundle_in_another_order_or_with_a_gap_is_refused(order: list[int]) -> None:
    chain = issue(AWS_SHAPE)
    bundle = [pki.root_certificate(), *chain[1:-1]]
    with pytest.raises(ChainInvalid):
        authenticate(mint(chain=[*(bundle[n] for n in order), chain[-1]]), ROOTS, NOW)


def test_the_root_at_the_end_of_the_bundle_is_not_an_anchor() -> None:
    chain = issue(AWS_SHAPE)
    with pytest.raises(RootNotPinned):
        authenticate(mint(chain=[*chain[1:-1], pki.root_certificate(), chain[-1]]), ROOTS, NOW)


def test_the_root_as_leaf_is_refused() -> None:
    root = pki.root_certificate()
    with pytest.raises(ChainInvalid):
        authenticate(mint(chain=[root, root], signer=key("test root")), ROOTS, NOW)


def test_a_leaf_may_not_issue_another_leaf() -> None:
    *above, leaf = AWS_SHAPE
    second = replace(leaf, name="second leaf")
    document = mint(chain=_chain(*above, leaf, second), signer=key("second leaf"))
    with pytest.raises(ChainInvalid):
        authenticate(document, ROOTS, NOW)


def test_a_signature_by_another_genuine_leaf_is_refused() -> None:
    """Two enclaves under one instance: a document of one with the certificate of the other."""
    with pytest.raises(AttestationError):
        authenticate(mint(signer=key("another leaf")), ROOTS, NOW)


@pytest.mark.parametrize("name", ["test root", "regional", "zonal", "instance", "leaf"])
def test_validity_is_inclusive_at_both_ends(name: str) -> None:
    specs = with_link(name, life=(timedelta(0), timedelta(0)))
    chain = issue(specs)
    document, roots = mint(chain=chain), Roots.of_certificates(chain[0])
    authenticate(document, roots, NOW)
    with pytest.raises(CertificateExpired):
        authenticate(document, roots, NOW + SECOND)
    leeway = LEAF_NOT_BEFORE_LEEWAY if name == "leaf" else timedelta(0)
    with pytest.raises(CertificateNotYetValid):
        authenticate(document, roots, NOW - leeway - SECOND)


def test_the_leeway_is_for_the_leaf_of_live_documents_only() -> None:
    late_leaf = _chain(*with_link("leaf", life=(20 * SECOND, timedelta(hours=3))))
    authenticate(mint(chain=late_leaf), ROOTS, NOW)
    with pytest.raises(CertificateNotYetValid):
        authenticate_archived(mint(chain=late_leaf), ROOTS)
    late_instance = _chain(*with_link("instance", life=(20 * SECOND, timedelta(hours=3))))
    with pytest.raises(CertificateNotYetValid):
        authenticate(mint(chain=late_instance), ROOTS, NOW)


@pytest.mark.parametrize(
    "junk", [b"\0", b"\x30\x00", b"\x30\x80", bytes(64), b"-----BEGIN CERTIFICATE-----"]
)
def test_junk_for_certificates_is_an_error_of_ours(junk: bytes) -> None:
    with pytest.raises(CertificateMalformed):
        authenticate(mint(certificate=junk), ROOTS, NOW)
    with pytest.raises(CertificateMalformed):
        authenticate(mint(cabundle=[pki.root_certificate(), junk]), ROOTS, NOW)
    with pytest.raises(RootNotPinned):
        authenticate(mint(cabundle=[junk]), ROOTS, NOW)


def test_trailing_bytes_after_a_certificate_are_refused() -> None:
    chain = issue(AWS_SHAPE)
    bundle = [pki.root_certificate(), chain[1] + b"\0", *chain[2:-1]]
    with pytest.raises(CertificateMalformed):
        authenticate(mint(chain=[*bundle, chain[-1]]), ROOTS, NOW)


def test_an_rsa_intermediate_is_refused() -> None:
    specs = with_link("zonal", key=rsa.generate_private_key(65537, 2048))
    # The builder signs the next certificate with it, which is what must not be followed.
    with pytest.raises(KeyRefused):
        authenticate(mint(chain=_chain(*specs)), ROOTS, NOW)


def test_an_unpinned_curve_in_the_middle_is_refused() -> None:
    specs = with_link("zonal", key=ec.generate_private_key(ec.SECP521R1()))
    with pytest.raises(KeyRefused):
        authenticate(mint(chain=_chain(*specs)), ROOTS, NOW)


def test_inner_and_outer_signature_algorithm_must_agree() -> None:
    """The outer one is not signed; a certificate saying two things is refused."""

    def relabel(der: bytes) -> bytes:
        sha384, sha256 = bytes.fromhex("2a8648ce3d040303"), bytes.fromhex("2a8648ce3d040302")
        assert der.count(sha384) == 2
        return der.replace(sha384, sha256, 1)  # the inner one, before the signature is checked

    with pytest.raises(IssuerMismatch):
        authenticate(mint(chain=_chain(*with_link("zonal", patch=relabel))), ROOTS, NOW)


# --- Roots ---------------------------------------------------------------------------------------


def test_the_aws_root_is_the_recorded_fingerprint() -> None:
    assert Roots.aws().fingerprints == {AWS_NITRO_ROOT_G1_SHA256}
    assert AWS_NITRO_ROOT_G1_SHA256.hex().startswith("641a0321a3e244ef")


def test_several_roots_may_be_trusted_and_the_one_used_is_named() -> None:
    both = Roots(Roots.aws().fingerprints | ROOTS.fingerprints)
    assert {authenticate(mint(), both, NOW).root_sha256} == ROOTS.fingerprints


def test_fingerprints_in_hex_with_or_without_colons() -> None:
    (fingerprint,) = ROOTS.fingerprints
    assert Roots.of(fingerprint.hex()) == Roots.of(fingerprint.hex(":").upper()) == ROOTS


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 31, "00" * 33])
def test_malformed_fingerprints_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Roots.of(text)


def test_no_root_at_all_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        Roots.of()
