"""`strongroom demo` as a person runs it: whole, without compiled helpers, interrupted, kept."""

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.demo.closing import NOT_PROVED
from strongroom_host.demo.recorded import find_recorded

from tests.e2e.commands import STRONGROOM, environment, one_message, run, strays
from tests.host.runners.processes import children, gone, until

CLAIMS = [
    "venue_serves",
    "enclave_boots",
    "evidence_verified",
    "flipped_bit_refused",
    "foreign_root_refused",
    "quorum_enforced",
    "manifest_measured",
    "key_generated",
    "permit_needed",
    "credentials_created_inside",
    "accounts_connected",
    "credentials_swapped_refused",
    "order_signed",
    "order_filled",
    "template_filled",
    "template_mismatch_refused",
    "kept_before_sent",
    "over_limit_denied",
    "price_denied",
    "market_denied",
    "timings_measured",
    "kill_stops_orders",
    "kill_lets_cancels_pass",
    "head_witnessed",
    "log_verified",
    "order_proved",
    "edited_copy_named",
    "shortened_copy_named",
    "log_matches_evidence",
    "hours_published",
    "days_published",
    "record_log_verified",
    "return_proved_offline",
    "changed_return_refused",
    "gateway_reads_no_trade",
    "superuser_reads_ciphertext",
    "api_secret_stayed_inside",
    "host_stopped_clean",
    "log_continued",
    "record_continued",
]
CHECKED = 9
"""Lines of the closing table."""


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary folder of the test's own, with a path that leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


def demo(**extra: str) -> dict[str, Any]:
    done = run("demo", "--json", cwd=None, **extra)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    assert report["ok"] is True
    return report


def test_every_step_happens(tmp_path: Path) -> None:
    (tmp_path / "nitro").mkdir()
    report = demo(STRONGROOM_VECTORS=str(tmp_path))
    assert [claim["name"] for claim in report["claims"]] == CLAIMS
    assert all(claim["sentence"] for claim in report["claims"])
    facts = report["facts"]
    assert facts["aws_document"] is None
    assert facts["order_status"] == "matched"
    assert len(facts["order_hash"]) == 66
    assert len(facts["manifest_digest"]) == len(facts["owner_root"]) == 64
    assert facts["over_limit_denied"] == 25_000_000
    assert 0 < facts["intent_to_signed_p50_us"] <= facts["intent_to_signed_p99_us"]
    assert facts["total_s"] > 0
    assert facts["log_leaves"] > 200
    assert len(facts["log_root"]) == 64
    assert "1 KILL" in facts["log_kinds"]
    assert facts["hours_published"] >= 140
    assert facts["days_published"] in (6, 7)
    assert facts["trades_kept"] > 200
    assert facts["record_log_kinds"] == "1 BOOT, 4 SYNC, 2 RETURNS"
    assert report["not_proved"] == list(NOT_PROVED)
    assert report["implementations"]["Keccak-256"] == "safe-pysha3"


def test_without_compiled_helpers_too(tmp_path: Path) -> None:
    report = demo(STRONGROOM_PURE="1", STRONGROOM_VECTORS=str(tmp_path))
    assert [claim["name"] for claim in report["claims"]] == CLAIMS
    assert report["implementations"]["event loop"] == "asyncio"
    assert report["implementations"]["Keccak-256"] == "pycryptodome"


def test_a_person_sees_each_claim_and_what_is_not_proved(vectors: Path, tmp_path: Path) -> None:
    [document] = sorted((vectors / "nitro").glob("*_7b0ca130_aws.cose"))
    keep = tmp_path / "kept"
    done = run("demo", "--keep", str(keep), "--document", str(document))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("✓") == len(CLAIMS) + 1 + CHECKED
    assert "a real AWS document (2025-04-29" in done.stdout
    assert "What this does not prove" in done.stdout
    assert "strongroom permit --budget main=200:400" in done.stdout
    for name in ("ada", "ben", "cleo"):
        assert (keep / "owners" / name / "owner-key.pem").stat().st_mode & 0o077 == 0
    assert (keep / "host" / "console.log").exists()
    assert list((keep / "bot" / "journal").glob("*.db"))
    assert (keep / "bot" / "log" / "witnessed").exists()
    assert (keep / "bot" / "log" / "openings.db").stat().st_mode & 0o077 == 0
    for name in ("alpha", "beta"):
        assert (keep / "reader" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (keep / "reader" / f"{name}.html").read_text().startswith("<!doctype html>")
    assert "permission denied for table trades" in done.stdout
    assert "the newest 24 of 14" in done.stdout
    meant = [str(keep / "bot" / file) for file in ("trust.json", "manifest.signed.json")]
    proof = str(keep / "reader" / "alpha.return-proof")
    proved = run("record", "verify", proof, "--trust", meant[0], "--manifest", meant[1])
    assert proved.returncode == 0, proved.stderr
    assert "alpha at binance, test" in proved.stdout
    for path in (keep / "owners").glob("leaf-*.tlog-proof"):
        assert path.read_bytes().startswith(b"c2sp.org/tlog-proof@v1\n")
    again = run("demo", "--keep", str(keep))
    assert "is not empty" in one_message(again, 2)


def test_a_forged_document_stops_it(vectors: Path, short: Path, tmp_path: Path) -> None:
    document = bytearray(max((vectors / "nitro").glob("*_aws.cose")).read_bytes())
    document[len(document) // 2] ^= 1
    (tmp_path / "forged.cose").write_bytes(document)
    done = run("demo", "--document", str(tmp_path / "forged.cose"), cwd=None, TMPDIR=str(short))
    one_message(done, 3)
    assert list(short.iterdir()) == []
    assert strays(str(short)) == []


def test_an_unreadable_document_is_noticed_before_anything_starts(tmp_path: Path) -> None:
    done = run("demo", "--document", str(tmp_path / "none.cose"))
    one_message(done, 2)
    assert done.stdout == ""


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("demo", "--keep", str(tmp_path / "file" / "kept"))
    assert "cannot use the folder" in one_message(done, 2)


@pytest.mark.parametrize(
    ("number", "chapter"),
    [
        (signal.SIGINT, "1 "),
        (signal.SIGINT, "5 "),
        (signal.SIGTERM, "3 "),
        (signal.SIGKILL, "1 "),
        (signal.SIGKILL, "5 "),
    ],
)
def test_ended_in_the_middle_it_leaves_no_process(
    number: signal.Signals, chapter: str, short: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        # A shell starts background jobs with SIGINT ignored, and children inherit that.
        ["env", "--default-signal=INT", *STRONGROOM, "demo"],
        env=environment(TMPDIR=str(short), STRONGROOM_VECTORS=str(tmp_path)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.startswith(chapter) for line in process.stdout)
    if chapter == "1 ":
        until(lambda: bool(children(process.pid)), "it never started anything")
    family = children(process.pid)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    until(lambda: gone(family), "processes outlived the demo")
    assert "Traceback" not in said
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert "nothing is left running" in said
        assert list(short.iterdir()) == []


def test_recorded_documents_are_found_where_they_are_kept(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_VECTORS", str(vectors))
    found = find_recorded()
    assert found is not None
    assert found.name.endswith("_aws.cose")
    monkeypatch.setenv("STRONGROOM_VECTORS", str(tmp_path))
    assert find_recorded() is None
