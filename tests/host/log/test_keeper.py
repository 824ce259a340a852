"""The keeper: what it kept is under a signed head, and what contradicts the log stops it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from strongroom_host.enclave_client.errors import ChannelBroken, Unreachable, refusal
from strongroom_host.errors import EnvironmentFault, HostError
from strongroom_host.log import keeper as keeper_module
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.cosigning import WitnessAt, WitnessProblem
from strongroom_host.log.errors import (
    HeadsInconsistent,
    LeafConflict,
    LogBusy,
    LogForked,
    LogUnwritable,
    OpeningWrong,
    PositionMissed,
)
from strongroom_host.log.files import LogFiles
from strongroom_host.log.keeper import Keeper, KeeperStopped, NotKeptYet, Source
from strongroom_host.log.notes import SignatureType, VerifierKey, open_checkpoint
from strongroom_host.log.openings import Openings
from strongroom_host.log.stored import StoredLog, head_of
from strongroom_host.log.submissions import Introduction
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, Tile
from strongroom_host.log.tree import LogReader
from strongroom_host.log.witness_errors import HistoryRefused, WitnessUnreachable
from strongroom_host.log.witnessed import Quorum
from strongroom_wire.errors import Code, WireError
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.pages import Entry

from tests.host.log.histories import History, key_of
from tests.host.log.test_pull import Enclave
from tests.wire.samples import bundle, byte

WITNESS = WitnessAt(
    VerifierKey("witness", byte(77), SignatureType.COSIGNATURE), "http://127.0.0.1:9/"
)


def boot_of(number: int) -> StoredBoot:
    """Return what stands for the evidence of that boot."""
    keys = replace(bundle(), boot_id=byte(number)).serialise()
    return StoredBoot(b"document", keys, b"manifest", 1)


class Running:
    """An enclave that is running, or not; one boot after another."""

    def __init__(self) -> None:
        self.history = History().boot(1, 3)
        self.enclave = Enclave(self.history)
        self.enclave.opened = True
        self.error: HostError | None = None
        self.witnesses: tuple[WitnessAt, ...] = ()
        self.quorum = Quorum((), 0)
        self.connected = 0
        self.slow = threading.Event()
        self.slow.set()

    def reboot(self, number: int) -> None:
        self.history.boot(number)
        self.enclave = Enclave(self.history, number)
        self.enclave.opened = True

    @contextmanager
    def source(self) -> Iterator[Source]:
        if self.error is not None:
            raise self.error
        self.connected += 1
        enclave, number = self.enclave, self.enclave.boot

        def ask(start: int) -> bytes:
            self.slow.wait(20)
            if self.error is not None:
                raise self.error
            if enclave is not self.enclave:
                raise ChannelBroken("the enclave closed the fast channel")
            return enclave.ask(start)

        yield Source(ask, key_of(number), boot_of(number), self.witnesses, self.quorum)

    def decide(self, kind: Kind = Kind.SIGNED) -> Entry:
        index = self.history.add(kind).index
        return Entry(self.history.entries[index], self.history.openings[index])


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr(keeper_module, "_PAUSE_S", 0.0)
    return Running()


@pytest.fixture
def keeper(tmp_path: Path, running: Running) -> Iterator[Keeper]:
    with Keeper(tmp_path, running.source) as keeper:
        yield keeper


def stored(folder: Path) -> list[bytes]:
    return list(StoredLog(folder).reader().entries())


def test_what_was_kept_is_stored_with_a_signed_head(
    keeper: Keeper, running: Running, tmp_path: Path
) -> None:
    entry = running.decide()
    keeper.keep([entry])
    log = StoredLog(tmp_path)
    assert stored(tmp_path) == running.history.entries
    assert log.signed is not None
    assert open_checkpoint(log.signed, key_of(1).name, [key_of(1)]).head == log.head
    assert log.published == 0, "serving it is another matter"
    with Openings(tmp_path) as openings:
        assert dict(openings.items()) == running.history.openings
    assert [boot.boot_id for boot in Boots(tmp_path)] == [byte(1)]


def test_what_is_stored_is_kept_without_asking(keeper: Keeper, running: Running) -> None:
    entries = [running.decide() for _ in range(5)]
    keeper.keep(entries[3:4])
    asked = len(running.enclave.asked)
    keeper.keep(entries[:4])
    assert len(running.enclave.asked) == asked
    keeper.keep(entries)
    keeper.keep([])
    assert keeper.size == len(running.history.entries)


def test_one_page_and_one_wait_serve_all_who_asked_meanwhile(
    keeper: Keeper, running: Running
) -> None:
    keeper.pull()
    running.slow.clear()
    entries = [running.decide() for _ in range(6)]
    asked = len(running.enclave.asked)
    threads = [threading.Thread(target=keeper.keep, args=([entry],)) for entry in entries]
    for thread in threads:
        thread.start()
    running.slow.set()
    for thread in threads:
        thread.join(20)
    assert keeper.size == len(running.history.entries)
    assert len(running.enclave.asked) == asked + 1


def test_a_leaf_that_the_enclave_never_logged_is_refused_and_harms_nobody(
    keeper: Keeper, running: Running, tmp_path: Path
) -> None:
    entry = running.decide()
    leaf = Leaf.parse(entry.leaf)
    other = Entry(Leaf(leaf.kind, byte(9), leaf.index, 0, leaf.commitment).serialise())
    beyond = Entry(Leaf(leaf.kind, leaf.epoch, 99, 0, leaf.commitment).serialise())
    for wrong in (other, beyond):
        with pytest.raises(LeafConflict):
            keeper.keep([entry, wrong])
    with pytest.raises(OpeningWrong):
        keeper.keep([Entry(entry.leaf, b"x" * 40)])
    with pytest.raises(WireError):
        keeper.keep([Entry(b"noise")])
    keeper.keep([entry])
    assert stored(tmp_path) == running.history.entries


def test_an_opening_that_the_keeper_may_not_see_comes_from_the_client(
    keeper: Keeper, running: Running, tmp_path: Path
) -> None:
    running.enclave.opened = False
    entry = running.decide()
    keeper.keep([Entry(entry.leaf)])
    with Openings(tmp_path) as openings:
        assert list(openings.items()) == []
        keeper.keep([entry])
        assert list(openings.items()) == [(4, entry.opening)]


def test_an_enclave_that_cannot_be_read_is_asked_again_later(
    keeper: Keeper, running: Running
) -> None:
    entry = running.decide()
    running.error = Unreachable("nothing answers")
    for _ in range(2):
        with pytest.raises(NotKeptYet, match="nothing answers"):
            keeper.keep([entry])
    for code, said in (
        (Code.WRONG_LOG_HEAD, "no permit yet"),
        (Code.CALL_NOT_PERMITTED, "does not let this client"),
    ):
        running.error = refusal(code, "reading the log")
        with pytest.raises(NotKeptYet, match=f"{code.name}, .*{said}"):
            keeper.keep([entry])
    running.error = None
    keeper.keep([entry])
    assert keeper.fault is None


def test_a_connection_that_grew_old_is_made_anew_at_once(keeper: Keeper, running: Running) -> None:
    keeper.pull()
    running.reboot(2)
    keeper.keep([running.decide()])
    assert running.connected == 2
    assert keeper.size == len(running.history.entries)


def test_nobody_is_kept_waiting_for_an_enclave_that_is_gone(
    keeper: Keeper, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_PAUSE_S", 60.0)
    running.error = Unreachable("nothing answers")
    with pytest.raises(NotKeptYet):
        keeper.pull()
    running.error = None
    with pytest.raises(NotKeptYet):
        keeper.pull()
    assert running.connected == 0


def test_a_leaf_of_a_boot_that_is_over_is_refused(keeper: Keeper, running: Running) -> None:
    keeper.pull()
    before = running.history.copy()
    late = running.decide()
    running.history = before
    running.reboot(2)
    with pytest.raises(LeafConflict, match="leaf 4 is not in the log"):
        keeper.keep([late])
    keeper.keep([running.decide()])


def test_another_history_stops_it_for_good(
    keeper: Keeper, running: Running, tmp_path: Path
) -> None:
    entry = running.decide()
    keeper.keep([entry])
    before = stored(tmp_path)
    genuine = running.enclave
    running.enclave = Enclave(History().boot(2, 20), 2)
    with pytest.raises(KeeperStopped, match="not kept any more"):
        keeper.pull()
    assert isinstance(keeper.fault, HeadsInconsistent | PositionMissed)
    running.enclave = genuine
    for _ in range(2):
        with pytest.raises(KeeperStopped):
            keeper.keep([entry])
        with pytest.raises(KeeperStopped):
            keeper.publish()
    assert stored(tmp_path) == before


def test_a_boot_on_another_history_stops_it(keeper: Keeper, running: Running) -> None:
    keeper.pull()
    running.history = History().boot(5, 3)
    running.reboot(2)
    with pytest.raises(KeeperStopped, match="continues another history"):
        keeper.pull()
    assert isinstance(keeper.fault, LogForked)


def test_a_page_that_is_none_stops_it(
    keeper: Keeper, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.enclave, "ask", lambda _start: b"noise")
    with pytest.raises(KeeperStopped, match="no page"):
        keeper.pull()


def test_a_full_disk_stops_it_and_a_new_one_goes_on(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = running.decide()
    with Keeper(tmp_path, running.source) as keeper, monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise LogUnwritable("no space left")

        patch.setattr(LogFiles, "append", full)
        with pytest.raises(KeeperStopped, match="no space left"):
            keeper.keep([entry])
        assert isinstance(keeper.fault, EnvironmentFault)
    with Keeper(tmp_path, running.source) as keeper:
        keeper.keep([entry])


def test_what_cannot_be_read_back_stops_it(
    keeper: Keeper, running: Running, tmp_path: Path
) -> None:
    entries = [running.decide() for _ in range(300)]
    keeper.keep(entries)
    (tmp_path / Tile(ENTRIES, 0).path).unlink()
    keeper.keep(entries[290:])
    with pytest.raises(KeeperStopped, match="lacks a part"):
        keeper.keep(entries[:1])


def test_one_keeper_at_a_time(keeper: Keeper, running: Running, tmp_path: Path) -> None:
    with pytest.raises(LogBusy):
        Keeper(tmp_path, running.source)
    keeper.close()
    with pytest.raises(NotKeptYet, match="has ended"):
        keeper.pull()
    with Keeper(tmp_path, running.source) as another:
        another.pull()


# --- publishing -----------------------------------------------------------------------------------


class Witnesses:
    """Stands in for those that would be asked over HTTP."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Introduction | None]] = []
        self.problems: tuple[WitnessProblem, ...] = ()
        self.closed = 0

    def cosign(
        self, note: bytes, reader: LogReader, introduction: Introduction | None = None
    ) -> tuple[bytes, tuple[WitnessProblem, ...]]:
        assert reader.head == head_of(note)
        reader.inclusion_proof(0)
        self.asked.append((reader.head.size, introduction))
        return note, self.problems

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def witnesses(running: Running, monkeypatch: pytest.MonkeyPatch) -> Witnesses:
    found = Witnesses()
    running.witnesses = (WITNESS,)
    monkeypatch.setattr(keeper_module, "Cosigner", lambda _witnesses: found)
    return found


def test_the_newest_signed_head_is_served(keeper: Keeper, running: Running, tmp_path: Path) -> None:
    assert keeper.publish() == ()
    keeper.pull()
    assert keeper.publish() == ()
    note = StoredLog(tmp_path).read(CHECKPOINT)
    assert note is not None
    assert head_of(note) == running.history.tree.head
    running.decide()
    keeper.publish()
    assert StoredLog(tmp_path).published == 4, "nothing is served that is not stored"


def test_what_was_signed_before_a_crash_is_served_after_it(
    running: Running, tmp_path: Path
) -> None:
    with Keeper(tmp_path, running.source) as keeper:
        keeper.pull()
    running.error = Unreachable("gone for good")
    with Keeper(tmp_path, running.source) as keeper:
        keeper.publish()
    assert StoredLog(tmp_path).published == 4


def test_witnesses_are_asked_once_for_each_head(
    keeper: Keeper, running: Running, witnesses: Witnesses
) -> None:
    keeper.pull()
    witnesses.problems = (WitnessProblem(WITNESS, WitnessUnreachable("no answer")),)
    assert keeper.publish() == keeper.publish() == witnesses.problems
    witnesses.problems = ()
    for _ in range(3):
        keeper.publish()
    assert [size for size, _ in witnesses.asked] == [4, 4, 4]
    introduction = witnesses.asked[0][1]
    assert introduction is not None
    assert introduction.permit == b"record 0", "the signed permit out of the boot's own leaf"
    keeper.keep([running.decide()])
    keeper.publish()
    running.reboot(2)
    keeper.pull()
    keeper.publish()
    assert [size for size, _ in witnesses.asked][3:] == [5, 6]
    introduction = witnesses.asked[-1][1]
    assert introduction is not None
    assert introduction.permit == b"record 5"
    keeper.close()
    assert witnesses.closed == 1


def test_a_stored_log_that_is_not_what_was_signed_stops_it(
    keeper: Keeper, witnesses: Witnesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.pull()

    def cosign(*_: object) -> None:
        raise HeadsInconsistent("another history than the one stored")

    monkeypatch.setattr(witnesses, "cosign", cosign)
    with pytest.raises(KeeperStopped, match="another history"):
        keeper.publish()


def test_a_witness_who_knows_another_history_stops_it(
    keeper: Keeper, running: Running, witnesses: Witnesses, tmp_path: Path
) -> None:
    keeper.pull()
    error = HistoryRefused("it has cosigned another history")
    witnesses.problems = (WitnessProblem(WITNESS, error, b"note", contradicts=True),)
    with pytest.raises(KeeperStopped, match="another history"):
        keeper.publish()
    assert StoredLog(tmp_path).published == 0
    with pytest.raises(KeeperStopped):
        keeper.keep([running.decide()])


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_it_runs_and_tells_what_changes(keeper: Keeper, running: Running, tmp_path: Path) -> None:
    stop, said = threading.Event(), list[str]()
    thread = threading.Thread(target=keeper.run, args=(stop, 0.01, said.append))
    thread.start()
    until(lambda: StoredLog(tmp_path).published == 4)
    running.error = Unreachable("nothing answers")
    until(lambda: len(said) == 1)
    running.decide()
    running.error = None
    until(lambda: StoredLog(tmp_path).published == 5)
    until(lambda: len(said) == 2)
    stop.set()
    thread.join(20)
    assert "nothing answers" in said[0]
    assert said[1] == ""


def test_it_ends_when_the_log_is_contradicted(keeper: Keeper, running: Running) -> None:
    keeper.pull()
    running.enclave = Enclave(History().boot(2, 20), 2)
    with pytest.raises(KeeperStopped):
        keeper.run(threading.Event(), 0.01, lambda _text: None)
