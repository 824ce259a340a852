"""The bundle: what an attestation commits to, against a second writing of its layout."""

from collections.abc import Callable
from hashlib import sha256, sha384, sha512

import pytest
from hypothesis import given
from msgspec.structs import replace
from strongroom_host.contract.roles import role_keys
from strongroom_wire.bundle import (
    EMPTY_LOG,
    Bundle,
    LogHead,
    Role,
    RoleKeys,
    hpke_info,
    pcr16,
)
from strongroom_wire.errors import Malformed, TooLarge, WireError

from tests.wire.by_hand import flawed, laid_out
from tests.wire.samples import bundle, byte
from tests.wire.strategies import BUNDLES
from tests.wire.test_encoding import packed

EMPTY_ROOT = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def _role(number: int, hpke: bytes, receipt: bytes, size: int, root: bytes) -> dict[str, object]:
    head = {"size": size, "root": root}
    return {"role": number, "hpke": hpke, "receipt": receipt, "head": head}


def _by_hand(*roles: dict[str, object]) -> bytes:
    fields = {
        "boot_id": byte(1),
        "manifest_digest": byte(2),
        "owner_root": byte(3),
        "certificate": b"certificate",
        "roles": roles,
        "nonce": b"",
    }
    return laid_out(b"strongroom/bundle/v2", fields)


def test_layout_is_the_documented_one() -> None:
    by_hand = _by_hand(
        _role(1, byte(0x41), byte(0x42), 0, EMPTY_ROOT),
        _role(2, byte(0x43), byte(0x44), 7, byte(0x45)),
    )
    assert bundle().serialise() == by_hand
    assert Bundle.parse(by_hand) == bundle()
    assert bundle().commitment == sha512(by_hand).digest()


def test_a_head_on_its_own_has_a_domain() -> None:
    by_hand = laid_out(b"strongroom/head/v1", {"size": 7, "root": byte(0x45)})
    assert LogHead(7, byte(0x45)).serialise() == by_hand
    assert LogHead.parse(by_hand) == LogHead(7, byte(0x45))


def test_commitment_is_pinned() -> None:
    # Computed once from the layout by hand. If this changes, so must the layout's version.
    assert bundle().commitment.hex() == (
        "e2834e37dd373d41b64e05177a15fed6d589562ff1a98042e54d96a91ee28bc5"
        "b1bca749677d3d9feeb251e955d8deccdc46699fc350f15307d2728bdcf8dddb"
    )


def test_keys_digest_leaves_nonce_and_log_heads_out_and_nothing_else() -> None:
    by_hand = _by_hand(
        _role(1, byte(0x41), byte(0x42), 0, EMPTY_ROOT),
        _role(2, byte(0x43), byte(0x44), 0, EMPTY_ROOT),
    )
    base = bundle()
    assert base.keys_digest == sha256(by_hand).digest()
    assert replace(base, nonce=byte(9)).keys_digest == base.keys_digest
    grown = tuple(replace(role, head=LogHead(99, byte(8))) for role in base.roles)
    assert replace(base, roles=grown).keys_digest == base.keys_digest
    init, signer = base.roles
    for other in (
        replace(base, boot_id=byte(0)),
        replace(base, manifest_digest=byte(0)),
        replace(base, owner_root=byte(0)),
        replace(base, certificate=b"other"),
        replace(base, roles=(init,)),
        replace(base, roles=(init, replace(signer, hpke=byte(0)))),
        replace(base, roles=(init, replace(signer, receipt=byte(0)))),
        replace(base, roles=(init, replace(signer, role=Role.RECORD))),
    ):
        assert other.keys_digest != base.keys_digest


def test_every_field_changes_the_commitment() -> None:
    base = bundle()
    grown = tuple(replace(role, head=LogHead(99, byte(8))) for role in base.roles)
    for other in (
        replace(base, nonce=b"n"),
        replace(base, boot_id=byte(0)),
        replace(base, manifest_digest=byte(0)),
        replace(base, owner_root=byte(0)),
        replace(base, certificate=b""),
        replace(base, roles=grown),
        replace(base, roles=()),
    ):
        assert other.commitment != base.commitment


def test_the_empty_log_is_rfc_6962s() -> None:
    assert (EMPTY_LOG.size, EMPTY_LOG.root) == (0, EMPTY_ROOT)


def test_a_booted_enclave_has_a_bundle_without_roles() -> None:
    booted = Bundle(byte(1))
    assert Bundle.parse(booted.serialise()) == booted
    assert (booted.manifest_digest, booted.owner_root) == (bytes(32), bytes(32))
    for role in Role:
        with pytest.raises(Malformed):
            role_keys(booted, role)


def test_role_returns_the_keys_of_that_role_only() -> None:
    assert role_keys(bundle(), Role.INIT).hpke == byte(0x41)
    assert role_keys(bundle(), Role.SIGNER).hpke == byte(0x43)
    with pytest.raises(Malformed):
        role_keys(bundle(), Role.RECORD)


def test_hpke_info_binds_manifest_boot_role_and_purpose() -> None:
    base = bundle()
    info = hpke_info(base, Role.SIGNER, b"key-import")
    assert info == packed(b"strongroom/hpke/v1", byte(2), byte(1), b"\x02", b"key-import")
    for other in (
        hpke_info(base, Role.INIT, b"key-import"),
        hpke_info(base, Role.SIGNER, b"channel"),
        hpke_info(replace(base, manifest_digest=byte(0)), Role.SIGNER, b"key-import"),
        hpke_info(replace(base, boot_id=byte(0)), Role.SIGNER, b"key-import"),
    ):
        assert other != info


def test_pcr16_is_the_nsms_extend() -> None:
    assert pcr16(byte(7)) == sha384(bytes(48) + byte(7)).digest()
    assert pcr16(byte(7)).hex() == (
        "5f07b4fb7ac615038986edfaa65619b7c5706d3692bc15e1"
        "8fff7ff3c78693cc59ae8b4a6fd3e8b335f1db40743ffccf"
    )


def _mutations() -> list[tuple[str, bytes]]:
    def with_role(**changed: object) -> bytes:
        return flawed(bundle(), lambda tree: tree["roles"][0].update(changed))

    def with_fields(**changed: object) -> bytes:
        return flawed(bundle(), lambda tree: tree.update(changed))

    return [
        ("boot id too short", with_fields(boot_id=byte(1, 31))),
        ("boot id too long", with_fields(boot_id=byte(1, 33))),
        ("manifest digest too short", with_fields(manifest_digest=byte(1, 31))),
        ("owner root too long", with_fields(owner_root=byte(1, 33))),
        ("roles missing their order", flawed(bundle(), lambda tree: tree["roles"].reverse())),
        ("role repeated", flawed(bundle(), lambda tree: tree["roles"].insert(0, tree["roles"][0]))),
        ("role repeated, other keys", flawed(bundle(), lambda tree: tree["roles"].insert(
            1, {**tree["roles"][0], "hpke": byte(9)}))),
        ("empty role", flawed(bundle(), lambda tree: tree["roles"].append({}))),
        ("nonce missing", flawed(bundle(), lambda t: {n: t[n] for n in t if n != "nonce"})),
        ("unknown role 0", with_role(role=0)),
        ("unknown role 4", with_role(role=4)),
        ("role of a byte", with_role(role=b"\x01")),
        ("hpke key of 31 bytes", with_role(hpke=byte(1, 31))),
        ("receipt key of 33 bytes", with_role(receipt=byte(1, 33))),
        ("log size in bytes", with_role(head={"size": bytes(8), "root": byte(1)})),
        ("log root of 48 bytes", with_role(head={"size": 1, "root": bytes(48)})),
        ("head with a domain", with_role(head=LogHead(1, byte(1)).serialise())),
        ("trailing byte", bundle().serialise() + b"\x00"),
        ("other domain", bundle().serialise().replace(b"bundle/v2", b"bundle/v1", 1)),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "data"), _mutations(), ids=[name for name, _ in _mutations()])
def test_what_is_not_canonical_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(Malformed):
        Bundle.parse(data)


def test_a_bundle_above_16_kib_is_refused() -> None:
    room = 16 * 1024 - len(replace(bundle(), certificate=bytes(9000)).serialise()) + 9000
    assert len(replace(bundle(), certificate=bytes(room)).serialise()) == 16 * 1024
    with pytest.raises(TooLarge):
        replace(bundle(), certificate=bytes(room + 1)).serialise()
    with pytest.raises(TooLarge):
        Bundle.parse(bytes(16 * 1024 + 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(bundle(), boot_id=b""),
        lambda: replace(bundle(), owner_root=byte(1, 64)),
        lambda: replace(bundle(), roles=bundle().roles[::-1]),
        lambda: replace(bundle(), roles=bundle().roles[:1] * 2),
        lambda: replace(bundle(), roles=(RoleKeys(Role.INIT, byte(1, 31), byte(1, 33)),)),
        lambda: _with_head(LogHead(-1, byte(1))),
        lambda: _with_head(LogHead(2**64, byte(1))),
        lambda: _with_head(LogHead(1, b"")),
    ],
)
def test_a_flawed_bundle_is_never_committed_to(make: Callable[[], Bundle]) -> None:
    with pytest.raises(WireError):
        make().serialise()
    with pytest.raises(WireError):
        _ = make().commitment


def _with_head(head: LogHead) -> Bundle:
    return replace(bundle(), roles=(RoleKeys(Role.INIT, byte(1), byte(1), head),))


@given(BUNDLES)
def test_round_trip(value: Bundle) -> None:
    data = value.serialise()
    assert Bundle.parse(data) == value
    assert Bundle.parse(data).serialise() == data
