"""What the signing core refuses, and who erred. `code` is all of it that may leave the enclave."""

from strongroom_wire.errors import Code, WireError


class SignerError(WireError):
    """Root of the signing core's errors.

    `expected` and `actual` are for the log inside and for tests. Neither ever holds a secret: an
    error about a private key, API secret or passphrase describes it and does not quote it.
    """


class KeccakUnavailable(SignerError, code=Code.INTERNAL):
    """The library that was found does not compute Keccak-256. The image erred."""


class PrivateKeyInvalid(SignerError):
    """The secret is not a secp256k1 scalar in [1, n-1] of exactly 32 bytes. The owner erred."""


class CredentialError(SignerError, code=Code.NO_CREDENTIAL):
    """The owner, or the venue's answer to enrolment, supplied an unusable API key, passphrase or
    secret; `what` says which."""


class UnknownExchange(SignerError):
    """No exchange contract is compiled in under this chain and name."""


class FieldOutOfRange(SignerError):
    """A number does not fit its field."""


class TextMalformed(SignerError):
    """A host, cursor or heartbeat id holds a byte that could end or extend its place."""


class AccountMismatch(SignerError):
    """Maker, signer or signature type is not the account's, or the account is another key's."""


class TermsContradict(SignerError):
    """Order type, expiration and postOnly cannot go together."""


class AmountError(SignerError, code=Code.BAD_AMOUNT):
    """Price, size and tick do not make an order: a price below one tick, above one minus a tick or
    off the grid, a size that rounds down to nothing, an amount above 64 bits."""


class TemplateError(SignerError, code=Code.TEMPLATE_MISMATCH):
    """The host's template is not the request that was approved."""


class HoleMismatch(TemplateError):
    """The holes are not exactly where the signatures and the HMAC go, in that order."""


class HoleNotZeroed(TemplateError):
    """A hole holds something else than ASCII zeros."""


class TemplateMismatch(TemplateError):
    """Length, or a byte outside the holes, differs from the enclave's own serialisation."""
