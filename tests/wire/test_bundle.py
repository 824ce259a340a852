"""The bundle: what an attestation commits to, against a second writing of its layout."""

import struct
from dataclasses import replace
from hashlib import sha256, sha384, sha512

import pytest
from hypothesis import given
from strongroom_wire.bundle import (
    EMPTY_LOG,
    Bundle,
    LogHead,
    Role,
    RoleKeys,
    hpke_info,
    pcr16,
)
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.errors import Malformed, TooLarge, WireError

from tests.wire.samples import bundle, byte
from tests.wire.strategies import BUNDLES
from tests.wire.test_encoding import packed

EMPTY_ROOT = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def _role(number: int, hpke: bytes, receipt: bytes, size: int, root: bytes) -> bytes:
    fields = (bytes([number]), hpke, receipt, struct.pack(">Q", size), root)
    return packed(b"strongroom/role/v1", *fields)


def test_layout_is_the_documented_one() -> None:
    by_hand = packed(
        b"strongroom/bundle/v1",
        byte(1),
        byte(2),
        byte(3),
        b"certificate",
        b"",
        _role(1, byte(0x41), byte(0x42), 0, EMPTY_ROOT),
        _role(2, byte(0x43), byte(0x44), 7, byte(0x45)),
    )
    assert bundle().serialise() == by_hand
    assert Bundle.parse(by_hand) == bundle()
    assert bundle().commitment == sha512(by_hand).digest()


def test_commitment_is_pinned() -> None:
    # Computed once with hashlib and struct alone. If this changes, so must the layout's version.
    assert bundle().commitment.hex() == (
        "289ee3a380fa0c7e062dffdb3aa9874bd8efb771736e11e79ad1340c7a321f19"
        "f73663f2b74270c66ad86382fceaa590e3d53ef2ff50c67cdb773e72cddea773"
    )


def test_keys_digest_leaves_nonce_and_log_heads_out_and_nothing_else() -> None:
    by_hand = packed(
        b"strongroom/bundle/v1",
        byte(1),
        byte(2),
        byte(3),
        b"certificate",
        b"",
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
            booted.role(role)


def test_role_returns_the_keys_of_that_role_only() -> None:
    assert bundle().role(Role.INIT).hpke == byte(0x41)
    assert bundle().role(Role.SIGNER).hpke == byte(0x43)
    with pytest.raises(Malformed):
        bundle().role(Role.RECORD)


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
    base = bundle()
    fields = unpack(b"strongroom/bundle/v1", base.serialise())
    init, signer = fields[5:]
    role = unpack(b"strongroom/role/v1", init)

    def with_role(at: int, field: bytes) -> bytes:
        changed = pack(b"strongroom/role/v1", *role[:at], field, *role[at + 1 :])
        return pack(b"strongroom/bundle/v1", *fields[:5], changed, signer)

    def with_fields(*changed: bytes) -> bytes:
        return pack(b"strongroom/bundle/v1", *changed)

    return [
        ("boot id too short", with_fields(byte(1, 31), *fields[1:])),
        ("boot id too long", with_fields(byte(1, 33), *fields[1:])),
        ("manifest digest too short", with_fields(fields[0], byte(1, 31), *fields[2:])),
        ("owner root too long", with_fields(*fields[:2], byte(1, 33), *fields[3:])),
        ("roles missing their order", with_fields(*fields[:5], signer, init)),
        ("role repeated", with_fields(*fields[:5], init, init)),
        ("role repeated, other keys", with_fields(*fields[:5], init, with_role(1, byte(9)))),
        ("empty role", with_fields(*fields[:5], b"")),
        ("nonce missing", with_fields(*fields[:4])),
        ("unknown role 0", with_role(0, b"\x00")),
        ("unknown role 4", with_role(0, b"\x04")),
        ("role of two bytes", with_role(0, b"\x00\x01")),
        ("role of two bytes, the first good", with_role(0, b"\x01\x00")),
        ("role of no byte", with_role(0, b"")),
        ("hpke key of 31 bytes", with_role(1, byte(1, 31))),
        ("receipt key of 33 bytes", with_role(2, byte(1, 33))),
        ("log size of 4 bytes", with_role(3, bytes(4))),
        ("log root of 48 bytes", with_role(4, bytes(48))),
        ("trailing byte", base.serialise() + b"\x00"),
        ("other domain", base.serialise().replace(b"bundle/v1", b"bundle/v2", 1)),
        ("other role domain", base.serialise().replace(b"role/v1", b"role/v2", 1)),
    ]


@pytest.mark.parametrize(("name", "data"), _mutations(), ids=[name for name, _ in _mutations()])
def test_what_is_not_canonical_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(Malformed):
        Bundle.parse(data)


def test_a_bundle_above_16_kib_is_refused() -> None:
    room = 16 * 1024 - len(replace(bundle(), certificate=b"").serialise())
    assert len(replace(bundle(), certificate=bytes(room)).serialise()) == 16 * 1024
    with pytest.raises(TooLarge):
        replace(bundle(), certificate=bytes(room + 1)).serialise()
    with pytest.raises(TooLarge):
        Bundle.parse(bytes(16 * 1024 + 1))


@pytest.mark.parametrize(
    "flawed",
    [
        replace(bundle(), boot_id=b""),
        replace(bundle(), owner_root=byte(1, 64)),
        replace(bundle(), roles=bundle().roles[::-1]),
        replace(bundle(), roles=bundle().roles[:1] * 2),
        replace(bundle(), roles=(RoleKeys(Role.INIT, byte(1, 31), byte(1, 33)),)),
        replace(bundle(), roles=(RoleKeys(Role.INIT, byte(1), byte(1), LogHead(-1, byte(1))),)),
        replace(bundle(), roles=(RoleKeys(Role.INIT, byte(1), byte(1), LogHead(2**64, byte(1))),)),
        replace(bundle(), roles=(RoleKeys(Role.INIT, byte(1), byte(1), LogHead(1, b"")),)),
    ],
)
def test_a_flawed_bundle_is_never_committed_to(flawed: Bundle) -> None:
    with pytest.raises(WireError):
        flawed.serialise()
    with pytest.raises(WireError):
        _ = flawed.commitment


@given(BUNDLES)
def test_round_trip(value: Bundle) -> None:
    data = value.serialise()
    assert Bundle.parse(data) == value
    assert Bundle.parse(data).serialise() == data
