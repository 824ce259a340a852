"""Evidence before trust: the genuine enclave is recognised, and two forgeries are refused."""

import hashlib
import os
import re
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from strongroom_attest.freshness import Challenge

from strongroom_host.demo.forgeries import flipped, signed_by_another_root
from strongroom_host.demo.recorded import verify_recorded
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import expect_refusal, require
from strongroom_host.enclave_client.bootstrap import NONCE_SIZE, BootstrapClient
from strongroom_host.enclave_client.errors import DocumentRefused
from strongroom_host.enclave_client.evidence import (
    BootedEvidence,
    UntrustedEvidence,
    verify_booted,
)
from strongroom_host.runners.errors import EnclaveDidNotStart
from strongroom_host.trust.record import Image, Trust

__all__ = ["development_trust", "evidence_chapter", "measured_image"]

_LONG_HEX = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")
_MEASURE = """
import json
from strongroom_local.measure import measure_installed
found = measure_installed()
print(json.dumps([found.pcr0.hex(), found.pcr1.hex(), found.pcr2.hex()]))
"""


def measured_image() -> Image:
    """Returns PCR0 to PCR2 of the enclave's source as installed here.

    The owner measures the source he holds, and does not ask the enclave what it is. In a process of
    its own, since the host's side imports no code of the local platform.

    Raises:
        EnclaveDidNotStart: the source cannot be measured.
    """
    done = subprocess.run(  # noqa: S603  our own interpreter, the text above
        [sys.executable, "-P", "-c", _MEASURE],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        raise EnclaveDidNotStart(
            "the enclave's source cannot be measured",
            actual=(done.stderr.strip().splitlines() or ["no reason given"])[-1],
            remedy="run `make env`; `strongroom host doctor` looks at this machine",
        )
    pcrs = msgspec.json.decode(done.stdout, type=tuple[str, str, str])
    return Image("local source tree", *pcrs)


def development_trust(root_certificate: Path) -> Trust:
    """Returns the owners' trust file before owners or manifest are decided."""
    root = hashlib.sha256(root_certificate.read_bytes()).hexdigest()
    images = (measured_image(),)
    return Trust("strongroom-trust/1", "development", (root,), images, None, None, {})


def evidence_chapter(stage: Stage, document: bytes | None) -> None:
    """Verifies what was booted, then shows what is refused, then verifies a real document.

    Raises:
        EvidenceRefused: the enclave is not the one that this source makes.
        DemoFailed: a forgery was accepted.
    """
    story, trust = stage.story, stage.trust
    nonce = secrets.token_bytes(NONCE_SIZE)
    with BootstrapClient(stage.over_tcp.bootstrap) as client:
        genuine = client.evidence(nonce)
    booted = _verify(genuine, trust, nonce)
    pcr0 = booted.attestation.evidence.document.pcrs[0].hex()
    require(pcr0 == trust.images[0].pcr0, "PCR0 is not that of the source")
    story.facts["pcr0"] = pcr0
    story.proved(
        "evidence_verified",
        f"genuine, for a fresh nonce: PCR0 {pcr0[:16]}… is the source measured here; no keys yet",
    )
    bit = len(genuine.document) * 4
    changed = UntrustedEvidence(flipped(genuine.document, bit), genuine.bundle)
    refusal = expect_refusal(
        DocumentRefused, "evidence with one bit flipped", lambda: _verify(changed, trust, nonce)
    )
    story.proved("flipped_bit_refused", f"refused, with one bit flipped: {_reason(refusal)}")
    forged = signed_by_another_root(genuine.bundle, nonce, stage.folders.host / "impostor")
    refusal = expect_refusal(
        DocumentRefused, "evidence under another root", lambda: _verify(forged, trust, nonce)
    )
    story.proved(
        "foreign_root_refused",
        f"refused, the same claims under a host's own root: {_reason(refusal)}",
    )
    verify_recorded(story, document)


def _verify(untrusted: UntrustedEvidence, trust: Trust, nonce: bytes) -> BootedEvidence:
    # A challenge is good for one verification; the demo shows three answers to one nonce.
    return verify_booted(untrusted, trust, Challenge(nonce), datetime.now(UTC))


def _reason(refusal: DocumentRefused) -> str:
    """Returns the verifier's own words, up to the first colon and with digests cut short."""
    words = str(refusal.__cause__ or refusal).split(": ")[0]
    return _LONG_HEX.sub(lambda found: f"{found[1]}…", words)
