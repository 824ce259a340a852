"""Evidence that must be refused: one bit changed, and the same claims signed by somebody else.

The second is what a malicious host can really make: it has the image's measurements, the bundle
and the nonce, and lacks only the key of the root that the verifier pinned.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import cbor2
from strongroom_wire.bundle import Bundle

from strongroom_host.demo.story import DemoFailed
from strongroom_host.enclave_client.evidence import UntrustedEvidence

__all__ = ["flipped", "signed_by_another_root"]

_TIMEOUT: Final = 60.0


def flipped(document: bytes, bit: int) -> bytes:
    """Returns `document` with one bit changed."""
    changed = bytearray(document)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def signed_by_another_root(bundle: bytes, nonce: bytes, folder: Path) -> UntrustedEvidence:
    """Returns `bundle` with a genuine-looking document for it, under a root made in `folder`.

    A second software NSM, which measures the same source and signs whatever its holder asks.

    Raises:
        DemoFailed: it did not sign.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-P", "-m", "strongroom_local.server"]
        command += ["--folder", str(folder), "--fd", str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        try:
            answer = _ask(ours, Bundle.parse(bundle).commitment, nonce)
        finally:
            ours.close()
            process.wait(_TIMEOUT)
    return UntrustedEvidence(answer, bundle)


def _ask(sock: socket.socket, commitment: bytes, nonce: bytes) -> bytes:
    fields = {"user_data": commitment, "nonce": nonce, "public_key": None}
    request = cbor2.dumps({"Attestation": fields})
    sock.settimeout(_TIMEOUT)
    sock.sendall(len(request).to_bytes(4, "big") + request)
    answer: object = cbor2.loads(_receive(sock, int.from_bytes(_receive(sock, 4), "big")))
    match answer:
        case {"Attestation": {"document": bytes() as document}}:
            return document
    raise DemoFailed("the second security module did not sign", actual=answer)


def _receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := sock.recv(size - len(data))):
            raise DemoFailed("the second security module ended")
        data += part
    return data
