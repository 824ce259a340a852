"""The keeper's socket and its clients: nobody goes on unless he was told that it is kept."""

import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.log import keeper_socket
from strongroom_host.log.errors import LeafConflict, OpeningWrong
from strongroom_host.log.keeper import KeeperStopped, NotKeptYet
from strongroom_host.log.keeper_client import (
    KeeperClient,
    KeeperUnreachable,
    KeepingRefused,
    KeepingStopped,
)
from strongroom_host.log.keeper_frames import (
    MAX_ENTRIES,
    MAX_MESSAGE,
    Answer,
    Outcome,
    question,
    read_question,
)
from strongroom_host.log.keeper_socket import KeeperSocket, SocketUnusable
from strongroom_wire.errors import Malformed, WireError
from strongroom_wire.pages import Entry

# What a bug raises in a thread may be told of after its test, in the next one's name.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
ENTRY = Entry(b"leaf", b"opening")


class Book:
    """Keeps whatever it is given, or raises."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []
        self.error: HostError | WireError | None = None
        self.slow = threading.Event()
        self.slow.set()

    @property
    def size(self) -> int:
        return len(self.kept)

    def keep(self, entries: Sequence[Entry]) -> None:
        self.slow.wait(20)
        if self.error is not None:
            raise self.error
        self.kept += entries


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keeper.sock"


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    book = Book()
    with KeeperSocket(path, book):
        yield book


def test_what_is_asked_is_kept_and_answered(book: Book, path: Path) -> None:
    with KeeperClient(path) as client:
        assert client.kept([ENTRY]) == 1
        assert client.kept([Entry(b"a"), Entry(b"b" * 900, b"c" * 60_000)]) == 3
    assert book.kept == [ENTRY, Entry(b"a"), Entry(b"b" * 900, b"c" * 60_000)]


def test_many_clients_at_once(book: Book, path: Path) -> None:
    def client(number: int) -> None:
        with KeeperClient(path) as client:
            for n in range(20):
                client.kept([Entry(b"%d %d" % (number, n))])

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(book.kept)) == 160


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LeafConflict("not there", remedy="look"), KeepingRefused),
        (OpeningWrong("another's", remedy="look"), KeepingRefused),
        (Malformed("leaf", "one", "none"), KeepingRefused),
        (NotKeptYet("not now", remedy="look"), KeeperUnreachable),
        (KeeperStopped("forked", remedy="look"), KeepingStopped),
    ],
)
def test_whoever_is_not_told_that_it_is_kept_is_told_why(
    book: Book, path: Path, error: HostError | WireError, expected: type[HostError]
) -> None:
    book.error = error
    with KeeperClient(path) as client:
        with pytest.raises(expected) as raised:
            client.kept([ENTRY])
        assert str(error).split(":")[0] in raised.value.what
        assert isinstance(error, WireError) or raised.value.remedy == "look"
        book.error = None
        assert client.kept([ENTRY]) == 1, "the connection goes on"


def test_no_keeper_is_an_error_and_not_a_yes(path: Path, tmp_path: Path) -> None:
    with KeeperClient(tmp_path / "nobody") as client, pytest.raises(KeeperUnreachable):
        client.kept([ENTRY])
    book = Book()
    with KeeperSocket(path, book):
        pass
    assert path.exists(), "what is left says that there should be a keeper"
    with KeeperClient(path) as client, pytest.raises(KeeperUnreachable):
        client.kept([ENTRY])
    assert book.kept == []


def test_a_keeper_that_was_started_anew_is_found_again(path: Path) -> None:
    first, second = Book(), Book()
    with KeeperClient(path) as client:
        with KeeperSocket(path, first):
            client.kept([ENTRY])
        with KeeperSocket(path, second):
            assert client.kept([ENTRY]) == 1
    assert first.kept == second.kept == [ENTRY]


def test_a_silent_keeper_is_waited_for_no_longer_than_that(book: Book, path: Path) -> None:
    with KeeperClient(path, timeout=0.1) as client:
        client.kept([ENTRY])
        book.slow.clear()
        with pytest.raises(KeeperUnreachable):
            client.kept([ENTRY])
        book.slow.set()
        client.kept([ENTRY])


def test_a_killed_keeper_leaves_nobody_waiting(path: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from strongroom_host.log.keeper_socket import KeeperSocket\n"
        "class Book:\n"
        "    size = 0\n"
        "    def keep(self, entries):\n"
        "        print('asked', flush=True)\n"
        "        time.sleep(60)\n"
        "KeeperSocket(pathlib.Path(sys.argv[1]), Book())\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    raised: list[HostError] = []

    def ask() -> None:
        with KeeperClient(path) as client:
            try:
                client.kept([ENTRY])
            except HostError as error:
                raised.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    assert process.stdout.readline() == "asked\n"
    process.kill()
    process.wait(20)
    waiting.join(20)
    process.stdout.close()
    assert [type(error) for error in raised] == [KeeperUnreachable]
    with KeeperSocket(path, book := Book()), KeeperClient(path) as client:
        client.kept([ENTRY])
    assert book.kept == [ENTRY]


# --- what a hostile process of the same user could try --------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xff",
        (MAX_MESSAGE + 1).to_bytes(4, "big"),
        b"\0\0\0\x05hello",
        b"\0\0\0\0",
        b"\0",
        b"",
    ],
)
def test_noise_ends_its_own_connection_only(book: Book, path: Path, sent: bytes) -> None:
    with KeeperClient(path) as client, socket.socket(socket.AF_UNIX) as noisy:
        noisy.connect(str(path))
        noisy.sendall(sent)
        noisy.shutdown(socket.SHUT_WR)
        noisy.settimeout(20)
        answer = b""
        while part := noisy.recv(4096):
            answer += part
        if answer:
            assert Answer.parse(answer[4:]).outcome is Outcome.REFUSED
        client.kept([ENTRY])
    assert book.kept == [ENTRY]


def test_there_are_not_more_clients_than_that(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_socket, "MAX_CLIENTS", 2)
    with KeeperSocket(path, Book()):
        with KeeperClient(path) as one, KeeperClient(path) as two:
            one.kept([ENTRY])
            two.kept([ENTRY])
            with KeeperClient(path) as three, pytest.raises(KeeperUnreachable):
                three.kept([ENTRY])
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with KeeperClient(path) as four:
                try:
                    four.kept([ENTRY])
                except KeeperUnreachable:
                    continue
                return
    pytest.fail("the places of those who went are not free again")


def test_a_bug_takes_no_clients_place_for_good(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_socket, "MAX_CLIENTS", 2)
    book = Book()
    with KeeperSocket(path, book):
        book.error = RuntimeError("a bug")  # type: ignore[assignment]
        for _ in range(3):
            with pytest.raises(KeeperUnreachable), KeeperClient(path) as client:
                client.kept([ENTRY])
        book.error = None
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(KeeperUnreachable), KeeperClient(path) as client:
                assert client.kept([ENTRY]) == 1
                return
        pytest.fail("no place is left")


def test_nobody_else_may_ask(book: Book, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.glob(".keeper.sock.*")) == []


def test_where_no_socket_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("something")
    for path in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / ("x" * 120)):
        with pytest.raises(SocketUnusable):
            KeeperSocket(path, Book())
    assert (tmp_path / "file").read_text() == "something"
    made = tmp_path / "made" / "keeper.sock"
    with KeeperSocket(made, Book()):
        assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert list(made.parent.iterdir()) == [made]


# --- messages -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=40)), min_size=1))
def test_a_question_reads_back(pairs: list[tuple[bytes, bytes]]) -> None:
    entries = [Entry(*pair) for pair in pairs][:MAX_ENTRIES]
    assert list(read_question(question(entries))) == entries


@pytest.mark.parametrize("count", [0, MAX_ENTRIES + 1])
def test_a_question_is_about_some_leaves_and_not_too_many(count: int) -> None:
    with pytest.raises(Malformed):
        read_question(question([ENTRY] * count))


@given(st.binary(max_size=200))
def test_what_is_no_message_is_refused(data: bytes) -> None:
    for parse in (read_question, Answer.parse):
        with pytest.raises(WireError):
            parse(data)


@given(st.sampled_from(Outcome), st.integers(0, (1 << 64) - 1), st.text(max_size=99), st.text())
def test_an_answer_reads_back(outcome: Outcome, size: int, what: str, remedy: str) -> None:
    answer = Answer(outcome, size, what, remedy)
    found = Answer.parse(answer.serialise())
    assert (found.outcome, found.size) == (outcome, size)
    assert found.what == what.encode(errors="replace").decode()
