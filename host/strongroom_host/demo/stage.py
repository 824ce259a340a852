"""What the chapters share: who runs where, and what was established so far."""

from dataclasses import dataclass

from strongroom_host.demo.accounts import Recorded
from strongroom_host.demo.folders import Folders
from strongroom_host.demo.processes import ExchangesReady, HostReady, Market, VenueReady
from strongroom_host.demo.story import Story
from strongroom_host.enclave_client.address import EnclaveAddress, parse_enclave_address
from strongroom_host.log.notes import VerifierKey
from strongroom_host.trust.record import Trust

__all__ = ["Stage"]


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parties, the names that lead to them from inside (`ways`), the owners' idea of
    the right enclave (nothing pinned yet), the key of the witness that they chose, and the accounts
    whose track record they want kept."""

    story: Story
    folders: Folders
    venue: VenueReady
    exchanges: ExchangesReady
    host: HostReady
    ways: tuple[str, ...]
    trust: Trust
    witness: VerifierKey
    recorded: Recorded

    @property
    def over_tcp(self) -> EnclaveAddress:
        """The enclave as somebody on another machine reaches it: through the host's ports."""
        return parse_enclave_address(self.host.address)

    @property
    def on_the_host(self) -> EnclaveAddress:
        """The enclave's own sockets, for what runs beside it."""
        return EnclaveAddress.at_run_directory(self.host.run)

    @property
    def market(self) -> Market:
        """The market that the owners allow: protocol V2, tick 0.01, liquidity around 0.60."""
        return self.venue.markets[0]

    @property
    def other_market(self) -> Market:
        """A market of the same venue that they do not allow."""
        return self.venue.markets[1]
