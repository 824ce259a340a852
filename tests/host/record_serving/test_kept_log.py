"""Pages that the record pushes: stored once, in order, under its signature, or refused aloud."""

import pytest
from strongroom_host.log.boots import Boots
from strongroom_host.log.notes import VerifierKey, open_checkpoint
from strongroom_host.log.openings import Openings
from strongroom_host.log.stored import StoredLog
from strongroom_host.record_serving.kept_log import KeptLog
from strongroom_host.record_store.errors import LogUnavailable, PageRefused
from strongroom_host.record_store.leaves import newest_head, put_leaves
from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Kind
from strongroom_wire.pages import Entry, LogPage

from tests.host.record_serving.keeping import Host
from tests.host.record_serving.pages import RECORD_ORIGIN, Pushing
from tests.wire.samples import byte, public


def test_a_page_is_on_disk_and_in_the_database_when_it_is_acknowledged(
    host: Host, log: KeptLog
) -> None:
    pushing = Pushing().boot()
    log.keep(host.connection, pushing.page())
    log.keep(host.connection, pushing.went_on(3).page())
    assert host.stored() == host.rows() == pushing.history.entries
    head = newest_head(host.connection, RECORD_ORIGIN)
    assert head is not None
    key = VerifierKey(RECORD_ORIGIN, public(1))
    assert open_checkpoint(head[1], RECORD_ORIGIN, [key]).head == pushing.history.tree.head
    assert Boots(host.folder).ids() == (byte(1),)
    with Openings(host.folder) as openings:
        assert openings.get(2) == pushing.history.openings[2]
    assert host.said == []


def test_the_newest_head_of_each_boot_is_kept_with_its_evidence(host: Host) -> None:
    """What proves a return after the boot that computed it: a later one does not vouch for it."""

    def kept(boot: int) -> LogHead:
        found = Boots(host.folder).get(byte(boot))
        assert found is not None
        key = VerifierKey(RECORD_ORIGIN, public(boot))
        return open_checkpoint(found.note, RECORD_ORIGIN, [key]).head

    pushing = Pushing().boot()
    with host.start() as log:
        log.keep(host.connection, pushing.page())
        first = pushing.history.tree.head
    assert kept(1) == first
    page = pushing.went_on(3).page()
    with host.start() as log, pytest.MonkeyPatch.context() as killed:
        killed.setattr(log, "_sign", lambda *_: None)
        log.keep(host.connection, page)
    assert kept(1) == first
    with host.start() as log:
        log.keep(host.connection, page)
    last = pushing.history.tree.head
    assert kept(1) == last
    host.boot = 2
    with host.start() as log:
        log.keep(host.connection, pushing.boot().page())
    assert (kept(1), kept(2)) == (last, pushing.history.tree.head)


def test_it_is_published_and_cosigned_beside(host: Host) -> None:
    pushing = Pushing().boot()
    with host.start() as log:
        log.keep(host.connection, pushing.page())
    assert StoredLog(host.folder).published == 1


def test_whoever_was_not_answered_pushes_the_same_again(host: Host, log: KeptLog) -> None:
    pushing = Pushing().boot()
    page = pushing.went_on(2).page()
    log.keep(host.connection, page)
    log.keep(host.connection, page)
    log.keep(host.connection, pushing.went_on().page(first=1))
    assert host.stored() == host.rows() == pushing.history.entries
    assert host.asked == 1, "evidence of one boot is fetched once"


def test_a_crash_between_disk_and_database_is_made_good(host: Host) -> None:
    pushing = Pushing().boot()
    page = pushing.page()
    with host.start() as log, host.connection.transaction(force_rollback=True):
        log.keep(host.connection, page)
    assert len(host.stored()) == 1
    assert host.rows() == []
    with host.start() as log:
        log.catch_up(host.connection)
        assert host.rows() == host.stored()
        assert newest_head(host.connection, RECORD_ORIGIN) is not None
        log.keep(host.connection, page)
        log.keep(host.connection, pushing.went_on().page())
    assert host.stored() == host.rows() == pushing.history.entries


def test_a_record_that_pushes_again_makes_it_good_too(host: Host) -> None:
    pushing = Pushing().boot()
    with host.start() as log:
        with host.connection.transaction(force_rollback=True):
            log.keep(host.connection, pushing.page())
        log.keep(host.connection, pushing.page(first=0))
    assert host.stored() == host.rows() == pushing.history.entries


def test_a_folder_that_was_put_back_is_told(host: Host) -> None:
    put_leaves(host.connection, RECORD_ORIGIN, 0, [b"a", b"b"])
    with host.start() as log:
        log.catch_up(host.connection)
    assert "put back from an old copy" in host.said[-1]


def test_a_new_boot_is_vouched_for_by_its_own_evidence(host: Host, log: KeptLog) -> None:
    pushing = Pushing().boot()
    log.keep(host.connection, pushing.went_on().page())
    pushing.boot().went_on()
    host.boot = 2
    log.keep(host.connection, pushing.page())
    assert host.stored() == pushing.history.entries
    assert set(Boots(host.folder).ids()) == {byte(1), byte(2)}


def test_pages_of_a_boot_that_is_over_are_refused(host: Host, log: KeptLog) -> None:
    pushing = Pushing().boot()
    log.keep(host.connection, pushing.page())
    host.boot = 2
    log.keep(host.connection, Pushing.page(_continued(pushing)))
    before = host.stored()
    pushing.went_on()
    with pytest.raises(PageRefused):
        log.keep(host.connection, pushing.page())
    assert host.stored() == before
    assert "another boot" in host.said[-1]


def _continued(pushing: Pushing) -> Pushing:
    """The same log with a second boot."""
    other = Pushing()
    other.history, other.number, other.pushed = pushing.history.copy(), 1, pushing.pushed
    return other.boot()


def test_what_the_record_did_not_sign_is_refused_and_stops_nothing(
    host: Host, log: KeptLog
) -> None:
    pushing = Pushing().boot()
    log.keep(host.connection, pushing.page())
    forged = pushing.went_on().page(signer=9)
    with pytest.raises(PageRefused):
        log.keep(host.connection, forged)
    assert not log.stopped
    log.keep(host.connection, pushing.page(first=1))
    assert host.stored() == pushing.history.entries
    assert len(host.said) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_a_page_that_does_not_continue_is_refused_aloud(
    host: Host, log: KeptLog, first: int
) -> None:
    pushing = Pushing().boot()
    log.keep(host.connection, pushing.page())
    with pytest.raises(PageRefused):
        log.keep(host.connection, _fork().page(first))
    assert len(host.stored()) == len(host.rows()) == 1
    assert host.said


def _fork() -> Pushing:
    """Another first leaf than the one that was stored, signed by the same key."""
    other = Pushing()
    other.history.epoch = byte(1)
    other.history.add(Kind.PERMIT, byte(3))
    other.number = 1
    return other.went_on(2)


def test_a_gap_is_refused(host: Host, log: KeptLog) -> None:
    pushing = Pushing().boot()
    log.keep(host.connection, pushing.page())
    pushing.went_on()
    pushing.page()
    with pytest.raises(PageRefused, match="never came"):
        log.keep(host.connection, pushing.went_on().page())
    assert len(host.stored()) == len(host.rows()) == 1


def test_other_leaves_in_the_database_are_told(host: Host, log: KeptLog) -> None:
    put_leaves(host.connection, RECORD_ORIGIN, 0, [b"another log"])
    with pytest.raises(PageRefused, match="other leaves"):
        log.keep(host.connection, Pushing().boot().page())
    assert host.stored() == []


def test_without_evidence_nothing_is_kept_for_now(host: Host, log: KeptLog) -> None:
    host.down = True
    page = Pushing().boot().page()
    with pytest.raises(LogUnavailable, match="no evidence"):
        log.keep(host.connection, page)
    host.down = False
    log.keep(host.connection, page)
    assert len(host.stored()) == 1


def test_what_is_no_page_is_refused(host: Host, log: KeptLog) -> None:
    page = LogPage.parse(Pushing().boot().page())
    wrong = [
        b"",
        LogPage(page.checkpoint, page.signature, ()).serialise(),
        LogPage(page.checkpoint, page.signature, (Entry(b"leaf", b""),)).serialise(),
    ]
    for each in wrong:
        with pytest.raises(WireError):
            log.keep(host.connection, each)
    opened = LogPage(
        page.checkpoint, page.signature, (Entry(page.entries[0].leaf, bytes(40)),)
    ).serialise()
    with pytest.raises(PageRefused):
        log.keep(host.connection, opened)
    assert host.asked == 1
    assert host.rows() == host.stored() == []
