"""Templates with holes: the next request laid out beforehand, all but its two secrets.

Cut once out of a request that the enclave has signed (only that shows the host the account's
header lines), for one market, side and type; per order a few numbers are put between the pieces.
The enclave makes the same request itself and fills the holes only if every other byte is the same,
so what is wrong here costs budget and is never sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from strongroom_host.ring.tick import Side
from strongroom_host.strategy.port import Intent
from strongroom_host.trading.errors import TemplateUnfit

__all__ = ["Laid", "OrderTemplate"]

_LOT: Final = 10_000
_MILLION: Final = 1_000_000
_SHAPE: Final = re.compile(
    rb"(POST /order .*\r\nPOLY_SIGNATURE: )([^\r]{44})(\r\nPOLY_TIMESTAMP: )\d+"
    rb"(\r\nContent-Length: )\d+(\r\n\r\n)"
    rb'(\{"order":\{"salt":)\d+(,.*?"makerAmount":")\d+(","takerAmount":")\d+'
    rb'(","side":"(?:BUY|SELL)","expiration":")\d+(".*?"timestamp":")\d+'
    rb'(".*?"signature":"0x)([0-9a-f]+)("\},.*\})',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Laid:
    """A request with zeros in both holes, where each begins, and the salt in it."""

    data: bytes
    signature_at: int
    mac_at: int
    salt: int


class OrderTemplate:
    """The pieces of one market's requests of one side and type."""

    def __init__(self, sample: bytes) -> None:
        """Cuts a signed request up.

        Raises:
            TemplateUnfit: it is no request for one order of the shape that this knows.
        """
        found = _SHAPE.fullmatch(sample)
        if found is None:
            raise TemplateUnfit(
                "a signed request has another shape than templates are made of",
                actual=sample[:100],
                remedy="trade without --templates; the enclave's release may be another",
            )
        head, mac, time, length, blank, *body = found.groups()
        self._head, self._mac_at = head + b"0" * len(mac) + time, len(head)
        self._length, self._blank = length, blank
        salt, maker, taker, expiration, timestamp, signature, digits, tail = body
        self._pieces = (salt, maker, taker, expiration, timestamp, signature)
        self._tail, self._hole = tail, len(digits)

    def lay(self, decision: Intent, now_ms: int, salt: int) -> Laid:
        """Returns the request for a decision.

        Args:
            decision: Its side and type must be those of the sample.
            now_ms: The order's timestamp; the headers' is its second.
            salt: Not 0, which would let the enclave draw one.
        """
        shares = decision.size - decision.size % _LOT
        cash = shares * decision.price // _MILLION
        maker, taker = (cash, shares) if decision.side == Side.BUY else (shares, cash)
        numbers = (salt, maker, taker, decision.expires_s, now_ms)
        salt_, maker_, taker_, expires_, timestamp_, signature_ = self._pieces
        body = b"%b%d%b%d%b%d%b%d%b%d%b" % (
            *(salt_, numbers[0], maker_, numbers[1], taker_, numbers[2]),
            *(expires_, numbers[3], timestamp_, numbers[4], signature_),
        )
        size = len(body) + self._hole + len(self._tail)
        head = b"%b%d%b%d%b" % (self._head, now_ms // 1000, self._length, size, self._blank)
        data = head + body + b"0" * self._hole + self._tail
        return Laid(data, len(head) + len(body), self._mac_at, salt)
