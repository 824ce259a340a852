"""Who may call what: the exact certificate decides, then the calls that the manifest grants it."""

from collections.abc import Callable

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_wire.errors import Code
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc as rpc
from strongroom_wire.statements import PERMIT_DOMAIN, Action

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Bot, Desk, to_proto

NAME = [("grpc.ssl_target_name_override", "strongroom-enclave")]


@pytest.fixture(scope="module")
def boot(start: Start) -> Boot:
    """Three clients: one may everything, one may only sign, one may only look after health."""
    return start(Desk(bots=(Bot("all"), Bot("trader", ("order",)), Bot("watch", ("health",)))))


def status(boot: Boot, bot: Bot) -> grpc.StatusCode:
    """Returns how the control plane receives the simplest call of `bot`."""
    return outcome(lambda: boot.control(bot).GetStatus(pb.Request(), timeout=20))


def outcome(call: Callable[[], object]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_every_listed_client_may_ask_how_it_is(boot: Boot) -> None:
    assert [status(boot, bot) for bot in boot.desk.bots] == [grpc.StatusCode.OK] * 3


def test_a_certificate_that_nobody_listed_is_refused_in_the_handshake(boot: Boot) -> None:
    assert status(boot, Bot("stranger")) is grpc.StatusCode.UNAVAILABLE
    impostor = boot.control(Bot("all"), boot.bundle.certificate)  # by name, not by key
    code = outcome(lambda: impostor.GetStatus(pb.Request(), timeout=20))
    assert code is grpc.StatusCode.UNAVAILABLE


def test_another_certificate_over_a_listed_key_is_refused(boot: Boot) -> None:
    again = boot.control(Bot("all", tls=boot.desk.bots[0].tls), boot.bundle.certificate)
    code = outcome(lambda: again.GetStatus(pb.Request(), timeout=20))
    assert code is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_that_a_listed_client_issued_is_refused(boot: Boot) -> None:
    minion = Bot("minion", issuer=boot.desk.bots[0])
    assert status(boot, minion) is grpc.StatusCode.PERMISSION_DENIED


def test_without_a_certificate_or_tls_there_is_no_control_plane(boot: Boot) -> None:
    target = f"unix:{boot.enclave.run / 'control.sock'}"
    certificate = x509.load_der_x509_certificate(boot.bundle.certificate)
    pinned = grpc.ssl_channel_credentials(certificate.public_bytes(Encoding.PEM))
    for channel in (grpc.secure_channel(target, pinned, NAME), grpc.insecure_channel(target)):
        stub = rpc.ControlStub(boot.enclave.keep(channel))
        code = outcome(lambda s=stub: s.GetStatus(pb.Request(), timeout=20))  # type: ignore[misc]
        assert code is grpc.StatusCode.UNAVAILABLE


def test_a_client_makes_no_call_that_it_was_not_granted(boot: Boot) -> None:
    _, trader, watch = boot.desk.bots
    permit = to_proto(boot.desk.owners.sign(PERMIT_DOMAIN, boot.permit().serialise()))
    for bot in (trader, watch):
        stub = boot.control(bot)
        for call in (stub.SubmitPermit, stub.SubmitOrder):
            code = outcome(lambda c=call: c(permit, timeout=20))  # type: ignore[misc]
            assert code is grpc.StatusCode.PERMISSION_DENIED
    assert boot.enclave.phase() == 2, "the permit got through"


def test_a_granted_call_on_the_fast_channel_is_all_a_client_gets(start: Start) -> None:
    calls = {"orders": ("order",), "cancels": ("cancel",), "nothing": ("health",)}
    boot = start(Desk(bots=(Bot("all"), *(Bot(name, c) for name, c in calls.items()))))  # type: ignore[arg-type]
    boot.make_ready()
    _, orders, cancels, nothing = (boot.channel(bot) for bot in boot.desk.bots)
    assert orders.buy(1).code is Code.OK
    assert orders.cancel_all().code is Code.CALL_NOT_PERMITTED
    assert cancels.cancel_all().code is Code.OK
    assert cancels.buy(1).code is Code.CALL_NOT_PERMITTED
    assert nothing.buy(1).code is Code.CALL_NOT_PERMITTED
    assert nothing.cancel_all().code is Code.CALL_NOT_PERMITTED


def test_the_clients_refuse_another_boots_certificate(start: Start, boot: Boot) -> None:
    other = start(boot.desk, boot.enclave.state)
    stub = boot.control(boot.desk.bots[0], other.bundle.certificate)
    code = outcome(lambda: stub.GetStatus(pb.Request(), timeout=20))
    assert code is grpc.StatusCode.UNAVAILABLE


def test_each_listener_has_its_own_calls(boot: Boot) -> None:
    channel = boot.enclave.keep(
        grpc.insecure_channel(f"unix:{boot.enclave.run / 'bootstrap.sock'}")
    )
    stub = rpc.ControlStub(channel)
    for call in (stub.SubmitPermit, stub.SubmitOrder):
        code = outcome(lambda c=call: c(pb.Request(), timeout=20))  # type: ignore[misc]
        assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "statement",
    [
        Statement(b"", ()),
        Statement(b"x", ()),
        Statement(b"x", (Signature(b"short", b""),)),
        Statement(b"x", (Signature(bytes(32), bytes(64)),) * 40),
        Statement(bytes(1 << 20), ()),
    ],
    ids=["empty", "unsigned", "short", "crowd", "huge"],
)
def test_a_statement_that_is_none_gets_a_code_and_no_text(boot: Boot, statement: Statement) -> None:
    stub = boot.control()
    for call in (stub.SubmitPermit, stub.SubmitOrder, boot.enclave.bootstrap.LoadManifest):
        try:
            receipt = call(to_proto(statement), timeout=20)
        except grpc.RpcError as error:
            refused = (error.code(), len(statement.payload))
        else:
            refused = (grpc.StatusCode.OK, 0)
            assert Code(receipt.code) is not Code.OK
            assert receipt.answer == b""
        # gRPC's own limit comes before any process's.
        assert refused in ((grpc.StatusCode.OK, 0), (grpc.StatusCode.RESOURCE_EXHAUSTED, 1 << 20))
    assert b"Traceback" not in boot.enclave.console.read_bytes()


def test_a_boot_without_clients_has_no_control_plane(start: Start) -> None:
    boot = start(Desk(bots=()))
    stub = rpc.ControlStub(
        boot.enclave.keep(grpc.insecure_channel(f"unix:{boot.enclave.run / 'control.sock'}"))
    )
    code = outcome(lambda: stub.GetStatus(pb.Request(), timeout=20))
    assert code is grpc.StatusCode.UNAVAILABLE


def test_only_quorum_makes_a_caller_an_owner(boot: Boot) -> None:
    # A client with the owner call delivers; it is no owner for that.
    code, answer = boot.order(Action.GENERATE, "main", signers=0)
    assert (code, answer) == (Code.QUORUM_MISSING, b"")
    # What nobody signed is not even looked into.
    assert boot.deliver_order(Statement(b"x", ()))[0] is Code.QUORUM_MISSING
