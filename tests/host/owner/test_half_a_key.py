"""A venue's key without its secret opens nothing, and is refused before it is sealed."""

import pytest
from strongroom_host.owner.credentials import VenueKey, credentials_for
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_wire.manifest import Account, Tier

ACCOUNT = Account("main", "ada", "kraken", "live", "EUR", 0, Tier())


@pytest.mark.parametrize("half", [VenueKey("key"), VenueKey("", "secret")])
def test_half_a_key_is_refused(half: VenueKey) -> None:
    with pytest.raises(DocumentInvalid, match="half a venue's key"):
        credentials_for(ACCOUNT, half)


def test_a_whole_one_needs_no_passphrase() -> None:
    made = credentials_for(ACCOUNT, VenueKey("key", "secret"))
    assert (made.key, made.secret, made.passphrase) == ("key", "secret", "")
