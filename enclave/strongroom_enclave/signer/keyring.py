"""The trading keys of this boot, and the owner orders that make, seal, restore and stop them.

An order that comes here is the owners', for this boot, and about a key of the manifest or all.
"""

import secrets
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from strongroom_wire import encoding, manifest
from strongroom_wire.errors import Code, require
from strongroom_wire.statements import Action, Budget, OwnerOrder, Permit

from strongroom_enclave.identity import Identity
from strongroom_enclave.sealing import seal, unseal
from strongroom_enclave.signer import auth, clob, contracts, keys, nonces, orders, policy

_WALLETS = dict(zip(("eoa", "proxy", "safe", "deposit"), orders.SignatureType, strict=True))


class TradingKey:
    """One key of the manifest: its policy from the start, its secret and credential once there."""

    def __init__(self, spec: manifest.Key, venue: manifest.Egress) -> None:
        self.spec, self.venue, self.engine = spec, venue, policy.PolicyEngine(spec.policy)
        self.pinned = bytes.fromhex(spec.policy.metadata), bytes.fromhex(spec.policy.builder)
        named, markets = contracts.Exchange.named, spec.policy.markets
        self.exchanges = {int(m.token): named(spec.chain_id, m.exchange) for m in markets}
        self.host = venue.host if venue.port == 443 else f"{venue.host}:{venue.port}"
        self.builder: clob.RequestBuilder | None = None
        self.pool: nonces.NoncePool | None = None
        self.secret, self.credential = b"", ("", "", "")

    def check(self, secret: bytes) -> None:
        """Raises `Refused`, KEY_CONFLICT, when this boot already holds another key than this."""
        require(self.secret in (b"", secret), Code.KEY_CONFLICT, f"another key {self.spec.name}")

    def adopt(self, secret: bytes) -> bytes:
        """Takes the 32-byte private key, if none is there yet, and returns its address, 20 bytes.

        Raises:
            Refused: KEY_CONFLICT when this boot already holds another one.
            PrivateKeyInvalid: no secp256k1 private key.
        """
        self.check(secret)
        if not self.secret:
            size = self.spec.nonce_pool
            self.pool = nonces.NoncePool(secret, size) if size else None
            self.signing = keys.SigningKey(secret, self.pool)
            address, wallet = self.signing.address, _WALLETS[self.spec.wallet]
            funder = bytes.fromhex(self.spec.funder[2:]) or address
            self.account = orders.Account(address, wallet, funder, self.spec.source == "session")
            self.secret = secret
        return self.signing.address

    def enrol(self, api_key: str, secret: str, passphrase: str) -> None:
        """Takes the API credential of the key's venue, or raises `CredentialError`."""
        credential = auth.ApiCredential(api_key, secret, passphrase)
        self.builder = clob.RequestBuilder(self.host, self.account, credential)
        self.credential = (api_key, secret, passphrase)


class Enrolment(NamedTuple):
    """A credential to be fetched: for which key, with which request to its venue."""

    key: TradingKey
    request: bytes


class Keyring:
    """All keys of one boot, and what is ordered about them."""

    def __init__(
        self, document: manifest.Manifest, identity: Identity, now_ms: Callable[[], int]
    ) -> None:
        venues = {venue.host: venue for venue in document.egress}
        self.keys = {spec.name: TradingKey(spec, venues[spec.venue]) for spec in document.keys}
        sets = document.genesis, *(change.owners for change in document.owner_changes)
        self._lineage = [each.owners.root for each in sets]
        self._identity, self._now = identity, now_ms
        self._version, self._sealing = document.version, b""

    def permit(self, permit: Permit, sealing: bytes) -> None:
        """Puts a permit that init verified into force; `sealing` is our AES key or empty."""
        budgets = {budget.key: budget for budget in permit.budgets}
        for name, key in self.keys.items():  # a key that a later permit leaves out has none left
            key.engine.permit(budgets.get(name, Budget(name, 0, 0)), permit.not_after)
        self._sealing = sealing or self._sealing

    def refill(self) -> bool:
        """Makes one nonce for a key whose manifest asks for them; returns whether one had room."""
        return any(key.pool.refill() for key in self.keys.values() if key.pool)

    def obey(self, order: OwnerOrder) -> bytes | Enrolment:
        """Carries out an authorised order; returns the answer, or the enrolment that will give it.

        Raises:
            Refused, WireError, SignerError: with the code that says why not.
        """
        match order.action:
            case Action.KILL:
                for stopped in [self.keys[order.key]] if order.key else self.keys.values():
                    stopped.engine.kill()
                return b""
            case Action.EXPORT:
                return seal(self._sealing, self._version, self._state())
            case Action.RESTORE:
                return encoding.u32(self._restore(unseal(self._sealing, self._version, order.body)))
        require(order.key in self.keys, Code.UNKNOWN_KEY, "owner order", "a key's name", "")
        key = self.keys[order.key]
        if order.action in (Action.GENERATE, Action.IMPORT):
            return self._provision(key, order)
        return self._enrolment(key, order)

    def _provision(self, key: TradingKey, order: OwnerOrder) -> bytes:
        """Makes or takes the private key, as the manifest says where it comes from."""
        source, imported = key.spec.source, order.action is Action.IMPORT
        require(imported is (source == "import"), Code.KEY_CONFLICT, "key", source, order.action)
        if imported:
            return key.adopt(self._identity.open(b"key-import", order.body))
        return key.adopt(key.secret or secrets.token_bytes(32))

    def _enrolment(self, key: TradingKey, order: OwnerOrder) -> Enrolment:
        """Returns the L1-signed request for a credential; the owner chose the ClobAuth nonce."""
        require(bool(key.secret), Code.UNKNOWN_KEY, f"key {key.spec.name}", "present", "not")
        nonce, seconds = encoding.uint(order.body, 8), self._now() // 1000
        headers = key.signing.sign_clob_auth(key.spec.chain_id, seconds, nonce)
        create = order.action is Action.ENROLL_CREATE
        line = "POST /auth/api-key" if create else "GET /auth/derive-api-key"
        head = {"Host": key.host, **headers, "Content-Length": "0", "Connection": "close"}
        lines = (f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()))
        return Enrolment(key, "\r\n".join((*lines, "", "")).encode())

    def _state(self) -> bytes:
        """Returns the present owners' root, and of every key that is not per-boot its name, private
        key and credential."""
        kept = (key for key in self.keys.values() if key.secret and not key.spec.per_boot)
        keys = [(k.spec.name, k.secret, k.credential) for k in kept]
        return msgspec.msgpack.encode((self._lineage[-1], keys))

    def _restore(self, state: bytes) -> int:
        """Takes the keys of `_state` that this manifest still has, all or none; returns how many.

        The owners who sealed it must be among those of this manifest, first to present: owners from
        before a hand-over can still sign manifests under the same owner root, and know a share.
        """
        layout = tuple[bytes, list[tuple[str, bytes, tuple[str, str, str]]]]
        sealed_by, kept = msgspec.msgpack.decode(state, type=layout)
        require(sealed_by in self._lineage, Code.SEALED_STATE_REFUSED, "sealed by other owners")
        known = {name: key for name, key in self.keys.items() if not key.spec.per_boot}
        taken = [(known[name], *rest) for name, *rest in kept if name in known]
        for key, secret, _ in taken:
            key.check(secret)
        for key, secret, credential in taken:
            key.adopt(secret)
            if any(credential):
                key.enrol(*credential)
        return len(taken)
