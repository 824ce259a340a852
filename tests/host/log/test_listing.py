"""Leaves as people see them: every kind with its record, and what is none with its place."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from strongroom_host.log.decoded import decode_leaf
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.listing import Filter, listed
from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import Code
from strongroom_wire.frames import Reply
from strongroom_wire.leaves import Decision, Kind
from strongroom_wire.merkle import Frontier
from strongroom_wire.statements import Action

from tests.host.log.boots_made import Kept, Running, manifest
from tests.wire.samples import byte, public
from tests.wire.test_record import RETURNS, SYNC


def every_kind() -> Kept:
    boot = Running(manifest())
    log = Kept().start(boot).decide(True, False)
    log.add(Kind.KEY, boot.order(Action.GENERATE).serialise(), bytes([Action.GENERATE]))
    log.add(Kind.KILL, boot.order(Action.KILL, "").serialise())
    further = boot.permit(Frontier(), serial=2, abandons=LogHead(3, byte(1))).serialise()
    log.add(Kind.PERMIT, further, sha256(further).digest())
    log.model()
    log.add(Kind.SYNC, SYNC.serialise(), byte(7))
    log.add(Kind.RETURNS, RETURNS.serialise(), byte(8))
    asked = Reply(Code.OK, 9, order_hashes=(byte(1), byte(2)))
    told = Decision("main", "strategy", byte(3), byte(4), 1, 2, byte(5) + byte(6), asked)
    log.add(Kind.SIGNED, told.serialise())
    return log.sign()


LOG = every_kind()


def test_every_kind_is_decoded(tmp_path: Path) -> None:
    view = FolderLog(LOG.store(tmp_path))
    found = list(listed(view, 0, view.size, LOG.openings))
    assert [each.problem for each in found] == [""] * len(LOG.entries)
    by_kind = {each.leaf.kind: each.record or {} for each in found if each.leaf is not None}
    assert set(by_kind) == {*Kind}
    assert by_kind[Kind.BOOT]["budgets"] == {"main": {"notional": "500.000000", "orders": 200}}
    assert by_kind[Kind.BOOT]["abandons"] is None
    assert by_kind[Kind.PERMIT]["abandons"] == {"size": 3, "root": byte(1).hex()}
    assert by_kind[Kind.KEY]["order"] == "GENERATE"
    assert by_kind[Kind.KILL]["signed_by"] == [public(1).hex(), public(2).hex()]
    assert by_kind[Kind.DENIED]["rule"] == "RATE"
    assert by_kind[Kind.DENIED]["limit"] == 60
    assert by_kind[Kind.SIGNED]["orders"] == [byte(1).hex(), byte(2).hex()]
    assert by_kind[Kind.SIGNED]["model"] == byte(5).hex()
    assert by_kind[Kind.SIGNED]["signed_total"] == {"notional": "0.000001", "orders": 2}
    assert by_kind[Kind.MODEL]["output"] == byte(3).hex()
    assert by_kind[Kind.SYNC] == json.loads(SYNC.serialise())
    assert by_kind[Kind.RETURNS] == json.loads(RETURNS.serialise())
    public_of = {each.leaf.kind: decode_leaf(each.leaf) for each in found if each.leaf is not None}
    assert public_of[Kind.SYNC]["root"] == byte(7).hex()
    assert public_of[Kind.RETURNS]["root"] == byte(8).hex()
    for each in found:
        assert each.leaf is not None
        json.dumps(decode_leaf(each.leaf) | {"record": each.record})


def test_a_wrong_or_malformed_record_is_told_with_its_leaf(tmp_path: Path) -> None:
    log = LOG.copy()
    log.add(Kind.SIGNED, b"no decision")
    view = FolderLog(log.store(tmp_path))
    openings = log.openings | {1: log.openings[2]}
    found = list(listed(view, 0, view.size, openings))
    assert found[1].leaf is not None
    assert "another's" in found[1].problem
    assert found[-1].problem
    assert found[-1].record is None


def test_what_is_asked_for(tmp_path: Path) -> None:
    view = FolderLog(LOG.store(tmp_path))
    [one] = listed(view, 1, 2, LOG.openings)
    assert one.leaf is not None
    good = Filter(frozenset({Kind.SIGNED}), one.leaf.epoch.hex()[:6], key="main", client="strategy")
    assert good.takes(one)
    for wrong in (
        replace(good, kinds=frozenset({Kind.BOOT})),
        replace(good, boot="zz"),
        replace(good, key="other"),
        replace(good, client="other"),
        replace(good, order="00"),
        replace(good, since_ms=one.leaf.time_ms + 1),
        replace(good, until_ms=one.leaf.time_ms),
    ):
        assert not wrong.takes(one)
    assert replace(good, order=byte(1).hex()).takes(one)
