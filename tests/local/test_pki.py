"""The throw-away authority: the shape of recorded AWS chains, and a root that outlives a run."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from strongroom_local.errors import UnsafeFile, UnusableFile
from strongroom_local.pki import Authority, new_root, root_of_run

from tests.local.nitro import NOW, ROOT, payload

KEY_IDENTIFIERS = ("2.5.29.14", "2.5.29.35")  # subject, authority
MODULE = "i-00000000000000000-enc0123456789abcdef"


def authority() -> Authority:
    return Authority(ROOT, "i-00000000000000000", MODULE)


def parsed(authority: Authority) -> list[x509.Certificate]:
    chain = authority.chain(NOW)
    ders = (*chain.cabundle, chain.certificate)
    return [x509.load_der_x509_certificate(der) for der in ders]


def shape(certificate: x509.Certificate) -> dict[str, object]:
    """What a verifier looks at: extensions with criticality and values that are no one's name."""
    found: dict[str, object] = {}
    for extension in certificate.extensions:
        value: object = True
        if isinstance(extension.value, x509.BasicConstraints | x509.KeyUsage):
            value = extension.value
        found[extension.oid.dotted_string] = (extension.critical, value)
    return found


def test_lifetimes() -> None:
    lives = [c.not_valid_after_utc - c.not_valid_before_utc for c in parsed(authority())]
    assert lives[1:] == [
        timedelta(days=20, hours=1),
        timedelta(days=5, hours=13),
        timedelta(hours=24),
        timedelta(hours=3, seconds=3),
    ]
    assert lives[0] >= timedelta(days=30 * 365)


def test_the_leaf_is_not_backdated() -> None:
    assert parsed(authority())[-1].not_valid_before_utc == NOW.replace(microsecond=0)


def test_keys_and_signatures_are_p384_and_sha384() -> None:
    for certificate in parsed(authority()):
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP384R1)
        assert certificate.signature_algorithm_oid.dotted_string == "1.2.840.10045.4.3.3"


def test_extensions_equal_those_of_recorded_chains(vectors: Path) -> None:
    ours = [shape(certificate) for certificate in parsed(authority())]
    # Instance certificates have the two key identifiers since the middle of 2024.
    older = [*ours[:3], {k: v for k, v in ours[3].items() if k not in KEY_IDENTIFIERS}, ours[4]]
    paths = sorted((vectors / "nitro").glob("*_aws*.cose"))
    assert len(paths) > 10
    for path in paths:
        fields = payload(path.read_bytes())
        ders = (*fields["cabundle"], fields["certificate"])
        chain = [shape(x509.load_der_x509_certificate(der)) for der in ders]
        assert chain == (ours if path.name >= "2024-08" else older), path.name


def test_names_say_what_it_is() -> None:
    for certificate in parsed(authority()):
        assert "local" in certificate.subject.rfc4514_string()
        assert "Amazon" not in certificate.subject.rfc4514_string()


def test_every_root_is_another() -> None:
    assert len({new_root(NOW).fingerprint for _ in range(3)}) == 3


def test_tiers_are_renewed_each_in_its_time() -> None:
    issuer = authority()
    first = issuer.chain(NOW)
    later = issuer.chain(NOW + timedelta(hours=3))
    assert later.cabundle == first.cabundle
    assert later.certificate != first.certificate
    tomorrow = issuer.chain(NOW + timedelta(hours=20))
    assert tomorrow.cabundle[:3] == first.cabundle[:3]
    assert tomorrow.cabundle[3] != first.cabundle[3]
    month = issuer.chain(NOW + timedelta(days=30))
    assert month.cabundle[0] == first.cabundle[0]
    assert not set(month.cabundle[1:]) & set(first.cabundle)


def test_a_clock_set_back_gets_certificates_of_its_own_time() -> None:
    issuer = authority()
    issuer.chain(NOW)
    back = NOW - timedelta(days=100)
    leaf = x509.load_der_x509_certificate(issuer.chain(back).certificate)
    assert leaf.not_valid_before_utc == back.replace(microsecond=0)


# --- the root of a run folder ---------------------------------------------------------------------


def test_the_root_survives_a_restart(tmp_path: Path) -> None:
    first = root_of_run(tmp_path, NOW)
    second = root_of_run(tmp_path, NOW + timedelta(days=1))
    assert first.der == second.der == (tmp_path / "root.der").read_bytes()
    assert first.key.private_numbers() == second.key.private_numbers()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root.der", "root.pem"]


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    root_of_run(tmp_path, NOW)
    assert (tmp_path / "root.pem").stat().st_mode & 0o777 == 0o600


def test_a_root_that_others_can_read_is_refused(tmp_path: Path) -> None:
    root_of_run(tmp_path, NOW)
    (tmp_path / "root.pem").chmod(0o644)
    with pytest.raises(UnsafeFile, match="0600"):
        root_of_run(tmp_path, NOW)


def test_a_damaged_public_copy_is_written_again(tmp_path: Path) -> None:
    root = root_of_run(tmp_path, NOW)
    (tmp_path / "root.der").write_bytes(b"")
    root_of_run(tmp_path, NOW)
    assert (tmp_path / "root.der").read_bytes() == root.der


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("kind", ["empty", "noise", "no certificate", "no key", "another key"])
def test_an_unusable_root_is_refused(tmp_path: Path, kind: str) -> None:
    root = root_of_run(tmp_path, NOW)
    certificate = root.certificate.public_bytes(Encoding.PEM)
    content = {
        "empty": b"",
        "noise": b"noise",
        "no certificate": pem_of(root.key),
        "no key": certificate,
        "another key": pem_of(ec.generate_private_key(ec.SECP384R1())) + certificate,
    }[kind]
    (tmp_path / "root.pem").write_bytes(content)
    with pytest.raises(UnusableFile):
        root_of_run(tmp_path, NOW)
