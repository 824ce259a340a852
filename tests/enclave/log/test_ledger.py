"""The ledger: one leaf for each event, in place, committed to; what waits, what is handed out."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from strongroom_enclave.identity import Identity
from strongroom_enclave.log import ledger as module
from strongroom_enclave.log.ledger import Ledger
from strongroom_host.contract.openings import record_in
from strongroom_host.log.notes import Checkpoint
from strongroom_wire.bundle import EMPTY_LOG, Bundle, LogHead, Role, RoleKeys
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.errors import Code, Refused
from strongroom_wire.frames import MAX_FRAME
from strongroom_wire.leaves import Boot, Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import Entry, LogPage
from strongroom_wire.statements import Action

NOW = 1_800_000_000_000
BOOT_ID, OWNERS = b"\x05" * 32, b"\x07" * 32
GENERATED = bytes([Action.GENERATE])


def started(head: LogHead = EMPTY_LOG) -> bytes:
    return Boot(head, b"\x06" * 32, b"\x08" * 32, b"\x09" * 32, "1.2.3").serialise()


class Log:
    """A ledger, and the tree that somebody outside would build of its leaves."""

    def __init__(self) -> None:
        self.identity = Identity(Role.SIGNER)
        public = self.identity.public
        roles = (RoleKeys(Role.SIGNER, public[:32], public[32:]),)
        self.identity.boot = Bundle(BOOT_ID, b"\x06" * 32, OWNERS, b"", roles)
        self.now = NOW
        self.ledger = Ledger(self.identity, Role.SIGNER, "desk", lambda: self.now)

    def open(self, tree: Frontier | None = None) -> "Log":
        tree = tree or Frontier()
        self.ledger.open(tree, b"the permit", started(tree.head))
        return self

    def page(self, start: int = 0, *, opened: bool = True) -> LogPage:
        return LogPage.parse(self.ledger.page(start, opened=opened))


@pytest.fixture
def log() -> Log:
    return Log()


def test_each_event_is_one_leaf_in_its_place(log: Log) -> None:
    log.open()
    for at, (kind, public) in enumerate(
        ((Kind.KEY, GENERATED), (Kind.SIGNED, b""), (Kind.DENIED, b"\x06"), (Kind.KILL, b"")), 1
    ):
        log.now += 1
        record = b"record of %d" % at
        entry = log.ledger.append(kind, record, public)
        leaf = Leaf.parse(entry.leaf)
        assert (leaf.kind, leaf.epoch, leaf.index) == (kind, BOOT_ID, at)
        assert (leaf.time_ms, leaf.public) == (NOW + at, public)
        assert record_in(leaf, entry.opening) == record
        assert log.ledger.head.size == at + 1


def test_the_head_is_that_of_the_leaves(log: Log) -> None:
    log.open()
    for _ in range(20):
        log.ledger.append(Kind.SIGNED, b"same")
    tree, entries = Frontier(), log.page().entries
    for entry in entries:
        tree.append(leaf_hash(entry.leaf))
    assert log.ledger.head == tree.head
    assert len({entry.opening[:32] for entry in entries}) == 21, "each has a salt of its own"


def test_a_boot_goes_on_where_the_last_one_ended(log: Log) -> None:
    log.open()
    log.ledger.append(Kind.SIGNED, b"")
    tree = Frontier()
    for entry in log.page().entries:
        tree.append(leaf_hash(entry.leaf))
    before = tree.head
    later = Log().open(tree)
    assert later.ledger.head.size == 3
    (entry,) = later.page(2).entries
    leaf = Leaf.parse(entry.leaf)
    assert (leaf.kind, leaf.index, Boot.parse(leaf.public).continued) == (Kind.BOOT, 2, before)


def test_what_comes_before_the_first_permit_waits_and_follows_the_boot(log: Log) -> None:
    assert not log.ledger.opened
    for record in (b"one", b"two"):
        assert log.ledger.append(Kind.KEY, record, GENERATED) == Entry()
    assert log.ledger.head == EMPTY_LOG
    assert log.open().ledger.opened
    found = [(Leaf.parse(entry.leaf), entry.opening) for entry in log.page().entries]
    assert [leaf.kind for leaf, _ in found] == [Kind.BOOT, Kind.KEY, Kind.KEY]
    assert [record_in(leaf, opening) for leaf, opening in found] == [b"the permit", b"one", b"two"]
    assert [leaf.index for leaf, _ in found] == [0, 1, 2]


def test_what_waited_keeps_the_time_at_which_it_happened(log: Log) -> None:
    for at in range(3):
        log.now = NOW + at
        log.ledger.append(Kind.KEY, b"", GENERATED)
    log.now = NOW + 1_000
    log.open().ledger.append(Kind.SIGNED, b"")
    times = [Leaf.parse(entry.leaf).time_ms for entry in log.page().entries]
    assert times == [NOW + 1_000, NOW, NOW + 1, NOW + 2, NOW + 1_000]


def test_only_so_much_waits_but_what_stops_is_never_refused(log: Log) -> None:
    for at in range(64):
        log.ledger.admit()
        log.ledger.append(Kind.KEY, b"%d" % at, GENERATED)
    with pytest.raises(Refused) as refusal:
        log.ledger.admit()
    assert refusal.value.code is Code.BUSY
    log.ledger.append(Kind.KILL, b"stop")
    log.open()
    log.ledger.admit()
    kinds = [Leaf.parse(entry.leaf).kind for entry in log.page().entries]
    assert kinds == [Kind.BOOT, *[Kind.KEY] * 64, Kind.KILL]


def test_a_closed_log_has_nothing_to_show(log: Log) -> None:
    with pytest.raises(Refused) as refusal:
        log.page()
    assert refusal.value.code is Code.WRONG_LOG_HEAD


def test_a_page_begins_where_it_was_asked_to(log: Log) -> None:
    log.open()
    for _ in range(4):
        log.ledger.append(Kind.SIGNED, b"")
    for start in range(6):
        entries = log.page(start).entries
        assert [Leaf.parse(entry.leaf).index for entry in entries] == list(range(start, 5))


def test_whoever_has_more_leaves_than_there_are_is_shown_the_head(log: Log) -> None:
    log.open().ledger.append(Kind.SIGNED, b"")
    for start in (2, 3, (1 << 64) - 1):
        page = log.page(start)
        assert page.entries == ()
        assert Checkpoint.parse(page.checkpoint).head == log.ledger.head


def test_a_page_is_signed_by_the_receipt_key(log: Log) -> None:
    log.open()
    for size in (1, 2):
        page = log.page()
        key = Ed25519PublicKey.from_public_bytes(log.identity.public[32:])
        key.verify(page.signature, page.checkpoint)
        checkpoint = Checkpoint.parse(page.checkpoint)
        assert checkpoint.origin == log_origin(OWNERS, "desk", Role.SIGNER)
        assert checkpoint.head == log.ledger.head
        assert checkpoint.head.size == size
        log.ledger.append(Kind.SIGNED, b"")


def test_without_the_right_to_openings_there_are_none(log: Log) -> None:
    log.open().ledger.append(Kind.SIGNED, b"what was decided")
    closed, opened = log.page(opened=False).entries, log.page().entries
    assert [entry.leaf for entry in closed] == [entry.leaf for entry in opened]
    assert [entry.opening for entry in closed] == [b"", b""]
    assert all(entry.opening for entry in opened)


def test_pages_follow_one_another_and_fit_a_frame(log: Log) -> None:
    log.open()
    for _ in range(600):
        log.ledger.append(Kind.SIGNED, bytes(300))
    found: list[Entry] = []
    pages = 0
    while len(found) < 601:
        data = log.ledger.page(len(found), opened=True)
        assert len(data) < MAX_FRAME // 2
        entries = LogPage.parse(data).entries
        assert entries
        found += entries
        pages += 1
    assert [Leaf.parse(entry.leaf).index for entry in found] == list(range(601))
    assert pages > 1


def test_an_opening_that_fits_no_page_does_not_end_the_reading(log: Log) -> None:
    log.open()
    given = log.ledger.append(Kind.KEY, bytes(1 << 20), GENERATED)
    log.ledger.append(Kind.SIGNED, b"")
    entries = log.page(1).entries
    assert entries[0] == Entry(given.leaf)
    assert record_in(Leaf.parse(given.leaf), given.opening) == bytes(1 << 20)
    assert [Leaf.parse(entry.leaf).index for entry in entries] == [1, 2]


def fill(log: Log, eighths: int = 7) -> int:
    """Appends what is admitted and returns how many leaves that were."""
    for count in range(10**6):
        try:
            log.ledger.admit(eighths)
        except Refused:
            return count
        log.ledger.append(Kind.SIGNED, b"x")
    raise AssertionError("no end")


def held(log: Log) -> list[int]:
    """Returns the indices that a reader of everything sees, on the first of its pages or later."""
    found = [Leaf.parse(entry.leaf).index for entry in log.ledger._recent]
    shown = [Leaf.parse(entry.leaf).index for entry in log.page(0).entries]
    assert shown == found[: len(shown)]
    return found


@pytest.fixture
def small(log: Log, monkeypatch: pytest.MonkeyPatch) -> Log:
    """An open log with room for 16 small leaves."""
    monkeypatch.setattr(module, "_KEPT", 16 << 10)
    return log.open()


def test_the_room_is_for_sixteen_thousand_decisions() -> None:
    assert module._KEPT == 16_384 * 1024


def test_no_leaf_is_forgotten_that_nobody_has_read(small: Log) -> None:
    assert fill(small) == 13, "seven eighths of the room, less the boot's own"
    assert fill(small, 8) == 2, "the last eighth"
    assert held(small) == list(range(16))
    with pytest.raises(Refused):
        small.ledger.admit(8)


def test_what_stops_something_is_appended_all_the_same(small: Log) -> None:
    fill(small, 8)
    for kind in (Kind.KILL, Kind.PERMIT):
        small.ledger.append(kind, b"", bytes(32) if kind is Kind.PERMIT else b"")
    assert held(small) == list(range(18))
    small.page(18)
    small.ledger.append(Kind.KILL, b"")
    assert len(held(small)) == 16


@pytest.mark.parametrize("read", [1, 3, 14])
def test_what_was_read_makes_room_for_as_much(small: Log, read: int) -> None:
    fill(small)
    small.page(read)
    assert held(small) == list(range(14)), "and is still there for whoever lost it meanwhile"
    assert fill(small) == read
    assert held(small) == list(range(read, 14 + read))


def test_asking_for_what_is_not_there_yet_says_nothing_of_what_was_read(small: Log) -> None:
    fill(small)
    small.page(15)
    assert fill(small) == 0
    small.page(14)
    small.page(0)
    assert fill(small) == 14, "whoever begins anew takes nothing back"


def test_long_statements_take_the_room_that_they_take(log: Log) -> None:
    log.open()
    for _ in range(14):
        log.ledger.admit()
        log.ledger.append(Kind.KEY, bytes(1 << 20), GENERATED)
    with pytest.raises(Refused):
        log.ledger.admit()
    log.page(15)
    log.ledger.admit()
    assert held(log)[0] == 2, "the boot's own leaf is small, so one long one had to go as well"
    log.ledger.append(Kind.SIGNED, b"")
    assert held(log)[-1] == 15
