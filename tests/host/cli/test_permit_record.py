"""What an owner's permit says about the record's log: his stored copy, held against his memory."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from strongroom_host.cli.permit_log import (
    DraftDiffers,
    LogChoice,
    check_draft,
    history_to_continue,
    log_choices,
    remember_permit,
)
from strongroom_host.cli.session import OwnerSession
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.history import HistoryShorter
from strongroom_host.trust.record import EvidencePolicy
from strongroom_wire.bundle import EMPTY_LOG, Role
from strongroom_wire.manifest import verify_manifest
from strongroom_wire.merkle import Frontier
from strongroom_wire.statements import Permit

from tests.host.log.boots_made import START, Running, manifest
from tests.host.log.test_record_log import ACCOUNTS, FIRST, LOG
from tests.wire.samples import byte

NOW = START + 3_600_000
NEXT = Running(manifest(9, accounts=ACCOUNTS), role=Role.RECORD)
RECORD = LogChoice(None, None, False, Role.RECORD)
TREE = Frontier(LOG.tree.size, LOG.tree.hashes)


class Owner:
    """An owner's session with the boot that comes next, and his folder."""

    def __init__(self, folder: Path) -> None:
        verified = verify_manifest(NEXT.statement)
        policy = EvidencePolicy(LOG.trust.looking_back(), verified.digest, verified.owners.root)
        parts = {"manifest": verified, "folder": OwnerFolder(folder), "policy": policy}
        bundle = NEXT.machine.bundle
        self.session = cast(OwnerSession, SimpleNamespace(**parts))
        self.evidence = cast(VerifiedEvidence, SimpleNamespace(bundle=bundle, keys=bundle.role))
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
