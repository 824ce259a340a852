"""Nonces of ECDSA made ahead, so that a signature costs a product and a sum instead of a point.

Who learns one nonce, or sees two signatures under the same, has the private key. So each is used
once: it leaves the pool, and its place is overwritten, before anything is signed under it; the
child of a fork finds the pool wiped; and init takes no such manifest where memory can be copied
(decisions/0010). Scalars are 32 bytes, big-endian; what multiplies secrets is libsecp256k1's, in
constant time.
"""

import hmac
from contextlib import suppress
from secrets import token_bytes
from threading import Lock

from coincurve import PublicKey
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT
from strongroom_wire.encoding import pack, u64

from strongroom_enclave.platform.hardening import unforked

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF = (_ORDER // 2).to_bytes(32, "big")
_SLOT = 97  # of a nonce k and its point R: 1/k, r*d/k, and R compressed, which ends with r


class NoncePool:
    """At most `size` nonces for signatures by the private key `secret`. For any thread.

    A key has one pool in its life, as its nonces are numbered.
    """

    def __init__(self, secret: bytes, size: int) -> None:
        """Takes the room; nothing is made before `refill`. Raises what `unforked` does."""
        self._secret, self._turn, self._made, self._ready = secret, Lock(), 0, 0
        self._memory = unforked(1 + size * _SLOT)
        self._memory[0] = 1  # the child of a fork finds a 0 here
        self._slots = [self._memory[at : at + _SLOT] for at in range(1, len(self._memory), _SLOT)]

    def refill(self) -> bool:
        """Makes one nonce; returns whether there was room for it.

        It is an HMAC, under the private key, of a number that never comes again and of fresh
        randomness. Were that not random, nonces would still differ, and be known to nobody else.
        """
        with self._turn:
            if self._ready >= len(self._slots) or not self._memory[0]:
                return False
            self._made += 1
            message = pack(b"strongroom/nonce/v1", u64(self._made), token_bytes(32))
            with suppress(ValueError):  # once in 2**127; the next number serves
                nonce = hmac.digest(self._secret, message, "sha256")
                self._slots[self._ready][:] = _prepared(nonce, token_bytes(32), self._secret)
                self._ready += 1
            return True

    def sign(self, digest: bytes) -> bytes:
        """Returns r, s in its lower half, and the recovery id, 65 bytes; or nothing, if none is
        ready or this digest is none. Whatever comes of it, the nonce is gone."""
        with self._turn:
            if not self._ready or not self._memory[0] or len(digest) != 32:
                return b""
            self._ready -= 1
            slot = self._slots[self._ready]
            entry, slot[:] = bytes(slot), bytes(_SLOT)
        with suppress(ValueError):
            s, odd = _combined(entry[:32], digest, plus=entry[32:64]), entry[64] & 1
            if s > _HALF:
                s, odd = (_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big"), 1 - odd
            return entry[65:] + s + bytes([odd])
        return b""


def _prepared(nonce: bytes, blind: bytes, secret: bytes) -> bytes:
    """Returns the entry of a nonce. It is inverted under a random factor, since nothing inverts in
    constant time here; raises `ValueError` if a scalar is out of range, r included."""
    point = PublicKey.from_valid_secret(nonce).format()
    blinded = int.from_bytes(_combined(nonce, blind), "big")
    inverse = _combined(blind, pow(blinded, -1, _ORDER).to_bytes(32, "big"))
    return inverse + _combined(inverse, point[1:], secret) + point


def _combined(scalar: bytes, *factors: bytes, plus: bytes = b"") -> bytes:
    """Returns the product modulo the order, and, if given, the sum of it and `plus`.

    Raises:
        ValueError: one of them, or what comes of them, is 0 or not below the order.
    """
    context, made = GLOBAL_CONTEXT.ctx, ffi.new("unsigned char [32]", scalar)
    holds = all(lib.secp256k1_ec_seckey_tweak_mul(context, made, each) for each in factors)
    if not holds or (plus and not lib.secp256k1_ec_seckey_tweak_add(context, made, plus)):
        raise ValueError("scalar out of range")
    return bytes(ffi.buffer(made))
