"""What the enclave's processes say to each other: kinds of message, and the layout of answers.

A message is a kind, a request number chosen by front, and a payload in the public contract's
encodings. An answer starts with u32 code and a 64-byte receipt signature (zero where none is due).
"""

import struct
from enum import IntEnum

from strongroom_wire.errors import Code

ANSWER = struct.Struct(">I64s")


# Kinds. The first line: what front passes on for the host. Then, between our processes: REPLY, what
# it is answered. REGISTER, worker to init, once, before it reads any outside byte: its public keys
# or certificate. CONFIGURE and PERMIT, init to workers. ANCHOR, init to signer and record:
# authenticated ms, monotonic ns, as two u64; HEAD is what they say to it: the head of their log,
# u64 size and root. ENROLL, signer to init to enroll: an L1-signed request and where to send it;
# ENROLLED, the way back: u32 code and the credential. HALTED, init to front: whoever waits for an
# answer will get none. DIAL, record to init: pass me a connection to the host's proxy.
Kind = IntEnum(
    "Kind",
    "STATUS EVIDENCE LOAD_MANIFEST SUBMIT_PERMIT SUBMIT_ORDER "
    "REPLY REGISTER CONFIGURE PERMIT ANCHOR HEAD ENROLL ENROLLED HALTED DIAL",
)


def answer(code: Code, payload: bytes = b"") -> bytes:
    """Returns an answer without a receipt."""
    return ANSWER.pack(code, bytes(64)) + payload
