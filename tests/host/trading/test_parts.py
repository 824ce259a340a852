"""The parts of the loop by themselves: encodings, markets, gates, orders, words."""

from decimal import Decimal

import pytest
from strongroom_host.contract.frames import intent_bytes
from strongroom_host.latency.stats import Figures
from strongroom_host.relay.heartbeats import Beating, Heartbeats, UnderWay
from strongroom_host.ring.tick import Side
from strongroom_host.strategy.port import Intent, OrderType, Outcome, Reason
from strongroom_host.trading.alive import Alive, AliveLimits
from strongroom_host.trading.errors import MarketUnknown
from strongroom_host.trading.gate import Gate, GateLimits, Held
from strongroom_host.trading.intents import IntentWriter
from strongroom_host.trading.live import PlainLines
from strongroom_host.trading.loop import Said
from strongroom_host.trading.markets import TICKS, TradedMarket, parse_markets
from strongroom_host.trading.orders import Matched, OrderBook, TrackedOrder, read_matched
from strongroom_host.trading.path import Answered
from strongroom_host.trading.words import line, money
from strongroom_host.venue import VenueResponse
from strongroom_wire import frames, manifest
from strongroom_wire.errors import Code, Rule

from tests.host.trading.world import buy

TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
SECOND = 1_000_000_000


def key(*tokens: int) -> manifest.Key:
    band = (Decimal("0.01"), Decimal("0.99"))
    markets = tuple(manifest.Market(str(token), "v2", ("buy", "sell"), *band) for token in tokens)
    limits = (Decimal(100), (), 100, 0, 60, "00" * 32, "00" * 32)
    policy = manifest.Policy(markets, ("GTC",), *limits)
    return manifest.Key("main", "generate", "eoa", "", 137, "clob.testnet", False, policy)


# --- switches ---------------------------------------------------------------------------------


def test_trouble_that_is_over_is_not_shown() -> None:
    def none(_: str = "") -> bytes:
        raise AssertionError("nothing is sent here")

    class NoSender:
        def begin(self, request: bytes, deadline_ns: int) -> UnderWay:
            raise AssertionError((request, deadline_ns))

    heartbeats = Heartbeats(none, NoSender())
    alive = Alive(heartbeats, None, none, Figures(), AliveLimits())
    heartbeats.state = Beating(4, 1, "400: another id was expected")
    assert alive.trouble
    heartbeats.state = Beating(5, 0, "400: another id was expected")
    assert not alive.trouble


# --- intents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize("kind", list(OrderType))
@pytest.mark.parametrize("post_only", [False, True])
def test_an_order_is_what_the_contracts_own_writer_makes_of_it(
    side: Side, kind: OrderType, post_only: bool
) -> None:
    model, inputs = bytes(range(32)), bytes(range(32, 64))
    writer, market = IntentWriter(3, model), TradedMarket(1, "m", TOKEN, 4)
    decision = Intent(1, side, 570_000, 12_340_000, kind, Reason.QUOTE, inputs, 77, post_only)
    now_ns = 1_790_000_000_123_456_789
    order = frames.OrderIntent(
        TOKEN,
        0 if side == Side.BUY else 1,
        int(kind),
        4,
        2 if post_only else 0,
        570_000,
        12_340_000,
        9,
        1_790_000_000_123,
        77,
    )
    expected = frames.Intent(
        frames.Kind.ORDERS,
        3,
        1_790_000_000,
        1_790_000_005_123,
        (order,),
        model + inputs,
    )
    for _ in range(2):  # the second time with the parts that were prepared
        made = writer.order(decision, market, now_ns, 9)
        assert made == intent_bytes(expected)
        assert frames.Intent.parse(made) == expected


def test_requests_without_orders_are_what_the_wire_reads() -> None:
    writer = IntentWriter(2, bytes(32))
    for made, kind, argument in (
        (writer.cancel([bytes(32), bytes([1] * 32)]), frames.Kind.CANCEL, bytes(32) + b"\1" * 32),
        (writer.cancel_all(), frames.Kind.CANCEL_ALL, b""),
        (writer.heartbeat("abc"), frames.Kind.HEARTBEAT, b"abc"),
        (writer.query_order(bytes(32)), frames.Kind.QUERY_ORDER, bytes(32)),
        (writer.query_trades(), frames.Kind.QUERY_TRADES, b""),
    ):
        intent = frames.Intent.parse(made)
        assert (intent.kind, intent.key, intent.argument) == (kind, 2, argument)
        assert intent.deadline > intent.timestamp * 1000


# --- markets ------------------------------------------------------------------------------------

NAMES = ("binance:BTCUSDT", f"polymarket:{TOKEN}", "odd:0.01")


def test_a_token_finds_its_instrument() -> None:
    (market,) = parse_markets([str(TOKEN)], NAMES, key(TOKEN)).values()
    assert market == TradedMarket(2, f"polymarket:{TOKEN}", TOKEN, TICKS.index("0.01"))
    (market,) = parse_markets([f"{TOKEN}=polymarket:{TOKEN}:0.0010"], NAMES, key(TOKEN)).values()
    assert (market.instrument, market.tick) == (2, TICKS.index("0.001"))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "no market"),
        (["5"], "no instrument"),
        (["x=y"], "token id"),
        ([f"{TOKEN}=nowhere"], "no instrument"),
        ([f"7=polymarket:{TOKEN}"], "does not let the key"),
        ([str(TOKEN), str(TOKEN)], "second time"),
        ([str(TOKEN), f"{TOKEN}=binance:BTCUSDT"], "second time"),
    ],
)
def test_markets_that_are_not_there_are_explained(texts: list[str], words: str) -> None:
    with pytest.raises(MarketUnknown, match=words) as caught:
        parse_markets(texts, NAMES, key(TOKEN))
    assert caught.value.remedy or caught.value.expected or "second" in words


@pytest.mark.parametrize(("units", "tick"), [(10_000_000, 0), (1_000_000, 1), (10_000, 5)])
def test_tick_sizes_that_the_venue_has(units: int, tick: int) -> None:
    market = TradedMarket(1, "m", TOKEN, 3)
    assert market.retick(units)
    assert market.tick == tick


@pytest.mark.parametrize("units", [0, 1, 5_000_000, 1_000_001])
def test_other_tick_sizes_change_nothing(units: int) -> None:
    market = TradedMarket(1, "m", TOKEN, 3)
    assert not market.retick(units)
    assert market.tick == 3


# --- the gate -----------------------------------------------------------------------------------


def test_the_venues_time_must_be_ours() -> None:
    gate = Gate(GateLimits(skew_s=5.0))
    assert gate.held(1, SECOND, SECOND, 4 * SECOND) is None
    for skew in (6 * SECOND, -6 * SECOND):
        assert gate.held(1, SECOND, SECOND, skew) is Held.CLOCK
    assert Gate(GateLimits(skew_s=0.0)).held(1, SECOND, SECOND, 10**18) is None


def test_after_a_denial_the_market_rests_for_a_moment() -> None:
    gate = Gate(GateLimits(pause_s=0.25))
    gate.denied(1, SECOND)
    assert gate.held(1, SECOND + 1, SECOND + 1) is Held.PAUSED
    assert gate.held(2, SECOND + 1, SECOND + 1) is None
    later = SECOND + 250_000_001
    assert gate.held(1, later, later) is None


def test_orders_in_a_second_are_counted_over_time() -> None:
    gate = Gate(GateLimits(per_second=3))
    now = 100 * SECOND
    assert [gate.held(1, now, now) for _ in range(4)] == [None, None, None, Held.RATE]
    now += SECOND // 3 + 1
    assert [gate.held(1, now, now) for _ in range(2)] == [None, Held.RATE]


# --- orders -------------------------------------------------------------------------------------


def answer(body: bytes) -> VenueResponse:
    return VenueResponse(200, (), body)


def test_amounts_of_a_match_are_exact() -> None:
    body = b'{"status":"matched","makingAmount":"6.1","takingAmount":"10.000001"}'
    assert read_matched(answer(body), Side.BUY) == Matched(10_000_001, 6_100_000, "matched")
    assert read_matched(answer(body), Side.SELL) == Matched(6_100_000, 10_000_001, "matched")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"makingAmount":"NaN"}', b'{"takingAmount":"-1"}'])
def test_amounts_that_are_none_count_for_nothing(body: bytes) -> None:
    matched = read_matched(answer(body), Side.BUY)
    assert (matched.shares, matched.cash) == (0, 0)


def test_an_order_matched_in_part_at_once_rests_with_what_is_left() -> None:
    book, order = OrderBook(), TrackedOrder(1, buy(kind=OrderType.GTC))
    book.signed(order, bytes(32))
    events = list(book.accepted(order, Matched(4_000_000, 2_440_000, "matched"), 5))
    assert [(e.outcome, e.filled, e.cash, e.open) for e in events] == [
        (Outcome.FILLED, 4_000_000, -2_440_000, 6_000_000),
        (Outcome.LIVE, 0, 0, 6_000_000),
    ]
    (event,) = book.standing(order, 10_000_000, 6, over=True)
    assert (event.filled, event.open) == (6_000_000, 0)
    assert not book.open


def test_a_fill_and_kill_order_ends_with_what_was_filled() -> None:
    book, order = OrderBook(), TrackedOrder(1, buy())
    book.signed(order, bytes(32))
    events = list(book.accepted(order, Matched(4_000_000, 2_440_000, "matched"), 5))
    assert [event.outcome for event in events] == [Outcome.FILLED, Outcome.CANCELLED]
    assert not book.open


def test_a_fraction_of_a_lot_is_no_open_order() -> None:
    book, order = OrderBook(), TrackedOrder(1, buy(size="10.009", kind=OrderType.GTC))
    book.signed(order, bytes(32))
    (event,) = book.accepted(order, Matched(10_000_000, 6_100_000, "matched"), 5)
    assert (event.outcome, event.open) == (Outcome.FILLED, 0)
    assert not book.open


# --- words --------------------------------------------------------------------------------------


def test_a_denial_says_the_rule_and_its_numbers() -> None:
    answered = Answered(4, Code.DENIED, Rule.ORDER_NOTIONAL, 25_000_000, 61_000_000, 9, bytes(32))
    text = line(Said(1, buy(), None, None, answered), {})
    assert "#4" in text
    assert "ORDER_NOTIONAL" in text
    assert "25" in text
    assert "61" in text


def test_what_is_held_back_again_and_again_is_told_once_and_counted() -> None:
    wrote: list[str] = []
    lines = PlainLines(wrote.append, Figures(), {}, lambda: "trading")
    for held in (Held.PAUSED, Held.PAUSED, Held.PAUSED, Held.RATE, None, Held.RATE, Held.RATE):
        lines.hear(Said(1, buy(), None, held))
    lines.close()
    assert ["more" in each for each in wrote] == [False, True, False, False, False, True]
    assert wrote[1] == f"2 more held: {Held.PAUSED.value}"
    assert wrote[-1] == f"1 more held: {Held.RATE.value}"


@pytest.mark.parametrize(("units", "text"), [(610_000, "0.61"), (10_000_000, "10"), (1, "0")])
def test_money_is_short(units: int, text: str) -> None:
    assert money(units) == text
