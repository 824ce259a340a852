"""A venue's read-only key on its way from the owner into one attested record, and nowhere else."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct
from strongroom_wire.errors import WireError
from strongroom_wire.manifest import Account, Manifest
from strongroom_wire.record import Credentials

from strongroom_host.owner.errors import DocumentInvalid, UnknownManifestKey

__all__ = ["VenueKey", "account_named", "credentials_for"]

_LIMIT: Final = 4096


class VenueKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A venue's API key as its website shows it, once; `passphrase` where the venue has one."""

    key: str
    secret: str = ""
    passphrase: str = ""

    def __repr__(self) -> str:
        return "VenueKey()"

    @classmethod
    def parse(cls, data: bytes) -> VenueKey:
        """Returns the key in a JSON object.

        Raises:
            DocumentInvalid: it is none; what was read is not shown.
        """
        try:
            return msgspec.json.decode(data.strip(), type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError):  # chained, it would show what it read
            raise DocumentInvalid(
                "no venue's key can be read there",
                expected='{"key": "...", "secret": "...", "passphrase": "..."}, the last if any',
            ) from None


def account_named(manifest: Manifest, name: str) -> Account:
    """Returns an account of the manifest.

    Raises:
        UnknownManifestKey: there is none of this name.
    """
    found = {account.name: account for account in manifest.accounts}
    if name not in found:
        raise UnknownManifestKey(
            f"the manifest has no account {name!r}",
            expected=", ".join(found) or "a manifest with accounts",
            actual=name,
            remedy="name one of these, or add the account to the next manifest version",
        )
    return found[name]


def credentials_for(account: Account, key: VenueKey) -> Credentials:
    """Returns an account's credentials, as the record takes them (`statements.draft_connect`).

    Raises:
        DocumentInvalid: the key has a character that no venue's has, is over 4096 long, or has no
            secret.
    """
    if not key.key or not key.secret:
        raise DocumentInvalid(
            "this is half a venue's key",
            expected="key and secret, as the venue showed them when the key was made",
            remedy="make another key there if the secret is lost: no venue shows it again",
        )
    made = Credentials(account.name, account.venue, key.key, key.secret, key.passphrase)
    try:
        made.serialise()
    except WireError:
        raise DocumentInvalid(
            "this is no venue's key", expected=f"printable ASCII, at most {_LIMIT} characters each"
        ) from None
    return made
