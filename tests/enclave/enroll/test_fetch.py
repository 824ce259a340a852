"""One TLS conversation: whom it trusts, what it takes for a credential, when it gives up."""

import hashlib
import json
import ssl
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from socket import AF_UNIX, socket
from threading import Event

import certifi
import pytest
from strongroom_enclave import http
from strongroom_enclave.enroll.service import Credential, fetch
from strongroom_enclave.tls import trust
from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress

from tests.hostile.venue import HOST, PORT, Authority, Venue, credential, response

REQUEST = b"GET /auth/derive-api-key HTTP/1.1\r\nHost: venue.test\r\n\r\n"
GOOD = credential()
AUTHORITY = Authority()
EGRESS = Egress(HOST, PORT, (), (AUTHORITY.der,))
# The process ends after its one conversation, and its connection with it.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def venue() -> Iterator[Venue]:
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        venue = Venue(Path(folder) / "egress.sock", AUTHORITY)
        yield venue
        venue.close()


def connected(venue: Venue) -> str:
    """Returns the descriptor of a connection to the proxy, as the process inherits it."""
    sock = socket(AF_UNIX)
    sock.connect(str(venue.path))
    return str(sock.detach())


def refused(venue: Venue, answer: bytes, egress: Egress = EGRESS) -> Code:
    venue.answer = lambda: answer
    with pytest.raises(Refused) as caught:
        fetch(connected(venue), egress, REQUEST)
    return caught.value.code


def body(content: object, **changes: object) -> bytes:
    return response(json.dumps({**GOOD, **changes} if content is GOOD else content).encode())


def test_a_credential_is_three_strings_of_the_answer(venue: Venue) -> None:
    venue.answer = lambda: body(GOOD, more={"nested": [1, 2]})
    found = fetch(connected(venue), EGRESS, REQUEST)
    assert found == Credential(GOOD["apiKey"], GOOD["secret"], GOOD["passphrase"])
    assert venue.requests == [REQUEST]
    assert venue.connects == [
        f"CONNECT {HOST}:{PORT} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\n\r\n".encode()
    ]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_chunked_answer_is_an_answer(venue: Venue, size: int) -> None:
    content = json.dumps(GOOD).encode()
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    venue.answer = lambda: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    )
    assert fetch(connected(venue), EGRESS, REQUEST).apiKey == GOOD["apiKey"]


@pytest.mark.parametrize(
    "answer",
    [
        response(b""),
        response(b"null"),
        response(b"[]"),
        response(b'"text"'),
        response(b"{"),
        response(b"{}"),
        response(b'{"apiKey":"a","secret":"b"}'),
        body(GOOD, apiKey=1),
        body(GOOD, apiKey=None),
        body(GOOD, secret=["x"]),
        body(GOOD, passphrase={}),
        response(b'{"apiKey":"\xff","secret":"b","passphrase":"c"}'),
        response(b'{"apiKey":"\\ud800","secret":"b","passphrase":"c"}'),
        response(b'{"ignored":' + b"[" * 15_000),
        response(b'{"ignored":' + b"[" * 8_000 + b"]" * 8_000 + b"}"),
        response(b'{"a":' * 3_000 + b"1" + b"}" * 3_000),
        response(b" " * (16 * 1024 + 1)),
        response(json.dumps(GOOD).encode() + b" " * 16 * 1024),
        response(b"x" * 1_000_000),
        response(b"", "302 Found", "Location: https://clob.polymarket.com/"),
        response(json.dumps(GOOD).encode(), "201 Created"),
        response(json.dumps(GOOD).encode(), "401 Unauthorized"),
        response(json.dumps(GOOD).encode(), "500 Internal Server Error"),
    ],
)
def test_anything_but_a_credential_is_refused(venue: Venue, answer: bytes) -> None:
    assert refused(venue, answer) is Code.VENUE_REFUSED


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 two hundred OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    ],
    ids=[
        "nothing", "a byte", "garbage", "status in words", "another version", "many headers",
        "long header", "bad chunk", "cut short",
    ],
)  # fmt: skip
def test_what_is_no_http_is_no_answer(venue: Venue, answer: bytes) -> None:
    assert refused(venue, answer) in (Code.VENUE_UNREACHABLE, Code.VENUE_REFUSED, Code.VENUE_TLS)


def test_only_the_named_host_under_a_named_root_gets_the_login(venue: Venue) -> None:
    for context in (Authority().server(), AUTHORITY.server("other.test")):
        venue.tls = context
        assert refused(venue, body(GOOD)) is Code.VENUE_TLS
    venue.reset()
    other = Egress("other.test", PORT, (), (AUTHORITY.der,))
    assert refused(venue, body(GOOD), other) is Code.VENUE_TLS
    stranger = Egress(HOST, PORT, (), (Authority().der,))
    assert refused(venue, body(GOOD), stranger) is Code.VENUE_TLS
    assert venue.requests == []


def test_old_tls_is_refused(venue: Venue) -> None:
    context = AUTHORITY.server()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    venue.tls = context
    assert refused(venue, body(GOOD)) in (Code.VENUE_TLS, Code.VENUE_UNREACHABLE)
    assert venue.requests == []


def test_a_venue_that_says_nothing_is_not_waited_for(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_DEADLINE_MS", 300)
    venue.hold = Event()
    assert refused(venue, body(GOOD)) is Code.VENUE_UNREACHABLE
    venue.hold.set()


def test_roots_are_ours_narrowed_by_the_manifest() -> None:
    end = "-----END CERTIFICATE-----"
    pems = Path(certifi.where()).read_text().split(end)[:-1]
    ours = [ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN") :] + end) for pem in pems]
    prints = [hashlib.sha256(root).hexdigest() for root in ours]
    assert len(prints) > 100
    everything = trust(Egress("clob.polymarket.com", 443, (), ())).get_ca_certs(binary_form=True)
    assert {hashlib.sha256(root).hexdigest() for root in everything} == set(prints)
    two = trust(Egress("clob.polymarket.com", 443, tuple(prints[:2]), ()))
    found = two.get_ca_certs(binary_form=True)
    assert {hashlib.sha256(root).hexdigest() for root in found} == set(prints[:2])


@pytest.mark.parametrize(
    "egress",
    [
        Egress("clob.polymarket.com", 443, ("00" * 32,), ()),
        Egress("clob.polymarket.com", 443, (hashlib.sha256(AUTHORITY.der).hexdigest(),), ()),
        Egress(HOST, PORT, ("00" * 32,), (AUTHORITY.der,)),
    ],
    ids=["unknown", "a root that is not ours", "not among the development roots"],
)
def test_a_root_that_is_not_there_widens_nothing(egress: Egress) -> None:
    with pytest.raises(Refused) as caught:
        trust(egress)
    assert caught.value.code is Code.VENUE_TLS


def test_development_roots_replace_ours() -> None:
    context = trust(EGRESS)
    assert context.get_ca_certs(binary_form=True) == [AUTHORITY.der]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_root_that_is_no_certificate_is_refused(venue: Venue) -> None:
    egress = Egress(HOST, PORT, (), (b"not a certificate",))
    assert refused(venue, body(GOOD), egress) is Code.VENUE_TLS


def test_a_venue_that_drips_does_not_keep_the_process() -> None:
    """Each byte comes in time, all of them never: the kernel ends the process."""
    program = textwrap.dedent("""
        import socket, sys, threading, time
        from strongroom_enclave.enroll import service
        from strongroom_enclave.platform.links import Link
        from strongroom_wire.encoding import pack
        import msgspec
        from strongroom_wire.manifest import Egress
        service._LIFETIME = 1
        ours, theirs = socket.socketpair()
        near, far = socket.socketpair()
        job = pack(b"enroll", msgspec.msgpack.encode(Egress("v", 1, (), ())), b"GET / HTTP/1.1")
        Link(ours.detach()).send(37, 1, job)
        def drip():
            while True:
                far.send(b"x")
                time.sleep(0.05)
        threading.Thread(target=drip, daemon=True).start()
        import strongroom_enclave.platform.links as links
        links._MAX_PROXY_HEAD = 1 << 40
        service.main([str(theirs.detach()), str(near.detach())])
    """)
    path = ":".join(filter(None, sys.path))
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program], env={"PYTHONPATH": path}, timeout=60, check=False
    )
    assert ended.returncode == -14, "not SIGALRM"
