"""The process around a run: what it believes of the host, and what it says whatever happens."""

import time
from collections.abc import Callable
from socket import socket
from typing import cast

import msgspec
import pytest
from strongroom_enclave.datakeys import DataKey
from strongroom_enclave.messages import ANSWER
from strongroom_enclave.messages import Kind as Said
from strongroom_enclave.platform.links import Link, LinkClosed, Message
from strongroom_enclave.record import service as service_module
from strongroom_enclave.record.connectors.rules import Reason, VenueFault
from strongroom_enclave.record.errors import RowsReplaced, StoreBroken, StoreRefused
from strongroom_enclave.record.service import PURPOSE, Service
from strongroom_enclave.record.state import AccountState, Store
from strongroom_host.contract.sealing import seal
from strongroom_host.owner.signed import SignedFile
from strongroom_wire.bundle import EMPTY_LOG, Bundle, Role, RoleKeys, hpke_info
from strongroom_wire.encoding import pack, u64, uint
from strongroom_wire.errors import Code, Refused
from strongroom_wire.leaves import Kind
from strongroom_wire.manifest import Account, Manifest, OwnerSet, Tier
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.record import Credentials
from strongroom_wire.statements import Action, OwnerOrder, Permit

from tests.enclave.record_kept.logs import NOW, Host
from tests.wire.samples import byte, private_key

OWNER = private_key(7)
SEALING = byte(0x5E)
ACCOUNTS = tuple(
    Account(name, "ada", "binance", "test", "USDT", 0, Tier()) for name in ("one", "two")
)


class Init:
    """Init's end of the link, with what the record sent."""

    def __init__(self) -> None:
        owners = OwnerSet((OWNER.public_key().public_bytes_raw().hex(),), 1)
        self.manifest = Manifest(
            "strongroom-manifest/1",
            1,
            "development",
            "fund",
            owners,
            (),
            (),
            (),
            (),
            ACCOUNTS,
            (),
            0,
        )
        self.sent = list[tuple[int, int, bytes]]()
        self.waiting = list[Message]()

    def send(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        self.sent.append((kind, request, payload))
        if kind == Said.REGISTER:
            keys = RoleKeys(Role.RECORD, payload[:32], payload[32:])
            roles = (RoleKeys(Role.INIT, byte(1), byte(2)), keys)
            self.bundle = Bundle(byte(4), byte(5), self.manifest.owner_root, b"cert", roles)
            document = msgspec.msgpack.encode(self.manifest)
            content = pack(b"configure", self.bundle.serialise(), document)
            self.waiting.append(Message(Said.CONFIGURE, 0, content))

    def receive(self, timeout: float | None = None) -> Message:
        if not self.waiting:
            raise LinkClosed("end of stream")
        return self.waiting.pop(0)


class Database(Host):
    """A host that has jobs, accounts and keys as well."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs = list[list[bytes]]()
        self.wrapped = list[bytes]()
        self.ended = list[tuple[object, ...]]()
        self.connected = list[tuple[object, ...]]()

    def _done(self, verb: str, *fields: str | bytes) -> list[bytes]:
        match verb:
            case "job":
                self.offered = fields
                return self.jobs.pop(0) if self.jobs else []
            case "ended":
                name, *numbers = fields
                self.ended.append((name, *(uint(cast(bytes, number), 8) for number in numbers)))
            case "connect":
                self.connected.append(fields)
            case "put-key":
                self.wrapped.append(cast(bytes, fields[2]))
            case "keys":
                return self.wrapped
            case _:
                return super()._done(verb, *fields)
        return []


class Record(Service):
    """The service on a host in memory; a test runs its threads, and says what a run does."""

    def __init__(self, init: Init, database: Database) -> None:
        self.now, self.database = NOW, database
        super().__init__(cast(Link, init), cast(socket, None))
        self._workers = []
        self.done = list[tuple[str, bool]]()
        self.does: Callable[[], None] = lambda: None

    def now_ms(self) -> int:
        return self.now

    def time_ms(self) -> int:
        return self.now

    def _store(self) -> Store:
        return self.database.store

    def _synchronise(self, store: Store, account: Account, full: bool) -> None:
        self.done.append((account.name, full))
        self.does()


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, database: Database | None = None) -> None:
        monkeypatch.setattr(service_module, "_PAUSE_S", 0)
        self.init, self.database = Init(), database or Database()
        self.service = Record(self.init, self.database)

    def permit(self, sealing: bytes = SEALING, not_after: int = NOW + 10_000) -> None:
        log = self.database.tree
        permit = Permit(
            self.init.manifest.owner_root,
            byte(5),
            byte(6),
            0,
            0,
            not_after,
            Frontier().serialise(),
            EMPTY_LOG,
            b"",
            (),
            log.serialise(),
            EMPTY_LOG,
            self.database.root,
        )
        statement = Statement(permit.serialise(), ()).serialise()
        self.tell(Said.PERMIT, pack(b"permit", statement, sealing))

    def tell(self, kind: int, payload: bytes) -> None:
        self.init.waiting.append(Message(kind, 1, payload))
        with pytest.raises(LinkClosed):
            self.service.run()

    def connect(self, name: str = "one", **changed: str) -> Code:
        values = {"account": name, "venue": "binance", "key": "k", "secret": "s", "passphrase": ""}
        credentials = Credentials(**{**values, **changed}).serialise()
        info = hpke_info(self.init.bundle, Role.RECORD, PURPOSE)
        sealed = seal(credentials, self.service.identity.public[:32], info)
        order = OwnerOrder(Action.CONNECT, byte(4), byte(5), name, sealed).serialise()
        return self.order(order)

    def order(self, payload: bytes) -> Code:
        self.latest, statement = payload, _signed(payload)
        self.tell(Said.SUBMIT_ORDER, statement)
        kind, _, answer = self.init.sent[-1]
        assert kind == Said.REPLY
        self.answer = answer
        return Code(ANSWER.unpack_from(answer)[0])


def _signed(payload: bytes) -> bytes:
    owners = OwnerSet((OWNER.public_key().public_bytes_raw().hex(),), 1).owners
    return SignedFile.unsigned(payload).signed_by(OWNER, owners).statement.serialise()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(monkeypatch)
    made.permit()
    return made


def test_an_account_is_connected_once_logged_and_kept_under_a_new_key(scene: Scene) -> None:
    assert scene.connect() is Code.OK
    first = scene.answer
    assert scene.database.connected == [("one", "ada", "binance", "test")]
    assert [leaf.kind for leaf in scene.database.leaves()] == [Kind.BOOT, Kind.SYNC]
    assert len(scene.database.wrapped) == 1
    assert b"secret" not in b"".join(scene.database.newest.values())
    before = dict(scene.database.newest)
    assert scene.connect(secret="another") is Code.OK
    assert scene.answer != first
    assert len(scene.database.wrapped) == 2
    keys = [DataKey.unwrapped(SEALING, 1, "ada", each) for each in scene.database.wrapped]
    assert len({key.id for key in keys}) == 2
    assert scene.database.newest["one"][:16] == keys[1].id
    assert before["one"][:16] == keys[0].id
    state = AccountState.open({key.id: key for key in keys}, "one", scene.database.newest["one"])
    assert (state.credentials.secret, state.sync.number) == ("another", 1)
    # Nothing was balanced: what an earlier key's rows tell counts for nothing.
    assert state.counted == {"trades": [(0, keys[1].id)], "cash_flows": [(0, keys[1].id)]}


def test_an_order_that_comes_again_gets_the_first_answer(scene: Scene) -> None:
    assert scene.connect() is Code.OK
    first, leaves = scene.answer, len(scene.database.leaves())
    assert scene.order(scene.latest) is Code.OK
    assert scene.answer == first
    assert len(scene.database.leaves()) == leaves


def test_an_order_that_failed_is_not_obeyed_after_a_later_one(scene: Scene) -> None:
    """A host that lets an order fail keeps it, and could bring old credentials back with it."""
    scene.database.refused.add("put-state")
    assert scene.connect(secret="old") is Code.SEALED_STATE_REFUSED
    old = scene.latest
    assert scene.order(old) is Code.SEALED_STATE_REFUSED
    scene.database.refused.clear()
    assert scene.connect(secret="new") is Code.OK
    newest = scene.database.newest["one"]
    assert scene.order(old) is Code.KEY_CONFLICT
    assert scene.database.newest["one"] == newest


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"account": "two"}, Code.KEY_CONFLICT),
        ({"venue": "kraken"}, Code.KEY_CONFLICT),
    ],
)
def test_credentials_of_another_account_are_refused(
    scene: Scene, changed: dict[str, str], code: Code
) -> None:
    assert scene.connect(**changed) is code
    assert scene.database.connected == []
    assert [leaf.kind for leaf in scene.database.leaves()] == []


def test_without_a_sealing_key_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.permit(sealing=b"")
    assert scene.connect() is Code.SEALED_STATE_REFUSED
    assert scene.database.asked == []
    scene.permit()
    assert scene.connect() is Code.OK
    scene.permit(sealing=b"")  # one that brings no share takes none away
    assert scene.connect("two") is Code.OK


def test_before_a_permit_and_after_it_nothing_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    assert scene.connect() is Code.WRONG_PHASE
    scene.permit()
    scene.service.now = NOW + 10_001
    assert scene.connect() is Code.PERMIT_STALE
    assert scene.database.asked == []


@pytest.mark.parametrize("verb", ["states", "connect", "put-key", "put-state", "log"])
@pytest.mark.parametrize("broken", [False, True])
def test_a_host_that_fails_is_answered_for_and_the_process_goes_on(
    scene: Scene, verb: str, broken: bool
) -> None:
    (scene.database.lost if broken else scene.database.refused).add(verb)
    original = scene.database._done

    def done(asked: str, *fields: str | bytes) -> list[bytes]:
        if asked == verb and verb in scene.database.lost:
            raise StoreBroken("store", "an answer", "OSError")
        if asked == verb and verb in scene.database.refused:
            raise StoreRefused(verb, "done", "01")
        return original(asked, *fields)

    scene.database._done = done  # type: ignore[method-assign, assignment]
    assert scene.connect() is (Code.PLATFORM if broken else Code.SEALED_STATE_REFUSED)
    scene.database.lost.clear()
    scene.database.refused.clear()
    assert scene.connect() is Code.OK


def test_jobs_are_done_and_their_end_is_told(scene: Scene) -> None:
    scene.connect()
    scene.database.jobs = [[b"one", b"FULL"], [b"one", b"INCREMENTAL"], []]
    for _ in range(3):
        scene.service._serve(scene.database.store)
    assert scene.service.done == [("one", True), ("one", False)]
    assert scene.database.ended == [("one", Code.OK, 0)] * 2
    assert scene.database.offered == ("one",)


def test_nothing_is_asked_for_before_an_account_is_connected(scene: Scene) -> None:
    scene.service._serve(scene.database.store)
    assert scene.database.asked == []


@pytest.mark.parametrize("named", [b"two", b"three", b"", b"\xff"])
def test_a_job_for_what_was_not_asked_for_is_not_done(scene: Scene, named: bytes) -> None:
    scene.connect()
    scene.database.jobs = [[named, b"FULL"]]
    scene.service._serve(scene.database.store)
    assert scene.service.done == []
    assert scene.database.ended == []


class Secretive(Exception):
    code, reason = "the secret", "BTC 1000"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (VenueFault(Reason.UNKNOWN_KIND), (Code.VENUE_REFUSED, Reason.UNKNOWN_KIND)),
        (RowsReplaced("rows", 1, 2), (Code.SEALED_STATE_REFUSED, 0)),
        (Refused(Code.BUSY), (Code.BUSY, 0)),
        (ValueError("BTC 1000"), (Code.INTERNAL, 0)),
        (Secretive(), (Code.INTERNAL, 0)),
        (UnicodeDecodeError("utf-8", b"secret", 0, 1, "reason"), (Code.INTERNAL, 0)),
    ],
)
def test_whatever_ends_a_run_is_a_code_and_no_text(
    scene: Scene, error: Exception, told: tuple[Code, int]
) -> None:
    scene.connect()
    scene.database.jobs = [[b"one", b"FULL"]]

    def fails() -> None:
        raise error

    scene.service.does = fails
    scene.service._serve(scene.database.store)
    assert scene.database.ended == [("one", *told)]


def test_a_broken_store_ends_the_connection_and_no_job(scene: Scene) -> None:
    scene.connect()
    scene.database.jobs = [[b"one", b"FULL"]]

    def fails() -> None:
        raise StoreBroken("store", "an answer", "OSError")

    scene.service.does = fails
    with pytest.raises(StoreBroken):
        scene.service._serve(scene.database.store)
    assert scene.database.ended == []


def test_evidence_is_told_of_what_the_host_has(scene: Scene) -> None:
    anchor = u64(NOW) + u64(time.monotonic_ns())
    scene.tell(Said.ANCHOR, anchor)
    assert scene.init.sent[-1] == (Said.HEAD, 0, EMPTY_LOG.serialise())
    scene.connect()
    scene.tell(Said.ANCHOR, anchor)
    head = scene.service.ledger.head
    assert head.size == 2
    assert scene.init.sent[-1] == (Said.HEAD, 0, head.serialise())
    scene.database.lost.add("log")
    assert scene.connect("two") is not Code.OK
    scene.tell(Said.ANCHOR, anchor)
    assert scene.service.ledger.head.size == 3
    assert scene.init.sent[-1] == (Said.HEAD, 0, head.serialise())


def test_the_next_boot_goes_on(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    scene.connect()
    scene.connect("two")
    again = Scene(monkeypatch, scene.database)
    again.permit()
    assert again.connect() is Code.OK
    assert sorted(again.service._book.states) == ["one", "two"]
    kinds = [leaf.kind for leaf in scene.database.leaves()]
    assert kinds == [Kind.BOOT, Kind.SYNC, Kind.SYNC, Kind.BOOT, Kind.SYNC]


def test_keys_of_another_image_or_enclave_are_passed_over(scene: Scene) -> None:
    """One database serves several: what one of them cannot open is not its own."""
    other = DataKey("ada", byte(1))
    scene.database.wrapped = [
        b"",
        other.wrapped(byte(2), 1),
        DataKey("eve", byte(3)).wrapped(SEALING, 1),
    ]
    assert scene.connect() is Code.OK
    assert scene.connect() is Code.OK
    keys = scene.service._keys(scene.database.store, "ada")
    assert len(keys) == 2
    assert {key.user for key in keys.values()} == {"ada"}
    assert other.id not in keys


def test_anything_else_from_init_ends_the_process(scene: Scene) -> None:
    for kind in (Said.REPLY, Said.HALTED, Said.ENROLLED):
        scene.init.waiting.append(Message(kind, 1, b""))
        with pytest.raises(LinkClosed, match="init sent"):
            scene.service.run()


def test_signatures_are_the_owners(scene: Scene) -> None:
    order = OwnerOrder(Action.CONNECT, byte(4), byte(5), "one", b"x").serialise()
    scene.tell(Said.SUBMIT_ORDER, Statement(order, (Signature(byte(9), bytes(64)),)).serialise())
    assert ANSWER.unpack_from(scene.init.sent[-1][2])[0] != Code.OK
