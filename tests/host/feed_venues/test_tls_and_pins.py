"""Feeds over TLS: who is verified and pinned is heard, and nobody else; pins can be rotated."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from strongroom_host.errors import HostError
from strongroom_host.feed_venues.binance import BinanceVenue
from strongroom_host.feed_venues.server import Link
from strongroom_host.feeds.binance import Binance
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.feeds.errors import BadFeed
from strongroom_host.feeds.loops import loop_factory
from strongroom_host.pins import PinMismatch, PinSet
from strongroom_host.ring.tick import Kind, Status

from tests.host.feed_venues.runs import CALM, keeping, until
from tests.host.feeds.sinks import ListSink
from tests.host.pins.authority import Authority

HOST = "stream.test"
OTHER = hashlib.sha256(b"another").digest()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def endpoint(venue: BinanceVenue, authority: Authority, *pins: bytes) -> Endpoint:
    return Endpoint(
        f"wss://{HOST}:{venue.port}/stream",
        pins=PinSet(HOST, frozenset(pins)) if pins else None,
        cafile=authority.ca,
        address=("127.0.0.1", venue.port),
    )


def feed_of(sink: ListSink) -> Binance:
    return Binance(2, sink, ["BTCUSDT"], first_epoch=1, timing=CALM)


@pytest.mark.parametrize("which", ["none", "leaf", "intermediate", "root", "rotated"])
def test_a_pinned_venue_is_heard(authority: Authority, which: str) -> None:
    identity = authority.identity(HOST)
    pins = {
        "none": (),
        "leaf": (identity.leaf,),
        "intermediate": (identity.intermediate,),
        "root": (identity.root,),
        "rotated": (OTHER, identity.leaf),
    }[which]

    async def run() -> None:
        with BinanceVenue(every_s=0.005, context=identity.context) as venue:
            sink = ListSink()
            async with keeping(feed_of(sink), endpoint(venue, authority, *pins)):
                await until(lambda: len(sink.of(Kind.TRADE)) > 10, "trades")

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run())


class Eager(BinanceVenue):
    """Sends before it is asked, together with its answer to the handshake."""

    def opened(self, link: Link) -> None:
        for _ in range(50):
            link.text('{"stream":"x","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}')


@pytest.mark.parametrize("pure", [False, True])
def test_a_venue_with_another_key_is_not_heard(
    authority: Authority, pure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pure:
        monkeypatch.setenv("STRONGROOM_PURE", "1")
    identity = authority.identity(HOST)

    async def run() -> None:
        with Eager(every_s=0.001, context=identity.context) as venue:
            sink = ListSink()
            feed = feed_of(sink)
            async with keeping(feed, endpoint(venue, authority, OTHER)) as keeper:
                await until(lambda: feed.counters.closed["wrong_pin"] >= 4, "tries")
                said = keeper.said[0]
            assert isinstance(said, PinMismatch)
            assert HOST in said.what
            assert "feed pins" in said.remedy
            assert sink.ticks == []
            assert feed.counters.messages == feed.counters.connected == 0
            assert not any(link.heard for link in venue.links), "not even subscribed"

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run())


def test_a_venue_that_changes_its_key_is_left_at_the_next_connection(authority: Authority) -> None:
    first, second = authority.identity(HOST), authority.identity(HOST)

    async def run() -> None:
        sink = ListSink()
        feed = feed_of(sink)
        with BinanceVenue(every_s=0.005, context=first.context) as venue:
            port = venue.port
            async with keeping(feed, endpoint(venue, authority, first.leaf)):
                await until(lambda: sink.of(Kind.TRADE), "trades")
                venue.stop()
                other = BinanceVenue(every_s=0.005, context=second.context)
                other.port = port
                with other:
                    await until(lambda: feed.counters.closed["wrong_pin"] >= 2, "tries")
                assert sink.statuses() == [Status.CONNECTED, Status.LOST]

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["expired", "name", "authority"])
def test_pins_replace_no_verification(authority: Authority, fault: str, tmp_path: Path) -> None:
    identity = {
        "expired": lambda: authority.identity(HOST, expired=True),
        "name": lambda: authority.identity("elsewhere.test"),
        "authority": lambda: Authority(tmp_path).identity(HOST),
    }[fault]()

    async def run() -> None:
        with BinanceVenue(every_s=0.001, context=identity.context) as venue:
            sink = ListSink()
            feed = feed_of(sink)
            pins = (identity.leaf, identity.intermediate, identity.root)
            async with keeping(feed, endpoint(venue, authority, *pins)):
                await until(lambda: feed.counters.closed["certificate"] >= 2, "tries")
            assert sink.ticks == []
            assert venue.accepted == 0

    asyncio.run(run())


def test_roots_that_cannot_be_read_are_said_at_once(authority: Authority, tmp_path: Path) -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            place = Endpoint(f"wss://{HOST}:{venue.port}/", cafile=tmp_path / "absent.pem")
            async with keeping(feed_of(ListSink()), place) as keeper:
                await keeper.run()

    with pytest.raises(HostError, match="trusted roots"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("http://a.test/", "WebSocket URL"),
        ("wss:///path", "WebSocket URL"),
        ("ws://a.test/", "plain text"),
        ("ws://192.0.2.1/", "plain text"),
        ("wss://a.test:port/", "not a URL"),
        ("nothing", "WebSocket URL"),
    ],
)
def test_other_urls_are_refused(url: str, match: str) -> None:
    with pytest.raises(BadFeed, match=match):
        Endpoint(url)


def test_pins_are_of_their_host_and_of_tls() -> None:
    pins = PinSet("a.test", frozenset({OTHER}))
    with pytest.raises(BadFeed, match="another host"):
        Endpoint("wss://b.test/", pins=pins)
    with pytest.raises(BadFeed, match="of TLS"):
        Endpoint("ws://127.0.0.1/", pins=PinSet("127.0.0.1", frozenset({OTHER})))
    place = Endpoint("wss://A.test/x", pins=pins)
    assert (place.host, place.port, place.secure) == ("a.test", 443, True)
    assert Endpoint("ws://[::1]:9/").port == 9
