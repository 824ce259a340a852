"""The store's client against a host that breaks the protocol, lies, or goes away."""

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.datakeys import SealForged
from strongroom_enclave.record.errors import StoreBroken, StoreRefused
from strongroom_enclave.record.state import TRADES, Chain, Store
from strongroom_wire.encoding import pack, u32, u64, unpack
from strongroom_wire.errors import WireError

from tests.enclave.record_kept.samples import KEY, KEYS, VENUE, trade

ASK, TOLD = b"strongroom/store/ask/v2", b"strongroom/store/told/v2"
Host = Callable[[list[bytes]], bytes]
"""From a request's verb and fields to all bytes of the answer; empty to hang up."""


def told(*fields: bytes, outcome: bytes = b"\0") -> bytes:
    answer = pack(TOLD, outcome, *fields)
    return u32(len(answer)) + answer


@contextmanager
def hosted(host: Host, timeout: float = 20, *, once: bool = False) -> Iterator[Store]:
    """A store whose host answers so, one request after another, or `once` and hangs up."""
    ours, theirs = socket.socketpair()
    ours.settimeout(timeout)

    def serve() -> None:
        with theirs, theirs.makefile("rwb") as stream:
            while len(size := stream.read(4)) == 4:
                answer = host(unpack(ASK, stream.read(int.from_bytes(size)), limit=1 << 26))
                if not answer:
                    return
                stream.write(answer)
                stream.flush()
                if once:
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with ours:
        stream = ours.makefile("rwb")
        try:
            yield Store(stream)
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_requests_are_the_documented_ones() -> None:
    asked = []

    def host(request: list[bytes]) -> bytes:
        asked.append(request)
        return told(*([b"ada", b"kept"] if request[0] == b"job" else []))

    with hosted(host) as store:
        store.put(TRADES, "ada", 7, [b"one", b"two"])
        store.put(TRADES, "ada", 9, [])
        assert list(store.rows(TRADES, "ada")) == []
        assert store.ask("job", "ada", b"three") == [b"ada", b"kept"]
    assert asked == [
        [b"put", b"trades", b"ada", u64(7), b"one", b"two"],
        [b"get", b"trades", b"ada", u64(0)],
        [b"job", b"ada", b"three"],
    ]


def test_many_rows_go_in_several_requests_and_come_in_several_answers() -> None:
    kept = list[bytes]()

    def host(request: list[bytes]) -> bytes:
        verb, _, _, first, *rest = request
        if verb == b"get":
            at = int.from_bytes(first)
            return told(*kept[at : at + 700])
        assert int.from_bytes(first) == len(kept)
        assert len(rest) <= 1000
        kept.extend(rest)
        return told()

    rows = [b"%d" % number for number in range(2345)]
    with hosted(host) as store:
        store.put(TRADES, "ada", 0, rows)
        assert list(store.rows(TRADES, "ada")) == kept == rows


BROKEN: dict[str, bytes] = {
    "hung up": b"",
    "half a length": b"\0\0",
    "half an answer": told(b"x")[:-1],
    "another protocol": b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100),
    "a request as the answer": u32(33) + pack(ASK, b"keys"),
    "no outcome": u32(len(pack(TOLD))) + pack(TOLD),
    "an outcome of two bytes": told(outcome=b"\0\0"),
    "an outcome of none": told(outcome=b""),
    "a field that overruns": u32(len(pack(TOLD, b"\0")) + 4) + pack(TOLD, b"\0") + u32(9),
    "nothing": u32(0),
}


def test_no_length_takes_all_memory() -> None:
    """It is the host who says how long an answer is, and what is asked for is set aside."""
    asked = list[int]()

    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(size or 0)
            return b"\xff" * min(size or 0, 4)

    with pytest.raises(StoreBroken):
        Store(Endless()).ask("keys", "ada")  # type: ignore[arg-type]
    assert asked == [4, 64 << 20]


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_answer_is_refused(how: str) -> None:
    with hosted(lambda _: BROKEN[how], once=True) as store, pytest.raises(StoreBroken):
        store.ask("keys", "ada")


def test_a_connection_that_broke_is_closed_without_another_word() -> None:
    """What could not be written is still in a buffer, and closing would try once more."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        store = Store(ours.makefile("rwb"))
    with pytest.raises(StoreBroken):
        store.ask("keys", "ada")
    store.close()
    with pytest.raises(StoreBroken):
        store.ask("keys", "ada")


def test_a_host_that_does_not_answer_is_given_up() -> None:
    held = threading.Event()

    def host(_: list[bytes]) -> bytes:
        held.wait(20)
        return b""

    with hosted(host, timeout=0.05) as store:
        with pytest.raises(StoreBroken):
            store.ask("keys", "ada")
        held.set()


@pytest.mark.parametrize("outcome", range(1, 256))
def test_every_other_outcome_is_a_refusal(outcome: int) -> None:
    with hosted(lambda _: told(outcome=bytes([outcome]))) as store, pytest.raises(StoreRefused):
        store.ask("keys", "ada")


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_only_our_own_errors_come_out_whatever_is_said(fields: list[bytes]) -> None:
    with hosted(lambda request: told(*fields) if request[0] != b"get" else b"") as store:
        for verb in ("job", "keys"):
            with suppress(WireError):
                store.ask(verb, "ada")
        with suppress(WireError):
            list(store.rows(TRADES, "ada"))


def test_rows_that_never_end_end_at_the_first_that_is_not_ours() -> None:
    chain = Chain("ada", VENUE, "test", TRADES)
    row = chain.add(KEY, trade(0))
    back, counted = Chain("ada", VENUE, "test", TRADES), [(0, KEY.id)]
    with hosted(lambda _: told(row)) as store, pytest.raises(SealForged):
        back.read(KEYS, store.rows(TRADES, "ada"), chain.tip, counted)
