"""Placing and reconciling against the testnet on its good and its bad days."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.errors import BadInput, EnvironmentFault, HostError
from strongroom_host.store import (
    AbsenceRule,
    AlreadyJournalled,
    Journal,
    NoOrders,
    OrderState,
    Reconciliation,
    UnknownOrder,
    place,
    reconcile,
)
from strongroom_host.testnet import Fault, FaultKind, Mode, TestnetServer, default_config
from strongroom_host.testnet.orders import parse_order
from strongroom_host.testnet.signatures import order_hash
from strongroom_host.venue import (
    ConnectFailed,
    MalformedRequest,
    OutcomeUnknown,
    SignedRequest,
    VenueConnection,
    VenueResponse,
)
from strongroom_wire.pages import Entry

from tests.host.testnet.traders import Trader, encode

_numbers = itertools.count(1)
AT_ONCE = AbsenceRule(after_s=0)


def http(trader: Trader, method: str, path: str, body: bytes = b"") -> bytes:
    headers = {"Host": "clob.testnet", **trader.l2(method, path, body)}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@dataclass
class Queries:
    """Own-order queries, signed by the trader in place of the enclave."""

    trader: Trader

    def order(self, order_hash: bytes) -> bytes:
        return http(self.trader, "GET", f"/data/order/0x{order_hash.hex()}")

    def trades(self) -> bytes:
        return http(self.trader, "GET", "/data/trades")


class Desk:
    def __init__(self, server: TestnetServer, folder: Path) -> None:
        self.server = server
        self.trader = Trader.funded(server.clob, next(_numbers))
        self.token = server.clob.config.markets[0].tokens[0]
        self.journal = Journal(folder / "journal.db")
        self.venue = VenueConnection(
            "clob.testnet", 443, server.client_context(), address=(server.host, server.port)
        )
        self.queries = Queries(self.trader)
        self.sequences = itertools.count(1)

    def signed(self, *bodies: dict[str, Any]) -> SignedRequest:
        bodies = bodies or (self.body(),)
        contracts = self.server.clob.contracts
        hashes = tuple(
            order_hash(parse_order(encode(body)).order, contracts.v2, contracts.chain_id)
            for body in bodies
        )
        path, content = (
            ("/order", encode(bodies[0])) if len(bodies) == 1 else ("/orders", encode(bodies))
        )
        raw = http(self.trader, "POST", path, content)
        return SignedRequest(hashes, raw, next(self.sequences))

    def body(self, price: float = 0.3, size: float = 10, **how: Any) -> dict[str, Any]:
        return self.trader.body(self.token, "BUY", price, size, **how)

    def place(self, request: SignedRequest) -> list[OrderState]:
        return [entry.state for entry in place(self.journal, self.venue, request)]

    def reconcile(
        self, request: SignedRequest, absence: AbsenceRule = AT_ONCE
    ) -> tuple[Reconciliation, OrderState]:
        (item,) = request.order_hashes
        got = reconcile(self.journal, self.venue, item, self.queries, absence=absence)
        return got, self.journal.get(item).state

    def at_venue(self, request: SignedRequest) -> bool:
        return request.order_hashes[0] in self.server.clob.orders


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestnetServer]:
    with TestnetServer(default_config(80002), tmp_path_factory.mktemp("testnet")) as running:
        yield running


@pytest.fixture
def desk(server: TestnetServer, tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(server, tmp_path)
    yield opened
    opened.venue.close()
    opened.journal.close()
    server.faults.clear()
    server.clob.mode = Mode.NORMAL


def test_accepted_rejected_and_batched(desk: Desk) -> None:
    assert desk.place(desk.signed()) == [OrderState.ACCEPTED]
    too_small = desk.signed(desk.body(size=1))
    assert desk.place(too_small) == [OrderState.REJECTED]
    assert "lower than the minimum" in desk.journal.get(too_small.order_hashes[0]).detail
    batch = desk.signed(desk.body(), desk.body(size=1), desk.body(price=0.61))
    assert desk.place(batch) == [OrderState.ACCEPTED, OrderState.REJECTED, OrderState.ACCEPTED]


def test_the_hash_is_on_disk_before_the_first_byte_leaves(desk: Desk) -> None:
    seen: list[OrderState] = []
    request = desk.signed()

    class Watching:
        def exchange(self, raw: bytes) -> VenueResponse:
            seen.append(desk.journal.get(request.order_hashes[0]).state)
            assert not desk.journal._database.in_transaction
            return desk.venue.exchange(raw)

    place(desk.journal, Watching(), request)
    assert seen == [OrderState.SENT]


class Log:
    """Keeps, or refuses to; and sees what the journal knew when it was asked."""

    def __init__(self, desk: Desk, error: HostError | None = None) -> None:
        self.desk, self.error = desk, error
        self.asked: list[Entry] = []
        self.states: list[OrderState] = []

    def kept(self, entries: Sequence[Entry]) -> None:
        self.asked += entries
        assert not self.desk.journal._database.in_transaction
        assert [entry in self.desk.journal.logged() for entry in entries] == [True]
        self.states += [entry.state for entry in self.desk.journal.entries()]
        if self.error is not None:
            raise self.error


def test_nothing_is_sent_before_the_log_has_kept_it(desk: Desk) -> None:
    entry = Entry(b"leaf", b"opening")
    request = replace(desk.signed(), entry=entry)
    log = Log(desk)
    seen: list[list[Entry]] = []

    class Watching:
        def exchange(self, raw: bytes) -> VenueResponse:
            seen.append(list(log.asked))
            assert desk.journal.get(request.order_hashes[0]).state is OrderState.SENT
            return desk.venue.exchange(raw)

    (placed,) = place(desk.journal, Watching(), request, log.kept)
    assert placed.state is OrderState.ACCEPTED
    assert (log.asked, log.states, seen) == ([entry], [OrderState.PREPARED], [[entry]])


def test_what_is_not_kept_is_not_sent_and_may_be_placed_again(desk: Desk) -> None:
    request = replace(desk.signed(), entry=Entry(b"leaf", b"opening"))
    log = Log(desk, EnvironmentFault("no keeper"))
    for _ in range(2):
        with pytest.raises(EnvironmentFault, match="no keeper"):
            place(desk.journal, desk.venue, request, log.kept)
        entry = desk.journal.get(request.order_hashes[0])
        assert (entry.state, entry.sent_ns) == (OrderState.UNSENT, None)
        assert "not kept in the log: no keeper" in entry.detail
        assert not desk.at_venue(request)
    log.error = None
    (placed,) = place(desk.journal, desk.venue, request, log.kept)
    assert placed.state is OrderState.ACCEPTED
    assert desk.server.clob.submissions[request.order_hashes[0]] == 1


LOST: list[tuple[FaultKind, bool, OrderState]] = [
    (FaultKind.DROP_AFTER, True, OrderState.OPEN),
    (FaultKind.STATUS_AFTER, True, OrderState.OPEN),
    (FaultKind.TRUNCATE, True, OrderState.OPEN),
    (FaultKind.DROP_BEFORE, False, OrderState.ABSENT),
    (FaultKind.STATUS_BEFORE, False, OrderState.ABSENT),
]


@pytest.mark.parametrize(("kind", "arrived", "settled"), LOST)
def test_an_unknown_outcome_is_settled_by_asking_and_never_by_sending(
    desk: Desk, kind: FaultKind, arrived: bool, settled: OrderState
) -> None:
    desk.server.faults.arm(Fault(kind))
    request = desk.signed()
    assert desk.place(request) == [OrderState.UNKNOWN]
    assert desk.at_venue(request) is arrived
    with pytest.raises(AlreadyJournalled):
        desk.place(request)
    assert desk.reconcile(request) == (Reconciliation.SETTLED, settled)
    assert desk.server.clob.submissions[request.order_hashes[0]] == int(arrived)


def test_a_lost_fill_is_found_as_filled(desk: Desk) -> None:
    desk.server.faults.arm(Fault(FaultKind.DROP_AFTER))
    request = desk.signed(desk.body(price=0.61))
    assert desk.place(request) == [OrderState.UNKNOWN]
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.FILLED)


def test_a_lost_order_that_was_cancelled_is_found_as_closed(desk: Desk) -> None:
    desk.server.faults.arm(Fault(FaultKind.DROP_AFTER))
    request = desk.signed()
    desk.place(request)
    desk.server.clob.cancel(request.order_hashes, desk.trader.api)
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.CLOSED)


def test_absence_is_believed_only_after_a_while(desk: Desk) -> None:
    desk.server.faults.arm(Fault(FaultKind.DROP_BEFORE))
    request = desk.signed()
    desk.place(request)
    (item,) = request.order_hashes
    sent = desk.journal.get(item).sent_ns
    assert sent is not None
    for age, expected in ((59, Reconciliation.TOO_EARLY), (60, Reconciliation.SETTLED)):
        got = reconcile(
            desk.journal,
            desk.venue,
            item,
            desk.queries,
            absence=AbsenceRule(after_s=60),
            now_ns=partial(int, sent + age * 10**9),
        )
        assert got is expected
    assert desk.journal.get(item).state is OrderState.ABSENT


def test_an_order_that_the_venue_forgot_after_filling_it_is_not_absent(desk: Desk) -> None:
    desk.server.faults.arm(Fault(FaultKind.DROP_AFTER))
    request = desk.signed(desk.body(price=0.61))
    desk.place(request)
    forgotten = desk.server.clob.orders.pop(request.order_hashes[0])
    try:
        assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.FILLED)
    finally:
        desk.server.clob.orders[request.order_hashes[0]] = forgotten


def test_without_an_answer_about_trades_nothing_is_absent(desk: Desk) -> None:
    desk.server.faults.arm(Fault(FaultKind.DROP_BEFORE))
    request = desk.signed()
    desk.place(request)
    for fault in (FaultKind.STATUS_BEFORE, FaultKind.DROP_BEFORE, FaultKind.TRUNCATE):
        desk.server.faults.arm(Fault(fault, "GET", "/data/trades"))
        assert desk.reconcile(request) == (Reconciliation.INCONCLUSIVE, OrderState.UNKNOWN)
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.ABSENT)


@pytest.mark.parametrize(
    "fault", [FaultKind.DROP_BEFORE, FaultKind.STATUS_BEFORE, FaultKind.TRUNCATE]
)
def test_a_query_that_fails_proves_nothing(desk: Desk, fault: FaultKind) -> None:
    desk.server.faults.arm(Fault(FaultKind.DROP_AFTER))
    request = desk.signed()
    desk.place(request)
    path = f"/data/order/0x{request.order_hashes[0].hex()}"
    desk.server.faults.arm(Fault(fault, "GET", path))
    assert desk.reconcile(request) == (Reconciliation.INCONCLUSIVE, OrderState.UNKNOWN)
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.OPEN)


def test_someone_elses_credentials_prove_nothing(desk: Desk) -> None:
    """The venue says 404 to strangers: queries must be the owner's, which the enclave ensures."""
    desk.server.faults.arm(Fault(FaultKind.DROP_AFTER))
    request = desk.signed()
    desk.place(request)
    desk.queries.trader = Trader(desk.server.clob, "0x" + "44" * 32)
    desk.server.clob.auth.delete(desk.queries.trader.api)
    assert desk.reconcile(request) == (Reconciliation.INCONCLUSIVE, OrderState.UNKNOWN)


def test_accepted_orders_are_followed_to_their_end(desk: Desk) -> None:
    request = desk.signed()
    desk.place(request)
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.OPEN)
    assert desk.reconcile(request) == (Reconciliation.UNCHANGED, OrderState.OPEN)
    desk.server.clob.cancel(request.order_hashes, desk.trader.api)
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.CLOSED)
    with pytest.raises(BadInput):
        desk.reconcile(request)


def test_an_accepted_order_that_vanishes_stays_accepted(desk: Desk) -> None:
    request = desk.signed()
    desk.place(request)
    del desk.server.clob.orders[request.order_hashes[0]]
    assert desk.reconcile(request) == (Reconciliation.INCONCLUSIVE, OrderState.ACCEPTED)


def test_what_never_left_may_be_placed_again(desk: Desk) -> None:
    request, good = desk.signed(), desk.venue
    port = desk.server.port
    desk.venue = VenueConnection(
        "clob.testnet", 443, desk.server.client_context(), address=("127.0.0.1", 1)
    )
    assert desk.place(request) == [OrderState.UNSENT]
    with pytest.raises(BadInput):
        desk.reconcile(request)
    desk.venue = good
    assert desk.server.port == port
    assert desk.place(request) == [OrderState.ACCEPTED]
    assert desk.server.clob.submissions[request.order_hashes[0]] == 1


def test_a_malformed_request_is_refused_and_unsent(desk: Desk) -> None:
    good = desk.signed()
    broken = SignedRequest(good.order_hashes, good.request + b"x", good.sequence)
    with pytest.raises(MalformedRequest):
        desk.place(broken)
    assert desk.journal.get(good.order_hashes[0]).state is OrderState.UNSENT


def test_a_restarting_engine_rejects(desk: Desk) -> None:
    desk.server.clob.mode = Mode.RESTARTING
    request = desk.signed()
    assert desk.place(request) == [OrderState.REJECTED]
    assert not desk.at_venue(request)


def test_a_duplicate_means_that_the_venue_has_it(desk: Desk) -> None:
    """Somebody else sent the very same order: the refusal is no rejection."""
    request = desk.signed()
    desk.venue.exchange(request.request)
    assert desk.place(request) == [OrderState.UNKNOWN]
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.OPEN)


def test_requests_without_orders_are_not_placed(desk: Desk) -> None:
    with pytest.raises(NoOrders):
        desk.place(SignedRequest((), b"DELETE /cancel-all", 1))
    with pytest.raises(UnknownOrder):
        reconcile(desk.journal, desk.venue, bytes(32), desk.queries)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ConnectFailed("nobody there"), OrderState.UNSENT),
        (OutcomeUnknown("cut"), OrderState.UNKNOWN),
    ],
)
def test_every_order_of_a_batch_shares_what_happened_to_its_request(
    desk: Desk, error: Exception, state: OrderState
) -> None:
    class Failing:
        def exchange(self, raw: bytes) -> VenueResponse:
            raise error

    entries = place(desk.journal, Failing(), desk.signed(desk.body(), desk.body()))
    assert [entry.state for entry in entries] == [state, state]


def test_a_crash_inside_the_venue_code_leaves_sent(desk: Desk) -> None:
    class Exploding:
        def exchange(self, raw: bytes) -> VenueResponse:
            raise RuntimeError("bug")

    request = desk.signed()
    with pytest.raises(RuntimeError):
        place(desk.journal, Exploding(), request)
    assert desk.journal.get(request.order_hashes[0]).state is OrderState.SENT
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.ABSENT)
