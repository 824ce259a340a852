"""One return proved by row, path and leaf; receipts that follow each other, and all that do not."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace
from strongroom_host.contract.openings import WrongOpening
from strongroom_host.log.errors import NotIncluded, ReceiptUnfit
from strongroom_host.log.returns import prove_hour, require_follows, require_synced
from strongroom_wire.errors import Malformed
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.merkle import Frontier, leaf_hash, node_hash
from strongroom_wire.record import UNCHAINED, PublishedHour, Receipt, ReturnsReceipt

from tests.wire.samples import byte
from tests.wire.test_record import RETURNS, SYNC

HOUR = 3_600_000
ROWS = [
    PublishedHour(at * HOUR, 1, "0.100000000000", None, 0, None, f"{at}" * 32).serialise()
    for at in (1, 2, 3)
]
HASHES = [leaf_hash(row) for row in ROWS]
PATHS = [
    [HASHES[1], HASHES[2]],
    [HASHES[0], HASHES[2]],
    [node_hash(HASHES[0], HASHES[1])],
]


def receipt(**changed: Any) -> ReturnsReceipt:
    tree = Frontier()
    for each in HASHES:
        tree.append(each)
    fixed = {"first_ms": HOUR, "end_ms": 4 * HOUR, "count": 3, "root": tree.head.root.hex()}
    return replace(RETURNS, **{**fixed, **changed})


def logged(record: bytes, kind: Kind = Kind.RETURNS) -> tuple[Leaf, bytes]:
    opening = byte(9) + record
    return Leaf(kind, byte(1), 4, 0, commitment(opening), byte(2)), opening


LEAF, OPENING = logged(receipt().serialise())


@pytest.mark.parametrize("at", range(3))
def test_a_row_proves_itself(at: int) -> None:
    proved = prove_hour(ROWS[at], at, PATHS[at], LEAF, OPENING)
    assert proved.hour.start_ms == (at + 1) * HOUR
    assert proved.receipt == receipt()


@pytest.mark.parametrize(
    ("row", "position", "path"),
    [
        (ROWS[0], 1, PATHS[1]),
        (ROWS[0], 1, PATHS[0]),
        (ROWS[0], 3, PATHS[0]),
        (ROWS[0], 0, PATHS[0][:1]),
        (ROWS[0].replace(b"0.1", b"0.2"), 0, PATHS[0]),
    ],
)
def test_another_row_is_not_the_receipts(row: bytes, position: int, path: Sequence[bytes]) -> None:
    with pytest.raises(NotIncluded):
        prove_hour(row, position, path, LEAF, OPENING)


def test_a_leaf_that_does_not_commit_to_it_proves_nothing() -> None:
    _, other = logged(receipt(accounts=9).serialise())
    with pytest.raises(WrongOpening):
        prove_hour(ROWS[0], 0, PATHS[0], LEAF, other)
    with pytest.raises(ReceiptUnfit):
        prove_hour(ROWS[0], 0, PATHS[0], *logged(receipt().serialise(), Kind.SYNC))
    with pytest.raises(Malformed):
        prove_hour(ROWS[0], 0, PATHS[0], *logged(SYNC.serialise()))


@pytest.mark.parametrize("changed", [{"first_ms": HOUR + 1}, {"end_ms": 2 * HOUR - 1}])
def test_a_row_is_of_the_hours_of_its_receipt(changed: dict[str, int]) -> None:
    with pytest.raises(ReceiptUnfit):
        prove_hour(ROWS[0], 0, PATHS[0], *logged(receipt(**changed).serialise()))


def test_a_row_that_is_none_is_refused_though_the_receipt_has_it() -> None:
    tree = Frontier()
    tree.append(leaf_hash(b"{}"))
    alone = receipt(count=1, root=tree.head.root.hex())
    with pytest.raises(Malformed):
        prove_hour(b"{}", 0, [], *logged(alone.serialise()))


def after(before: Receipt, **changed: Any) -> Receipt:
    digest = sha256(before.serialise()).hexdigest()
    return replace(before, **{"number": before.number + 1, "previous": digest, **changed})


def test_receipts_follow_each_other() -> None:
    first = replace(SYNC, number=0, previous=UNCHAINED)
    require_follows(first, None)
    require_follows(after(first), first)
    require_follows(after(first, trades=(9, SYNC.trades[1]), until_ms=99), first)
    published = receipt()
    require_follows(published, None)
    require_follows(after(published, first_ms=4 * HOUR, end_ms=5 * HOUR), published)


@pytest.mark.parametrize(
    "changed",
    [
        {"number": 0},
        {"number": 2},
        {"previous": UNCHAINED},
        {"previous": byte(3).hex()},
        {"account": "eve"},
        {"venue": "kraken"},
        {"environment": "test"},
        {"trades": (1, byte(3).hex())},
        {"flows": (4, byte(3).hex())},
        {"until_ms": 6},
    ],
)
def test_a_synchronisation_that_does_not_follow_is_refused(changed: dict[str, Any]) -> None:
    first = replace(SYNC, number=0, previous=UNCHAINED, flows=(5, byte(3).hex()))
    with pytest.raises(ReceiptUnfit):
        require_follows(after(first, **changed), first)


@pytest.mark.parametrize(
    "changed",
    [{"first_ms": 3 * HOUR}, {"first_ms": 5 * HOUR}, {"first_ms": 4 * HOUR, "accounts": 2}],
)
def test_returns_that_do_not_follow_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ReceiptUnfit):
        require_follows(after(receipt(), **changed), receipt())


def test_a_first_receipt_names_none_before_and_a_later_one_needs_it() -> None:
    with pytest.raises(ReceiptUnfit):
        require_follows(replace(SYNC, number=0), None)
    with pytest.raises(ReceiptUnfit):
        require_follows(SYNC, None)


def test_the_two_chains_are_apart() -> None:
    first = replace(SYNC, number=0, previous=UNCHAINED, environment="paper")
    digest = sha256(first.serialise()).hexdigest()
    with pytest.raises(ReceiptUnfit):
        require_follows(receipt(number=1, previous=digest), first)


def test_returns_name_what_they_were_computed_from() -> None:
    sync = replace(SYNC, environment="paper", until_ms=4 * HOUR)
    named = receipt(sync=sha256(sync.serialise()).hexdigest())
    require_synced(named, sync)
    short = replace(sync, until_ms=4 * HOUR - 1)
    for published, other in (
        (named, replace(sync, gaps=1)),
        (receipt(sync=sha256(short.serialise()).hexdigest()), short),
        (replace(named, venue="kraken"), sync),
        (replace(named, account="eve"), sync),
        (replace(named, environment="live"), sync),
    ):
        with pytest.raises(ReceiptUnfit):
            require_synced(published, other)
