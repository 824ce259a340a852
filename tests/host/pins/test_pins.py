from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host import pins as pins_module
from strongroom_host.errors import HostError
from strongroom_host.pins import (
    BadCertificate,
    BadPin,
    Chain,
    PinMismatch,
    PinSet,
    check,
    check_peer,
    parse_pin,
    pin_of,
    pin_text,
    pinned_context,
    subject_public_key_info,
    verified_chain,
    verifying_context,
)

from tests.host.pins.authority import Authority, Identity

HOST = "venue.test"
OTHER = hashlib.sha256(b"another key").digest()


class Server:
    """A TLS server that notes what its clients wrote."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.received: list[bytes] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with (
                contextlib.suppress(OSError),
                self._context.wrap_socket(plain, server_side=True) as tls,
            ):
                tls.settimeout(30)
                while data := tls.recv(4096):
                    self.received.append(data)
                    tls.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@contextlib.contextmanager
def serving(identity: Identity) -> Iterator[Server]:
    server = Server(identity.context)
    try:
        yield server
    finally:
        server.close()


Dial = Callable[[int, ssl.SSLContext, str], bytes]


def dial_socket(port: int, context: ssl.SSLContext, name: str) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        tls.sendall(b"hello")
        return tls.recv(5)


async def _dial(port: int, context: ssl.SSLContext, name: str) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name, ssl_handshake_timeout=5
    )
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return answer


def dial_asyncio(port: int, context: ssl.SSLContext, name: str) -> bytes:
    return asyncio.run(_dial(port, context, name))


def dial_uvloop(port: int, context: ssl.SSLContext, name: str) -> bytes:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_dial(port, context, name))


_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
DIALS = [dial_socket, dial_asyncio, dial_uvloop]


@pytest.mark.parametrize("dial", DIALS)
@pytest.mark.parametrize("which", ["leaf", "intermediate", "root", "rotated"])
def test_a_pinned_key_anywhere_in_the_chain_passes(
    authority: Authority, dial: Dial, which: str
) -> None:
    identity = authority.identity(HOST)
    pins = {
        "leaf": {identity.leaf},
        "intermediate": {identity.intermediate},
        "root": {identity.root},
        "rotated": {OTHER, identity.leaf},
    }[which]
    with serving(identity) as server:
        context = pinned_context(PinSet(HOST, frozenset(pins)), cafile=authority.ca)
        assert dial(server.port, context, HOST) == b"hello"


@pytest.mark.parametrize("dial", DIALS)
def test_a_verified_peer_with_another_key_gets_not_one_byte(
    authority: Authority, dial: Dial
) -> None:
    identity = authority.identity(HOST)
    with serving(identity) as server:
        context = pinned_context(PinSet(HOST, frozenset({OTHER})), cafile=authority.ca)
        with pytest.raises(PinMismatch) as caught:
            dial(server.port, context, HOST)
        assert server.received == []
    error = caught.value
    assert error.expected == pin_text(OTHER)
    assert str(error.actual).split(", ") == [
        pin_text(pin) for pin in (identity.leaf, identity.intermediate, identity.root)
    ]
    assert HOST in error.what
    assert "strongroom feed pins" in error.remedy
    assert error.exit_status == 3


@pytest.mark.parametrize("dial", DIALS)
def test_a_pin_is_no_substitute_for_verification(authority: Authority, dial: Dial) -> None:
    expired = authority.identity(HOST, expired=True)
    elsewhere = authority.identity("elsewhere.test")
    strange = Authority(authority.ca.parent / "strange").identity(HOST)
    for identity in (expired, elsewhere, strange):
        with serving(identity) as server:
            pins = frozenset({identity.leaf, identity.intermediate, identity.root})
            context = pinned_context(PinSet(HOST, pins), cafile=authority.ca)
            with pytest.raises(ssl.SSLCertVerificationError):
                dial(server.port, context, HOST)
            assert server.received == []


def test_the_set_of_one_host_opens_no_other(authority: Authority) -> None:
    identity = authority.identity(HOST, "second.test")
    with serving(identity) as server:
        context = pinned_context(PinSet(HOST, frozenset({identity.leaf})), cafile=authority.ca)
        assert dial_socket(server.port, context, HOST.upper()) == b"hello"
        for dial in DIALS:
            with pytest.raises(PinMismatch, match="another host"):
                dial(server.port, context, "second.test")


def test_an_expired_peer_is_refused_without_pins_as_well(authority: Authority) -> None:
    with (
        serving(authority.identity(HOST, expired=True)) as server,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        dial_socket(server.port, verifying_context(authority.ca), HOST)


def test_a_python_that_tells_of_the_leaf_alone_fails_closed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins_module, "_public_chain", lambda peer: None)
    identity = authority.identity(HOST)
    with serving(identity) as server:
        leaf = pinned_context(PinSet(HOST, frozenset({identity.leaf})), cafile=authority.ca)
        assert dial_socket(server.port, leaf, HOST) == b"hello"
        root = pinned_context(PinSet(HOST, frozenset({identity.root})), cafile=authority.ca)
        with pytest.raises(PinMismatch) as caught:
            dial_socket(server.port, root, HOST)
    assert "leaf alone" in caught.value.remedy


def test_a_peer_without_a_verified_chain_is_refused(authority: Authority) -> None:
    identity = authority.identity(HOST)
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    with (
        serving(identity) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain,
        unverified.wrap_socket(plain, server_hostname=HOST) as tls,
    ):
        # OpenSSL builds a chain as far as it gets; what it has not verified to a root lacks it.
        assert identity.root not in map(pin_of, verified_chain(tls).certificates)
    with pytest.raises(PinMismatch, match="none of the keys"):
        check(PinSet(HOST, frozenset({OTHER})), [])
    with pytest.raises(PinMismatch):
        check_peer(PinSet(HOST, frozenset({OTHER})), object())
    assert verified_chain(object()) == Chain((), whole=False)


def test_check_names_the_pin_that_was_met(authority: Authority) -> None:
    identity = authority.identity(HOST)
    pins = PinSet(HOST, frozenset({identity.leaf, OTHER}))
    assert check(pins, [identity.leaf_der]) == identity.leaf


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
    ],
)
def test_the_key_info_is_what_cryptography_encodes(make: Callable[[], _Key]) -> None:
    key = make()
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1 << 150)
        .not_valid_before(now)
        .not_valid_after(now)
        .sign(key, algorithm)
    )
    info = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert subject_public_key_info(der) == info
    for cut in range(der.index(info) + len(info)):
        with pytest.raises(BadCertificate):
            subject_public_key_info(der[:cut])


@given(st.binary(max_size=80))
def test_no_bytes_but_a_certificate_are_walked(data: bytes) -> None:
    with contextlib.suppress(BadCertificate):
        subject_public_key_info(data)


def test_pins_are_written_in_one_way() -> None:
    text = pin_text(OTHER)
    assert parse_pin(text) == OTHER
    assert PinSet.of(HOST, [text, text]).pins == {OTHER}
    for wrong in (
        "",
        text[:-1],
        text.removeprefix("sha256/"),
        "sha1/" + text.removeprefix("sha256/"),
        "sha256/" + "A" * 43 + "é",
        pin_text(OTHER[:31]),
        text + " ",
        "sha256/" + "A" * 42 + "B=",  # 32 zero bytes with a padding bit set
        "sha256/" + OTHER.hex(),
    ):
        with pytest.raises(BadPin, match="cannot be read"):
            parse_pin(wrong)


def test_an_empty_set_is_an_error_and_not_a_licence() -> None:
    with pytest.raises(BadPin, match="no pin"):
        PinSet(HOST, frozenset())
    with pytest.raises(BadPin, match="host"):
        PinSet("", frozenset({OTHER}))
    with pytest.raises(BadPin, match="no SHA-256"):
        PinSet(HOST, frozenset({b"short"}))


def test_a_missing_file_of_roots_is_explained(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "absent.pem"):
        with pytest.raises(BadPin, match="trusted roots"):
            verifying_context(path)


def test_a_mismatch_is_an_error_of_both_worlds() -> None:
    error = PinMismatch("finding", expected=1, actual=2, remedy="do")
    assert isinstance(error, HostError)
    assert isinstance(error, ssl.SSLError)
    assert (str(error), error.expected, error.actual, error.remedy) == ("finding", 1, 2, "do")
