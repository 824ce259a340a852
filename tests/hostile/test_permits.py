"""Start permits as the host may deliver them: another's, again, out of order, without a quorum."""

import secrets

import msgspec
import pytest
from msgspec.structs import replace
from strongroom_wire.bundle import Role
from strongroom_wire.encoding import u64
from strongroom_wire.errors import Code, Rule
from strongroom_wire.manifest import MANIFEST_DOMAIN
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.statements import (
    ORDER_DOMAIN,
    PERMIT_DOMAIN,
    Action,
    Budget,
    OwnerOrder,
    Permit,
)

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Desk, Owners, now_ms

DOLLAR = 10**6


@pytest.fixture(scope="module")
def configured(start: Start) -> Boot:
    """A boot that never gets a valid permit."""
    return start(Desk())


@pytest.fixture(scope="module")
def limited(start: Start) -> Boot:
    """A boot whose budget for the first key is 50 pUSD, 5 of which are signed."""
    boot = start(Desk()).make_ready(serial=10, budgets=(Budget("main", 50 * DOLLAR, 100),))
    assert boot.channel().buy(5).code is Code.OK
    return boot


def assert_unpermitted(boot: Boot) -> None:
    """Neither phase nor provisioning nor signing has moved."""
    assert boot.enclave.phase() == 2
    code, _ = boot.order(Action.EXPORT)
    assert code is Code.WRONG_PHASE
    assert boot.channel().buy(1).code is not Code.OK


def test_a_permit_for_anything_but_this_boot_is_refused(configured: Boot) -> None:
    permit = configured.permit()
    other = secrets.token_bytes(32)
    for changes, expected in (
        ({"owner_root": other}, Code.WRONG_OWNER),
        ({"manifest_digest": other}, Code.WRONG_MANIFEST),
        ({"keys_digest": other}, Code.WRONG_BOOT),
        ({"budgets": (*permit.budgets, Budget("nobody", 1, 1))}, Code.UNKNOWN_KEY),
    ):
        assert configured.submit_permit(replace(permit, **changes)) is expected
    assert_unpermitted(configured)


def test_a_permit_that_too_few_owners_signed_is_refused(configured: Boot) -> None:
    permit, owners = configured.permit(), configured.desk.owners
    for signers in (0, 1):
        assert configured.submit_permit(permit, signers) is Code.QUORUM_MISSING
    payload = permit.serialise()
    once = owners.sign(PERMIT_DOMAIN, payload, 1).signatures
    strangers = Owners.new(2).sign(PERMIT_DOMAIN, payload).signatures
    for signatures in (once * 2, once * 5, once + strangers):
        code = configured.deliver_permit(Statement(payload, signatures))
        assert code is Code.QUORUM_MISSING
    assert_unpermitted(configured)


def test_a_permit_altered_on_the_way_is_refused(configured: Boot) -> None:
    statement = configured.desk.owners.sign(PERMIT_DOMAIN, configured.permit().serialise())
    larger = replace(configured.permit(), budgets=(Budget("main", 1 << 60, 1 << 30),)).serialise()
    assert (
        configured.deliver_permit(msgspec.structs.replace(statement, payload=larger))
        is Code.BAD_SIGNATURE
    )
    first, second = statement.signatures
    crossed = (Signature(first.key, second.value), Signature(second.key, first.value))
    assert (
        configured.deliver_permit(msgspec.structs.replace(statement, signatures=crossed))
        is Code.BAD_SIGNATURE
    )
    assert_unpermitted(configured)


def test_what_owners_signed_for_another_purpose_is_no_permit(configured: Boot) -> None:
    payload = configured.permit().serialise()
    for domain in (ORDER_DOMAIN, MANIFEST_DOMAIN, b"", b"strongroom/owner-change/v1"):
        statement = configured.desk.owners.sign(domain, payload)
        assert configured.deliver_permit(statement) is Code.BAD_SIGNATURE
    order = OwnerOrder(Action.GENERATE, configured.bundle.boot_id, bytes(32), "main").serialise()
    assert configured.deliver_permit(configured.desk.owners.sign(PERMIT_DOMAIN, order)) is (
        Code.MALFORMED
    )
    assert_unpermitted(configured)


def test_an_unlock_share_that_is_not_for_us_makes_the_permit_worthless(configured: Boot) -> None:
    share = secrets.token_bytes(32)
    for sealed, expected in (
        (configured.seal(share, Role.SIGNER, b"unlock-share"), Code.BAD_SIGNATURE),
        (configured.seal(share, Role.INIT, b"key-import"), Code.BAD_SIGNATURE),
        (configured.seal(share, Role.INIT, b"channel"), Code.BAD_SIGNATURE),
        (configured.seal(share[:31], Role.INIT, b"unlock-share"), Code.MALFORMED),
        (configured.seal(b"", Role.INIT, b"unlock-share"), Code.MALFORMED),
        (secrets.token_bytes(80), Code.BAD_SIGNATURE),
        (b"short", Code.MALFORMED),
    ):
        assert configured.submit_permit(configured.permit(share=sealed)) is expected
    assert_unpermitted(configured)


def test_a_permit_is_good_once_and_only_a_later_one_replaces_it(limited: Boot) -> None:
    mine = limited.permit(11, budgets=(Budget("main", 60 * DOLLAR, 100),))
    statement = limited.desk.owners.sign(PERMIT_DOMAIN, mine.serialise())
    assert limited.deliver_permit(statement) is Code.OK
    assert limited.deliver_permit(statement) is Code.PERMIT_STALE
    for serial in (0, 10, 11):
        larger = limited.permit(serial, budgets=(Budget("main", 400 * DOLLAR, 100),))
        assert limited.submit_permit(larger) is Code.PERMIT_STALE
    reply = limited.channel().buy(100)
    assert (reply.rule, reply.limit) == (Rule.BUDGET_NOTIONAL, 60 * DOLLAR)


def test_budgets_count_from_the_boot_and_never_refill(limited: Boot) -> None:
    channel = limited.channel()
    used = channel.signed_so_far()
    for serial, total in ((21, 40), (22, 40), (23, 45)):
        again = limited.permit(serial, budgets=(Budget("main", total * DOLLAR, 100),))
        assert limited.submit_permit(again) is Code.OK
        reply = channel.buy(total - used + 1)
        assert (reply.rule, reply.limit) == (Rule.BUDGET_NOTIONAL, total * DOLLAR)
        assert reply.actual == (total + 1) * DOLLAR
    assert channel.signed_so_far() == used


def test_a_permit_that_leaves_a_key_out_leaves_it_nothing(limited: Boot) -> None:
    assert limited.submit_permit(limited.permit(31, budgets=(Budget("imported", 1, 1),))) is Code.OK
    reply = limited.channel().buy(1)
    assert (reply.code, reply.limit) == (Code.DENIED, 0)
    assert reply.rule in (Rule.PERMIT, Rule.BUDGET_NOTIONAL)


def test_a_permit_ends_and_its_boot_signs_no_more(limited: Boot) -> None:
    ended = limited.permit(41, not_after=now_ms() - 2_000)
    assert limited.submit_permit(ended) is Code.OK
    channel = limited.channel()
    reply = channel.buy(1)
    assert (reply.code, reply.rule, reply.request) == (Code.DENIED, Rule.PERMIT_EXPIRED, b"")
    assert reply.limit == ended.not_after
    assert channel.cancel_all().code is Code.OK
    assert limited.submit_permit(limited.permit(42)) is Code.OK
    assert channel.buy(1).code is Code.OK


@pytest.mark.parametrize("noise", [b"\0", b"x" * 1000, b"strongroom/permit/v1", bytes(10_000)])
def test_noise_is_no_permit(limited: Boot, noise: bytes) -> None:
    statement = limited.desk.owners.sign(PERMIT_DOMAIN, noise)
    assert limited.deliver_permit(statement) is Code.MALFORMED
    assert limited.enclave.phase() == 3


def test_a_permit_of_another_boot_or_manifest_is_worthless(start: Start, limited: Boot) -> None:
    # The same owners run both: nothing but the boot, and the manifest, differs.
    twin = start(limited.desk)
    changed = start(limited.desk.but(version=2))
    for boot, expected in ((twin, Code.WRONG_BOOT), (changed, Code.WRONG_MANIFEST)):
        statement = limited.desk.owners.sign(PERMIT_DOMAIN, limited.permit(99).serialise())
        assert boot.deliver_permit(statement) is expected
        assert_unpermitted(boot)
    # Naming the other's manifest is not enough: the keys are another boot's.
    moved = replace(limited.permit(99), manifest_digest=changed.bundle.manifest_digest)
    assert changed.submit_permit(moved) is Code.WRONG_BOOT


def test_permits_bear_on_keys_by_name_only(limited: Boot) -> None:
    doubled = Permit.parse(limited.permit(50).serialise())
    with pytest.raises(Exception, match="each key once"):
        replace(doubled, budgets=(Budget("main", 1, 1), Budget("main", 2, 2))).serialise()
    assert limited.order(Action.ENROLL_DERIVE, "nobody", u64(0))[0] is Code.UNKNOWN_KEY
