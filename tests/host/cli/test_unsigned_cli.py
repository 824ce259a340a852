"""Trust files for an emulator: made explicitly, of no use for anything else, and loudly."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from strongroom_local.measure import Measurements

from tests.e2e.commands import one_message, run
from tests.eif.samples import baseline
from tests.host.enclave_client.simulator import Boot, Server
from tests.host.enclave_client.unsigned import unsigned
from tests.host.trust.releases import record, record_of


class EmulatedBoot(Boot):
    """A boot whose documents nobody signs."""

    def document(self, nonce: bytes, commitment: bytes | None = None) -> bytes:
        return unsigned(super().document(nonce, commitment))


def of_release() -> Measurements:
    values = [bytes.fromhex(record()["pcrs"][index]) for index in "012"]
    return Measurements(*values)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        (Path(name) / "release.json").write_bytes(record_of(baseline()))
        yield Path(name)


def trust(folder: Path, *words: str) -> CompletedProcess[str]:
    return run(
        "enclave", "trust", "--enclave", f"unix:{folder}", "--out", str(folder / "trust.json"),
        *words,
    )  # fmt: skip


def evidence(folder: Path) -> CompletedProcess[str]:
    where = ("--enclave", f"unix:{folder}", "--trust", str(folder / "trust.json"))
    return run("enclave", "evidence", "--booted", *where)


def written(folder: Path) -> dict[str, object]:
    found = json.loads((folder / "trust.json").read_bytes())
    assert isinstance(found, dict)
    return found


def test_first_use_of_an_emulator_says_that_nobody_signs(folder: Path) -> None:
    with Server(EmulatedBoot(manifest=None), folder):
        made = trust(folder, "--development")
        assert made.returncode == 0, made.stderr
        assert "root  none" in made.stdout
        assert "nobody signed" in made.stderr
        assert "trust on first use" in made.stderr
        assert (written(folder)["unsigned"], written(folder)["roots"]) == (True, [])
        shown = evidence(folder)
        assert shown.returncode == 0, shown.stderr
        assert "signed by nobody" in shown.stdout
        assert "NOBODY" in shown.stdout
        assert "nobody signed" in shown.stderr


def test_an_emulator_without_manifest_is_not_called_genuine(folder: Path) -> None:
    with Server(EmulatedBoot(manifest=None), folder):
        assert trust(folder, "--development").returncode == 0
        pinned = written(folder) | {"owner_root": "00" * 32, "manifest_digest": "00" * 32}
        (folder / "trust.json").write_text(json.dumps(pinned))
        where = ("--enclave", f"unix:{folder}", "--trust", str(folder / "trust.json"))
        said = one_message(run("enclave", "evidence", *where), 3)
    assert "has no manifest yet" in said
    assert "genuine" not in said
    assert "warning: nobody signed this evidence" in said


def test_first_use_of_signed_evidence_stays_what_it_was(folder: Path) -> None:
    with Server(Boot(manifest=None), folder):
        assert trust(folder, "--development").returncode == 0
        assert "unsigned" not in written(folder)
        assert "nobody" not in evidence(folder).stdout.lower()


def test_a_root_certificate_and_evidence_without_any_do_not_go_together(folder: Path) -> None:
    (folder / "root.der").write_bytes(b"0")
    with Server(EmulatedBoot(manifest=None), folder):
        done = trust(folder, "--development", "--root-certificate", str(folder / "root.der"))
        assert "unsigned-refused" in one_message(done, 3)
    assert not (folder / "trust.json").exists()


def test_a_release_in_an_emulator_has_its_pcrs_compared(folder: Path) -> None:
    words = ("--release", str(folder / "release.json"), "--unsigned-release")
    made = trust(folder, *words, "--unsigned")
    assert made.returncode == 0, made.stderr
    assert "nobody signed" in made.stderr
    found = written(folder)
    assert (found["mode"], found["unsigned"], found["roots"]) == ("development", True, [])
    with Server(EmulatedBoot(measured=of_release(), manifest=None), folder):
        assert evidence(folder).returncode == 0
    with Server(EmulatedBoot(manifest=None), folder):
        assert "policy-mismatch" in one_message(evidence(folder), 3)


def test_a_production_trust_file_of_the_same_release_refuses_the_same_evidence(
    folder: Path,
) -> None:
    words = ("--release", str(folder / "release.json"), "--unsigned-release")
    assert trust(folder, *words).returncode == 0
    assert written(folder)["mode"] == "production"
    with Server(EmulatedBoot(measured=of_release(), manifest=None), folder):
        said = one_message(evidence(folder), 3)
    assert "nobody signed this evidence (unsigned-refused)" in said
    assert "--unsigned" in said
    changed = written(folder) | {"unsigned": True}
    (folder / "trust.json").write_text(json.dumps(changed))
    assert "accepts evidence that nobody signed" in one_message(evidence(folder), 2)
    (folder / "trust.json").write_text(json.dumps(changed | {"roots": []}))
    assert "accepts evidence that nobody signed" in one_message(evidence(folder), 2)


def test_unsigned_needs_something_to_compare_with(folder: Path) -> None:
    said = one_message(trust(folder, "--development", "--unsigned"), 2)
    assert "--release FILE --unsigned" in said


def test_a_production_trust_file_does_not_become_a_development_one(folder: Path) -> None:
    release = ("--release", str(folder / "release.json"), "--unsigned-release")
    assert trust(folder, *release).returncode == 0
    before = (folder / "trust.json").read_bytes()
    said = one_message(trust(folder, *release, "--unsigned"), 3)
    assert "is a production trust file" in said
    assert "--out" in said
    with Server(EmulatedBoot(manifest=None), folder):
        assert "is a production trust file" in one_message(trust(folder, "--development"), 3)
    assert (folder / "trust.json").read_bytes() == before
    assert trust(folder, *release).returncode == 0
