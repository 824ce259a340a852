"""What the enclave's processes say to each other: kinds of message, and the layout of answers.

A message is a kind, a request number chosen by front, and a payload in the public contract's
encodings. An answer starts with u32 code and a 64-byte receipt signature (zero where none is due).
"""

import struct
from enum import IntEnum

from strongroom_wire.errors import Code

ANSWER = struct.Struct(">I64s")


class Kind(IntEnum):
    """Up to 31: requests that front passes on for the host. Above: between our processes."""

    STATUS = 1
    EVIDENCE = 2
    LOAD_MANIFEST = 3
    SUBMIT_PERMIT = 4
    SUBMIT_ORDER = 5
    OPEN_CHANNEL = 6
    EXCHANGE_FRAME = 7
    REPLY = 32
    # Worker to init, once, before it reads any outside byte: its public keys or certificate.
    REGISTER = 33
    CONFIGURE = 34
    PERMIT = 35
    # Init to signer and record: authenticated ms, monotonic ns, as two u64.
    ANCHOR = 36
    # Signer to init to enroll: an L1-signed request and where to send it.
    ENROLL = 37
    # Enroll to init to signer: u32 code and the credential.
    ENROLLED = 38
    # Init to front: whoever waits for an answer will get none.
    HALTED = 39
    # Signer or record to init, after each anchor: the head of its log, u64 size and root.
    HEAD = 40
    # Record to init: pass me a connection to the host's proxy.
    DIAL = 41


def answer(code: Code, payload: bytes = b"") -> bytes:
    """Returns an answer without a receipt."""
    return ANSWER.pack(code, bytes(64)) + payload
