"""Where a listing goes on: a position that only this gateway can write, for this listing only.

It is no permission: what is listed is decided anew at each request. The MAC keeps clients from
building positions, so that what is inside can change, and tells a mistaken cursor from an empty
page.
"""

import base64
import hmac
from hashlib import sha256
from typing import Final

from strongroom_host.gateway.errors import CursorRefused

__all__ = ["MAX_CURSOR", "Cursors"]

_MAC: Final = 16
MAX_CURSOR: Final = 400
"""Characters: room for a position of 64 characters of four bytes each."""


class Cursors:
    """Writes and reads cursors under a secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def write(self, listing: tuple[str, ...], position: str) -> str:
        """Returns a cursor of a listing, which is what its parameters were."""
        place = position.encode()
        return base64.urlsafe_b64encode(self._mac(listing, place) + place).rstrip(b"=").decode()

    def read(self, listing: tuple[str, ...], text: str) -> str:
        """Returns the position of a cursor of this listing.

        Raises:
            CursorRefused: it is of another one, or none.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            data = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
            mac, place = data[:_MAC], data[_MAC:]
            genuine = hmac.compare_digest(mac, self._mac(listing, place))
            # The last character has bits that mean nothing: one text per cursor.
            if genuine and self.write(listing, position := place.decode()) == text:
                return position
        except ValueError:
            pass
        raise CursorRefused(
            "this cursor is not one of this listing",
            expected="`next` of the page before, with the same parameters",
            remedy="begin the listing again, without a cursor",
        )

    def _mac(self, listing: tuple[str, ...], place: bytes) -> bytes:
        # Each part by its digest, so that no two listings have the same bytes.
        parts = b"".join(sha256(part.encode()).digest() for part in (*listing, str(len(listing))))
        return hmac.digest(self._secret, parts + place, "sha256")[:_MAC]
