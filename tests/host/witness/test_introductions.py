"""Boots introduced by what their owners signed: every link of that chain is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.submissions import Introduction
from strongroom_host.witness.errors import (
    IntroductionRefused,
    OriginUnknown,
    OwnersOutdated,
    Refusal,
    RequestMalformed,
    SignerUnknown,
)
from strongroom_host.witness.introductions import verify_introduction
from strongroom_host.witness.memory import FollowedOwners
from strongroom_wire.bundle import Bundle
from strongroom_wire.manifest import OWNER_CHANGE_DOMAIN
from strongroom_wire.owners import Statement
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, Permit

from tests.host.witness.logs import (
    Log,
    Station,
    document,
    introduction,
    origin_of,
    owners_of_account,
)
from tests.wire.samples import byte, handed_over, owners_of, public, signed

MADE = document()
ORIGIN = origin_of(MADE)
BOOT = 0x61


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """Return a witness that follows the sample's owners."""
    found = Station(tmp_path / "w")
    found.memory.follow_owners(owners_of_account(MADE))
    return found


def log_of(boot: int) -> Log:
    """Return the log as a boot signs it."""
    return Log(key=boot, origin=ORIGIN)


def test_a_boot_s_key_is_taken_from_what_the_owners_signed(station: Station) -> None:
    with pytest.raises(SignerUnknown):  # followed, and no key of it is known yet
        station.witness.add_checkpoint(log_of(BOOT).submission(0, 5))
    keys = station.witness.add_boot(introduction(BOOT).serialise())
    assert keys == (VerifierKey(ORIGIN, public(BOOT)),)
    station.witness.add_checkpoint(log_of(BOOT).submission(0, 5))
    with pytest.raises(SignerUnknown):
        station.witness.add_checkpoint(log_of(0x62).submission(5, 6))
    station.witness.add_boot(introduction(0x62).serialise())
    station.witness.add_checkpoint(log_of(0x62).submission(5, 6))


def test_a_replay_changes_nothing(station: Station) -> None:
    for _ in range(3):
        station.witness.add_boot(introduction(BOOT).serialise())
    assert len(station.memory.keys(ORIGIN)) == 1


def test_other_owners_and_accounts_are_not_followed(station: Station) -> None:
    for made in (document("other"), msgspec.structs.replace(MADE, genesis=owners_of(1, quorum=1))):
        with pytest.raises(OriginUnknown):
            station.witness.add_boot(introduction(BOOT, made).serialise())
    assert station.memory.origins() == tuple(
        sorted(name for _, name in owners_of_account(MADE).origins())
    )


def test_a_quorum_signed_both(station: Station) -> None:
    good = introduction(BOOT)
    for signers, permitted in (((1, 2), (1,)), ((1, 2), ()), ((1, 2), (7, 8))):
        with pytest.raises(IntroductionRefused):
            station.witness.add_boot(
                introduction(BOOT, signers=signers, permitted=permitted).serialise()
            )
    one = Statement.parse(good.manifest)
    for signatures in (one.signatures[:1], ()):
        manifest = msgspec.structs.replace(one, signatures=signatures)
        with pytest.raises(IntroductionRefused):
            station.witness.add_boot(replace(good, manifest=manifest.serialise()).serialise())
    assert station.memory.keys(ORIGIN) == ()


def test_a_permit_signed_as_something_else_is_none(station: Station) -> None:
    good = introduction(BOOT)
    payload = Statement.parse(good.permit).payload
    other = signed(ORDER_DOMAIN, payload, 1, 2).serialise()
    with pytest.raises(IntroductionRefused):
        station.witness.add_boot(replace(good, permit=other).serialise())


def test_the_parts_are_of_one_boot(station: Station) -> None:
    good, other = introduction(BOOT), introduction(0x62)
    newer = introduction(BOOT, msgspec.structs.replace(MADE, version=8))
    bundle = Bundle.parse(good.bundle)
    allowed = Permit.parse(Statement.parse(good.permit).payload)
    elsewhere = msgspec.structs.replace(allowed, owner_root=byte(9)).serialise()
    for mixed in (
        replace(good, permit=signed(PERMIT_DOMAIN, elsewhere, 1, 2).serialise()),
        replace(good, bundle=other.bundle),  # keys that the permit does not name
        replace(good, permit=other.permit),
        replace(good, manifest=newer.manifest),
        replace(good, permit=newer.permit),
        replace(good, bundle=msgspec.structs.replace(bundle, owner_root=byte(9)).serialise()),
    ):
        with pytest.raises(IntroductionRefused):
            station.witness.add_boot(mixed.serialise())
    assert station.memory.keys(ORIGIN) == ()


def test_former_owners_introduce_nothing(station: Station) -> None:
    heirs = handed_over(MADE, owners_of(4, 5, quorum=2), 1, 2)
    later = introduction(0x62, heirs, (4, 5), (4, 5))
    station.witness.add_boot(introduction(BOOT).serialise())
    station.witness.add_boot(later.serialise())
    with pytest.raises(OwnersOutdated):  # even one that was taken before
        station.witness.add_boot(introduction(BOOT).serialise())
    with pytest.raises(OwnersOutdated):
        station.witness.add_boot(introduction(0x63).serialise())
    branch = handed_over(MADE, owners_of(6, quorum=1), 1, 2)
    with pytest.raises(OwnersOutdated):  # another hand-over than was seen
        station.witness.add_boot(introduction(0x63, branch, (6, 6), (6,)).serialise())
    station.witness.add_boot(introduction(0x64, heirs, (4, 5), (4, 5)).serialise())
    assert len(station.memory.keys(ORIGIN)) == 3


def test_a_hand_over_is_proved(station: Station) -> None:
    taken = handed_over(MADE, owners_of(4, 5, quorum=2), 4, 5)  # by themselves
    with pytest.raises(IntroductionRefused):
        verify_introduction(
            replace(
                introduction(BOOT),
                manifest=signed(OWNER_CHANGE_DOMAIN, taken.serialise(), 4, 5).serialise(),
            )
        )


def test_what_owners_are_known_survives(station: Station) -> None:
    heirs = handed_over(MADE, owners_of(4, 5, quorum=2), 1, 2)
    station.witness.add_boot(introduction(0x62, heirs, (4, 5), (4, 5)).serialise())
    station.memory.follow_owners(owners_of_account(MADE))  # `follow` again forgets nothing
    station.memory.close()
    again = Station(station.folder.root)
    with pytest.raises(OwnersOutdated):
        again.witness.add_boot(introduction(BOOT).serialise())
    (known,) = again.memory.all_owners()
    assert known == FollowedOwners(
        MADE.owner_root,
        "acme",
        MADE.owner_root + heirs.owner_changes[0].owners.owners.root,
    )


@pytest.mark.parametrize("part", ["manifest", "permit", "bundle"])
def test_malformed_parts_are_named_so(station: Station, part: str) -> None:
    with pytest.raises(RequestMalformed):
        station.witness.add_boot(replace(introduction(), **{part: b"no such thing"}).serialise())


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(noise=st.binary(max_size=300), place=st.integers(0, 5_000))
def test_nothing_but_refusals_comes_of_noise(station: Station, noise: bytes, place: int) -> None:
    good = introduction().serialise()
    place %= len(good)
    changed = good[:place] + noise + good[place + len(noise) + 1 :]
    for body in (noise, changed):
        if body != good:
            with pytest.raises(Refusal):
                station.witness.add_boot(body)
    assert Introduction.parse(good) == introduction()
