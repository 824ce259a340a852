"""The trading keys of this boot, and the owner orders that make, seal, restore and stop them.

The signer checks owner signatures itself: init and front only carried the bytes here.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from strongroom_wire import manifest
from strongroom_wire.bundle import Bundle, Role, hpke_info
from strongroom_wire.encoding import pack, u32, u64, uint, unpack
from strongroom_wire.errors import Code, Malformed, Refused
from strongroom_wire.hpke import open_sealed
from strongroom_wire.owners import Owners, Statement
from strongroom_wire.statements import ORDER_DOMAIN, Action, OwnerOrder, Permit

from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.clob import RequestBuilder
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.orders import Account, SignatureType
from strongroom_enclave.signer.policy import PolicyEngine

__all__ = ["Enrolment", "Keyring", "TradingKey"]

_SEALED: Final = b"strongroom/sealed/v1"
_WALLETS: Final = dict(zip(("eoa", "proxy", "safe", "deposit"), SignatureType, strict=True))
_NEEDS_PERMIT: Final = (Action.ENROLL_CREATE, Action.ENROLL_DERIVE, Action.EXPORT, Action.RESTORE)


class _Sealed(msgspec.Struct, frozen=True):
    """What of a key survives a restart; the credential is "" where there is none."""

    name: str
    secret: bytes
    api_key: str
    api_secret: str
    passphrase: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A credential to be fetched: for which key, from where, with which request."""

    key: "TradingKey"
    venue: manifest.Egress
    request: bytes


class TradingKey:
    """One key of the manifest: its policy from the start, its secret and credential once there."""

    def __init__(self, spec: manifest.Key) -> None:
        self.spec, self.engine = spec, PolicyEngine(spec.policy)
        self.builder: RequestBuilder | None = None
        self._sealed = _Sealed(spec.name, b"", "", "", "")

    def adopt(self, secret: bytes) -> bytes:
        """Takes the 32-byte private key, if none is there yet, and returns its address, 20 bytes.

        Raises:
            Refused: KEY_CONFLICT when this boot already holds another one.
            PrivateKeyInvalid: no secp256k1 private key.
        """
        if self._sealed.secret not in (b"", secret):
            raise Refused(Code.KEY_CONFLICT, f"key {self.spec.name}", "the key it has", "another")
        if not self._sealed.secret:
            self.signing = SigningKey(secret)
            address = self.signing.address
            funder = bytes.fromhex(self.spec.funder[2:]) if self.spec.funder else address
            session = self.spec.source == "session"
            self.account = Account(address, _WALLETS[self.spec.wallet], funder, session)
            self._sealed = msgspec.structs.replace(self._sealed, secret=secret)
        return self.signing.address

    def enrol(self, venue: manifest.Egress, api_key: str, secret: str, passphrase: str) -> None:
        """Takes the API credential of the key's venue.

        Raises:
            CredentialError: not the form a venue gives.
        """
        credential = ApiCredential.parse(api_key, secret, passphrase)
        self.builder = RequestBuilder(_host(venue), self.account, credential)
        fields = {"api_key": api_key, "api_secret": secret, "passphrase": passphrase}
        self._sealed = msgspec.structs.replace(self._sealed, **fields)

    @property
    def held(self) -> bool:
        """Whether this boot has its private key."""
        return bool(self._sealed.secret)

    @property
    def sealed(self) -> _Sealed | None:
        """What may be sealed of it: nothing of a per-boot key."""
        return None if self.spec.per_boot or not self._sealed.secret else self._sealed


class Keyring:
    """All keys of one boot, and who may order what about them."""

    def __init__(
        self,
        bundle: Bundle,
        document: manifest.Manifest,
        hpke: X25519PrivateKey,
        now_ms: Callable[[], int],
    ) -> None:
        self.keys = [TradingKey(key) for key in document.keys]
        self._named = {key.spec.name: key for key in self.keys}
        self._venues = {venue.host: venue for venue in document.egress}
        self._bundle, self._version, self._hpke, self._now = bundle, document.version, hpke, now_ms
        self._owners: Owners = document.owners()
        self._permitted, self._sealing = False, b""

    def permit(self, permit: Permit, sealing: bytes) -> None:
        """Puts a permit that init verified into force; `sealing` is our AES key or empty."""
        for budget in permit.budgets:
            self._named[budget.key].engine.permit(budget, permit.not_after)
        self._permitted, self._sealing = True, sealing or self._sealing

    def obey(self, statement: Statement) -> bytes | Enrolment:
        """Carries out an owner order and returns the answer, or the enrolment that will give it.

        Raises:
            Refused, WireError, SignerError: with the code that says why not.
        """
        order = OwnerOrder.parse(statement.payload)
        quorum = 1 if order.action is Action.KILL else None
        self._owners.verify(ORDER_DOMAIN, statement, quorum)
        if order.boot_id != self._bundle.boot_id:
            raise Refused(Code.WRONG_BOOT, "owner order", self._bundle.boot_id, order.boot_id)
        if order.manifest_digest != self._bundle.manifest_digest:
            raise Refused(Code.WRONG_MANIFEST, "owner order", self._bundle.manifest_digest, order)
        if order.action in _NEEDS_PERMIT and not self._permitted:
            raise Refused(Code.WRONG_PHASE, "owner order", "a start permit", "none")
        if order.action is Action.EXPORT:
            return self._export()
        if order.action is Action.RESTORE:
            return u32(self._restore(order.body))
        if order.action is Action.KILL and not order.key:
            for key in self.keys:
                key.engine.kill()
            return b""
        if (named := self._named.get(order.key)) is None:
            raise Refused(Code.UNKNOWN_KEY, "owner order", sorted(self._named), order.key)
        match order.action:
            case Action.KILL:
                named.engine.kill()
                return b""
            case Action.GENERATE:
                return self._generate(named)
            case Action.IMPORT:
                return self._import(named, order.body)
            case _:
                return self._enrolment(named, order)

    def _generate(self, key: TradingKey) -> bytes:
        if key.spec.source == "import":
            raise Refused(Code.KEY_CONFLICT, f"key {key.spec.name}", "import", "generate")
        return key.signing.address if key.held else key.adopt(secrets.token_bytes(32))

    def _import(self, key: TradingKey, sealed: bytes) -> bytes:
        if key.spec.source != "import":
            raise Refused(Code.KEY_CONFLICT, f"key {key.spec.name}", key.spec.source, "import")
        info = hpke_info(self._bundle, Role.SIGNER, b"key-import")
        return key.adopt(open_sealed(sealed, self._hpke, info))

    def _enrolment(self, key: TradingKey, order: OwnerOrder) -> Enrolment:
        """Returns the L1-signed request for a credential; the owner chose the ClobAuth nonce."""
        if not key.held:
            raise Refused(Code.UNKNOWN_KEY, f"key {key.spec.name}", "generated or imported", "not")
        venue = self._venues[key.spec.venue]
        nonce, seconds = uint(order.body, 8), self._now() // 1000
        headers = key.signing.sign_clob_auth(key.spec.chain_id, seconds, nonce)
        create = order.action is Action.ENROLL_CREATE
        line = "POST /auth/api-key" if create else "GET /auth/derive-api-key"
        head = {"Host": _host(venue), **headers, "Content-Length": "0", "Connection": "close"}
        lines = (f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()))
        return Enrolment(key, venue, "\r\n".join((*lines, "", "")).encode())

    def _export(self) -> bytes:
        """Returns every sealable key and credential under the sealing key of this owner and role.

        The lowest manifest version that may open it is this one, so that a later, stricter manifest
        cannot be undone by restoring its keys under an earlier one.
        """
        keys = [sealed for key in self.keys if (sealed := key.sealed)]
        nonce, version = secrets.token_bytes(12), u64(self._version)
        content = msgspec.msgpack.encode(keys)
        return pack(_SEALED, version, nonce, self._cipher().encrypt(nonce, content, version))

    def _restore(self, blob: bytes) -> int:
        """Returns how many keys it took from a blob that `_export` made, now or in another boot."""
        fields = unpack(_SEALED, blob)
        if len(fields) != 3 or len(fields[1]) != 12:
            raise Malformed("sealed state", "version, 12-byte nonce, ciphertext", len(fields))
        version, nonce, content = fields
        try:
            plaintext = self._cipher().decrypt(nonce, content, version)
        except InvalidTag as error:
            raise Refused(Code.SEALED_STATE_REFUSED, "sealed state", "ours", "not") from error
        if uint(version, 8) > self._version:
            raise Refused(Code.SEALED_STATE_REFUSED, "manifest version", version, self._version)
        taken = 0
        for sealed in msgspec.msgpack.decode(plaintext, type=list[_Sealed]):
            key = self._named.get(sealed.name)
            if key is not None and not key.spec.per_boot:
                key.adopt(sealed.secret)
                if sealed.api_key:
                    venue = self._venues[key.spec.venue]
                    key.enrol(venue, sealed.api_key, sealed.api_secret, sealed.passphrase)
                taken += 1
        return taken

    def _cipher(self) -> AESGCM:
        if not self._sealing:
            raise Refused(Code.SEALED_STATE_REFUSED, "unlock share", "in the permit", "none")
        return AESGCM(self._sealing)


def _host(venue: manifest.Egress) -> str:
    return venue.host if venue.port == 443 else f"{venue.host}:{venue.port}"
