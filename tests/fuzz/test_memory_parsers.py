"""Whatever is in the files of memory and monitor, or comes from a venue: our own errors only."""

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.log.monitor_state import MonitorState, StateFile
from strongroom_host.owner.heads import HeadMemory, How, RememberedHead
from strongroom_host.venue.connection import VenueResponse
from strongroom_host.venue.trades import own_fills, own_open_orders
from strongroom_wire.bundle import LogHead

LINE = b'{"log":"l","head":{"size":3,"root":"' + b"00" * 32 + b'"},"how":"pulled","at_ms":1}\n'
PAGE = (
    b'{"data":[{"id":"t","taker_order_id":"0x' + b"11" * 32 + b'","trader_side":"TAKER"}],'
    b'"next_cursor":"LTE="}'
)


def spoilt(whole: bytes) -> st.SearchStrategy[bytes]:
    """Noise, or the real thing with some bytes replaced."""
    cut = st.tuples(
        st.integers(0, len(whole)), st.integers(0, len(whole)), st.binary(max_size=8)
    ).map(lambda t: whole[: min(t[:2])] + t[2] + whole[max(t[:2]) :])
    return st.one_of(st.binary(max_size=200), cut, st.just(whole))


@given(spoilt(LINE + LINE.replace(b"3", b"5")))
def test_a_memory_is_read_whole_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(HostError):
        (Path(folder) / "heads").write_bytes(data)
        memory = HeadMemory(Path(folder) / "heads")
        known = memory.known("l")
        new = RememberedHead(LogHead(7, bytes(32)), How.SHOWN, 2)
        memory.remember("l", [new])
        assert {each.head for each in memory.known("l")} == {
            new.head,
            *(each.head for each in known),
        }


@given(st.data())
def test_a_monitors_state_is_read_or_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        StateFile(path).save(MonitorState("l"))
        path.write_bytes(data.draw(spoilt(path.read_bytes())))
        with suppress(HostError):
            assert StateFile(path).load("l").log == "l"


@given(spoilt(PAGE), st.sampled_from([200, 200, 404, 500]))
def test_a_venues_pages_are_read_or_refused(body: bytes, status: int) -> None:
    answer = VenueResponse(status, (), body)
    with suppress(HostError):
        own_fills(lambda _: answer)
    with suppress(HostError):
        own_open_orders(lambda _: answer)
