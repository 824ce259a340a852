"""Features: what they mean, the same live and from a tape, and never of a tick that comes later."""

from strongroom_host.ring.tick import Kind, Side
from strongroom_host.strategy.features import HIGHEST, NAMES, Features
from strongroom_host.strategy.steps import LONGEST, Steps, samples

from tests.host.strategy.ticks import UNIT, Feed, Kept


def quiet() -> tuple[Kept, Feed, Feed]:
    sink = Kept()
    token, coin = Feed(sink), Feed(sink, instrument=2, feed=2)
    token.book([(40, 300)], [(42, 100)])
    coin._tick(Kind.BEST_BID, Side.BUY, 59_999 * UNIT, UNIT, 0)
    coin._tick(Kind.BEST_ASK, Side.SELL, 60_001 * UNIT, 3 * UNIT)
    return sink, token, coin


def ended(sink: Kept) -> list[dict[str, int]]:
    steps = Steps(Features(1, 2, 3), 100)
    found = (steps.tick(view) for view in sink.views())
    return [dict(zip(NAMES, row, strict=True)) for row in found if row is not None]


def test_each_feature_says_what_it_is_said_to() -> None:
    sink, token, coin = quiet()
    coin.at(150).trade(Side.BUY, 1, 3).trade(Side.SELL, 1, 1)
    token.at(160).trade(Side.SELL, 40, 5)
    Feed(sink, instrument=3, feed=4).at(170).transfer(400, 1).transfer(99, 2)
    coin.at(250)._tick(Kind.BEST_BID, Side.BUY, 59_999 * UNIT, UNIT)
    coin.at(350)._tick(Kind.BEST_BID, Side.BUY, 59_999 * UNIT, UNIT)
    first, second, third = ended(sink)
    assert first == {
        **dict.fromkeys(NAMES, 0),
        "spread": 128,
        "level": (41 - 50) * 128 * 2 // 100,
        "token_lean": (300 - 100) * 128 // 400,
        "coin_lean": (1 - 3) * 128 // 4,
    }
    assert (second["coin_flow"], second["token_flow"], second["transfers"]) == (64, -128, 100)
    assert third["coin_flow"] == 64, "what is past fades on both sides alike"
    assert third["transfers"] == 99


def test_returns_are_of_the_coin_in_parts_of_a_million() -> None:
    sink, _, coin = quiet()
    coin.at(110)._tick(Kind.BEST_BID, Side.BUY, 60_005 * UNIT, UNIT, 0)
    coin._tick(Kind.BEST_ASK, Side.SELL, 60_007 * UNIT, UNIT)
    coin.at(210).trade(Side.BUY, 1, 1)
    rows = ended(sink)
    assert rows[0]["return_1"] == 0
    assert rows[1]["return_1"] == 6 * 1_000_000 // 60_006
    assert rows[1]["return_4"] == 6 * 1_000_000 // 60_000
    assert rows[1]["return_16"] == 100 // 2
    assert rows[1]["return_64"] == 100 // 4


def test_a_step_is_over_before_the_tick_that_ends_it() -> None:
    """The tick that begins the next step may change everything; the last features lack it."""
    rows = []
    for bid in (30, 41):
        sink, token, _ = quiet()
        token.at(120).level(Side.BUY, bid, 7)
        rows.append(ended(sink))
    assert rows[0] == rows[1]
    assert len(rows[0]) == 1


def test_features_have_bounds() -> None:
    sink, token, coin = quiet()
    coin.at(120)._tick(Kind.BEST_ASK, Side.SELL, 90_000 * UNIT, UNIT)
    token.at(121).level(Side.SELL, 42, 0).level(Side.SELL, 99, 1)
    coin.at(220).trade(Side.BUY, 1, 1)
    for row in ended(sink):
        assert all(-HIGHEST <= value <= HIGHEST for value in row.values())
    assert ended(sink)[-1]["return_1"] == HIGHEST


def test_silence_and_holes_end_what_was_known() -> None:
    sink, token, coin = quiet()
    coin.at(110).trade(Side.BUY, 1, 1)
    coin.at(110 + 100 * LONGEST).trade(Side.BUY, 1, 1)
    assert len(ended(sink)) == 2
    coin.at(110 + 100 * (2 * LONGEST + 1)).trade(Side.BUY, 1, 1)
    assert len(ended(sink)) == 2, "too long"
    sink, token, coin = quiet()
    coin.at(110).trade(Side.BUY, 1, 1)
    token.epoch = 1
    token.at(120).book([(40, 300)], [(42, 100)])
    coin._tick(Kind.BEST_BID, Side.BUY, 59_999 * UNIT, UNIT, 0)
    coin._tick(Kind.BEST_ASK, Side.SELL, 60_001 * UNIT, 3 * UNIT)
    coin.at(210).trade(Side.BUY, 1, 1)
    found = list(samples(sink.views(), Features(1, 2, 3), 100))
    assert [sample.first for sample in found] == [True, True]
    assert [sample.twice_mid for sample in found] == [82 * 1_000_000] * 2
