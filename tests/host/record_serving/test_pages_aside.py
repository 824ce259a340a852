"""Pages that do not lead to their own head: aside until the one that does, or refused aloud."""

import signal
import subprocess
import sys

import pytest
from strongroom_host.log.boots import Boots
from strongroom_host.log.errors import LogUnwritable
from strongroom_host.log.incoming import Incoming
from strongroom_host.log.openings import Openings
from strongroom_host.record_serving.kept_log import KeptLog
from strongroom_host.record_store.errors import LogUnavailable, PageRefused
from strongroom_host.record_store.leaves import newest_head
from strongroom_wire.leaves import Kind
from strongroom_wire.pages import Entry, LogPage

from tests.host.record_serving.keeping import Host
from tests.host.record_serving.pages import RECORD_ORIGIN, Pushing
from tests.wire.samples import byte


def test_pages_are_joined_by_the_one_that_leads_to_their_head(host: Host, log: KeptLog) -> None:
    pushing = Pushing().boot().went_on(6)
    log.keep(host.connection, pushing.page(count=3))
    log.keep(host.connection, pushing.page(count=2))
    assert host.stored() == host.rows() == []
    assert newest_head(host.connection, RECORD_ORIGIN) is None
    log.keep(host.connection, pushing.page())
    assert host.stored() == host.rows() == pushing.history.entries
    with Openings(host.folder) as openings:
        assert {n: openings.get(n) for n in range(7)} == pushing.history.openings
    assert not Incoming(host.folder).entries(), "what is stored is not kept aside as well"
    assert Boots(host.folder).ids() == (byte(1),)
    log.keep(host.connection, pushing.went_on().page())
    assert host.stored() == pushing.history.entries
    assert host.said == []


@pytest.mark.parametrize("pages", [1, 2])
def test_a_host_that_begins_anew_in_between_has_them(host: Host, pages: int) -> None:
    pushing = Pushing().boot().went_on(6)
    for _ in range(pages):
        with host.start() as log:
            log.keep(host.connection, pushing.page(count=2))
    with host.start() as log:
        log.catch_up(host.connection)
        log.keep(host.connection, pushing.page())
    assert host.stored() == host.rows() == pushing.history.entries


def test_they_survive_a_kill_once_they_are_acknowledged(host: Host) -> None:
    """Another process puts them aside, and is killed where it would acknowledge."""
    pushing = Pushing().boot().went_on(6)
    page = host.folder.parent / "page"
    page.write_bytes(pushing.page(count=4))
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from strongroom_host.record_serving.aside import Aside\n"
        "from strongroom_wire.pages import LogPage\n"
        "Path(sys.argv[1]).mkdir()\n"
        "Aside(Path(sys.argv[1])).put(LogPage.parse(Path(sys.argv[2]).read_bytes()).entries)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, host.folder, page], check=False)
    assert done.returncode == -signal.SIGKILL
    with host.start() as log:
        log.keep(host.connection, pushing.page())
    assert host.stored() == host.rows() == pushing.history.entries


def test_the_same_page_again_takes_no_more_room(host: Host, log: KeptLog) -> None:
    page = Pushing().boot().went_on(6).page(count=4)
    log.keep(host.connection, page)
    file = host.folder / "incoming"
    before = file.stat().st_size
    for _ in range(3):
        log.keep(host.connection, page)
    assert file.stat().st_size == before > 0


def test_a_boot_that_ended_in_between_left_nothing(host: Host) -> None:
    """Its leaves were in no log: the next boot continues the history without them."""
    dead = Pushing().boot()
    with host.start() as log:
        log.keep(host.connection, dead.page())
        log.keep(host.connection, dead.went_on(6).page(count=5))
        pushing = Pushing()
        pushing.boot()
        pushing.pushed = 1
        pushing.boot().went_on(4)
        host.boot = 2
        log.keep(host.connection, pushing.page(count=2))
        log.keep(host.connection, pushing.page())
        assert not log.stopped
    assert host.stored() == host.rows() == pushing.history.entries


def test_a_database_that_missed_the_joined_page_is_given_all(host: Host, log: KeptLog) -> None:
    """It is lost between disk and commit; the record pushes the last page again, and only that."""
    pushing = Pushing().boot().went_on(6)
    log.keep(host.connection, pushing.page(count=4))
    last = pushing.page()
    with host.connection.transaction(force_rollback=True):
        log.keep(host.connection, last)
    assert host.stored() == pushing.history.entries
    assert host.rows() == []
    log.keep(host.connection, last)
    assert host.rows() == pushing.history.entries
    assert host.said == []


def test_a_page_after_one_that_never_came_is_refused(host: Host, log: KeptLog) -> None:
    pushing = Pushing().boot().went_on(6)
    pushing.page(count=2)
    for page in (pushing.page(count=2), pushing.page()):
        with pytest.raises(PageRefused, match="never came"):
            log.keep(host.connection, page)
    assert not log.stopped
    log.keep(host.connection, pushing.page(first=0))
    assert host.stored() == pushing.history.entries


def test_what_is_stored_already_has_to_be_the_same(host: Host, log: KeptLog) -> None:
    pushing = Pushing().boot()
    log.keep(host.connection, pushing.page())
    other = Pushing()
    other.number = 1
    other.history.epoch = byte(1)
    other.history.add(Kind.PERMIT, byte(3))
    with pytest.raises(PageRefused, match="not in the log"):
        log.keep(host.connection, other.went_on(5).page(first=0, count=3))
    assert not Incoming(host.folder).entries()
    log.keep(host.connection, pushing.went_on(5).page(first=0, count=3))
    log.keep(host.connection, pushing.page())
    assert host.stored() == host.rows() == pushing.history.entries


def test_pages_that_do_not_lead_to_their_head_stop_the_log(host: Host, log: KeptLog) -> None:
    """Another history put aside under a true signature is found where it would be stored."""
    pushing, other = Pushing().boot().went_on(6), Pushing().boot().went_on(2)
    other.history.add(Kind.PERMIT, byte(9))
    true = LogPage.parse(pushing.page(count=4))
    forged = LogPage.parse(other.page()).entries
    page = LogPage(true.checkpoint, true.signature, forged).serialise()
    log.keep(host.connection, page)
    with pytest.raises(PageRefused, match="do not lead to the head"):
        log.keep(host.connection, pushing.page())
    assert host.stored() == host.rows() == []
    assert log.stopped


def _broken(page: bytes, *order: int, opening: bytes | None = None) -> bytes:
    """The page with its entries in another order, or the first with another opening."""
    found = LogPage.parse(page)
    entries = [found.entries[n] for n in order]
    if opening is not None:
        entries[0] = Entry(entries[0].leaf, opening)
    return LogPage(found.checkpoint, found.signature, tuple(entries)).serialise()


def test_entries_out_of_order_or_with_a_false_opening_are_refused(host: Host, log: KeptLog) -> None:
    page = Pushing().boot().went_on(6).page(count=3)
    for broken in (_broken(page, 0, 2, 1), _broken(page, 0, 1, opening=bytes(40))):
        with pytest.raises(PageRefused):
            log.keep(host.connection, broken)
    assert not Incoming(host.folder).entries()


def test_a_folder_that_cannot_be_written_is_for_now(
    host: Host, log: KeptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushing = Pushing().boot().went_on(6)
    page = pushing.page(count=4)
    monkeypatch.setattr(Incoming, "add", _full)
    with pytest.raises(LogUnavailable, match="cannot write"):
        log.keep(host.connection, page)
    monkeypatch.undo()
    log.keep(host.connection, page)
    log.keep(host.connection, pushing.page())
    assert host.stored() == pushing.history.entries


def _full(_incoming: Incoming, _entries: tuple[Entry, ...]) -> None:
    raise LogUnwritable("cannot write incoming: no space left")
