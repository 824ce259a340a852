"""Client identities, and addresses."""

from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from strongroom_host.enclave_client.address import (
    EnclaveAddress,
    TcpAddress,
    UnixAddress,
    parse_enclave_address,
)
from strongroom_host.enclave_client.errors import IdentityRefused, Unreachable
from strongroom_host.enclave_client.identity import ClientCard, ClientIdentity
from strongroom_host.errors import BadInput
from strongroom_host.private_files import FileExposed


def test_an_identity_survives_its_folder(tmp_path: Path) -> None:
    made = ClientIdentity.generate("bot")
    card = made.save(tmp_path / "id")
    read = ClientIdentity.load(tmp_path / "id")
    assert (read.name, read.certificate, read.frame_public) == (
        "bot",
        made.certificate,
        made.frame_public,
    )
    assert ClientCard.load(card) == made.card
    assert "BEGIN" not in repr(made)
    for name in ("tls-key.pem", "frame-key"):
        assert (tmp_path / "id" / name).stat().st_mode & 0o777 == 0o600


def test_an_identity_is_not_overwritten(tmp_path: Path) -> None:
    ClientIdentity.generate("bot").save(tmp_path)
    with pytest.raises(BadInput, match="exists"):
        ClientIdentity.generate("bot").save(tmp_path)


def test_an_exposed_secret_is_refused(tmp_path: Path) -> None:
    ClientIdentity.generate("bot").save(tmp_path)
    (tmp_path / "frame-key").chmod(0o640)
    with pytest.raises(FileExposed, match="frame-key"):
        ClientIdentity.load(tmp_path)


def test_mixed_identities_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    ClientIdentity.generate("bot").save(one)
    ClientIdentity.generate("bot").save(two)
    for name in ("frame-key", "tls-key.pem"):
        original = (one / name).read_bytes()
        (one / name).write_bytes((two / name).read_bytes())
        with pytest.raises(IdentityRefused, match="belong together"):
            ClientIdentity.load(one)
        (one / name).write_bytes(original)


@pytest.mark.parametrize("name", ["card.json", "tls-key.pem", "frame-key"])
def test_a_damaged_identity_is_refused(tmp_path: Path, name: str) -> None:
    ClientIdentity.generate("bot").save(tmp_path)
    (tmp_path / name).write_bytes(b"junk")
    with pytest.raises(IdentityRefused):
        ClientIdentity.load(tmp_path)


def test_no_identity_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(IdentityRefused) as caught:
        ClientIdentity.load(tmp_path / "none")
    assert "owner client" in caught.value.remedy


def test_a_card_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    card = msgspec.to_builtins(ClientIdentity.generate("bot").card)
    (tmp_path / "card.json").write_bytes(msgspec.json.encode({**card, "extra": 1}))
    with pytest.raises(IdentityRefused, match="extra"):
        ClientCard.load(tmp_path / "card.json")


def test_the_certificate_fits_a_manifest_and_tls() -> None:
    made = ClientIdentity.generate("bot")
    certificate = x509.load_der_x509_certificate(made.certificate)
    certificate.verify_directly_issued_by(certificate)
    assert len(made.certificate) < 4096


@pytest.mark.parametrize("text", ["unix:/run/x", "/run/x"])
def test_a_run_directory_is_an_address(text: str) -> None:
    address = parse_enclave_address(text)
    assert address == EnclaveAddress.at_run_directory(Path("/run/x"))
    assert address.control == UnixAddress(Path("/run/x/control.sock"))
    assert str(address.control) == "unix:/run/x/control.sock"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:7700", "127.0.0.1", 7700), ("host.example:1", "host.example", 1),
     ("[::1]:65533", "::1", 65533)],
)  # fmt: skip
def test_ports_in_a_row_are_an_address(text: str, host: str, port: int) -> None:
    address = parse_enclave_address(text)
    assert [address.bootstrap, address.control, address.frames] == [
        TcpAddress(host, port + offset) for offset in range(3)
    ]
    assert str(address.bootstrap) == text


@pytest.mark.parametrize(
    "text", ["", "host", ":7700", "host:", "host:0", "host:65534", "host:x", "host:-1", "host:٣"]
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_enclave_address(text)
    assert caught.value.expected


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    with pytest.raises(BadInput, match="too long"):
        parse_enclave_address("/" + "x" * 100)


def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    for address in (UnixAddress(tmp_path / "none.sock"), TcpAddress("127.0.0.1", 9)):
        with pytest.raises(Unreachable) as caught:
            address.connect(1)
        assert caught.value.remedy
