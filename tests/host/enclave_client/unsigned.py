"""Documents as QEMU's security module writes them: the payload is real, nobody signs it."""

import cbor2

__all__ = ["unsigned"]

_NOTHING = bytes(64)


def unsigned(document: bytes) -> bytes:
    """Returns a document with the same payload in the form that QEMU writes."""
    _, _, payload, _ = cbor2.loads(document)
    fields = cbor2.loads(payload) | {"certificate": _NOTHING, "cabundle": [_NOTHING]}
    return cbor2.dumps([bytes.fromhex("a10120"), {}, cbor2.dumps(fields), _NOTHING])
