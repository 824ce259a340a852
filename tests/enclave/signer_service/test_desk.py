"""Intents: each kind, its permission, its argument; and what a refusal costs."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest
from strongroom_enclave.clock import ClockFault
from strongroom_enclave.identity import Identity
from strongroom_enclave.log.ledger import Ledger
from strongroom_enclave.signer.intents import Desk
from strongroom_enclave.signer.keyring import TradingKey
from strongroom_host.contract.frames import intent_bytes
from strongroom_wire import manifest
from strongroom_wire.bundle import EMPTY_LOG, Bundle, Role, RoleKeys
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Intent, Kind, OrderIntent, Reply
from strongroom_wire.leaves import Boot
from strongroom_wire.merkle import Frontier
from strongroom_wire.statements import Budget

from tests.hostile.driver import TOKEN
from tests.hostile.driver import Desk as People

NOW = 1_800_000_000_000
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="
PEOPLE = People(policy_changes={"order_types": ("GTC", "GTD", "FOK", "FAK"), "max_lifetime": 600})
ARGUMENTS = {
    Kind.CANCEL: b"\x11" * 32,
    Kind.CANCEL_ALL: b"",
    Kind.CANCEL_MARKET: b"\x22" * 64,
    Kind.HEARTBEAT: b"beat-1",
    Kind.QUERY_ORDER: b"\x33" * 32,
    Kind.QUERY_OPEN: b"MTAw",
    Kind.QUERY_TRADES: b"",
    Kind.MODEL: b"\x44" * 32 + b"\x55" * 32 + b"\x66" * 32,
}
LINES = {
    Kind.ORDERS: b"POST /order HTTP/1.1\r\n",
    Kind.CANCEL: b"DELETE /order HTTP/1.1\r\n",
    Kind.CANCEL_ALL: b"DELETE /cancel-all HTTP/1.1\r\n",
    Kind.CANCEL_MARKET: b"DELETE /cancel-market-orders HTTP/1.1\r\n",
    Kind.HEARTBEAT: b"POST /v1/heartbeats HTTP/1.1\r\n",
    Kind.QUERY_ORDER: b"GET /data/order/0x" + b"33" * 32 + b" HTTP/1.1\r\n",
    Kind.QUERY_OPEN: b"GET /data/orders?next_cursor=MTAw HTTP/1.1\r\n",
    Kind.QUERY_TRADES: b"GET /data/trades HTTP/1.1\r\n",
}
PERMISSIONS: dict[Kind, manifest.Call] = {
    Kind.ORDERS: "order", Kind.TEMPLATE: "template", Kind.CANCEL: "cancel",
    Kind.CANCEL_ALL: "cancel", Kind.CANCEL_MARKET: "cancel", Kind.HEARTBEAT: "heartbeat",
    Kind.QUERY_ORDER: "query", Kind.QUERY_OPEN: "query", Kind.QUERY_TRADES: "query",
    Kind.READ_LOG: "log", Kind.MODEL: "order",
}  # fmt: skip


@dataclass
class Trading:
    """A desk with one key that may sign, and a second that has no credential yet."""

    now: Callable[[], int] = lambda: NOW

    def __post_init__(self) -> None:
        document = PEOPLE.manifest
        self.keys = [TradingKey(spec, document.egress[0]) for spec in document.keys]
        self.keys[0].adopt(b"\x42" * 32)
        self.keys[0].enrol("api-key", SECRET, "pass")
        self.keys[0].engine.permit(Budget("main", 10**9, 100), NOW + 10**6)
        self.identity = Identity(Role.SIGNER)
        roles = (RoleKeys(Role.SIGNER, self.identity.public[:32], self.identity.public[32:]),)
        self.identity.boot = Bundle(b"\5" * 32, b"\6" * 32, document.owner_root, b"", roles)
        self.ledger = Ledger(self.identity, Role.SIGNER, document.account, lambda: NOW)
        start = Boot(EMPTY_LOG, b"\6" * 32, b"\7" * 32, b"\x08" * 32, "1.0.0").serialise()
        self.ledger.open(Frontier(), b"the permit", start)
        self.desk = Desk(self.keys, lambda: self.now(), self.ledger)
        self.client = document.clients[0]

    def ask(self, intent: Intent, *calls: manifest.Call) -> Reply:
        client = msgspec.structs.replace(self.client, calls=calls) if calls else self.client
        return self.desk.answer(intent_bytes(intent), client)

    def used(self) -> tuple[int, int]:
        """Returns pUSD and orders counted so far: a probe that is denied shows the sums."""
        probe = self.ask(intent(order(size=1_200 * 10**6)))
        assert probe.rule is Rule.WINDOW_NOTIONAL
        self.keys[0].engine.permit(Budget("main", 10**9, 0), NOW + 10**6)
        orders = self.ask(intent(order()))
        assert orders.rule is Rule.BUDGET_ORDERS
        self.keys[0].engine.permit(Budget("main", 10**9, 100), NOW + 10**6)
        return probe.actual // 10**6 - 600, orders.actual - 1


@pytest.fixture
def trading() -> Trading:
    return Trading()


def order(**changes: int) -> OrderIntent:
    """Returns an order to buy 10 shares at 0.50."""
    made = OrderIntent(TOKEN, 0, 0, 1, 0, 500_000, 10_000_000, 77, NOW, 0)
    return msgspec.structs.replace(made, **changes)


def intent(*orders: OrderIntent, kind: Kind = Kind.ORDERS, argument: bytes = b"") -> Intent:
    return Intent(kind, 0, NOW // 1000, NOW + 5_000, orders, argument)


def of_kind(kind: Kind) -> Intent:
    if kind is Kind.ORDERS:
        return intent(order())
    if kind is Kind.TEMPLATE:
        return intent(order(), kind=kind, argument=bytes(8) + b"x")
    return intent(kind=kind, argument=ARGUMENTS.get(kind, bytes(8)))


@pytest.mark.parametrize("kind", LINES)
def test_each_kind_has_its_request(trading: Trading, kind: Kind) -> None:
    reply = trading.ask(of_kind(kind))
    assert reply.code is Code.OK
    assert reply.request.startswith(LINES[kind])
    assert reply.request.count(b"\r\nPOLY_SIGNATURE: ") == 1
    assert b"\r\nHost: venue.test:8443\r\n" in reply.request
    assert len(reply.order_hashes) == (kind is Kind.ORDERS)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_its_permission_and_no_other_will_do(trading: Trading, kind: Kind) -> None:
    every: tuple[manifest.Call, ...] = (
        "owner", "order", "template", "cancel", "heartbeat", "query", "health", "log",
    )  # fmt: skip
    wanted = PERMISSIONS[kind]
    others = tuple(call for call in every if call != wanted)
    reply = trading.ask(of_kind(kind), *others)
    assert (reply.code, reply.request) == (Code.CALL_NOT_PERMITTED, b"")
    assert trading.ask(of_kind(kind), wanted).code is not Code.CALL_NOT_PERMITTED


KEYLESS = (Kind.READ_LOG, Kind.MODEL)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in KEYLESS])
def test_a_key_that_is_not_there_or_not_enrolled_does_nothing(trading: Trading, kind: Kind) -> None:
    made = of_kind(kind)
    for index, expected in (
        (1, Code.NO_CREDENTIAL),
        (3, Code.UNKNOWN_KEY),
        (65535, Code.UNKNOWN_KEY),
    ):
        reply = trading.ask(msgspec.structs.replace(made, key=index))
        assert (reply.code, reply.request) == (expected, b"")


def test_nothing_but_orders_needs_permit_clock_or_deadline(trading: Trading) -> None:
    def lost() -> int:
        raise ClockFault("anchor", 1, 2)

    trading.now = lost
    for kind in ARGUMENTS:
        late = msgspec.structs.replace(of_kind(kind), deadline=0)
        assert trading.ask(late).code is Code.OK
    assert trading.ask(of_kind(Kind.ORDERS)).rule is Rule.CLOCK


def test_a_deadline_is_the_last_moment(trading: Trading) -> None:
    for late in (NOW - 1, 0):
        assert trading.ask(msgspec.structs.replace(of_kind(Kind.ORDERS), deadline=late)).code is (
            Code.EXPIRED
        )
    assert trading.ask(msgspec.structs.replace(of_kind(Kind.ORDERS), deadline=NOW)).code is Code.OK
    assert trading.used() == (5, 1)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"order_type": 2, "flags": 2}, Code.MALFORMED),  # post-only FOK
        ({"order_type": 3, "flags": 2}, Code.MALFORMED),  # post-only FAK
        ({"order_type": 1}, Code.MALFORMED),  # GTD without an expiration
        ({"expiration": NOW // 1000 + 60}, Code.MALFORMED),  # an expiration without GTD
        ({"price": 505_000}, Code.BAD_AMOUNT),  # off the tick of 0.01
        ({"price": 0}, Code.BAD_AMOUNT),
        ({"price": 1_000_000}, Code.BAD_AMOUNT),
        ({"size": 0}, Code.BAD_AMOUNT),
        ({"size": 1}, Code.BAD_AMOUNT),
    ],
)
def test_an_order_that_contradicts_itself_costs_no_budget(
    trading: Trading, changes: dict[str, int], code: Code
) -> None:
    reply = trading.ask(intent(order(**changes)))
    assert (reply.code, reply.request) == (code, b"")
    assert trading.used() == (0, 0)
    together = trading.ask(intent(order(), order(**changes), order()))
    assert (together.code, together.request) == (code, b"")
    assert trading.used() == (0, 0)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"token": TOKEN + 1}, Rule.MARKET),
        ({"token": 0}, Rule.MARKET),
        ({"price": 990_000, "tick": 0}, Rule.NONE),
        ({"size": 1_200 * 10**6}, Rule.WINDOW_NOTIONAL),
        ({"size": 2_400 * 10**6}, Rule.ORDER_NOTIONAL),
        ({"timestamp": NOW - 60_001}, Rule.TIMESTAMP),
        ({"order_type": 1, "expiration": NOW // 1000 + 601}, Rule.LIFETIME),
    ],
)
def test_a_batch_is_signed_whole_or_not_at_all(
    trading: Trading, changes: dict[str, int], rule: Rule
) -> None:
    reply = trading.ask(intent(order(), order(), order(**changes)))
    assert reply.code is (Code.DENIED if rule is not Rule.NONE else Code.BAD_AMOUNT)
    assert (reply.rule, reply.request, reply.order_hashes) == (rule, b"", ())
    assert reply.order == (2 if rule is not Rule.NONE else 0)
    assert trading.used() == (0, 0)


def test_a_batch_counts_its_own_orders_against_the_limit(trading: Trading) -> None:
    fits = [order(size=200 * 10**6, salt=at) for at in range(1, 6)]
    over = trading.ask(intent(*fits, order(salt=9)))
    assert (over.rule, over.order, over.actual) == (Rule.WINDOW_NOTIONAL, 5, 505 * 10**6)
    whole = trading.ask(intent(*fits))
    assert whole.code is Code.OK
    assert whole.request.startswith(b"POST /orders HTTP/1.1\r\n")
    assert len(set(whole.order_hashes)) == 5
    assert trading.ask(intent(order())).rule is Rule.WINDOW_NOTIONAL


def test_fifteen_orders_go_into_one_request_and_sixteen_into_none(trading: Trading) -> None:
    many = [order(salt=at) for at in range(1, 16)]
    assert len(trading.ask(intent(*many)).order_hashes) == 15
    plaintext = intent_bytes(intent(*many, order(salt=99)))
    assert trading.desk.answer(plaintext, trading.client).code is Code.MALFORMED


def template(request: bytes, *, shift: int = 0) -> tuple[bytes, bytes]:
    """Returns an argument that prepares `request`, and the bytes before its secrets are in."""
    at = request.index(b'"signature":"0x') + len(b'"signature":"0x')
    mac = request.index(b"\r\nPOLY_SIGNATURE: ") + len(b"\r\nPOLY_SIGNATURE: ")
    blank = bytearray(request)
    blank[at : at + 130] = b"0" * 130
    blank[mac : mac + 44] = b"0" * 44
    offsets = (at + shift).to_bytes(4, "big") + mac.to_bytes(4, "big")
    return offsets + bytes(blank), bytes(blank)


def test_a_template_is_filled_if_it_is_the_very_request(trading: Trading) -> None:
    plain = trading.ask(intent(order())).request
    argument, blank = template(plain)
    reply = trading.ask(intent(order(), kind=Kind.TEMPLATE, argument=argument))
    assert reply.code is Code.OK
    assert reply.request == plain != blank


def test_a_template_for_anything_else_gets_nothing_and_costs_its_order(trading: Trading) -> None:
    plain = trading.ask(intent(order())).request
    argument, _ = template(plain)
    delete = argument[:8] + argument[8:].replace(b"POST /order ", b"DELETE /order ")
    other = argument[:8] + argument[8:].replace(
        b'"takerAmount":"10000000"', b'"takerAmount":"00000001"'
    )
    known = argument[:-1] + b"!"
    for forged in (delete, other, known, template(plain, shift=1)[0], argument[:-1], argument[:9]):
        reply = trading.ask(intent(order(), kind=Kind.TEMPLATE, argument=forged))
        assert (reply.code, reply.request) == (Code.TEMPLATE_MISMATCH, b"")
        assert reply.order_hashes == ()
    assert trading.used() == (35, 7)


def test_a_template_takes_one_order(trading: Trading) -> None:
    plaintext = intent_bytes(intent(order(), order(), kind=Kind.TEMPLATE, argument=bytes(20)))
    assert trading.desk.answer(plaintext, trading.client).code is Code.MALFORMED


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        (Kind.HEARTBEAT, b"a b"),
        (Kind.HEARTBEAT, b"a\r\nX: y"),
        (Kind.HEARTBEAT, b'a"'),
        (Kind.HEARTBEAT, b"\xff"),
        (Kind.HEARTBEAT, b"a" * 65),
        (Kind.QUERY_OPEN, b"a b"),
        (Kind.QUERY_OPEN, b"a&b=c"),
        (Kind.QUERY_OPEN, b"a\r\n\r\n"),
        (Kind.QUERY_TRADES, b"\xf0\x9f\x92\xa9"),
        (Kind.QUERY_TRADES, b"%41"),
    ],
)
def test_a_text_that_could_end_its_place_is_refused(
    trading: Trading, kind: Kind, argument: bytes
) -> None:
    reply = trading.ask(intent(kind=kind, argument=argument))
    assert (reply.code, reply.request) == (Code.MALFORMED, b"")


def test_cancels_of_one_and_of_many(trading: Trading) -> None:
    one, many = b"\x01" * 32, b"".join(at.to_bytes(32, "big") for at in range(1000))
    assert trading.ask(intent(kind=Kind.CANCEL, argument=one)).request.startswith(b"DELETE /order ")
    reply = trading.ask(intent(kind=Kind.CANCEL, argument=many))
    assert reply.request.startswith(b"DELETE /orders ")
    assert reply.request.count(b'"0x') == 1000


def test_decisions_count_every_intent_even_an_unreadable_one(trading: Trading) -> None:
    replies = [trading.desk.answer(b"", trading.client), trading.ask(of_kind(Kind.CANCEL_ALL))]
    replies += [trading.ask(of_kind(Kind.ORDERS))]
    assert [reply.decision for reply in replies] == [1, 2, 3]


def test_a_bug_of_ours_is_a_code_and_no_signature(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(type(trading.keys[0].signing), "sign_order", broken)
    reply = trading.ask(of_kind(Kind.ORDERS))
    assert (reply.code, reply.request, reply.order_hashes) == (Code.INTERNAL, b"", ())
    assert trading.used() == (5, 1), "what was approved stays counted"


def test_a_verdict_that_is_none_signs_nothing(
    trading: Trading, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verdict in (None, False, True, object()):
        monkeypatch.setattr(type(trading.keys[0].engine), "decide", lambda *_, v=verdict: v)
        reply = trading.ask(of_kind(Kind.ORDERS))
        assert (reply.code, reply.request) == (Code.INTERNAL, b"")


def test_a_salt_that_no_double_holds_is_refused(trading: Trading) -> None:
    reply = trading.ask(intent(order(salt=1 << 53)))
    assert (reply.code, reply.request) == (Code.MALFORMED, b"")
    drawn = [trading.ask(intent(order(salt=0))).order_hashes[0] for _ in range(8)]
    assert len(set(drawn)) == 8


def test_without_an_open_log_nothing_leaves(trading: Trading) -> None:
    """Credentials come only after a permit, so this cannot be; if it were, it would end here."""
    closed = Ledger(trading.identity, Role.SIGNER, "desk", lambda: NOW)
    trading.desk = Desk(trading.keys, lambda: trading.now(), closed)
    for kind in (Kind.ORDERS, Kind.CANCEL, Kind.CANCEL_ALL, Kind.CANCEL_MARKET):
        reply = trading.ask(of_kind(kind))
        assert (reply.code, reply.request, reply.order_hashes) == (Code.WRONG_PHASE, b"", ())
    model = trading.ask(of_kind(Kind.MODEL))
    assert (model.code, model.leaf, model.opening) == (Code.WRONG_PHASE, b"", b"")
    denied = trading.ask(intent(order(size=2_400 * 10**6)))
    assert (denied.rule, denied.leaf) == (Rule.ORDER_NOTIONAL, b"")
    start = Boot(EMPTY_LOG, bytes(32), bytes(32), bytes(32), "1").serialise()
    closed.open(Frontier(), b"", start)
    assert closed.head.size == 1, "and nothing of it waits"
