"""What an owner's permit says about the record's log: his stored copy, held against his memory."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace
from strongroom_host.cli.permit_log import (
    DraftDiffers,
    LogChoice,
    RecordBegun,
    check_draft,
    history_to_continue,
    log_choices,
    remember_begun,
    remember_permit,
)
from strongroom_host.cli.record_memory import remember_attested
from strongroom_host.cli.session import OwnerSession
from strongroom_host.contract.roles import role_keys
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.heads import How
from strongroom_host.owner.history import HistoryShorter
from strongroom_host.trust.record import EvidencePolicy
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.manifest import verify_manifest
from strongroom_wire.merkle import Frontier
from strongroom_wire.statements import Permit

from tests.host.log.boots_made import START, Running, manifest
from tests.host.log.test_record_log import ACCOUNTS, FIRST, LOG
from tests.wire.samples import byte

NOW = START + 3_600_000
NEXT = Running(manifest(9, accounts=ACCOUNTS), role=Role.RECORD)
RECORD = LogChoice(None, None, False, Role.RECORD)
HEAD = LogHead(7, byte(7))
TREE = Frontier(LOG.tree.size, LOG.tree.hashes)


class Owner:
    """An owner's session with the boot that comes next, and his folder."""

    def __init__(self, folder: Path) -> None:
        verified = verify_manifest(NEXT.statement)
        policy = EvidencePolicy(LOG.trust.looking_back(), verified.digest, verified.owners.root)
        parts = {"manifest": verified, "folder": OwnerFolder(folder), "policy": policy}
        bundle = NEXT.machine.bundle
        self.session = cast(OwnerSession, SimpleNamespace(**parts))
        keys = partial(role_keys, bundle)
        self.evidence = cast(VerifiedEvidence, SimpleNamespace(bundle=bundle, keys=keys))
        self.folder = folder

    def store(self) -> "Owner":
        LOG.store(self.folder)
        (self.folder / "log").rename(self.folder / "record-log")
        return self

    def draft(self, **changes: Any) -> Permit:
        fields = {"record_root": byte(3), "not_before": START + 4_000, **changes}
        return Permit.parse(NEXT.permit(TREE, **fields).payload)

    def check(self, draft: Permit) -> None:
        check_draft(self.session, self.evidence, draft, RECORD, NOW)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path).store()


def test_the_stored_record_is_continued_with_its_states(owner: Owner) -> None:
    found = history_to_continue(owner.session, owner.evidence, RECORD, NOW)
    assert found.log.head == LOG.head
    assert (found.root, found.abandons, found.not_before) == (byte(3), EMPTY_LOG, START + 4_000)


def test_nothing_stored_begins_an_empty_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = Owner(tmp_path)
    found = history_to_continue(owner.session, owner.evidence, RECORD, NOW)
    assert (found.log.head, found.root) == (EMPTY_LOG, bytes(32))
    assert "no log of the record is stored" in capsys.readouterr().out


def test_what_was_named_before_must_be_there_again_or_be_given_up(owner: Owner) -> None:
    remember_permit(owner.session, owner.evidence, owner.draft(), RECORD, NOW)
    assert owner.session.folder.heads.known(FIRST.origin)[-1].head == LOG.head
    (owner.folder / "record-log").rename(owner.folder / "elsewhere")
    with pytest.raises(HistoryShorter, match="newest 5 leaves"):
        history_to_continue(owner.session, owner.evidence, RECORD, NOW)
    gone = LogChoice(None, "the disk burnt", False, Role.RECORD)
    found = history_to_continue(owner.session, owner.evidence, gone, NOW)
    assert (found.log.head, found.abandons, found.root) == (EMPTY_LOG, LOG.head, bytes(32))


def begun(owner: Owner, boot: Running, **changes: Any) -> None:
    """A boot took this owner's permit to begin an empty log of the record."""
    draft = Permit.parse(boot.permit(Frontier(), **changes).payload)
    remember_begun(owner.session, boot.boot_id, draft)


def test_a_second_boot_does_not_begin_an_empty_one_unasked(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    begun(owner, FIRST)
    begun(owner, FIRST)
    for choice in (RECORD, LogChoice(None, None, True, Role.RECORD)):
        with pytest.raises(RecordBegun, match=FIRST.boot_id.hex()[:16]) as refused:
            history_to_continue(owner.session, owner.evidence, choice, NOW)
    assert "--record-log DIR" in refused.value.remedy
    assert '--record-abandon "REASON"' in refused.value.remedy
    (owner.folder / "record-log").mkdir()
    with pytest.raises(RecordBegun):
        history_to_continue(owner.session, owner.evidence, RECORD, NOW)
    lost = LogChoice(None, "the disk burnt", False, Role.RECORD)
    found = history_to_continue(owner.session, owner.evidence, lost, NOW)
    assert (found.log.head, found.abandons) == (EMPTY_LOG, EMPTY_LOG)


def test_the_boot_that_began_it_is_permitted_again(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    begun(owner, FIRST)
    begun(owner, NEXT)
    assert history_to_continue(owner.session, owner.evidence, RECORD, NOW).log.head == EMPTY_LOG
    owner.store()
    found = history_to_continue(owner.session, owner.evidence, RECORD, NOW)
    assert found.log.head == LOG.head, "what is stored is gone on with"


def test_a_permit_that_goes_on_with_a_log_begins_none(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    remember_begun(owner.session, NEXT.boot_id, owner.draft())
    assert owner.session.folder.heads.begun(FIRST.origin) == ()
    signers = Running(manifest(9))
    verified = verify_manifest(signers.statement)
    without = SimpleNamespace(manifest=verified, folder=owner.session.folder)
    draft = Permit.parse(signers.permit(Frontier()).payload)
    remember_begun(cast(OwnerSession, without), signers.boot_id, draft)
    assert owner.session.folder.heads.begun(FIRST.origin) == (), "without accounts there is none"


def test_a_co_owner_who_knows_that_it_was_begun_signs_no_empty_one(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    empty = owner.draft(record_log=Frontier().serialise(), record_root=bytes(32))
    owner.check(empty)
    begun(owner, FIRST)
    with pytest.raises(RecordBegun):
        owner.check(empty)
    owner.check(owner.draft())


def test_what_evidence_showed_has_to_be_there_at_the_next_boot(owner: Owner) -> None:
    """As after `record connect`: the head that the boot before committed to."""
    keys = role_keys(FIRST.machine.bundle, Role.RECORD)
    shown = SimpleNamespace(bundle=FIRST.machine.bundle, keys=lambda _: replace(keys, head=HEAD))
    remember_attested(owner.session, cast(VerifiedEvidence, shown))
    [known] = owner.session.folder.heads.known(FIRST.origin)
    assert (known.head, known.how, known.boot) == (HEAD, How.SHOWN, FIRST.boot_id)
    with pytest.raises(HistoryShorter) as refused:
        history_to_continue(owner.session, owner.evidence, RECORD, NOW)
    assert "--record-log DIR" in refused.value.remedy


def test_a_co_owner_compares_history_states_and_time(owner: Owner) -> None:
    owner.check(owner.draft())
    for changed, words in (
        ({"record_root": byte(2)}, "other states"),
        ({"record_root": bytes(32)}, "other states"),
        ({"record_log": Frontier().serialise()}, "another history"),
        ({"not_before": START}, "a time as passed"),
    ):
        with pytest.raises(DraftDiffers, match=words):
            owner.check(owner.draft(**changed))


def test_there_is_a_record_where_there_are_accounts() -> None:
    signers = LogChoice(None, None, True)
    document = manifest(9, accounts=ACCOUNTS)
    both = log_choices(document, signers, Path("there"), "gone")
    assert both == (signers, LogChoice(Path("there"), "gone", True, Role.RECORD))
    assert log_choices(manifest(9), signers, None, None) == (signers,)
    for log, abandon in ((Path("there"), None), (None, "gone")):
        with pytest.raises(DocumentInvalid, match="no accounts"):
            log_choices(manifest(9), signers, log, abandon)
