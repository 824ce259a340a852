"""The trust file: what it accepts, what it never may, and pinning."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from strongroom_attest.nitro.roots import AWS_NITRO_ROOT_G1_SHA256
from strongroom_attest.policy import OneOf
from strongroom_host.errors import BadInput
from strongroom_host.trust.record import EvidencePolicy, Image, Trust, TrustConflict, TrustInvalid

from tests.host.owner.samples import OwnerKeys, sample_manifest, verified

AWS = AWS_NITRO_ROOT_G1_SHA256.hex()
IMAGE = Image("v1", "11" * 48, "22" * 48, "33" * 48)
PRODUCTION = Trust("strongroom-trust/1", "production", (AWS,), (IMAGE,), None, None, {})


def changed(**fields: object) -> bytes:
    return msgspec.structs.replace(PRODUCTION, **fields).serialise()


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    PRODUCTION.save(path)
    assert Trust.load(path) == PRODUCTION
    assert Trust.parse(PRODUCTION.serialise()).serialise() == PRODUCTION.serialise()


@pytest.mark.parametrize(
    "fields",
    [
        {"roots": ()}, {"images": ()}, {"roots": ("AA" * 32,)}, {"roots": ("aa" * 31,)},
        {"mode": "test"}, {"format": "x"}, {"other_pcrs": {"0": "11" * 48}},
        {"other_pcrs": {"3": "11"}}, {"owner_root": "zz"}, {"manifest_digest": 7},
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(TrustInvalid):
        Trust.parse(changed(**fields))


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[]", PRODUCTION.serialise() + b"x"])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(TrustInvalid):
        Trust.parse(data)


def test_unknown_and_missing_fields_are_refused() -> None:
    fields = msgspec.to_builtins(PRODUCTION)
    with pytest.raises(TrustInvalid, match="extra"):
        Trust.parse(msgspec.json.encode({**fields, "extra": 1}))
    for name in fields:
        less = {key: value for key, value in fields.items() if key != name}
        with pytest.raises(TrustInvalid, match=name):
            Trust.parse(msgspec.json.encode(less))


def test_production_takes_vendor_roots_only() -> None:
    with pytest.raises(TrustInvalid, match="root"):
        Trust.parse(changed(roots=(AWS, "aa" * 32)))
    assert Trust.parse(changed(roots=("aa" * 32,), mode="development")).mode == "development"


def test_evidence_that_nobody_signs_is_for_development_and_instead_of_a_root() -> None:
    emulator = Trust.emulator(IMAGE)
    assert (emulator.mode, emulator.roots, emulator.unsigned) == ("development", (), True)
    assert Trust.parse(emulator.serialise()) == emulator
    assert b'"unsigned": true' in emulator.serialise()
    assert b"unsigned" not in PRODUCTION.serialise()
    with pytest.raises(TrustInvalid, match="nobody signed"):
        Trust.parse(changed(unsigned=True, roots=()))
    with pytest.raises(TrustInvalid, match="nobody signed"):
        Trust.parse(changed(unsigned=True))
    with pytest.raises(TrustInvalid, match="names a root and accepts"):
        Trust.parse(changed(unsigned=True, mode="development"))
    with pytest.raises(TrustInvalid, match="names no root"):
        Trust.parse(changed(roots=(), mode="development"))


def test_what_a_record_does_not_prove_is_said() -> None:
    assert "nobody signed" in Trust.emulator(IMAGE).caution
    assert "proves nothing" in Trust.development("aa" * 32, IMAGE).caution
    assert PRODUCTION.caution == ""


@pytest.mark.parametrize("value", [None, 1, "true"])
def test_only_true_is_true(value: object) -> None:
    fields = msgspec.to_builtins(Trust.emulator(IMAGE)) | {"unsigned": value}
    with pytest.raises(TrustInvalid):
        Trust.parse(msgspec.json.encode(fields))


@pytest.mark.parametrize("pcr", ["pcr0", "pcr1", "pcr2"])
def test_production_takes_no_debug_image(pcr: str) -> None:
    image = msgspec.structs.replace(IMAGE, **{pcr: "00" * 48})
    with pytest.raises(TrustInvalid, match="debug"):
        Trust.parse(changed(images=(IMAGE, image)))


def test_a_record_that_trusts_too_much_is_not_saved(tmp_path: Path) -> None:
    record = msgspec.structs.replace(PRODUCTION, roots=("aa" * 32,))
    with pytest.raises(TrustInvalid):
        record.save(tmp_path / "trust.json")
    assert not (tmp_path / "trust.json").exists()


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        Trust.load(tmp_path / "none.json")
    assert "enclave trust" in caught.value.remedy


def test_a_policy_needs_a_manifest() -> None:
    with pytest.raises(TrustConflict):
        EvidencePolicy.pinned(PRODUCTION)
    for half in ({"owner_root": "aa" * 32}, {"manifest_digest": "aa" * 32}):
        with pytest.raises(TrustConflict):
            EvidencePolicy.pinned(msgspec.structs.replace(PRODUCTION, **half))


def test_pinning_and_agreeing() -> None:
    owners = OwnerKeys.new(1, 1)
    manifest = sample_manifest(owners)
    one, two = verified(owners, manifest), verified(owners, manifest, version=2)
    record = PRODUCTION.pinned_to(one)
    assert record.manifest_digest == sha256(manifest.serialise()).hexdigest()
    policy = EvidencePolicy.pinned(record)
    assert (policy.manifest_digest, policy.owner_root) == (one.digest, manifest.owner_root)
    assert EvidencePolicy.for_manifest(record, one) == policy
    assert EvidencePolicy.for_manifest(PRODUCTION, one).manifest_digest == one.digest
    with pytest.raises(TrustConflict, match="manifest digest"):
        EvidencePolicy.for_manifest(record, two)
    assert record.pinned_to(two).manifest_digest == two.digest.hex()
    stranger = OwnerKeys.new(1, 1)
    foreign = verified(stranger, sample_manifest(stranger))
    with pytest.raises(TrustConflict, match="owner root"):
        record.pinned_to(foreign)
    with pytest.raises(TrustConflict, match="owner root"):
        EvidencePolicy.for_manifest(record, foreign)


def test_other_roots_or_images_do_not_unpin_owners_and_manifest() -> None:
    before = Trust.parse(changed(owner_root="aa" * 32, manifest_digest="bb" * 32))
    after = PRODUCTION.owned_like(before)
    assert (after.owner_root, after.manifest_digest) == ("aa" * 32, "bb" * 32)
    assert (after.roots, after.images) == (PRODUCTION.roots, PRODUCTION.images)
    assert after.past_images == (), "the same image is no past one"


def test_an_image_that_was_left_counts_for_what_is_archived_only() -> None:
    old, new = (Image(name, *[digit * 96] * 3) for name, digit in (("old", "1"), ("new", "2")))
    before = msgspec.structs.replace(PRODUCTION, images=(old,))
    after = msgspec.structs.replace(PRODUCTION, images=(new,)).owned_like(before)
    assert (after.images, after.past_images) == ((new,), (old,))
    assert after.nitro_policy(bytes(64)).pcrs[0] == OneOf((new.triple[0],))
    archived = after.looking_back().nitro_policy(bytes(64)).pcrs[0]
    assert archived == OneOf((new.triple[0], old.triple[0]))
    assert Trust.parse(after.serialise()) == after
    again = before.owned_like(after)
    assert (again.images, again.past_images) == ((old,), (new,)), "and back, neither twice"


def test_images_of_development_get_into_no_production_file() -> None:
    seen = Trust.development("aa" * 32, Image("seen", *["1" * 96] * 3))
    assert PRODUCTION.owned_like(seen).past_images == ()


def test_a_debug_image_is_no_past_one_in_production_either() -> None:
    debug = {"name": "debug", "pcr0": "0" * 96, "pcr1": "0" * 96, "pcr2": "0" * 96}
    with pytest.raises(TrustInvalid, match="zero"):
        Trust.parse(changed(past_images=(debug,)))
