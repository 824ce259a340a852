"""A certificate of no known version is refused as any other damaged one; the library's exception
for it is no ValueError."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_host.cli import attest_input, manifest_new
from strongroom_host.enclave_client import evidence
from strongroom_host.errors import HostError

_V3, _V64 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x3f"


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(start)
    whole = builder.not_valid_after(start + datetime.timedelta(1)).sign(key, SHA256())
    der = whole.public_bytes(Encoding.DER)
    assert _V3 in der
    path = tmp_path / "damaged.der"
    path.write_bytes(der.replace(_V3, _V64, 1))
    return path


@pytest.mark.parametrize(
    "read",
    [
        lambda path: attest_input._certificate(str(path)),
        manifest_new.certificate,
        lambda path: evidence._check_certificate(path.read_bytes()),
    ],
    ids=["attest --root", "manifest new --development-root", "evidence"],
)
def test_an_unknown_version_is_a_typed_refusal(
    damaged: Path, read: Callable[[Path], object]
) -> None:
    with pytest.raises(HostError, match=r"certificate"):
        read(damaged)
