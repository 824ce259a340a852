"""A venue, or whoever plays it, during enrolment: nothing it sends becomes more than three strings.

`tests/enclave/enroll` has the long list of answers; here are those that cross processes.
"""

import json

import pytest
from strongroom_wire.errors import Code

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Desk
from tests.hostile.venue import HOST, OK, PORT, Authority, Venue, credential, response

GOOD = credential()


def body(**changes: object) -> bytes:
    return response(json.dumps({**GOOD, **changes}).encode())


@pytest.fixture(scope="module")
def venue(boot: Boot) -> Venue:
    return Venue(boot.enclave.run / "egress.sock", boot.desk.venue)


@pytest.fixture(scope="module")
def boot(start: Start) -> Boot:
    return start(Desk()).make_ready()


@pytest.fixture(autouse=True)
def behaving(venue: Venue) -> None:
    venue.reset()


def assert_still_itself(boot: Boot) -> None:
    """The credential of before is in force, nothing halted, and no process wrote a traceback."""
    assert boot.channel().cancel_all().code is Code.OK
    assert boot.enclave.phase() == 3
    assert set(boot.enclave.pids()) == {"init", "front", "signer"}
    assert b"Traceback" not in boot.enclave.console.read_bytes()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0" * 100,
        b"HTTP/1.1 200 OK\r\n\r\n",
        response(b"", "302 Found", "Location: https://clob.polymarket.com/"),
        response(body().split(b"\r\n\r\n")[1], "401 Unauthorized"),
        body(apiKey="a\r\nX-Evil: 1"),
        body(passphrase="p\r\nX-Evil: 1"),
        body(secret="not base64"),
        body(secret=7),
        response(b'{"apiKey": "a", "ignored": ' + b"[" * 8_000 + b"]" * 8_000 + b"}"),
        response(b'{"apiKey": "\xff\xfe"}'),
        response(b'{"apiKey": "\\ud800"}'),
        response(b'{"a":1}' + b" " * 17_000),
        response(b"x" * 3_000_000),
    ],
    ids=[
        "nothing", "zeros", "no body", "redirect", "not ok", "line break in key",
        "line break in passphrase", "secret not base64", "secret a number", "deep", "not utf-8",
        "surrogate", "padded", "huge",
    ],
)  # fmt: skip
def test_an_answer_that_is_no_credential_changes_nothing(
    boot: Boot, venue: Venue, answer: bytes
) -> None:
    venue.answer = lambda: answer
    code, key = boot.enrol()
    assert code in (Code.VENUE_REFUSED, Code.VENUE_UNREACHABLE)
    assert key == b""
    assert_still_itself(boot)


def test_a_redirect_is_not_followed(boot: Boot, venue: Venue) -> None:
    before = len(venue.connects)
    venue.answer = lambda: response(b"", "307 Temporary Redirect", f"Location: https://{HOST}/x")
    assert boot.enrol()[0] is Code.VENUE_REFUSED
    assert len(venue.connects) == before + 1


def test_a_certificate_of_another_root_or_host_is_refused(boot: Boot, venue: Venue) -> None:
    for context in (Authority().server(), venue.authority.server("other.test")):
        seen, venue.tls = len(venue.requests), context
        assert boot.enrol() == (Code.VENUE_TLS, b"")
        assert len(venue.requests) == seen, "the login went to somebody else"
    assert_still_itself(boot)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2_000,
        b"220 smtp ready\r\n\r\n",
        OK + b"leftover bytes that are no handshake",
    ],
    ids=["silence", "blank", "407", "http2", "endless", "smtp", "leftover"],
)
def test_a_proxy_that_talks_nonsense_is_as_good_as_none(
    boot: Boot, venue: Venue, said: bytes
) -> None:
    venue.proxy_answer = said  # empty: the connection closes
    code, key = boot.enrol()
    assert code in (Code.VENUE_UNREACHABLE, Code.VENUE_TLS)
    assert key == b""
    assert_still_itself(boot)


def test_without_a_proxy_there_is_no_enrolment(start: Start) -> None:
    boot = start(Desk()).make_ready()
    (boot.enclave.run / "egress.sock").unlink()
    assert boot.enrol() == (Code.VENUE_UNREACHABLE, b"")
    assert_still_itself(boot)


def test_the_tunnel_is_asked_for_exactly_the_venue(boot: Boot, venue: Venue) -> None:
    assert boot.enrol()[0] is Code.OK
    place = f"{HOST}:{PORT}"
    assert venue.connects[-1] == f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode()


def test_the_credential_goes_nowhere_but_into_requests(boot: Boot, venue: Venue) -> None:
    code, key = boot.enrol()
    issued = venue.issued[-1]
    assert (code, key) == (Code.OK, issued["apiKey"].encode())
    reply = boot.channel().cancel_all()
    assert issued["passphrase"].encode() in reply.request, "the venue's headers need it"
    for secret in (issued["secret"], issued["passphrase"]):
        assert secret.encode() not in boot.enclave.console.read_bytes()
    assert issued["secret"].encode() not in reply.request
