"""Log pages and answers that carry an entry: layout by hand, round trips, one flaw at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.contract.openings import read_answer_body
from strongroom_wire.encoding import MAX_STATEMENT, pack
from strongroom_wire.errors import Malformed, TooLarge, WireError
from strongroom_wire.pages import Entry, LogPage, answer_body

from tests.wire.by_hand import laid_out
from tests.wire.samples import byte
from tests.wire.test_encoding import packed

PAGE, BODY = b"strongroom/log-page/v2", b"strongroom/logged-answer/v1"
PARTS = st.binary(max_size=200)
ENTRIES = st.builds(Entry, PARTS, PARTS)
PAGES = st.builds(
    LogPage, PARTS, st.binary(min_size=64, max_size=64), st.lists(ENTRIES, max_size=5).map(tuple)
)


def page() -> LogPage:
    """Return a page of two leaves, of which the second comes without its opening."""
    return LogPage(b"text", byte(1, 64), (Entry(b"one", b"opening"), Entry(b"two")))


def test_page_layout_is_the_documented_one() -> None:
    by_hand = laid_out(PAGE, [b"text", byte(1, 64), [[b"one", b"opening"], [b"two", b""]]])
    assert page().serialise() == by_hand
    assert LogPage.parse(by_hand) == page()


def test_answer_layout_is_the_documented_one() -> None:
    by_hand = packed(BODY, b"body", b"leaf", b"opening")
    assert answer_body(b"body", Entry(b"leaf", b"opening")) == by_hand
    assert read_answer_body(by_hand) == (b"body", Entry(b"leaf", b"opening"))
    assert read_answer_body(answer_body(b"", Entry())) == (b"", Entry(b"", b""))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        laid_out(PAGE, [b"text"]),
        laid_out(PAGE, [b"text", byte(1, 63), []]),
        laid_out(PAGE, [b"text", byte(1, 65), []]),
        laid_out(PAGE, [b"text", byte(1, 64), [b"a leaf alone"]]),
        laid_out(PAGE, [b"text", byte(1, 64), [[b"a leaf alone"]]]),
        laid_out(PAGE, [b"text", byte(1, 64), [[b"one", b"opening", b"more"]]]),
        laid_out(PAGE, [b"text", byte(1, 64), [], b"more"]),
        laid_out(b"strongroom/log-page/v1", [b"text", byte(1, 64), []]),
        page().serialise() + b"\x00",
        page().serialise()[:-1],
    ],
)
def test_a_flawed_page_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        LogPage.parse(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a bare body",
        pack(BODY, b"body"),
        pack(BODY, b"body", b"leaf"),
        pack(BODY, b"body", b"leaf", b"opening", b""),
        pack(b"strongroom/logged-answer/v2", b"body", b"leaf", b"opening"),
        answer_body(b"body", Entry()) + b"\x00",
    ],
)
def test_a_flawed_answer_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_answer_body(data)


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    for parse in (LogPage.parse, read_answer_body):
        with pytest.raises(TooLarge):
            parse(bytes(MAX_STATEMENT + 1))


def test_a_page_without_a_whole_signature_is_never_written() -> None:
    with pytest.raises(WireError):
        LogPage(b"text", b"short", ()).serialise()


@given(PAGES)
def test_pages_round_trip(value: LogPage) -> None:
    assert LogPage.parse(value.serialise()) == value


@given(PARTS, ENTRIES)
def test_answers_round_trip(body: bytes, entry: Entry) -> None:
    assert read_answer_body(answer_body(body, entry)) == (body, entry)
