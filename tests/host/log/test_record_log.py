"""The record's log is one like the signer's: proved by its own key, with its own permits' word."""

from pathlib import Path

import pytest
from strongroom_host.log.attested import prove_boot, role_of
from strongroom_host.log.errors import BootUnproved
from strongroom_host.log.examination import Meant
from strongroom_host.log.examine import examine
from strongroom_host.log.records import given_up_by
from strongroom_host.log.verify import Problem
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.leaves import Kind
from strongroom_wire.manifest import Account, Tier
from strongroom_wire.merkle import Frontier
from strongroom_wire.record import UNCHAINED, SyncReceipt
from strongroom_wire.statements import Permit

from tests.host.cli.world import Machine
from tests.host.log.boots_made import Kept, Running, manifest
from tests.host.log.test_examine import LOG as SIGNERS
from tests.host.log.test_examine import Shown, found
from tests.wire.samples import byte

ACCOUNTS = (Account("main", "ada", "binance", "live", "USDT", 0, Tier()),)
FIRST, SECOND = (
    Running(manifest(version, accounts=ACCOUNTS), role=Role.RECORD) for version in (7, 8)
)
RECEIPT = SyncReceipt(
    "main", "binance", "live", 0, UNCHAINED, (0, UNCHAINED), (0, UNCHAINED), 0, 0, 0, 0
).serialise()


def two_boots() -> Kept:
    """Leaves 0 to 2 of the first boot, 3 and 4 of the second."""
    log = Kept().start(FIRST)
    for number in (1, 2):
        log.add(Kind.SYNC, RECEIPT, byte(number))
    log.sign().start(SECOND)
    log.add(Kind.SYNC, RECEIPT, byte(3))
    return log.sign()


LOG = two_boots()


def meant(role: Role = Role.RECORD) -> Meant:
    return Meant(LOG.trust, FIRST.document.owner_root, role=role)


def test_it_is_in_order_under_the_records_key_and_permits() -> None:
    result = examine(Shown(LOG), meant(), openings=LOG.openings)
    assert found(result) == []
    assert result.ok
    assert result.origin.startswith("strongroom.log/record/")
    one, two = result.boots
    assert [permit.continued.size for permit in (*one.permits, *two.permits)] == [0, 3]
    assert all(permit.verified for permit in (*one.permits, *two.permits))


def test_it_is_not_the_signers_log_nor_the_signers_this() -> None:
    wrong = examine(Shown(LOG), meant(Role.SIGNER), openings=LOG.openings)
    assert Problem.UNSIGNED in {each.problem for each in wrong.findings}
    signers = Meant(SIGNERS.trust, FIRST.document.owner_root, role=Role.RECORD)
    other = examine(Shown(SIGNERS), signers, openings=SIGNERS.openings)
    assert not other.ok


def test_a_permit_that_continues_another_record_is_wrong() -> None:
    """What it says of the signer's log is no word about this one."""
    tree = Frontier(LOG.tree.size, LOG.tree.hashes)
    third = Running(manifest(9, accounts=ACCOUNTS), role=Role.RECORD)
    other = third.permit(Frontier(), signer_log=tree.serialise())
    result = examine(Shown(log := LOG.copy().start(third, other)), meant(), openings=log.openings)
    assert (Problem.WRONG_PERMIT, 5, 6) in found(result)


def test_what_was_given_up_of_each_log_is_told_apart() -> None:
    gone = LogHead(9, byte(9))
    parsed = Permit.parse(FIRST.permit(Frontier(), record_abandons=gone).payload)
    assert given_up_by(parsed, Role.RECORD) == gone
    assert given_up_by(parsed, Role.SIGNER) == EMPTY_LOG


def test_a_boot_without_a_record_proves_nothing_of_its_log() -> None:
    signers = next(iter(SIGNERS.boots.values()))
    with pytest.raises(BootUnproved):
        prove_boot(signers, SIGNERS.trust, FIRST.document.owner_root, Role.RECORD)
    proved = prove_boot(LOG.boots[FIRST.boot_id], LOG.trust, FIRST.document.owner_root, Role.RECORD)
    assert proved.key == FIRST.key
    assert proved.head is not None
    assert proved.head.head.size == 3


def test_names_say_whose_log_it_is() -> None:
    assert role_of(FIRST.origin) is Role.RECORD
    assert role_of(SIGNERS.boot.origin) is Role.SIGNER
    assert role_of("someone.else/record") is Role.SIGNER


def test_verify_and_prove_take_its_role(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine")
    LOG.store(tmp_path)
    given = ("--trust", tmp_path / "trust.json", "--manifest", tmp_path / "manifest.signed.json")
    log = tmp_path / "log"
    done = machine.run("log", "verify", "--log", log, "--role", "record", *given)
    assert "strongroom.log/record/" in done.out
    machine.run("log", "verify", "--log", log, *given, expect=3)
    proof, evidence = tmp_path / "leaf.tlog-proof", tmp_path / "boot.json"
    machine.run("log", "prove", "inclusion", 1, "--log", log, "--out", proof,
                "--evidence-out", evidence)  # fmt: skip
    check = ("log", "prove", "check", proof, "--evidence", evidence, *given)
    machine.run(*check, "--role", "record")
    machine.run(*check, expect=3)
