from __future__ import annotations

import random

import pytest
from strongroom_host.feed_venues.bitcoin import MadeTransaction, make_transaction
from strongroom_host.feeds.bitcoin import Bitcoin
from strongroom_host.feeds.bitcoin_transaction import MAX_MONEY, MAX_SIZE, read_transaction
from strongroom_host.feeds.errors import BadFeed, Reason, Refused
from strongroom_host.ring.tick import Kind, Status, Tick

from tests.host.feeds.sinks import ListSink

BTC = 10**8
# The first payment ever made, of block 170: 10 bitcoin, and 40 of change (public chain data).
FIRST = bytes.fromhex(
    "0100000001c997a5e56e104102fa209c6a852dd90660a20b2d9c352423edce25857fcd3704000000004847"
    "304402204e45e16932b8af514961a1d3a1a25fdf3f4f7732e9d624c6c61548ab5fb8cd410220181522ec8eca07de"
    "4860a4acdd12909d831cc56cbbac4622082221a8768d1d0901ffffffff0200ca9a3b00000000434104ae1a62fe09"
    "c5f51b13905f07f06b99a2f7159b2225f374cd378d71302fa28414e7aab37397f554a7df5f142c21c1b7303b8a06"
    "26f1baded5c72a704f7e6cd84cac00286bee0000000043410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97"
    "b1482ecad7b148a6909a5cb2e0eaddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac0000"
    "0000"
)
FIRST_ID = "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16"


def made(seed: int = 1, *values: int, segwit: bool = True) -> MadeTransaction:
    return make_transaction(random.Random(seed), values or (3, 200 * BTC), segwit=segwit)  # noqa: S311


def test_the_first_payment() -> None:
    transaction = read_transaction(FIRST)
    assert transaction.txid.hex() == FIRST_ID
    assert transaction.values == (10 * BTC, 40 * BTC)
    assert transaction.largest == 40 * BTC
    assert (transaction.inputs, transaction.coinbase, transaction.segwit) == (1, False, False)


@pytest.mark.parametrize("segwit", [False, True])
@pytest.mark.parametrize("inputs", [1, 3, 300])
@pytest.mark.parametrize("outputs", [1, 2, 400])
def test_made_ones_are_read(segwit: bool, inputs: int, outputs: int) -> None:
    values = tuple(range(1, outputs + 1))
    one = make_transaction(random.Random(2), values, segwit=segwit, inputs=inputs)  # noqa: S311
    read = read_transaction(one.data)
    assert (read.txid, read.values, read.inputs) == (one.txid, values, inputs)
    assert read.segwit is segwit


def test_witnesses_are_no_part_of_the_txid() -> None:
    one = made(5)
    spoiled = bytearray(one.data)
    spoiled[-20] ^= 1  # in the last witness
    assert read_transaction(bytes(spoiled)).txid == one.txid
    spoiled[60] ^= 1
    assert read_transaction(bytes(spoiled)).txid != one.txid


@pytest.mark.parametrize("data", [FIRST, made(7).data], ids=["first", "segwit"])
def test_cut_off_or_with_more_behind_it_is_refused(data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(Refused) as caught:
            read_transaction(data[:end])
        assert caught.value.reason is Reason.MALFORMED
    with pytest.raises(Refused, match="behind"):
        read_transaction(data + b"\0")


def test_what_only_looks_like_one_is_refused() -> None:
    one = made(3, segwit=False).data
    segwit = made(3).data
    bare = segwit[:6] + one[4:-4] + b"\x00" + one[-4:]  # one input, no witness items
    wrong = {
        "no inputs, or an unknown flag": segwit[:5] + b"\x02" + segwit[6:],
        "without inputs": segwit[:6] + b"\x00" + segwit[7:],
        "without outputs": one[: 4 + 1 + 36 + 1 + 107 + 4] + b"\x00" + one[-4:],
        "shortest form": one[:4] + b"\xfd\x01\x00" + one[5:],
        "more elements than bytes": one[:4] + b"\xfe\xff\xff\xff\x00" + one[5:],
        "without any witness": bare,
    }
    for words, data in wrong.items():
        with pytest.raises(Refused, match=words):
            read_transaction(data)
    with pytest.raises(Refused) as caught:
        read_transaction(bytes(MAX_SIZE + 1))
    assert caught.value.reason is Reason.OVERSIZED
    for values in ((MAX_MONEY + 1,), (MAX_MONEY, 1), (2**64 - 1,)):
        with pytest.raises(Refused) as caught:
            read_transaction(made(1, *values).data)
        assert caught.value.reason is Reason.OUT_OF_RANGE
    assert read_transaction(made(1, MAX_MONEY).data).largest == MAX_MONEY


def test_a_blocks_own_transaction_is_known_as_such() -> None:
    one = bytearray(made(4, 50 * BTC, segwit=False).data)
    one[5:41] = bytes(32) + b"\xff" * 4
    assert read_transaction(bytes(one)).coinbase


class Node:
    """A feed whose nodes are hands in a test."""

    def __init__(self, *, mempool: bool = False) -> None:
        self.sink, self.now = ListSink(), 10**9
        self.feed = Bitcoin(4, self.sink, first_epoch=3, least=100 * BTC, mempool=mempool)
        self.counts: dict[bytes, int] = {}

    def say(
        self, body: bytes, *, skip: int = 0, topic: bytes = b"rawtx", node: int = 0
    ) -> list[Tick]:
        self.now += 1000
        count = self.counts.get(topic, 0) + skip
        self.counts[topic] = count + 1
        self.feed.received(node, [topic, body, count.to_bytes(4, "little")], self.now)
        return self.sink.take()


def test_large_transfers_become_ticks_once() -> None:
    node = Node()
    one = made(1, 5, 200 * BTC)
    status, tick = node.say(one.data)
    assert status.detail == Status.CONNECTED
    assert (tick.kind, tick.price, tick.size, tick.side) == (Kind.TRANSFER, 0, 200 * BTC, 0)
    assert f"{tick.detail:016x}" == one.txid.hex()[:16]
    assert node.sink.names == ["bitcoin:mempool"]
    assert node.say(one.data) == [], "its block brings it again"
    assert node.say(made(2, 99 * BTC).data) == []
    assert node.feed.transactions == 3


def test_a_skipped_count_is_a_hole() -> None:
    node = Node()
    node.say(made(1).data)
    ticks = node.say(made(2).data, skip=3)
    assert [(tick.epoch, tick.kind) for tick in ticks] == [(4, Kind.STATUS), (4, Kind.TRANSFER)]
    assert node.feed.counters.skipped == 3
    node.counts[b"rawtx"] = 0  # the node was started anew
    assert [tick.epoch for tick in node.say(made(3).data)] == [5, 5]
    assert node.feed.counters.skipped == 3


def test_counts_go_round() -> None:
    node = Node()
    node.counts[b"rawtx"] = 2**32 - 1
    node.say(made(1).data)
    node.counts[b"rawtx"] = 0
    node.say(made(2).data)
    assert node.feed.counters.skipped == 0
    assert node.feed.lane.epoch == 3


def test_a_mempools_own_count_shows_what_was_never_published() -> None:
    node = Node(mempool=True)

    def event(label: bytes, number: int) -> bytes:
        return bytes(32) + label + number.to_bytes(8, "little")

    node.say(event(b"A", 5), topic=b"sequence")
    node.say(event(b"R", 6), topic=b"sequence")
    node.say(bytes(32) + b"C", topic=b"sequence")
    assert node.feed.counters.skipped == 0
    assert len(node.say(event(b"A", 9), topic=b"sequence")) == 1
    assert node.feed.counters.skipped == 2
    for body in (b"", bytes(33), bytes(32) + b"A", event(b"X", 1), event(b"A", 1) + b"\0"):
        node.say(body, topic=b"sequence")
    assert node.feed.counters.refused == {Reason.MALFORMED: 5}


def test_other_parts_and_topics_are_refused() -> None:
    node = Node()
    node.feed.received(0, [b"rawtx"], 1)
    node.feed.received(0, [b"rawtx", FIRST, b"\0\0\0"], 1)
    node.feed.received(0, [b"hashtx", bytes(32), bytes(4)], 1)
    node.feed.received(0, [b"rawtx", b"nothing", bytes(4)], 1)
    assert node.feed.counters.refused == {Reason.MALFORMED: 3, Reason.UNKNOWN_TYPE: 1}


def test_amounts_of_configuration() -> None:
    with pytest.raises(BadFeed):
        Bitcoin(4, ListSink(), first_epoch=0, least=-1)
