"""Verification of one attestation document beside the bare cost of its cryptography.

Bare: decoding the CBOR twice (envelope, payload), parsing five certificates, and five P-384
verifications with keys made once. The goal is 1.3 times that. Both take turns on the same document,
a recorded one of AWS where the vectors are at hand, otherwise one of the software NSM.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from strongroom_attest.nitro import Roots, authenticate
from strongroom_local.measure import DEBUG
from strongroom_local.nsm import SoftwareNsm
from strongroom_local.pki import new_root

from tests.bench.channel import row

__all__ = ["rows"]

_RECORDED = "2025-11-10_8e5652f3_aws.cose"
_ROUND = 20


def rows(iterations: int = 1_000) -> list[dict[str, object]]:
    """Returns the table, in us."""
    name, document, roots = _document()
    payload = cbor2.loads(cbor2.loads(document)[2])
    at = datetime.fromtimestamp(payload["timestamp"] / 1000, UTC)
    jobs: dict[str, Callable[[], object]] = {
        "bare": _bare(document),
        "verified": lambda: authenticate(document, roots, at),
    }
    times: dict[str, list[int]] = {key: [] for key in jobs}
    for _ in range(max(2, iterations // _ROUND)):
        for key, job in jobs.items():
            for _ in range(_ROUND):
                start = time.perf_counter_ns()
                job()
                times[key].append(time.perf_counter_ns() - start)
    bare = row(f"five P-384 verifications and parse, {name}", times["bare"])
    verified = row(f"document verification, {name}", times["verified"])
    ratio = round(float(str(verified["p50"])) / float(str(bare["p50"])), 2)
    beside = {"peer": "bare cryptography and parse", "peer_value": bare["p50"], "ratio": ratio}
    return [bare, {**verified, **beside}]


def _document() -> tuple[str, bytes, Roots]:
    folder = os.environ.get("STRONGROOM_VECTORS")
    vectors = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "vectors"
    recorded = vectors / "nitro" / _RECORDED
    if recorded.is_file():
        return "recorded", recorded.read_bytes(), Roots.aws()
    root = new_root(datetime.now(UTC))
    nsm = SoftwareNsm(root, DEBUG)
    fields = {"user_data": bytes(64), "nonce": bytes(32), "public_key": None}
    answer = cbor2.loads(nsm.handle(cbor2.dumps({"Attestation": fields})))
    return "local", answer["Attestation"]["document"], Roots.of_certificates(root.der)


def _bare(document: bytes) -> Callable[[], object]:
    """Returns the same work with nothing checked but the signatures, under keys made once."""

    def parse() -> tuple[list[x509.Certificate], bytes, bytes, bytes]:
        protected, _, payload, signature = cbor2.loads(document)
        fields = cbor2.loads(payload)
        chain = [*fields["cabundle"], fields["certificate"]]
        return list(map(x509.load_der_x509_certificate, chain)), protected, payload, signature

    keys = [certificate.public_key() for certificate in parse()[0]]
    algorithm = ec.ECDSA(SHA384())

    def job() -> None:
        chain, protected, payload, raw = parse()
        signed = cbor2.dumps(["Signature1", protected, b"", payload])
        halves = (int.from_bytes(raw[:48]), int.from_bytes(raw[48:]))
        checks = [(keys[-1], encode_dss_signature(*halves), signed)]
        for index, certificate in enumerate(chain):
            issuer = keys[max(0, index - 1)]
            checks.append((issuer, certificate.signature, certificate.tbs_certificate_bytes))
        for key, signature, data in [checks[0], *checks[2:]]:  # the root is pinned by its hash
            if not isinstance(key, ec.EllipticCurvePublicKey):
                raise TypeError(type(key))
            key.verify(signature, data, algorithm)

    return job


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(f"{line}\n")
