from __future__ import annotations

import random
from pathlib import Path

import pytest
from strongroom_host.errors import HostError
from strongroom_host.feeds.backoff import Backoff
from strongroom_host.feeds.clock import SkewMeter
from strongroom_host.feeds.config import FeedsConfig, load_config, parse_address, satoshi
from strongroom_host.feeds.errors import BadFeed, Reason
from strongroom_host.feeds.metrics import prometheus, status_line
from strongroom_host.feeds.polymarket import Polymarket
from strongroom_host.feeds.service import make_feeds
from strongroom_host.pins import BadPin, pin_text

from tests.host.feeds.sinks import ListSink

PIN = pin_text(bytes(32))
WHOLE = f"""
ring = "main"
slots = 1024
metrics = "127.0.0.1:9400"
[timing]
silence = 20
[polymarket]
tokens = ["123", "456"]
pins = ["{PIN}"]
[binance]
symbols = ["BTCUSDT"]
trades = "aggTrade"
connections = 1
address = "[::1]:9443"
[coinbase]
products = ["BTC-USD"]
books = true
[bitcoin]
addresses = ["tcp://127.0.0.1:28332"]
least_btc = "0.5"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "feeds.toml"
    path.write_text(text)
    return path


def test_a_whole_file_makes_all_feeds(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, WHOLE))
    sink = ListSink()
    running = make_feeds(config, sink, 5)
    assert [item.feed.name for item in running] == ["polymarket", "binance", "coinbase", "bitcoin"]
    assert [item.feed.lane.feed for item in running] == [1, 2, 3, 4]
    assert {item.feed.lane.epoch for item in running} == {5}
    assert sink.names == [
        "polymarket:123",
        "polymarket:456",
        "binance:BTCUSDT",
        "coinbase:BTC-USD",
        "bitcoin:mempool",
    ]
    assert config.polymarket is not None
    pins = config.polymarket.endpoint().pins
    assert pins is not None
    assert pins.host == "ws-subscriptions-clob.polymarket.com"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("ring = 5", BadFeed),
        ("colour = 'red'", BadFeed),
        ("[polymarket]", BadFeed),
        ("[polymarket]\ntokens = ['x']", BadFeed),
        ("[polymarket]\ntokens = ['1']\npins = ['sha256/short']", BadPin),
        ("[polymarket]\ntokens = ['1']\nurl = 'ws://a.test/'", BadFeed),
        ("[polymarket]\ntokens = ['1']\nconnections = 5", BadFeed),
        ("[binance]\nsymbols = []", BadFeed),
        ("[binance]\nsymbols = ['BTCUSDT']\ntrades = 'depth'", BadFeed),
        ("[binance]\nsymbols = ['BTC/USDT']", BadFeed),
        ("[binance]\nsymbols = ['BTCUSDT']\naddress = 'nowhere'", BadFeed),
        ("[coinbase]\nproducts = ['BTC USD']", BadFeed),
        ("[bitcoin]\naddresses = []", BadFeed),
        ("[bitcoin]\naddresses = ['127.0.0.1:28332']", BadFeed),
        ("[bitcoin]\naddresses = ['tcp://127.0.0.1:1']\nleast_btc = '1e'", BadFeed),
        ("[timing]\nsilence = 0\n[binance]\nsymbols = ['BTCUSDT']", BadFeed),
        ("", BadFeed),
        ("[[", BadFeed),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path: Path, text: str, error: type[HostError]) -> None:
    with pytest.raises(error) as caught:
        make_feeds(load_config(written(tmp_path, text)), ListSink(), 0)
    assert caught.value.exit_status == 2


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFeed, match="configures no feeds"):
        load_config(tmp_path / "absent.toml")


def test_addresses_and_amounts() -> None:
    assert parse_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert parse_address("[::1]:443") == ("::1", 443)
    for text in ("", "host", "host:", ":80", "host:70000", "host:x"):
        with pytest.raises(BadFeed):
            parse_address(text)
    assert satoshi("0.00000001") == 1
    assert satoshi("100") == 100 * 10**8
    for text in ("", "-1", "x", "0.000000001", "NaN", "Infinity"):
        with pytest.raises(BadFeed):
            satoshi(text)


def test_delays_double_within_their_jitter_and_begin_anew() -> None:
    backoff = Backoff(0.25, 30.0, random.Random(1))  # noqa: S311
    for end in (0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30):
        assert end / 2 <= backoff.next() <= end
    backoff.reset()
    assert backoff.next() <= 0.25
    assert len({Backoff(1, 1, random.Random(n)).next() for n in range(20)}) == 20  # noqa: S311


SECOND = 10**9


def test_a_clock_that_is_behind_shows_whatever_the_latency() -> None:
    meter = SkewMeter(SECOND)
    meter.offset_ns = 1_000_000 * SECOND
    for n in range(64):
        meter.note(n, meter.offset_ns + n + 3 * SECOND - (n % 7) * 1_000_000)
    assert meter.off
    assert meter.turned()
    assert not meter.turned()
    assert meter.value_ns == -3 * SECOND
    assert "3.000 s behind" in meter.words()
    for n in range(64):
        meter.note(n, meter.offset_ns + n - 5_000_000)
    assert meter.turned()
    assert "agrees" in meter.words()


def test_latency_now_and_then_is_no_skew() -> None:
    meter = SkewMeter(SECOND)
    for n in range(640):
        meter.note(n, n - (5 * SECOND if n % 3 else 1_000))
    assert not meter.off
    for n in range(64):
        meter.note(n, n - 2 * SECOND)
    assert "old when they arrive" in meter.words()


def test_counters_as_prometheus_reads_them_and_as_a_person_does() -> None:
    feed = Polymarket(1, ListSink(), ["123"], first_epoch=7)
    assert "NO CONNECTION" in status_line(feed, {0: "connect: refused"})
    feed.opened(0, 1)
    feed.received(0, "{", 2)
    feed.closed(0, "cut", 3)
    text = prometheus([feed])
    assert 'strongroom_feed_epoch{feed="polymarket"} 7\n' in text
    assert 'strongroom_feed_refused_total{feed="polymarket",reason="malformed"} 1\n' in text
    assert 'strongroom_feed_closed_total{feed="polymarket",reason="cut"} 1\n' in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    line = status_line(feed, {})
    assert "refused: 1 malformed" in line
    assert "ended: 1 cut" in line
    assert feed.counters.refused[Reason.MALFORMED] == 1


def test_no_feed_at_all_is_said() -> None:
    with pytest.raises(BadFeed, match="no feed"):
        make_feeds(FeedsConfig(), ListSink(), 0)
