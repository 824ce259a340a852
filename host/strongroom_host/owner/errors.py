"""What can go wrong with an owner's files and documents, before any enclave is asked."""

from strongroom_host.errors import BadInput

__all__ = [
    "DocumentInvalid",
    "KeyLocked",
    "KeyMissing",
    "NotAnOwner",
    "OwnerError",
    "PrivateKeyInvalid",
    "QuorumIncomplete",
    "UnknownManifestKey",
]


class OwnerError(BadInput):
    """Root of this subpackage's errors: the owner's input is not usable as it is."""


class KeyMissing(OwnerError):
    """The folder has no owner key, share or client identity."""


class KeyLocked(OwnerError):
    """The owner key is encrypted and the passphrase is missing or wrong."""


class NotAnOwner(OwnerError):
    """This key is not among the owners that must sign."""


class DocumentInvalid(OwnerError):
    """A file is not the document it should be, or says something impossible."""


class QuorumIncomplete(OwnerError):
    """More owners have to sign before this can be submitted."""


class UnknownManifestKey(OwnerError):
    """The manifest has no key of that name."""


class PrivateKeyInvalid(OwnerError):
    """The text is not a secp256k1 private key in hex."""
