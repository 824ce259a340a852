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
    """The owner, or the venue's answer to enrolment, supplied an unusable API credential."""


class SecretMalformed(CredentialError):
    """The API secret is not canonical padded base64url of 16 to 64 bytes."""


class ApiKeyMalformed(CredentialError):
    """The API key holds something else than 1 to 64 letters, digits and hyphens."""


class PassphraseMalformed(CredentialError):
    """The passphrase holds something else than 1 to 128 characters of its alphabet."""


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
    """Price, size and tick do not make an order."""


class PriceOutOfRange(AmountError):
    """The price is below one tick or above one minus a tick."""


class PriceOffTick(AmountError):
    """The price is not a multiple of the market's tick."""


class AmountZero(AmountError):
    """A size rounds down to nothing."""


class AmountOutOfRange(AmountError):
    """A resulting amount does not fit 64 bits."""


class TemplateError(SignerError, code=Code.TEMPLATE_MISMATCH):
    """The host's template is not the request that was approved."""


class HoleMismatch(TemplateError):
    """The holes are not exactly where the signatures and the HMAC go, in that order."""


class HoleNotZeroed(TemplateError):
    """A hole holds something else than ASCII zeros."""


class TemplateMismatch(TemplateError):
    """Length, or a byte outside the holes, differs from the enclave's own serialisation."""
