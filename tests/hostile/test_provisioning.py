"""Keys on their way in and out: sealed to this boot and purpose, restored for these owners only."""

import os
import re
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from strongroom_host.contract import sealing
from strongroom_host.contract.roles import role_keys
from strongroom_wire.bundle import Bundle, Role, hpke_info
from strongroom_wire.encoding import pack, u64, unpack
from strongroom_wire.errors import Code
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, Action, OwnerOrder

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Desk, Enclave

KEY = secrets.token_bytes(32)
ADDRESS = bytes.fromhex(Account.from_key(KEY).address[2:])
SHARE = secrets.token_bytes(32)


@pytest.fixture(scope="module")
def boot(start: Start) -> Boot:
    return start(Desk())


@pytest.fixture(scope="module")
def clone(start: Start, boot: Boot) -> Boot:
    """A second enclave from the same inputs, the state folder included, at the same time."""
    return start(boot.desk, boot.enclave.state)


def with_share(boot: Boot, serial: int = 1, share: bytes = SHARE) -> Boot:
    sealed = boot.seal(share, Role.INIT, b"unlock-share")
    assert boot.submit_permit(boot.permit(serial, share=sealed)) is Code.OK
    return boot


@pytest.fixture(scope="module")
def exporter(start: Start) -> Boot:
    """A boot of manifest version 2, with one key of each kind, that may seal."""
    boot = with_share(start(Desk().but(version=2)))
    assert boot.order(Action.GENERATE, "main")[0] is Code.OK
    assert boot.order(Action.GENERATE, "brief")[0] is Code.OK
    sealed = boot.seal(KEY, Role.SIGNER, b"key-import")
    assert boot.order(Action.IMPORT, "imported", sealed)[0] is Code.OK
    return boot


@pytest.fixture(scope="module")
def blob(exporter: Boot) -> bytes:
    code, blob = exporter.order(Action.EXPORT)
    assert code is Code.OK
    return blob


def test_a_key_must_be_sealed_to_this_boot_role_and_purpose(boot: Boot, clone: Boot) -> None:
    ours = boot.bundle
    unconfigured = Bundle(ours.boot_id, certificate=ours.certificate, roles=ours.roles)
    before_manifest = hpke_info(unconfigured, Role.SIGNER, b"key-import")
    to = role_keys(ours, Role.SIGNER).hpke
    cross = hpke_info(clone.bundle, Role.SIGNER, b"key-import")
    for sealed in (
        clone.seal(KEY, Role.SIGNER, b"key-import"),
        boot.seal(KEY, Role.INIT, b"key-import"),
        boot.seal(KEY, Role.SIGNER, b"channel"),
        boot.seal(KEY, Role.SIGNER, b"unlock-share"),
        boot.seal(KEY, Role.SIGNER, b""),
        sealing.seal(KEY, to, before_manifest),
        sealing.seal(KEY, to, cross),
        sealing.seal(KEY, to, b""),
        secrets.token_bytes(80),
    ):
        assert boot.order(Action.IMPORT, "imported", sealed) == (Code.BAD_SIGNATURE, b"")
    for garbage in (b"", b"x" * 47):
        assert boot.order(Action.IMPORT, "imported", garbage) == (Code.MALFORMED, b"")


@pytest.mark.parametrize(
    "secret",
    [b"", KEY[:31], KEY + b"\0", bytes(32), b"\xff" * 32],
    ids=["empty", "short", "long", "zero", "above the order"],
)
def test_what_is_no_private_key_is_not_taken(boot: Boot, secret: bytes) -> None:
    sealed = boot.seal(secret, Role.SIGNER, b"key-import")
    assert boot.order(Action.IMPORT, "imported", sealed) == (Code.MALFORMED, b"")


def test_a_key_is_imported_once_and_generated_once(clone: Boot) -> None:
    def importing(secret: bytes) -> tuple[Code, bytes]:
        sealed = clone.seal(secret, Role.SIGNER, b"key-import")
        return clone.order(Action.IMPORT, "imported", sealed)

    assert importing(KEY) == (Code.OK, ADDRESS)
    assert importing(KEY) == (Code.OK, ADDRESS)
    assert importing(secrets.token_bytes(32)) == (Code.KEY_CONFLICT, b"")
    assert clone.order(Action.GENERATE, "imported") == (Code.KEY_CONFLICT, b"")
    made = clone.order(Action.GENERATE, "main")
    assert made[0] is Code.OK
    assert clone.order(Action.GENERATE, "main") == made
    sealed = clone.seal(KEY, Role.SIGNER, b"key-import")
    assert clone.order(Action.IMPORT, "main", sealed) == (Code.KEY_CONFLICT, b"")
    for action in (Action.GENERATE, Action.IMPORT):
        assert clone.order(action, "") == (Code.UNKNOWN_KEY, b"")
        assert clone.order(action, "nobody") == (Code.UNKNOWN_KEY, b"")


def test_nothing_of_one_boot_works_in_its_clone(boot: Boot, clone: Boot) -> None:
    order = OwnerOrder(
        Action.GENERATE, boot.bundle.boot_id, boot.bundle.manifest_digest, "brief"
    ).serialise()
    statement = boot.desk.owners.sign(ORDER_DOMAIN, order)
    assert clone.deliver_order(statement) == (Code.WRONG_BOOT, b"")
    permit = boot.desk.owners.sign(PERMIT_DOMAIN, boot.permit().serialise())
    assert clone.deliver_permit(permit) is Code.WRONG_BOOT
    sealed = boot.seal(KEY, Role.SIGNER, b"key-import")
    assert clone.order(Action.IMPORT, "imported", sealed)[0] is Code.BAD_SIGNATURE
    channel = boot.channel()
    assert clone.wire().exchange(channel.opening) == int(Code.BAD_SIGNATURE).to_bytes(2)
    for _ in range(channel.opened.channel):
        clone.channel()  # so that a channel of that number exists
    frame = channel.frame(boot.buying(1))
    assert clone.wire().exchange(frame) == int(Code.BAD_SIGNATURE).to_bytes(2)
    assert clone.enclave.phase() == 2


def test_a_clone_signs_nothing_on_the_permit_of_the_first(start: Start, boot: Boot) -> None:
    first = start(boot.desk).make_ready()
    copy = start(boot.desk, first.enclave.state)
    assert copy.order(Action.GENERATE, "main")[0] is Code.OK
    permit = boot.desk.owners.sign(PERMIT_DOMAIN, first.permit().serialise())
    assert copy.deliver_permit(permit) is Code.WRONG_BOOT
    assert copy.enrol()[0] is Code.WRONG_PHASE
    assert copy.channel().buy(1).code is Code.NO_CREDENTIAL
    copy.make_ready()
    total = first.channel(), copy.channel()
    assert [channel.buy(5).code for channel in total] == [Code.OK, Code.OK]
    assert [channel.signed_so_far() for channel in total] == [5, 5], "each under its own permit"


def test_sealing_needs_a_permit_with_a_share(start: Start, blob: bytes) -> None:
    boot = start(Desk())
    assert boot.order(Action.EXPORT) == (Code.WRONG_PHASE, b"")
    assert boot.order(Action.RESTORE, body=blob) == (Code.WRONG_PHASE, b"")
    assert boot.submit_permit(boot.permit()) is Code.OK
    assert boot.order(Action.EXPORT) == (Code.SEALED_STATE_REFUSED, b"")
    assert boot.order(Action.RESTORE, body=blob) == (Code.SEALED_STATE_REFUSED, b"")


def test_a_blob_shows_nothing(exporter: Boot, blob: bytes) -> None:
    again = exporter.order(Action.EXPORT, body=b"another order, or it would be the same answer")[1]
    assert again != blob
    assert KEY not in blob
    assert ADDRESS not in blob
    domain, least, nonce, content = (
        b"strongroom/sealed/v1",
        *unpack(b"strongroom/sealed/v1", blob),
    )
    assert least == u64(2)
    assert nonce not in again
    assert pack(domain, least, nonce, content) == blob


def test_the_rightful_next_boot_restores_what_is_not_per_boot(
    start: Start, exporter: Boot, blob: bytes
) -> None:
    later = start(exporter.desk.but(version=3), exporter.enclave.state)
    with_share(later, 1, secrets.token_bytes(32))
    assert later.order(Action.RESTORE, body=blob) == (Code.SEALED_STATE_REFUSED, b"")
    with_share(later, 2)
    version = u64(2)
    at = blob.index(version)
    for forged in (
        blob[:at] + u64(1) + blob[at + 8 :],
        blob[:-1] + bytes([blob[-1] ^ 1]),
        blob[:-17] + bytes([blob[-17] ^ 1]) + blob[-16:],
    ):
        code, body = later.order(Action.RESTORE, body=forged)
        assert (code, body) == (Code.SEALED_STATE_REFUSED, b"")
    for garbage in (b"", blob[:-1], blob + b"\0", KEY):
        assert later.order(Action.RESTORE, body=garbage) == (Code.MALFORMED, b"")
    assert later.order(Action.RESTORE, body=blob) == (Code.OK, (2).to_bytes(4, "big"))
    assert later.order(Action.RESTORE, body=blob) == (Code.OK, (2).to_bytes(4, "big"))
    assert later.order(Action.GENERATE, "main") == exporter.order(Action.GENERATE, "main")
    sealed = later.seal(KEY, Role.SIGNER, b"key-import")
    assert later.order(Action.IMPORT, "imported", sealed) == (Code.OK, ADDRESS)
    brief = later.order(Action.GENERATE, "brief")
    assert brief != exporter.order(Action.GENERATE, "brief")


def test_an_older_manifest_does_not_open_it(start: Start, exporter: Boot, blob: bytes) -> None:
    older = with_share(start(exporter.desk.but(version=1), exporter.enclave.state))
    assert older.order(Action.RESTORE, body=blob) == (Code.SEALED_STATE_REFUSED, b"")


def test_other_owners_do_not_open_it(start: Start, exporter: Boot, blob: bytes) -> None:
    # The same bots, account, state folder and even share: only the owners differ.
    foreign = replace(exporter.desk, owners=Desk().owners).but(version=9)
    theirs = with_share(start(foreign, exporter.enclave.state))
    assert theirs.order(Action.RESTORE, body=blob) == (Code.SEALED_STATE_REFUSED, b"")


def test_another_platform_does_not_open_it(start: Start, exporter: Boot, blob: bytes) -> None:
    elsewhere = with_share(start(exporter.desk))
    assert elsewhere.order(Action.RESTORE, body=blob) == (Code.SEALED_STATE_REFUSED, b"")


def test_before_the_manifest_there_is_nothing_to_seal_to() -> None:
    with Enclave() as enclave, pytest.raises(Exception, match="keys of signer"):
        Boot(enclave, Desk()).seal(KEY, Role.SIGNER, b"key-import")


def test_orders_of_an_earlier_boot_do_nothing_in_the_next(start: Start, boot: Boot) -> None:
    recorded = []
    for action in set(Action) - {Action.CONNECT}:  # there is no record here
        order = OwnerOrder(
            action, boot.bundle.boot_id, boot.bundle.manifest_digest, "main", bytes(8)
        )
        recorded.append(boot.desk.owners.sign(ORDER_DOMAIN, order.serialise()))
    after = start(boot.desk, boot.enclave.state)
    for statement in recorded:
        assert after.deliver_order(statement) == (Code.WRONG_BOOT, b"")


def test_no_secret_is_where_the_host_can_look(exporter: Boot) -> None:
    """Command lines, environments and the console; memory is closed where the system can do it."""
    console = exporter.enclave.console.read_bytes()
    for pid in exporter.enclave.pids().values():
        for name in ("cmdline", "environ"):
            seen = Path(f"/proc/{pid}/{name}").read_bytes() if os.geteuid() == 0 else b""
            for secret in (KEY, KEY.hex().encode(), SHARE, SHARE.hex().encode()):
                assert secret not in seen + console


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into hardened processes")
def test_processes_share_no_descriptor_but_the_listener_of_the_signer(exporter: Boot) -> None:
    sockets: dict[str, set[str]] = {}
    for role, pid in exporter.enclave.pids().items():
        names = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
        sockets[role] = {name for name in names if name.startswith("socket:")}
        status = Path(f"/proc/{pid}/status").read_text()
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "NoNewPrivs:\t1" in status
        assert re.search(r"Max core file size +0 +0 ", limits)
        assert not [name for name in names if "sealer.key" in name or "root.pem" in name]
    assert not sockets["front"] & sockets["signer"]
    assert not sockets["front"] & sockets["init"]
    assert len(sockets["signer"] & sockets["init"]) == 1, "the listener of the fast channel"
