"""A monitor: forks, rollbacks, silence and missing signatures, over time and between sources."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from strongroom_host.log.errors import BootUnproved, LogDamaged, LogUnreadable
from strongroom_host.log.monitor import Event, Look, Monitor, Notice, Rules, look_at
from strongroom_host.log.monitor_state import Alarm, MonitorState, StateFile
from strongroom_host.log.notes import Note, SignatureType, VerifierKey, cosign
from strongroom_host.log.sources import LogSource
from strongroom_host.log.witnessed import Quorum
from strongroom_wire.bundle import LogHead
from strongroom_wire.leaves import Kind

from tests.host.log.histories import ORIGIN, History, Memory, checkpoint, key_of, stored
from tests.wire.samples import private_key, public

NOW = 1_900_000_000_000
GRACE = 120_000
WITNESS = VerifierKey("witness.example/w", public(50), SignatureType.COSIGNATURE)
OTHER = VerifierKey("witness.example/v", public(51), SignatureType.COSIGNATURE)


class Shown(Memory):
    """A history as one source shows it: its tiles, and the head that a boot signed."""

    def __init__(self, history: History, size: int | None = None, boot: int = 1) -> None:
        size = len(history.entries) if size is None else size
        super().__init__(stored(history.entries[:size]))
        self.size, self.note = size, b""
        self.checkpoint: bytes | None = checkpoint(head_at(history, size), boot)


class Keys:
    """Knows the keys of boots 1 to 9."""

    def keys(self, note: bytes, source: LogSource) -> Collection[VerifierKey]:
        return [key_of(number) for number in range(1, 10)]


@dataclass
class Watcher:
    """Rounds of one monitor, a minute apart unless told otherwise."""

    rules: Rules = field(default_factory=lambda: Rules(grace_ms=GRACE))
    state: MonitorState = field(default_factory=lambda: MonitorState(ORIGIN))
    now: int = NOW
    events: list[Event] = field(default_factory=list)

    def see(self, minutes: float = 1, **sources: Shown) -> set[Alarm]:
        return self.look(
            *(
                look_at(name, each, ORIGIN, Keys(), self.rules.quorum, self._after(minutes))
                for name, each in sources.items()
            ),
            minutes=minutes,
        )

    def look(self, *looks: Look, minutes: float = 1) -> set[Alarm]:
        self.now = self._after(minutes)
        monitor = Monitor(self.rules, self.state)
        self.events = monitor.round(looks, self.now)
        found = {alarm.kind for alarm in monitor.untold()}
        for alarm in monitor.untold():
            alarm.told = True
        return found

    @property
    def raised(self) -> set[Alarm]:
        return {alarm.kind for alarm in self.state.alarms if alarm.raised}

    @property
    def notices(self) -> list[Notice]:
        return [event.kind for event in self.events if isinstance(event.kind, Notice)]

    def _after(self, minutes: float) -> int:
        return self.now + int(minutes * 60_000)


def head_at(history: History, size: int) -> LogHead:
    part = History()
    for entry in history.entries[:size]:
        part.put(entry)
    return part.tree.head


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def forked(common: int, one: int, other: int) -> tuple[History, History]:
    """Two histories that are alike up to a size, and each go on with another boot."""
    history = History().boot(1, common - 1)
    second = history.copy().boot(3, other - 1)
    return history.boot(2, one - 1), second


def test_a_growing_log_is_well_and_its_boots_are_told(watcher: Watcher) -> None:
    history = History().boot(1, 300)
    assert watcher.see(a=Shown(history)) == set()
    assert watcher.notices == [Notice.FIRST]
    assert watcher.see(a=Shown(history)) == set()
    assert watcher.notices == []
    history.boot(2, 400)
    history.add(Kind.KILL)
    assert watcher.see(a=Shown(history, boot=2)) == set()
    assert watcher.notices == [Notice.GROWN, Notice.BOOT, Notice.KILL]
    assert watcher.state.newest is not None
    assert watcher.state.newest.head == history.tree.head


@pytest.mark.parametrize(
    ("common", "one", "other"), [(10, 5, 5), (10, 5, 9), (300, 5, 500), (256, 1, 1), (1, 1, 600)]
)
def test_a_fork_over_time_is_told_with_both_notes(
    watcher: Watcher, common: int, one: int, other: int
) -> None:
    first, second = forked(common, one, other)
    assert watcher.see(a=Shown(first)) == set()
    assert Alarm.FORKED in watcher.see(a=Shown(second))
    alarm = next(each for each in watcher.state.alarms if each.kind is Alarm.FORKED)
    assert set(alarm.notes) == {checkpoint(first.tree.head), checkpoint(second.tree.head)}
    assert watcher.see(a=Shown(first)) == set(), "told once"
    assert watcher.raised == {Alarm.FORKED}, "and it does not end by itself"
    watcher.state.acknowledge()
    assert watcher.see(a=Shown(second)) == set()


@pytest.mark.parametrize(("one", "other"), [(5, 5), (5, 9), (9, 5)])
def test_a_fork_between_sources_is_told(watcher: Watcher, one: int, other: int) -> None:
    first, second = forked(20, one, other)
    assert watcher.see(a=Shown(first), b=Shown(second)) == {Alarm.FORKED}


def test_a_fork_that_is_shown_behind_the_newest_head_is_told(watcher: Watcher) -> None:
    first, second = forked(20, 300, 5)
    watcher.see(a=Shown(first))
    assert watcher.see(a=Shown(first), b=Shown(second)) == {Alarm.FORKED}


def test_sources_that_lag_agree(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    assert watcher.see(a=Shown(history, 400), b=Shown(history, 290)) == set()
    assert watcher.see(a=Shown(history, 400), b=Shown(history, 601)) == set()
    assert watcher.see(a=Shown(history), b=Shown(history)) == set()


def test_a_source_that_lags_for_long_is_stuck(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    assert watcher.see(a=Shown(history), b=Shown(history, 400)) == set()
    assert watcher.see(a=Shown(history), b=Shown(history, 400), minutes=2.1) == {Alarm.STUCK}
    assert watcher.see(a=Shown(history), b=Shown(history)) == set()
    assert watcher.notices == [Notice.ENDED]
    assert watcher.raised == set()


def test_fewer_leaves_than_before_are_told(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    watcher.see(a=Shown(history))
    assert watcher.see(a=Shown(history, 300)) == {Alarm.SHORTER}
    assert watcher.see(a=Shown(history)) == set()
    assert watcher.notices == [Notice.ENDED]


def test_an_alarm_that_nobody_was_told_outlives_its_cause(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    watcher.see(a=Shown(history))
    watcher.see(a=Shown(history, 300))
    watcher.state.alarms[0].told = False
    assert watcher.see(a=Shown(history)) == {Alarm.SHORTER}
    assert watcher.see(a=Shown(history)) == set()
    assert watcher.notices == [Notice.ENDED]


def test_fewer_leaves_of_another_history_are_both(watcher: Watcher) -> None:
    first, second = forked(20, 300, 5)
    watcher.see(a=Shown(first))
    watcher.see(a=Shown(first), b=Shown(first))
    assert watcher.see(a=Shown(second), b=Shown(first)) == {Alarm.FORKED, Alarm.SHORTER}


def test_a_lying_storage_is_no_fork(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    watcher.see(a=Shown(history, 300))
    lying = Shown(history)
    for path in list(lying):
        if path.startswith("tile/0/"):
            lying[path] = bytes(len(lying[path]))
    assert watcher.see(a=lying) == set()
    assert watcher.see(a=lying, minutes=3) == {Alarm.UNPROVEN}
    assert watcher.see(a=Shown(history)) == set()
    assert watcher.raised == set()


def test_a_withheld_tile_is_no_fork_but_not_in_order(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    watcher.see(a=Shown(history, 300))
    withheld = Shown(history)
    for path in [path for path in withheld if path.startswith("tile/0/001")]:
        del withheld[path]
    watcher.see(a=withheld)
    assert watcher.see(a=withheld, minutes=3) == {Alarm.UNPROVEN}


@pytest.mark.parametrize("size", [20, 40, 50])
def test_a_signed_head_of_a_fork_is_kept_until_it_can_be_told(watcher: Watcher, size: int) -> None:
    """A source shows it for a moment, without tiles, and takes it back before the grace ends."""
    one, other = forked(10, 20, 40)
    slip = Shown(other, size, boot=3)
    slip.clear()
    assert watcher.see(a=Shown(one, boot=2)) == set()
    assert watcher.see(a=slip) <= {Alarm.SHORTER}
    watcher.see(a=Shown(one, boot=2))
    one.boot(4, 60)
    told = watcher.see(a=Shown(one, boot=4)) | watcher.raised
    assert Alarm.FORKED in told


def test_an_honest_source_proves_what_another_withholds(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    watcher.see(a=Shown(history, 300))
    empty = Shown(history, 500)
    empty.clear()
    assert watcher.see(a=empty, b=Shown(history), minutes=3) == set()
    assert watcher.see(a=empty, b=Shown(history), minutes=1) == set()


def test_what_no_key_of_the_log_signed_is_told_at_once(watcher: Watcher) -> None:
    history = History().boot(1, 5)
    for note in (
        checkpoint(history.tree.head, 20),
        checkpoint(history.tree.head, origin="strongroom.log/signer/other"),
        b"noise",
        checkpoint(history.tree.head).replace(b"\n6\n", b"\n7\n"),
    ):
        shown = Shown(history)
        shown.checkpoint = note
        fresh = Watcher()
        assert fresh.see(a=shown) == {Alarm.UNSIGNED}
        assert fresh.state.newest is None


def test_evidence_that_proves_nothing_is_unsigned(watcher: Watcher) -> None:
    assert watcher.look(Look("a", failure=BootUnproved("no evidence"))) == {Alarm.UNSIGNED}


def test_a_source_may_be_down_for_a_moment(watcher: Watcher) -> None:
    down = Look("a", failure=LogUnreadable("down", actual="timeout"))
    assert watcher.look(down) == set()
    assert watcher.look(down, minutes=3) == {Alarm.UNREACHABLE}
    history = History().boot(1, 5)
    assert watcher.see(a=Shown(history)) == set()
    assert watcher.notices == [Notice.FIRST, Notice.ENDED]
    nothing = Shown(history)
    nothing.checkpoint = None
    watcher.see(a=nothing)
    assert watcher.see(a=nothing, minutes=3) == {Alarm.UNREACHABLE}


def test_an_old_head_is_stuck() -> None:
    watcher = Watcher(Rules(max_age_ms=3_600_000, grace_ms=GRACE))
    history = History().boot(1, 5)
    assert watcher.see(a=Shown(history)) == set()
    assert watcher.see(a=Shown(history), minutes=59) == set()
    assert watcher.see(a=Shown(history), minutes=2) == {Alarm.STUCK}
    history.add(Kind.SIGNED)
    assert watcher.see(a=Shown(history)) == set()


def test_leaves_without_a_head_are_stuck(watcher: Watcher) -> None:
    history = History().boot(1, 9)
    shown = Shown(history, 6)
    shown.size = 10
    watcher.see(a=shown)
    assert watcher.see(a=shown, minutes=3) == {Alarm.STUCK}


def test_leaves_that_contradict_each_other_are_told(watcher: Watcher) -> None:
    history = History().boot(1, 300)
    watcher.see(a=Shown(history, 280))
    history.put(history.entries[7])
    assert watcher.see(a=Shown(history)) == {Alarm.DISORDERED}
    assert "leaf 301" in watcher.state.alarms[0].what


def test_leaves_that_cannot_be_read_are_told(watcher: Watcher) -> None:
    history = History().boot(1, 300)
    watcher.see(a=Shown(history, 280))
    withheld = Shown(history)
    for path in [path for path in withheld if path.startswith("tile/entries/001")]:
        del withheld[path]
    assert watcher.see(a=withheld) == {Alarm.DISORDERED}


# --- heads without leaves ----------------------------------------------------------------------


def attested(history: History, size: int) -> Look:
    return Look("enclave", head_at(history, size))


def test_an_attested_head_waits_for_its_leaves(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    assert watcher.look(attested(history, 300)) == set()
    assert watcher.see(a=Shown(history, 200)) == set()
    assert len(watcher.state.pending) == 1
    assert watcher.see(a=Shown(history, 400)) == set()
    assert watcher.state.pending == []


def test_a_source_that_hides_attested_leaves_is_stuck(watcher: Watcher) -> None:
    history = History().boot(1, 600)
    watcher.look(attested(history, 300))
    watcher.see(a=Shown(history, 200))
    assert watcher.see(a=Shown(history, 200), minutes=3) == {Alarm.STUCK}


@pytest.mark.parametrize("size", [22, 25, 320])
def test_a_source_that_shows_another_log_than_is_attested_forks(
    watcher: Watcher, size: int
) -> None:
    first, second = forked(20, 300, 305)
    watcher.look(attested(first, size))
    assert watcher.see(a=Shown(second)) == {Alarm.FORKED}


def test_attested_heads_that_wait_are_bounded(watcher: Watcher) -> None:
    history = History().boot(1, 200)
    for size in range(1, 150):
        watcher.look(attested(history, size))
    sizes = [each.size for each in watcher.state.pending]
    assert len(sizes) == 64
    assert (sizes[0], sizes[-1]) == (1, 149)


# --- witnesses ---------------------------------------------------------------------------------


def cosigned(shown: Shown, *numbers: int, at_s: int) -> Shown:
    note = Note.parse(shown.checkpoint or b"")
    names = {50: WITNESS.name, 51: OTHER.name}
    lines = [cosign(note.text, names[n], private_key(n), at_s) for n in numbers]
    shown.checkpoint = Note(note.text, (*note.signatures, *lines)).serialise()
    return shown


@pytest.fixture
def witnessed() -> Watcher:
    return Watcher(Rules(Quorum((WITNESS, OTHER), 2), grace_ms=GRACE))


def test_a_head_that_a_quorum_cosigned_is_well(witnessed: Watcher) -> None:
    history = History().boot(1, 5)
    shown = cosigned(Shown(history), 50, 51, at_s=NOW // 1000)
    for _ in range(4):
        assert witnessed.see(a=shown) == set()
    assert witnessed.state.witnessed == 6


@pytest.mark.parametrize("numbers", [(), (50,), (51, 51)])
def test_a_head_that_too_few_cosigned_is_told(witnessed: Watcher, numbers: tuple[int, ...]) -> None:
    history = History().boot(1, 5)
    shown = cosigned(Shown(history), *numbers, at_s=NOW // 1000)
    assert witnessed.see(a=shown) == set()
    assert witnessed.see(a=shown, minutes=3) == {Alarm.UNWITNESSED}
    assert witnessed.see(a=cosigned(Shown(history), 50, 51, at_s=NOW // 1000)) == set()
    assert witnessed.raised == set()


def test_a_log_that_always_outruns_its_witnesses_is_told(witnessed: Watcher) -> None:
    history = History().boot(1, 5)
    found = set()
    for _ in range(5):
        history.add(Kind.SIGNED)
        found |= witnessed.see(a=Shown(history))
    assert found == {Alarm.UNWITNESSED}


def test_a_cosignature_of_the_future_does_not_count(witnessed: Watcher) -> None:
    shown = cosigned(Shown(History().boot(1, 5)), 50, 51, at_s=NOW // 1000 + 86_400)
    witnessed.see(a=shown)
    assert witnessed.see(a=shown, minutes=3) == {Alarm.UNWITNESSED}


def test_a_fresh_cosignature_keeps_an_idle_log_young() -> None:
    rules = Rules(Quorum((WITNESS, OTHER), 2), 3_600_000, GRACE)
    watcher, history = Watcher(rules), History().boot(1, 5)
    watcher.see(a=cosigned(Shown(history), 50, 51, at_s=NOW // 1000))
    later = NOW // 1000 + 7_000
    assert watcher.see(a=cosigned(Shown(history), 50, 51, at_s=later), minutes=120) == set()
    assert watcher.see(a=cosigned(Shown(history), 50, 51, at_s=later), minutes=70) == {Alarm.STUCK}


# --- state -------------------------------------------------------------------------------------


def test_the_state_comes_back_as_it_was(watcher: Watcher, tmp_path: Path) -> None:
    first, second = forked(20, 5, 5)
    watcher.look(attested(first, 300 // 20))
    watcher.see(a=Shown(first), b=Shown(second))
    file = StateFile(tmp_path / "state")
    assert file.load(ORIGIN) == MonitorState(ORIGIN)
    file.save(watcher.state)
    assert StateFile(tmp_path / "state").load(ORIGIN) == watcher.state
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    again = Watcher(state=StateFile(tmp_path / "state").load(ORIGIN), now=watcher.now)
    assert again.see(a=Shown(first), b=Shown(second)) == set()
    assert again.raised == {Alarm.FORKED}


@pytest.mark.parametrize("data", [b"", b"{}", b"noise", b"[]", b"\xff"])
def test_a_damaged_state_is_not_begun_anew(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(LogDamaged):
        StateFile(tmp_path / "state").load(ORIGIN)


def test_the_state_of_another_log_is_refused(tmp_path: Path) -> None:
    StateFile(tmp_path / "state").save(MonitorState("another"))
    with pytest.raises(LogDamaged, match="another log"):
        StateFile(tmp_path / "state").load(ORIGIN)


def test_without_a_file_the_state_lasts_as_long_as_the_monitor(watcher: Watcher) -> None:
    file = StateFile(None)
    watcher.see(a=Shown(History().boot(1, 5)))
    file.save(watcher.state)
    assert file.load(ORIGIN) is watcher.state
