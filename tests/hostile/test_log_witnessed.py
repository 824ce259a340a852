"""The log of real boots before real witnesses: introduced by their permits, and never two of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from strongroom_host.contract.openings import record_in
from strongroom_host.contract.roles import role_keys
from strongroom_host.log.cosigning import WitnessAt, cosign
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey, signed_note
from strongroom_host.log.submissions import Introduction
from strongroom_host.log.witness_errors import HistoryRefused, KeyUnknown, WitnessAhead
from strongroom_host.log.witnessed import Quorum, witnessed
from strongroom_host.witness.memory import FollowedOwners
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.encoding import u64
from strongroom_wire.errors import Code
from strongroom_wire.frames import Intent, Kind
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import LogPage

from tests.host.witness.logs import Station
from tests.host.witness.serving import serving
from tests.hostile.driver import Boot, Desk

Start = Callable[..., Boot]


class Kept:
    """A boot's log as its host keeps it: stored leaves, the signed head, and who let it sign."""

    def __init__(self, boot: Boot, folder: Path, before: tuple[bytes, ...] = ()) -> None:
        reply = boot.channel().ask(Intent(Kind.READ_LOG, 0, 0, 0, (), u64(len(before))))
        assert reply.code is Code.OK
        page = LogPage.parse(reply.request)
        bundle = boot.bundle
        self.origin = log_origin(bundle.owner_root, boot.desk.manifest.account, Role.SIGNER)
        self.key = VerifierKey(self.origin, role_keys(bundle, Role.SIGNER).receipt)
        self.leaves = (*before, *(entry.leaf for entry in page.entries))
        self.note = signed_note(page.checkpoint, self.key, page.signature)
        first = page.entries[0]
        permit = record_in(Leaf.parse(first.leaf), first.opening)
        manifest = boot.desk.signed.serialise()
        self.introduction = Introduction(manifest, permit, bundle.serialise())
        self.files = LogFiles(folder)
        self.files.append(0, self.leaves)

    @property
    def frontier(self) -> bytes:
        tree = Frontier()
        for leaf in self.leaves:
            tree.append(leaf_hash(leaf))
        return tree.serialise()


@pytest.fixture
def witnesses(tmp_path: Path) -> Iterator[tuple[list[Station], list[WitnessAt]]]:
    """Two witnesses that follow nobody yet; their clocks are right."""
    stations = [Station(tmp_path / f"w{n}", name=f"witness.example/{n}") for n in range(2)]
    for station in stations:
        station.clock.seconds = time.time()
    with ExitStack() as stack:
        addresses = [stack.enter_context(serving(station)) for station in stations]
        keys = [station.public for station in stations]
        yield stations, [WitnessAt(*pair) for pair in zip(keys, addresses, strict=True)]


def test_the_permit_of_a_real_boot_introduces_it(
    start: Start, witnesses: tuple[list[Station], list[WitnessAt]], tmp_path: Path
) -> None:
    stations, at = witnesses
    boot = start(Desk()).make_ready()
    assert boot.channel().buy(5).code is Code.OK
    kept = Kept(boot, tmp_path / "log")
    account = boot.desk.manifest.account
    for station in stations:
        station.memory.follow_owners(FollowedOwners(boot.bundle.owner_root, account))
    reader = kept.files.reader()
    _, problems = cosign(kept.note, reader, at)
    assert [type(problem.error) for problem in problems] == [KeyUnknown, KeyUnknown]
    note, problems = cosign(kept.note, reader, at, kept.introduction)
    assert problems == ()
    quorum = Quorum(tuple(each.public for each in stations), 2)
    assert witnessed([note], kept.origin, [kept.key], quorum).size == len(kept.leaves)

    # The same history, gone on with twice: both are genuine, and one of them is witnessed.
    before, branches = kept.leaves, []
    for name in ("left", "right"):
        branch = start(boot.desk).make_ready(signer_log=kept.frontier)
        assert branch.channel().buy(3).code is Code.OK
        branches.append(Kept(branch, tmp_path / name, before))
    left, right = branches
    note, problems = cosign(left.note, left.files.reader(), at, left.introduction)
    assert problems == ()
    refused, problems = cosign(right.note, right.files.reader(), at, right.introduction)
    assert {type(problem.error) for problem in problems} == {HistoryRefused}
    assert all(problem.contradicts for problem in problems)
    assert witnessed([refused], right.origin, [right.key], quorum).size == 0
    assert witnessed([note], left.origin, [left.key], quorum).size == len(left.leaves)

    # The old copy, restored: what was cosigned since is missing from it.
    _, problems = cosign(kept.note, kept.files.reader(), at, kept.introduction)
    assert {type(problem.error) for problem in problems} == {WitnessAhead}
