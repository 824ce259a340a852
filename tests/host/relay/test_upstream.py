"""Connections to the venue: verified, pinned, kept warm; each request sent once, or not at all."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from strongroom_host.pins import PinSet, pin_of, pinned_context, verifying_context
from strongroom_host.relay.answers import Answered
from strongroom_host.relay.counters import Counters, Event, RateLimited
from strongroom_host.relay.dialing import Dialer, Venue
from strongroom_host.relay.jobs import Failed, Job
from strongroom_host.relay.messages import Outcome
from strongroom_host.relay.poller import Poller
from strongroom_host.relay.reasons import Reason
from strongroom_host.relay.upstream import Pool, PoolLimits
from strongroom_host.venue import MalformedRequest

from tests.host.relay.upstreams import OK, Upstream, reset, upstream
from tests.host.relay.world import order

MS = 1_000_000
PROBE = b"GET /ok HTTP/1.1\r\nHost: venue.test\r\n\r\n"
QUIET = PoolLimits(connections=2, probe_ns=3_600_000 * MS, reuse_ns=3_600_000 * MS)


class Pooled:
    """A pool that is turned by the test's own thread."""

    def __init__(self, venue: Venue, limits: PoolLimits = QUIET, timeout_s: float = 2.0) -> None:
        self.counters, self.log = Counters(), list[str]()
        self.poller = Poller()
        self.pool = Pool(
            Dialer(venue, timeout_s),
            self.poller,
            PROBE,
            self.counters,
            RateLimited(self.log.append, every_ns=0),
            time.monotonic_ns,
            limits,
        )

    def turn_until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not happen"
            self.poller.wait(0.02)
            self.pool.tick(time.monotonic_ns())

    def submit(self, raw: bytes | None = None, life_s: float = 5.0) -> list[Answered | Failed]:
        results: list[Answered | Failed] = []
        now = time.monotonic_ns()
        job = Job(raw or order(), b"POST", now, now + int(life_s * 1e9), results.append)
        self.pool.submit(job, now)
        return results

    def exchange(self, raw: bytes | None = None, life_s: float = 5.0) -> Answered | Failed:
        results = self.submit(raw, life_s)
        self.turn_until(lambda: results)
        [result] = results
        return result

    def close(self) -> None:
        self.pool.close()
        self.poller.close()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Upstream]:
    with upstream(tmp_path / "venue") as server:
        yield server


def to(server: Upstream, *addresses: tuple[str, int]) -> Venue:
    return Venue("venue.test", 443, server.context(), addresses or (server.address,))


@pytest.fixture
def pooled(venue: Upstream) -> Iterator[Pooled]:
    made = Pooled(to(venue))
    made.turn_until(lambda: made.pool.ready == len(venue.standing) == 2)
    yield made
    made.close()


def test_connections_stand_before_anything_is_sent(pooled: Pooled, venue: Upstream) -> None:
    pooled.turn_until(lambda: venue.connections == 2)
    assert venue.received == []
    assert pooled.counters.events[Event.CONNECTIONS_MADE] == 2


def test_requests_go_over_them_unchanged(pooled: Pooled, venue: Upstream) -> None:
    for size in (1, 700, 30_000):
        answer = pooled.exchange(order(size))
        assert isinstance(answer, Answered)
        assert (answer.status, answer.body) == (200, b"ok")
        assert answer.upstream_ns > 0
        assert answer.relay_ns > 0
    assert venue.received == [order(1), order(700), order(30_000)]
    assert venue.connections == 2, "and they stay"


def test_more_at_once_than_connections_wait_their_turn(pooled: Pooled, venue: Upstream) -> None:
    results = [pooled.submit(order(size)) for size in range(1, 8)]
    pooled.turn_until(lambda: all(results))
    assert all(isinstance(result, Answered) for [result] in results)
    assert sorted(venue.received) == sorted(order(size) for size in range(1, 8))


def test_an_answer_that_ends_the_connection_gets_a_new_one(pooled: Pooled, venue: Upstream) -> None:
    venue.answer = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    assert isinstance(pooled.exchange(), Answered)
    pooled.turn_until(lambda: pooled.pool.ready == 2 and venue.connections == 3)


WORST: list[tuple[str, Callable[[ssl.SSLSocket, bytes], bool], Reason]] = [
    ("reset", lambda tls, _: _reset(tls), Reason.UPSTREAM_BROKE),
    ("closed", lambda tls, _: _close(tls), Reason.UPSTREAM_BROKE),
    ("half", lambda tls, _: _send_and_close(tls, OK[:-1]), Reason.UPSTREAM_BROKE),
    (
        "no end",
        lambda tls, _: _send_and_close(tls, b"HTTP/1.1 200 OK\r\n\r\nok"),
        Reason.UPSTREAM_BROKE,
    ),
    ("garbage", lambda tls, _: _send(tls, b"\x00\x01\x02\r\n\r\n"), Reason.UPSTREAM_NOT_HTTP),
    ("silence", lambda tls, _: True, Reason.UPSTREAM_SILENT),
    ("half and silence", lambda tls, _: _send(tls, OK[:-1]), Reason.UPSTREAM_SILENT),
    (
        "too long",
        lambda tls, _: _send(tls, OK.replace(b": 2", b": 9999999")),
        Reason.ANSWER_TOO_LONG,
    ),
]


def _send(tls: ssl.SSLSocket, data: bytes) -> bool:
    tls.sendall(data)
    return True


def _reset(tls: ssl.SSLSocket) -> bool:
    reset(tls)
    return True


def _close(tls: ssl.SSLSocket) -> bool:
    tls.close()
    return True


def _send_and_close(tls: ssl.SSLSocket, data: bytes) -> bool:
    tls.sendall(data)
    tls.close()
    return True


@pytest.mark.parametrize(
    ("behave", "reason"), [case[1:] for case in WORST], ids=[c[0] for c in WORST]
)
def test_what_breaks_after_the_first_byte_is_unknown_and_not_sent_again(
    venue: Upstream, behave: Callable[[ssl.SSLSocket, bytes], bool], reason: Reason
) -> None:
    made = Pooled(to(venue), replace(QUIET, answer_ns=300 * MS))
    try:
        made.turn_until(lambda: made.pool.ready == 2)
        venue.behave = behave
        result = made.exchange()
        assert isinstance(result, Failed)
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, reason)
        venue.behave = lambda _tls, _request: False
        assert isinstance(made.exchange(order(9)), Answered), "and the next goes another way"
        assert venue.received == [order(), order(9)]
    finally:
        made.close()


def test_an_idle_connection_that_ended_is_never_written_to(pooled: Pooled, venue: Upstream) -> None:
    venue.cut_all()
    time.sleep(0.1)
    result = pooled.exchange()  # nothing was read in between: submit itself has to notice
    assert isinstance(result, Answered)
    assert venue.received == [order()]
    assert pooled.counters.events[Event.CONNECTIONS_LOST] == 2


def test_an_end_behind_an_answer_is_seen_before_the_next_request(
    pooled: Pooled, venue: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come in one look of the poller, which took the connection for a busy one."""
    monkeypatch.setattr("strongroom_host.relay.upstream._JUST_NOW_NS", 60_000 * MS)
    venue.behave = lambda tls, _: _send_and_close(tls, OK)
    first = pooled.submit()
    until = time.monotonic() + 30
    while len(venue.standing) != 1:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.05)
    venue.behave = lambda _tls, _request: False
    second: list[list[Answered | Failed]] = []
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)

        def ask(_events: int) -> None:
            near.recv(1)
            second.append(pooled.submit(order(9)))

        pooled.poller.watch(near.fileno(), ask, last=True)
        far.send(b"x")
        pooled.turn_until(lambda: second and second[0])
        pooled.poller.forget(near.fileno())
    assert isinstance(first[0], Answered)
    assert isinstance(second[0][0], Answered)
    assert venue.received == [order(), order(9)]


def test_bytes_that_nobody_asked_for_end_a_connection(pooled: Pooled, venue: Upstream) -> None:
    for tls in list(venue.standing):
        tls.sendall(OK)
    time.sleep(0.1)
    venue.answer = OK.replace(b"ok", b"no")
    result = pooled.exchange()
    assert isinstance(result, Answered)
    assert result.body == b"no", "an old answer is not taken for a new one"


def test_a_venue_that_is_gone_is_told_before_the_deadline_ends(tmp_path: Path) -> None:
    with upstream(tmp_path / "v") as server:
        nowhere = to(server, ("127.0.0.1", _free_port()))
        made = Pooled(nowhere)
        try:
            results = [made.submit(life_s=0.4) for _ in range(3)]
            made.turn_until(lambda: all(results))
            assert [result for [result] in results] == [
                Failed(Outcome.NOT_SENT, Reason.NO_CONNECTION)
            ] * 3
            assert made.counters.events[Event.CONNECTS_FAILED] >= 1
            assert "cannot connect" in made.log[0]
        finally:
            made.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    with upstream(tmp_path / "v") as server:
        made = Pooled(to(server, ("127.0.0.1", _free_port())), replace(QUIET, waiting=2))
        try:
            results = [made.submit() for _ in range(3)]
            assert results[2] == [Failed(Outcome.NOT_SENT, Reason.QUEUE_FULL)]
        finally:
            made.close()
        assert results[0] == [Failed(Outcome.NOT_SENT, Reason.DRAINING)]


def test_the_second_address_is_tried_when_the_first_is_dead(venue: Upstream) -> None:
    made = Pooled(to(venue, ("127.0.0.1", _free_port()), venue.address))
    try:
        assert isinstance(made.exchange(), Answered)
    finally:
        made.close()


def test_it_comes_back_when_the_venue_does(tmp_path: Path, venue: Upstream) -> None:
    made = Pooled(to(venue))
    made.turn_until(lambda: made.pool.ready == 2)
    venue.stop()
    made.turn_until(lambda: made.pool.standing == 0)
    with upstream(tmp_path / "again") as again:
        made.pool._dialer._venue = Venue("venue.test", 443, again.context(), (again.address,))
        result = made.exchange(life_s=10)
        assert isinstance(result, Answered)
        made.close()


# --- TLS --------------------------------------------------------------------------------------


def refused(venue: Venue) -> str:
    made = Pooled(venue)
    try:
        made.turn_until(lambda: made.log)
        assert made.pool.standing == 0
        return made.log[0]
    finally:
        made.close()


def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    with upstream(tmp_path / "other", name="other.test") as other:
        words = refused(to(other))
        assert "certificate was not accepted" in words
        assert "venue.test" in words
        assert other.received == []


def test_a_root_that_is_not_trusted_is_refused(tmp_path: Path, venue: Upstream) -> None:
    with upstream(tmp_path / "stranger") as stranger:
        words = refused(Venue("venue.test", 443, venue.context(), (stranger.address,)))
        assert "certificate was not accepted" in words


def pins(server: Upstream, pin: bytes | None = None) -> ssl.SSLContext:
    leaf = ssl.PEM_cert_to_DER_cert(
        server.chain.read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n"
    )
    held = PinSet("venue.test", frozenset([pin or pin_of(leaf)]))
    return pinned_context(held, cafile=server.ca)


def test_a_pinned_key_is_taken(venue: Upstream) -> None:
    made = Pooled(Venue("venue.test", 443, pins(venue), (venue.address,)))
    try:
        assert isinstance(made.exchange(), Answered)
    finally:
        made.close()


def test_a_key_that_is_not_pinned_gets_no_request(venue: Upstream) -> None:
    words = refused(Venue("venue.test", 443, pins(venue, b"p" * 32), (venue.address,)))
    assert "none of the keys that are pinned" in words
    assert "sha256/" in words
    assert venue.received == []


def test_a_context_that_takes_anybody_is_no_venue(venue: Upstream) -> None:
    loose = ssl.create_default_context()
    loose.check_hostname = False
    with pytest.raises(MalformedRequest):
        Venue("venue.test", 443, loose)
    loose.verify_mode = ssl.CERT_NONE
    with pytest.raises(MalformedRequest):
        Venue("venue.test", 443, loose)
    loose = ssl.create_default_context()
    loose.verify_mode = ssl.CERT_OPTIONAL
    with pytest.raises(MalformedRequest):
        Venue("venue.test", 443, loose)
    assert Venue("venue.test", 443, verifying_context(venue.ca)).port == 443


# --- staying warm -----------------------------------------------------------------------------


def test_silent_connections_are_asked_whether_they_live(venue: Upstream) -> None:
    made = Pooled(to(venue), PoolLimits(connections=2, probe_ns=50 * MS, reuse_ns=400 * MS))
    try:
        made.turn_until(lambda: venue.probes >= 8)
        assert venue.connections == 2
        assert isinstance(made.exchange(), Answered)
    finally:
        made.close()


def test_a_connection_that_gives_no_sign_of_life_is_replaced(venue: Upstream) -> None:
    limits = PoolLimits(
        connections=2, probe_ns=50 * MS, reuse_ns=400 * MS, probe_answer_ns=100 * MS
    )
    made = Pooled(to(venue), limits)
    try:
        made.turn_until(lambda: made.pool.ready == len(venue.standing) == 2)
        venue.deaf |= venue.standing
        made.turn_until(lambda: venue.connections >= 4 and made.pool.ready == 2)
        assert isinstance(made.exchange(), Answered)
    finally:
        made.close()


def test_an_old_sign_of_life_is_not_believed(venue: Upstream) -> None:
    made = Pooled(to(venue), replace(QUIET, reuse_ns=100 * MS))
    try:
        made.turn_until(lambda: made.pool.ready == 2)
        time.sleep(0.15)
        assert isinstance(made.exchange(), Answered)
        assert venue.connections >= 3
    finally:
        made.close()


def test_connections_do_not_grow_old(venue: Upstream) -> None:
    made = Pooled(to(venue), replace(QUIET, max_age_ns=200 * MS))
    try:
        made.turn_until(lambda: venue.connections >= 5)
        made.turn_until(lambda: made.pool.standing == 2)
        assert isinstance(made.exchange(), Answered)
    finally:
        made.close()


def test_a_request_larger_than_the_sockets_buffers_goes_out_whole(venue: Upstream) -> None:
    made = Pooled(to(venue))
    try:
        made.turn_until(lambda: made.pool.ready == 2)
        for connection in made.pool._idle:
            connection.tls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        big = order(3_000_000)
        assert isinstance(made.exchange(big), Answered)
        assert venue.received == [big]
    finally:
        made.close()


def test_closing_tells_those_who_wait(venue: Upstream) -> None:
    made = Pooled(to(venue))
    made.turn_until(lambda: made.pool.ready == 2)
    venue.behave = lambda _tls, _request: True
    results = [made.submit(order(size)) for size in (1, 2, 3)]
    made.turn_until(lambda: len(venue.received) == 2)
    made.close()
    found = [(result.outcome, result.reason) for [result] in results if isinstance(result, Failed)]
    assert found == [(Outcome.UNKNOWN, Reason.UPSTREAM_BROKE)] * 2 + [
        (Outcome.NOT_SENT, Reason.DRAINING)
    ]
