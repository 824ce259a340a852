"""What the signing core refuses, and who erred. `code` is all of it that may leave the enclave."""

from typing import ClassVar

from strongroom_wire.errors import Code

__all__ = [
    "AccountMismatch", "AmountError", "AmountNotInteger", "AmountOutOfRange", "AmountZero",
    "ApiKeyMalformed", "BatchSizeOutOfRange", "CallerError", "CredentialError", "FieldOutOfRange",
    "HoleMismatch", "HoleNotZeroed", "KeccakUnavailable", "PassphraseMalformed", "PriceOffTick",
    "PriceOutOfRange", "PrivateKeyInvalid", "SecretMalformed", "SignerError", "TemplateError",
    "TemplateMismatch", "TermsContradict", "TextMalformed", "UnknownExchange", "UnknownTick",
]  # fmt: skip


class SignerError(Exception):
    """Root of the signing core's errors.

    `expected` and `actual` are for the log inside and for tests. Neither ever holds a secret: an
    error about a private key, API secret or passphrase describes it and does not quote it.
    """

    code: ClassVar[Code] = Code.MALFORMED

    def __init__(self, what: str, expected: object, actual: object) -> None:
        super().__init__(f"{what}: expected {expected}, got {actual}")
        self.what, self.expected, self.actual = what, expected, actual


class KeccakUnavailable(SignerError):
    """The library that was found does not compute Keccak-256. The image erred."""

    code = Code.INTERNAL


class PrivateKeyInvalid(SignerError):
    """The secret is not a secp256k1 scalar in [1, n-1] of exactly 32 bytes. The owner erred."""


class CredentialError(SignerError):
    """The owner, or the venue's answer to enrolment, supplied an unusable API credential."""

    code = Code.NO_CREDENTIAL


class SecretMalformed(CredentialError):
    """The API secret is not canonical padded base64url of 16 to 64 bytes."""


class ApiKeyMalformed(CredentialError):
    """The API key holds something else than 1 to 64 letters, digits and hyphens."""


class PassphraseMalformed(CredentialError):
    """The passphrase holds something else than 1 to 128 characters of its alphabet."""


class CallerError(SignerError):
    """The caller asked for an order or a request that is not to be signed or built."""


class UnknownExchange(CallerError):
    """No exchange contract is compiled in under this chain and name."""


class FieldOutOfRange(CallerError):
    """An integer, byte string or enumeration is not what its EIP-712 field or endpoint holds."""


class TextMalformed(CallerError):
    """A host, cursor or heartbeat id holds a byte that could end or extend its place."""


class AccountMismatch(CallerError):
    """Maker, signer or signature type is not the account's, or the account is another key's."""


class TermsContradict(CallerError):
    """Order type, expiration and postOnly cannot go together."""


class BatchSizeOutOfRange(CallerError):
    """More orders or ids than one request takes, or none."""

    code = Code.TOO_LARGE


class AmountError(CallerError):
    """Price, size and tick do not make an order."""

    code = Code.BAD_AMOUNT


class AmountNotInteger(AmountError):
    """A price or size came as anything but an integer. Floats lose lots."""


class UnknownTick(AmountError):
    """Not one of the CLOB's tick sizes."""


class PriceOutOfRange(AmountError):
    """The price is below one tick or above one minus a tick."""


class PriceOffTick(AmountError):
    """The price is not a multiple of the market's tick."""


class AmountZero(AmountError):
    """A size rounds down to nothing."""


class AmountOutOfRange(AmountError):
    """A size or a resulting amount is negative or does not fit 64 bits."""


class TemplateError(SignerError):
    """The host's template is not the request that was approved."""

    code = Code.TEMPLATE_MISMATCH


class HoleMismatch(TemplateError):
    """The holes are not exactly where the signatures and the HMAC go, in that order."""


class HoleNotZeroed(TemplateError):
    """A hole holds something else than ASCII zeros."""


class TemplateMismatch(TemplateError):
    """Length, or a byte outside the holes, differs from the enclave's own serialisation."""
