"""The testnet's switches, which stand for what a chain would do: balances, and a look inside.

No real venue has them. They are used by the demo's narrator, not by owner, host or bot.
"""

import ssl

import httpx
import msgspec

from strongroom_host.demo.processes import VenueReady
from strongroom_host.demo.story import DemoFailed

__all__ = ["OrderRecord", "VenueAdmin"]

_HEADER = "X-Testnet-Admin"


class OrderRecord(msgspec.Struct, frozen=True):
    """How often an order arrived, and what became of it."""

    submissions: int
    status: str | None


class _State(msgspec.Struct, frozen=True):
    trades: int
    orders: dict[str, OrderRecord]


class VenueAdmin:
    """The testnet's own view; a client of its admin API."""

    def __init__(self, venue: VenueReady) -> None:
        context = ssl.create_default_context(cafile=str(venue.ca))
        self._http = httpx.Client(
            base_url=venue.url,
            verify=context,
            headers={_HEADER: venue.admin_token},
            timeout=10.0,
            trust_env=False,
        )

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def fund(self, address: str, amount: str) -> None:
        """Gives an EOA collateral, as a transfer on chain would.

        Raises:
            DemoFailed: the testnet refused.
        """
        body = {"kind": "eoa", "owner": address, "funds": amount}
        self._json(self._http.post("/testnet/accounts", json=body))

    def orders(self) -> dict[bytes, OrderRecord]:
        """Returns every order that ever arrived, by hash.

        Raises:
            DemoFailed: the testnet refused.
        """
        state = msgspec.json.decode(self._json(self._http.get("/testnet/state")), type=_State)
        return {bytes.fromhex(key[2:]): record for key, record in state.orders.items()}

    def _json(self, response: httpx.Response) -> bytes:
        if response.status_code != 200:
            raise DemoFailed(
                "the testnet refused an admin call",
                expected=200,
                actual=f"{response.status_code} {response.text[:200]}",
            )
        return response.content
