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
        data = self._mac(listing, position) + position.encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def read(self, listing: tuple[str, ...], text: str) -> str:
        """Returns the position of a cursor of this listing.

        Raises:
            CursorRefused: it is of another one, or none.
        """
        try:
            given = text.encode("ascii")
            data = base64.b64decode(given + b"=" * (-len(given) % 4), altchars=b"-_", validate=True)
            position = data[_MAC:].decode()
            # Written anew rather than its MAC compared: so there is one text per cursor, too.
            if hmac.compare_digest(self.write(listing, position).encode(), given):
                return position
        except ValueError:
            pass
        raise CursorRefused(
            "this cursor is not one of this listing",
            expected="`next` of the page before, with the same parameters",
            remedy="begin the listing again, without a cursor",
        )

    def _mac(self, listing: tuple[str, ...], position: str) -> bytes:
        # Each part by its digest, so that no two listings have the same bytes.
        parts = b"".join(sha256(part.encode()).digest() for part in (*listing, position))
        return hmac.digest(self._secret, parts, "sha256")[:_MAC]
