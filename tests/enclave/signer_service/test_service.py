"""The signer's loop: what init may tell it, and that nobody else's bytes get that far."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform.links import LinkClosed
from strongroom_enclave.signer import service
from strongroom_wire import frames, manifest
from strongroom_wire.encoding import pack, u64
from strongroom_wire.errors import Code, Rule
from strongroom_wire.owners import Statement
from strongroom_wire.statements import ORDER_DOMAIN, Action, OwnerOrder

from tests.enclave.signer_service.harness import RECORD, Signer, jobs, started
from tests.hostile.driver import Desk, refusal


@pytest.fixture
def signer() -> Iterator[Signer]:
    with started() as signer:
        yield signer


def test_it_ends_with_the_link_of_init(signer: Signer) -> None:
    signer.make_ready()
    channel = signer.channel()
    assert channel.buy(1).code is Code.OK
    signer.stop()
    assert channel.wire is not None
    channel.wire.close()


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 32, 33, 34, 37, 39, 999])
def test_a_kind_that_init_never_sends_ends_it(kind: int) -> None:
    with started() as signer:
        signer.link.send(kind, 1, b"")
        signer.thread.join(20)
        assert not signer.thread.is_alive()
        assert isinstance(signer.ended_with, LinkClosed)


def test_a_credential_nobody_asked_for_ends_it() -> None:
    with started() as signer:
        signer.link.send(Kind.ENROLLED, 1, bytes(4) + RECORD)
        signer.thread.join(20)
        assert isinstance(signer.ended_with, LinkClosed)


def enrolling(signer: Signer) -> Statement:
    """Starts an enrolment of the first key and returns its order."""
    signer.order_ok("main")
    signer.give(signer.permit())
    order = OwnerOrder(
        Action.ENROLL_CREATE, signer.bundle.boot_id, signer.bundle.manifest_digest, "main", u64(7)
    )
    statement = signer.desk.owners.sign(ORDER_DOMAIN, order.serialise())
    signer.job = signer.ask(Kind.SUBMIT_ORDER, statement.serialise())
    assert signer.job.kind == Kind.ENROLL
    return statement


def test_an_enrolment_is_asked_for_with_one_signed_request(signer: Signer) -> None:
    enrolling(signer)
    venue, request = jobs(signer.job)
    assert msgspec.msgpack.decode(venue, type=manifest.Egress) == signer.desk.manifest.egress[0]
    head, _, rest = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert rest == b""
    assert lines[0] == b"POST /auth/api-key HTTP/1.1"
    assert [line.partition(b":")[0] for line in lines[1:]] == [
        b"Host", b"POLY_ADDRESS", b"POLY_SIGNATURE", b"POLY_TIMESTAMP", b"POLY_NONCE",
        b"Content-Length", b"Connection",
    ]  # fmt: skip
    assert b"POLY_NONCE: 7" in lines


def test_one_enrolment_at_a_time(signer: Signer) -> None:
    statement = enrolling(signer)
    busy = signer.ask(Kind.SUBMIT_ORDER, statement.serialise())
    assert signer.taken(busy, statement) == (Code.BUSY, b"")
    assert signer.taken(signer.enrolled(Code.OK, RECORD), statement) == (Code.OK, b"api-key")
    assert signer.channel().buy(1).code is Code.OK


SECRET = b"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="


@pytest.mark.parametrize(
    ("code", "record", "expected"),
    [
        (Code.VENUE_UNREACHABLE, b"", Code.VENUE_UNREACHABLE),
        (Code.VENUE_TLS, RECORD, Code.VENUE_TLS),
        (Code.OK, b"", Code.VENUE_REFUSED),
        (Code.OK, b"noise", Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"k", SECRET), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"k", SECRET, b"p", b"more"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"other", b"k", SECRET, b"p"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"\xff", SECRET, b"p"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"k\r\n", SECRET, b"p"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b'k"', SECRET, b"p"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"", SECRET, b"p"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"k", b"c2VjcmV0", b"p"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"k", SECRET[:-1], b"p"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"k", SECRET, b"p\nX: y"), Code.VENUE_REFUSED),
        (Code.OK, pack(b"credential", b"k", SECRET, b"p" * 129), Code.VENUE_REFUSED),
        (999, RECORD, Code.VENUE_REFUSED),
        (1 << 31, b"", Code.VENUE_REFUSED),
    ],
    ids=[
        "unreachable", "tls", "nothing", "noise", "no fields", "two fields", "four fields",
        "another domain", "not ascii", "line break", "quote", "no key", "short secret",
        "secret cut", "line break at the end", "long passphrase", "no such code", "negative code",
    ],
)  # fmt: skip
def test_an_enrolment_taken_over_by_its_venue_is_held_to_three_strings(
    signer: Signer, code: int, record: bytes, expected: Code
) -> None:
    statement = enrolling(signer)
    assert signer.taken(signer.enrolled(code, record), statement) == (expected, b"")
    assert signer.channel().buy(1).code is Code.NO_CREDENTIAL
    assert signer.enrol() == (Code.OK, b"api-key"), "the next one fails too"


def test_a_failed_enrolment_leaves_the_credential_of_before(signer: Signer) -> None:
    signer.make_ready()
    first = signer.channel().cancel_all().request
    statement = enrolling(signer)
    other = pack(b"credential", b"other", SECRET, b"p\r")
    assert signer.taken(signer.enrolled(Code.OK, other), statement)[0] is Code.VENUE_REFUSED
    assert b"POLY_API_KEY: api-key\r\n" in first
    assert b"POLY_API_KEY: api-key\r\n" in signer.channel().cancel_all().request


def test_without_time_nothing_is_signed_and_cancels_pass(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer.make_ready()
    channel = signer.channel()
    signer.anchor(1_900_000_000_000)
    assert channel.buy(1).rule is Rule.CLOCK
    assert channel.cancel_all().code is Code.OK
    assert signer.order(Action.ENROLL_DERIVE, "main", u64(1)) == (Code.DENIED, b"")


def test_before_the_first_anchor_there_is_no_time() -> None:
    with started() as signer:
        signer.order_ok("main")
        signer.give(signer.permit())
        assert signer.enrol()[0] is Code.OK
    unanchored = type("Unanchored", (Signer,), {"anchor": lambda *_: None})
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        signer = unanchored(Desk(), Path(folder))
        signer.order_ok("main")
        signer.give(signer.permit())
        assert signer.enrol() == (Code.DENIED, b"")
        signer.stop()


def test_a_connection_that_vanishes_is_not_waited_for(signer: Signer) -> None:
    """One can be gone before it is taken; signing must not wait for another."""
    signer.settle()
    assert not signer.service._listener.getblocking()


def test_a_crowd_of_connections_is_bounded(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_MAX_STREAMS", 3)
    kept = [signer.channel() for _ in range(3)]
    late = signer.wire()
    assert late.receive() is None
    assert [channel.cancel_all().code for channel in kept] == [Code.NO_CREDENTIAL] * 3
    for channel in kept:
        assert channel.wire is not None
        channel.wire.close()
    ends = time.monotonic() + 20
    while time.monotonic() < ends:  # a closed connection makes room again
        wire = signer.wire()
        answer = wire.exchange(signer.opening(signer.desk.bots[0], bytes(32)))
        wire.close()
        if answer:
            break
    assert answer is not None


def test_the_oldest_channel_goes_first(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_MAX_CHANNELS", 2)
    first, second, third = (signer.channel() for _ in range(3))
    assert refusal(first.carry(first.frame(signer.buying(1)))) is Code.UNKNOWN_CHANNEL
    assert second.cancel_all().code is third.cancel_all().code is Code.NO_CREDENTIAL


def test_a_client_that_reads_no_answers_loses_its_connection_only(signer: Signer) -> None:
    signer.make_ready()
    lazy, other = signer.channel(), signer.channel()
    assert lazy.wire is not None
    intent = frames.Intent(frames.Kind.CANCEL, 0, 1, 1 << 62, (), bytes(32_000))
    with suppress(OSError):  # reset or broken pipe, as it happens; a time-out fails below
        while True:
            lazy.wire.send(lazy.frame(intent))
    assert lazy.wire.receive() is not None, "answers that fitted were sent"
    assert other.cancel_all().code is Code.OK
    lazy.wire.close()


def test_an_order_that_is_none_is_refused_with_a_receipt(signer: Signer) -> None:
    for payload in (b"x", bytes(200), b"\0\x19strongroom/owner-order/v1"):
        statement = signer.desk.owners.sign(ORDER_DOMAIN, payload)
        assert signer.deliver_order(statement) == (Code.MALFORMED, b"")
    message = signer.ask(Kind.SUBMIT_ORDER, b"no statement at all")
    assert message.payload[:4] == int(Code.MALFORMED).to_bytes(4, "big")
