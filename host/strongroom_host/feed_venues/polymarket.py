"""The testnet's market channel behind links that can fail: real books, moved by a seeded walk."""

from __future__ import annotations

import asyncio
import ssl

from strongroom_host.feed_venues.server import FeedVenue, Link
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.market_channel import MarketChannel, Session
from strongroom_host.testnet.mover import Mover

__all__ = ["PolymarketVenue"]


class PolymarketVenue(FeedVenue):
    """`clob`'s channel; `step` moves a market, `say` sends whatever text to all links.

    Args:
        clob: Belongs to the venue's thread once it is started.
        seed: Of the walk.
        every_s: Seconds between moves made by itself; 0 for none.
        context: The server's TLS; None for plain text.
    """

    path = "/ws/market"

    def __init__(
        self,
        clob: Clob,
        *,
        seed: int = 1,
        every_s: float = 0.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(context)
        self.clob, self._every_s = clob, every_s
        self._channel = MarketChannel(clob)
        self._mover = Mover(clob, seed)
        self._sessions: dict[Link, Session] = {}

    def heard(self, link: Link, text: str) -> None:
        """Give it to the link's session."""
        session = self._sessions.get(link)
        if session is None:
            session = self._sessions[link] = self._channel.attach(link.text)
        session.heard(text)

    def gone(self, link: Link) -> None:
        """End the link's session."""
        session = self._sessions.pop(link, None)
        if session is not None:
            session.close()

    def step(self) -> None:
        """Move one market."""
        self._mover.step()

    def say(self, text: str) -> None:
        """Send a text to every link, such as an event that no book makes."""
        for link in list(self.links):
            link.text(text)

    async def beside(self) -> None:
        """Move by itself."""
        while self._every_s:
            await asyncio.sleep(self._every_s)
            self.step()
