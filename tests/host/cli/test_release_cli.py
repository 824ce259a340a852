"""`strongroom release` and what takes a release: keys, signing, `eif verify`, `enclave trust`."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.cli.app import app
from strongroom_host.trust.dsse import Envelope
from strongroom_host.trust.release_keys import KeyRing
from typer.testing import CliRunner

from tests.eif.samples import RAMDISKS, SIGNATURE, baseline, pcr, signature_section
from tests.host.trust.releases import record, record_of, revoked, ring, sign
from tests.host.trust.test_released_image import moved

EMPTY = '{"format": "strongroom-release-keys/1", "threshold": {"release": 1}, "keys": []}'


def run(*arguments: object, expect: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


class Desk:
    """A maintainer's folder: a key, pinned keys, an image and its record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = self.put("keys.json", EMPTY.encode())
        self.image = self.put("sample.eif", baseline().data())
        self.record = self.put("record.json", record_of())
        self.passphrase = self.put("passphrase", b"correct horse\n")
        self.passphrase.chmod(0o600)
        self.key = self.folder / "release.key"
        self.release = self.folder / "1.2.3.dsse.json"

    def put(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def made(self) -> "Desk":
        run("release", "key", self.key, "--name", "ada", "--keys", self.keys,
            "--passphrase-file", self.passphrase)  # fmt: skip
        return self

    def signed(self) -> "Desk":
        self.made()
        run("release", "sign", self.record, "--key", self.key, "--passphrase-file", self.passphrase)
        return self


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- Keys ----------------------------------------------------------------------------------------


def test_a_key_is_private_encrypted_and_pinned(desk: Desk) -> None:
    desk.made()
    assert stat.S_IMODE(desk.key.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in desk.key.read_bytes()
    (entry,) = KeyRing.load(desk.keys).keys.values()
    assert (entry.name, entry.role) == ("ada", "release")
    assert (entry.not_after - entry.not_before).days == 730


def test_a_key_is_never_overwritten_nor_lost(desk: Desk) -> None:
    desk.made()
    before, pinned = desk.key.read_bytes(), desk.keys.read_bytes()
    run("release", "key", desk.key, "--name", "eve", "--no-passphrase", "--keys", desk.keys,
        expect=2)  # fmt: skip
    assert (desk.key.read_bytes(), desk.keys.read_bytes()) == (before, pinned)
    # Keys that cannot be read are said before there is a private key for nothing.
    other = desk.folder / "other.key"
    run("release", "key", other, "--name", "eve", "--no-passphrase", "--keys", desk.record,
        expect=2)  # fmt: skip
    assert not other.exists()


def test_an_unprotected_key_warns_and_a_rebuild_key_has_its_role(desk: Desk) -> None:
    shown = run("release", "key", desk.key, "--name", "bob", "--rebuild", "--no-passphrase",
                "--keys", desk.keys)  # fmt: skip
    assert "no passphrase" in shown.stderr
    assert "Never commit" in shown.stdout
    (entry,) = KeyRing.load(desk.keys).keys.values()
    assert entry.role == "rebuild"


# --- Signing -------------------------------------------------------------------------------------


def test_what_is_signed_is_the_records_bytes(desk: Desk) -> None:
    desk.signed()
    assert Envelope.parse(desk.release.read_bytes()).payload == record_of()
    shown = run("release", "verify", desk.release, "--keys", desk.keys)
    assert "version 1.2.3, signed by ada (release)" in shown.stdout
    found = json.loads(run("release", "verify", desk.release, "--keys", desk.keys, "--json").stdout)
    assert found["pcrs"] == record()["pcrs"]
    assert found["signed"] is True


def test_a_second_signature_is_added(desk: Desk) -> None:
    desk.signed()
    second = desk.folder / "second.key"
    run("release", "key", second, "--name", "bob", "--rebuild", "--no-passphrase",
        "--keys", desk.keys)  # fmt: skip
    run("release", "sign", desk.release, "--key", second)
    shown = run("release", "verify", desk.release, "--keys", desk.keys)
    assert "ada (release), bob (rebuild)" in shown.stdout


def test_only_records_are_signed_and_only_with_ones_own_key(desk: Desk) -> None:
    desk.made()
    junk = desk.put("junk", b"junk")
    other = desk.put("other.json", sign(record_of()).replace(b"vnd.strongroom", b"vnd.other"))
    with_ = ["--key", desk.key, "--passphrase-file", desk.passphrase]
    run("release", "sign", junk, *with_, expect=2)
    run("release", "sign", other, *with_, expect=2)
    run("release", "sign", desk.record, "--key", junk, expect=2)
    wrong = desk.put("wrong", b"wrong\n")
    wrong.chmod(0o600)
    run("release", "sign", desk.record, "--key", desk.key, "--passphrase-file", wrong, expect=2)
    desk.key.chmod(0o644)
    run("release", "sign", desk.record, *with_, expect=2)
    assert not desk.release.exists()


def test_a_release_that_is_refused_exits_with_3(desk: Desk) -> None:
    desk.signed()
    text = json.loads(desk.release.read_bytes())
    text["signatures"][0]["sig"] = text["signatures"][0]["sig"].swapcase()
    bad = desk.put("bad.json", json.dumps(text).encode())
    assert "does not hold" in run("release", "verify", bad, "--keys", desk.keys, expect=3).stderr
    # Nothing is pinned in this source tree but what stands in its keys.json.
    assert "too few" in run("release", "verify", desk.release, expect=3).stderr


# --- eif verify ----------------------------------------------------------------------------------


def verified(desk: Desk, *more: object, expect: int = 0) -> Any:
    return run("eif", "verify", desk.image, "--release", desk.release, "--keys", desk.keys, *more,
               expect=expect)  # fmt: skip


def test_an_image_is_verified_against_its_release_and_says_what_was_proved(desk: Desk) -> None:
    shown = verified(desk.signed())
    assert "RELEASED as version 1.2.3" in shown.stdout
    assert "ada (release)" in shown.stdout
    found = json.loads(verified(desk, "--json").stdout)
    assert found["accepted"] is True
    assert found["release"]["signers"][0]["name"] == "ada"


REFUSALS = [
    ("moved", "release-boundary"),
    ("tampered", "release-signature"),
    ("unknown", "release-key-unknown"),
    ("revoked", "release-key-revoked"),
    ("threshold", "release-threshold"),
    ("version", "release-version"),
    ("unsigned", "release-unsigned"),
    ("signature", "release-image-signature"),
]


def spoil(desk: Desk, how: str) -> None:
    data = json.loads(desk.release.read_bytes())
    ring_ = KeyRing.load(desk.keys)
    (entry,) = ring_.keys.values()
    match how:
        case "moved":
            desk.put("sample.eif", moved().data())
        case "tampered":
            data["signatures"][0]["sig"] = "A" * 86 + "=="
            desk.put(desk.release.name, json.dumps(data).encode())
        case "unknown":
            desk.put(desk.release.name, sign(record_of()))
        case "revoked":
            KeyRing.of([revoked(entry)], ring_.threshold).save(desk.keys)
        case "threshold":
            KeyRing.of([entry], {"release": 2}).save(desk.keys)
        case "version":
            desk.put("record.json", record_of(version="1.2.4"))
            run("release", "sign", desk.record, "--key", desk.key, "--out", desk.release,
                "--passphrase-file", desk.passphrase)  # fmt: skip
        case "unsigned":
            desk.put(desk.release.name, record_of())
        case "signature":
            sections = baseline().sections
            pcr0 = pcr(sections[0][1], sections[1][1], *RAMDISKS)
            desk.put("sample.eif", baseline().adding((SIGNATURE, signature_section(pcr0))).data())


@pytest.mark.parametrize(("how", "code"), REFUSALS)
def test_each_refusal_has_its_own_code(desk: Desk, how: str, code: str) -> None:
    spoil(desk.signed(), how)
    if how == "moved":
        # Without the release such an image is one like any other.
        with_policy = CliRunner().invoke(app, ["eif", "describe", str(desk.image)])
        assert record()["pcrs"]["0"] in with_policy.stdout
        result = run("eif", "verify", desk.image, expect=1)
        assert "release-boundary" not in result.stderr
        return
    result = verified(desk, expect=1)
    assert f"[{code}]" in result.stderr
    found = json.loads(verified(desk, "--json", expect=1).stdout)
    assert (found["accepted"], found["code"]) == (False, code)


def test_what_is_asked_for_in_so_many_words(desk: Desk) -> None:
    spoil(desk.signed(), "signature")
    assert "pin PCR8" in verified(desk, "--ignore-signature").stdout
    spoil(desk, "unsigned")
    desk.put("sample.eif", baseline().data())
    assert "UNSIGNED" in verified(desk, "--unsigned-release").stdout
    run("eif", "verify", desk.image, "--unsigned-release", expect=2)
    run("eif", "verify", desk.image, "--keys", desk.keys, expect=2)


# --- enclave trust -------------------------------------------------------------------------------


def trust(desk: Desk, *more: object, expect: int = 0) -> Any:
    return run("enclave", "trust", "--owner", desk.folder / "owner", "--release", desk.release,
               *more, expect=expect)  # fmt: skip


def test_trust_comes_from_a_signed_release(desk: Desk) -> None:
    desk.signed()
    trust(desk, "--release-keys", desk.keys)
    written = json.loads((desk.folder / "owner" / "trust.json").read_bytes())
    assert written["mode"] == "production"
    assert written["images"][0]["pcr0"] == record()["pcrs"]["0"]
    path = desk.folder / "owner" / "trust.json"
    path.write_text(json.dumps(written | {"owner_root": "aa" * 32, "manifest_digest": "bb" * 32}))
    assert "bb" * 32 in trust(desk, "--release-keys", desk.keys).stdout
    assert json.loads(path.read_bytes())["owner_root"] == "aa" * 32, "an upgrade forgets nobody"


def test_trust_refuses_what_nobody_vouches_for(desk: Desk) -> None:
    desk.signed()
    trust(desk, expect=3)  # this source tree pins no such key
    spoil(desk, "unsigned")
    assert "--unsigned-release" in trust(desk, "--release-keys", desk.keys, expect=3).stderr
    assert not (desk.folder / "owner" / "trust.json").exists()
    shown = trust(desk, "--unsigned-release")
    assert "nobody vouches" in shown.stderr
    run("enclave", "trust", "--development", "--unsigned-release", expect=2)


def test_a_ring_of_one_key_is_what_these_tests_pin(desk: Desk) -> None:
    ring().save(desk.keys)
    desk.put(desk.release.name, sign(record_of()))
    trust(desk, "--release-keys", desk.keys)
