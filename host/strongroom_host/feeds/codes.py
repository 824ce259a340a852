"""A tick's kinds, sides and flags as plain numbers: an enum's operators cost a microsecond each."""

from __future__ import annotations

from typing import Final

from strongroom_host.ring.tick import Flag, Kind, Side

__all__ = [
    "ASK_BEST",
    "BID_BEST",
    "BUY",
    "DERIVED",
    "LAST",
    "LEVEL",
    "NO_SIDE",
    "SELL",
    "SNAPSHOT",
    "STATUS",
    "TICK_SIZE",
    "TRADE",
    "TRANSFER",
]

TRADE: Final = int(Kind.TRADE)
LEVEL: Final = int(Kind.LEVEL)
BID_BEST: Final = int(Kind.BEST_BID)
ASK_BEST: Final = int(Kind.BEST_ASK)
TRANSFER: Final = int(Kind.TRANSFER)
STATUS: Final = int(Kind.STATUS)
TICK_SIZE: Final = int(Kind.TICK_SIZE)

NO_SIDE: Final = int(Side.NONE)
BUY: Final = int(Side.BUY)
SELL: Final = int(Side.SELL)

SNAPSHOT: Final = int(Flag.SNAPSHOT)
LAST: Final = int(Flag.LAST)
DERIVED: Final = int(Flag.DERIVED)
