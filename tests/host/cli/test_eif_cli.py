"""`strongroom eif`: what it writes and prints, exit statuses, and no tracebacks."""

import errno
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from strongroom_eif import measure, parse
from strongroom_host.cli.eif import app
from typer.testing import CliRunner

from tests.eif.samples import (
    CMDLINE,
    KERNEL,
    NOW,
    RAMDISK,
    RAMDISKS,
    SIGNATURE,
    Raw,
    baseline,
    certificate,
    cpio,
    cpio_entry,
    key,
    metadata,
    pcr,
    signature_section,
)

AT = ["--at", NOW.isoformat()]
PCR0 = pcr(KERNEL, CMDLINE, *RAMDISKS)


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    # Anything but SystemExit would be a traceback on the user's terminal.
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


class Files:
    """A folder with everything that the commands take."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kernel = self.put("bzImage", KERNEL)
        self.ramdisks = [self.put(f"r{n}.cpio", data) for n, data in enumerate(RAMDISKS)]
        self.image = self.put("sample.eif", baseline().data())
        self.certificate = self.put("signer.pem", certificate())
        self.key = self.secret("signer.key", self.pem())

    def put(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def secret(self, name: str, data: bytes) -> str:
        path = self.put(name, data)
        Path(path).chmod(0o600)
        return path

    @staticmethod
    def pem(passphrase: bytes = b"") -> bytes:
        how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)

    def raw(self, raw: Raw) -> str:
        return self.put("other.eif", raw.data())

    def build(self, *options: str, output: str = "built.eif") -> Any:
        ramdisks = [part for path in self.ramdisks for part in ("--ramdisk", path)]
        named = ["--name", "sample", "--version", "1.2.3", "--cmdline", CMDLINE.decode()]
        where = ["--kernel", self.kernel, *ramdisks, "-o", str(self.folder / output)]
        return run("build", *named, *where, *options)

    def signed(self, name: str, *options: str, image: str = "", output: str = "signed.eif") -> Any:
        with_ = ["--key", self.key, "--certificate", self.certificate, *AT]
        where = ["-o", str(self.folder / output)]
        return run(name, image or self.image, *with_, *where, *options)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# --- build ---------------------------------------------------------------------------------------


def test_build_measures_what_it_wrote(files: Files) -> None:
    result = files.build()
    assert result.exit_code == 0, result.output
    image = parse(files.read("built.eif"))
    assert (image.kernel, image.cmdline, image.ramdisks) == (KERNEL, CMDLINE, RAMDISKS)
    assert measure(image).pcr0 == PCR0
    assert PCR0.hex() in result.stdout
    label = json.loads(image.metadata or b"")
    assert label["BuildMetadata"]["KernelVersion"] == "6.12.57"
    assert (label["ImageName"], label["ImageVersion"]) == ("sample", "1.2.3")


def test_two_builds_are_the_same_file_signed_or_not(files: Files) -> None:
    signing = ["--key", files.key, "--certificate", files.certificate, *AT]
    for options in ([], signing):
        for name in ("one.eif", "two.eif"):
            assert files.build(*options, "--force", output=name).exit_code == 0
        assert files.read("one.eif") == files.read("two.eif")
    assert run("verify", str(files.folder / "one.eif"), *AT).exit_code == 0


def test_build_takes_a_command_line_and_annotations_from_files(files: Files) -> None:
    cmdline = files.put("cmdline", CMDLINE + b"\n")
    custom = files.put("custom.json", b'{"commit": "abc"}')
    ramdisk = ["--ramdisk", files.ramdisks[0]]
    named = ["--name", "n", "--version", "v", "--kernel-version", "6", "--json"]
    where = ["-o", str(files.folder / "f.eif"), "--kernel", files.kernel, *ramdisk]
    result = run("build", *named, *where, "--cmdline-file", cmdline, "--custom-metadata", custom)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["size"] == len(files.read("f.eif"))
    image = parse(files.read("f.eif"))
    assert image.cmdline == CMDLINE
    label = json.loads(image.metadata or b"")
    assert (label["CustomMetadata"], label["BuildMetadata"]["KernelVersion"]) == (
        {"commit": "abc"},
        "6",
    )


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--arch", "aarch64"], 1, "kernel is for x86_64"),
        (["--arch", "riscv"], 2, "x86_64 or aarch64"),
        (["--cmdline-file", "x"], 2, "either --cmdline"),
        (["--key", "x"], 2, "both --key and --certificate"),
        (["--build-time", "today"], 2, "RFC 3339"),
        (["--custom-metadata", "KERNEL"], 2, "not JSON"),
        (["--ramdisk", "missing.cpio"], 2, "cannot read missing.cpio"),
    ],
)
def test_build_refuses_and_writes_nothing(
    files: Files, options: list[str], status: int, words: str
) -> None:
    before = files.names()
    result = files.build(*[files.kernel if option == "KERNEL" else option for option in options])
    assert result.exit_code == status, result.output
    assert words in result.stderr
    assert files.names() == before


def test_a_build_that_cannot_sign_leaves_no_unsigned_image(files: Files) -> None:
    signing = ["--key", files.key, "--certificate", files.certificate]
    late = (NOW + timedelta(days=400)).isoformat()
    result = files.build(*signing, "--at", late)
    assert result.exit_code == 1
    assert "certificate expired" in result.stderr
    assert "built.eif" not in files.names()


def test_an_empty_kernel_is_refused(files: Files) -> None:
    files.kernel = files.put("empty", b"")
    assert files.build().exit_code == 1


def test_nothing_is_overwritten_unasked(files: Files) -> None:
    assert files.build().exit_code == 0
    result = files.build()
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert files.build("--force").exit_code == 0


def test_a_full_disk_leaves_the_old_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    old = files.read("sample.eif")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("strongroom_host.cli.eif_files.os.fsync", full)
    before = files.names()
    result = files.build("--force", output="sample.eif")
    assert result.exit_code == 5
    assert "no room" in result.stderr
    assert (files.names(), files.read("sample.eif")) == (before, old)


# --- describe, verify ----------------------------------------------------------------------------


def test_describe(files: Files) -> None:
    image = files.raw(baseline().adding((SIGNATURE, signature_section(PCR0))))
    result = run("describe", image, *AT)
    assert result.exit_code == 0
    for text in (PCR0.hex(), "ramdisk[1]", "CN=signer", "holds", "6.12.57", CMDLINE.decode()):
        assert text in result.stdout
    found = json.loads(run("describe", image, *AT, "--json").stdout)
    assert found["pcrs"]["0"] == PCR0.hex()
    assert found["sections"][4]["length"] == len(RAMDISKS[1])


def test_describe_shows_faults_inside_and_control_characters_harmlessly(files: Files) -> None:
    label = metadata(ImageName="\x1b]0;owned\x07 name")
    image = files.raw(baseline().replacing(0, b"no kernel").replacing(2, label))
    result = run("describe", image)
    assert result.exit_code == 0
    assert "FAULT in kernel" in result.stdout
    assert "\x1b" not in result.stdout
    assert "signature none" in result.stdout


def test_verify_accepts_and_says_what_is_not_measured(files: Files) -> None:
    result = run("verify", files.image)
    assert result.exit_code == 0
    assert "ACCEPTED" in result.stdout
    assert "boundaries-unmeasured" in result.stdout
    found = json.loads(run("verify", files.image, "--json").stdout)
    assert found["accepted"] is True
    assert {notice["code"] for notice in found["notices"]} >= {"unsigned", "metadata-unmeasured"}
    assert run("verify", files.image, "--own").exit_code == 0


def test_verify_names_the_rule_and_what_others_overlook(files: Files) -> None:
    image = files.raw(baseline().but(tail=b"hidden"))
    result = run("verify", image)
    assert result.exit_code == 1
    assert "REFUSED" in result.stderr
    assert "[trailing-bytes]" in result.stderr
    assert "drops up to 11" in result.stderr
    found = json.loads(run("verify", image, "--json").stdout)
    assert (found["accepted"], found["code"]) == (False, "trailing-bytes")
    assert "drops up to 11" in found["elsewhere"]


def test_verify_judges_the_certificate_at_a_time(files: Files) -> None:
    image = files.raw(baseline().adding((SIGNATURE, signature_section(PCR0))))
    assert run("verify", image, *AT).exit_code == 0
    late = (NOW + timedelta(days=400)).isoformat()
    result = run("verify", image, "--at", late)
    assert result.exit_code == 1
    assert "expired" in result.stderr
    assert run("verify", image, "--at", "soon").exit_code == 2


def test_own_rules_are_stricter(files: Files) -> None:
    ramdisk = cpio(cpio_entry(b"mem", 0o020600, device=(1, 1)))
    sections = (*baseline().sections[:3], (RAMDISK, ramdisk))
    image = files.raw(baseline().but(sections=sections))
    assert run("verify", image).exit_code == 0
    result = run("verify", image, "--own")
    assert result.exit_code == 1
    assert "[device]" in result.stderr


@pytest.mark.parametrize("command", ["describe", "verify"])
def test_what_is_no_image(files: Files, command: str) -> None:
    for name, data in (("empty", b""), ("text", b"hello"), ("zeros", bytes(4_096))):
        result = run(command, files.put(name, data))
        assert result.exit_code == 1
        assert "REFUSED" in result.stderr
    assert run(command, str(files.folder / "missing")).exit_code == 2
    assert run(command, str(files.folder)).exit_code == 2


# --- sign, resign --------------------------------------------------------------------------------


def test_sign_then_resign(files: Files) -> None:
    assert files.signed("sign").exit_code == 0
    expected = baseline().adding((SIGNATURE, signature_section(PCR0)))
    assert files.read("signed.eif") == expected.data()
    image = str(files.folder / "signed.eif")
    assert files.signed("sign", image=image, output="twice.eif").exit_code == 2
    assert files.signed("resign", output="x.eif").exit_code == 2
    result = files.signed("resign", "--json", image=image, output="again.eif")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["pcrs"]["0"] == PCR0.hex()
    assert files.read("again.eif") == files.read("signed.eif")


def test_an_image_can_be_signed_in_its_own_place(files: Files) -> None:
    assert files.signed("sign", output="sample.eif").exit_code == 2
    assert files.signed("sign", "--force", output="sample.eif").exit_code == 0
    assert run("verify", files.image, *AT).exit_code == 0


def test_keys_that_do_not_serve(files: Files) -> None:
    files.key = files.secret("locked.key", files.pem(b"secret"))
    result = files.signed("sign")
    assert result.exit_code == 2
    assert "passphrase" in result.stderr
    phrase = files.secret("phrase", b"secret\n")
    assert files.signed("sign", "--passphrase-file", phrase).exit_code == 0
    files.key = files.put("open.key", files.pem())
    Path(files.key).chmod(0o644)
    result = files.signed("sign", "--force")
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr
    files.key, files.certificate = (
        files.secret("right.key", files.pem()),
        files.put("other.pem", certificate("P-384", 2)),
    )
    result = files.signed("sign", "--force")
    assert result.exit_code == 2
    assert "not the one that the certificate is for" in result.stderr


# --- extract, diff -------------------------------------------------------------------------------


def test_extract_sections_and_files(files: Files) -> None:
    out = files.folder / "out"
    assert run("extract", files.image, str(out)).exit_code == 0
    assert {path.name for path in out.iterdir()} == {
        "kernel",
        "cmdline",
        "ramdisk0",
        "ramdisk1",
        "metadata.json",
    }
    assert (out / "ramdisk1").read_bytes() == RAMDISKS[1]
    assert run("extract", files.image, str(out)).exit_code == 2
    assert run("extract", files.image, str(out), "--force").exit_code == 0
    assert run("extract", files.image, str(out), "--file", "app/main.py").exit_code == 0
    assert (out / "main.py").read_bytes() == b"print('hello')\n"
    same = ["--file", "app/main.py", "--file", "other/main.py", "--force"]
    assert "same name" in run("extract", files.image, str(out), *same).stderr
    result = run("extract", files.image, str(out), "--file", "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_extract_follows_no_tricky_path(files: Files) -> None:
    for path in (b"../../evil", b"/evil"):
        ramdisk = cpio(cpio_entry(path, 0o100644, b"x"))
        sections = (*baseline().sections[:3], (RAMDISK, ramdisk))
        image = files.raw(baseline().but(sections=sections))
        out = files.folder / "deep" / "out"
        assert run("extract", image, str(out), "--file", path.decode()).exit_code == 1
        assert not any(found.name == "evil" for found in files.folder.rglob("*"))


def test_diff_names_section_and_file(files: Files) -> None:
    changed = cpio(
        cpio_entry(b"dev", 0o040755),
        cpio_entry(b"dev/console", 0o020600, device=(5, 1), ino=2),
        cpio_entry(b"init", 0o100755, b"\x7fELF evil", ino=3),
    )
    other = files.raw(baseline().replacing(3, changed))
    result = run("diff", files.image, other)
    assert result.exit_code == 1
    for words in ("ramdisk[0]", "init: content, from byte 5", "first program", "PCR1"):
        assert words in result.stdout
    found = json.loads(run("diff", files.image, other, "--json").stdout)
    assert (found["section"]["where"], found["file"]["where"]) == ("ramdisk[0]", "init")
    assert set(found["pcrs"]) == {"0", "1"}


def test_diff_of_equal_files_and_of_no_files(files: Files) -> None:
    result = run("diff", files.image, files.image)
    assert (result.exit_code, "IDENTICAL" in result.stdout) == (0, True)
    assert json.loads(run("diff", files.image, files.image, "--json").stdout)["identical"] is True
    assert run("diff", files.image, files.put("bad", b"x")).exit_code == 1
    assert run("diff", files.image, "missing").exit_code == 2


def test_help_names_every_command() -> None:
    result = run("--help")
    for name in ("build", "describe", "verify", "sign", "resign", "extract", "diff"):
        assert name in result.stdout
