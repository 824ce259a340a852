"""What a role is known by in one boot: an HPKE key and a receipt key, made when its process starts.

Both private halves stay in this object, and there are three things it does with them.
"""

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from strongroom_wire import bundle, errors, hpke

from strongroom_enclave.messages import ANSWER


class Identity:
    """A role's keys and, once its process knows it, the `boot` they are for.

    `public` is the X25519 and the Ed25519 public key, 32 bytes each.
    """

    boot: bundle.Bundle

    def __init__(self, role: bundle.Role) -> None:
        self._role, self._hpke = role, x25519.X25519PrivateKey.generate()
        receipt = ed25519.Ed25519PrivateKey.generate()
        self.sign = receipt.sign
        keys = self._hpke.public_key(), receipt.public_key()
        self.public = b"".join(key.public_bytes_raw() for key in keys)

    def open(self, purpose: bytes, sealed: bytes) -> bytes:
        """Returns what was sealed to this role, in this boot, for `purpose`.

        Raises:
            Malformed, BadSignature: see `hpke.open_sealed`.
        """
        info = bundle.hpke_info(self.boot, self._role, purpose)
        return hpke.open_sealed(sealed, self._hpke, info)

    def answer(self, request: bytes, code: errors.Code, body: bytes = b"") -> bytes:
        """Returns an answer with this role's receipt for it."""
        message = bundle.receipt_message(self.boot.boot_id, request, code, body)
        return ANSWER.pack(code, self.sign(message)) + body
