"""Who may sign for which maker: the part of the chain's state that the venue reads.

EOAs, proxies and Safes are registered by hand (on the chain they were deployed before the venue
stopped taking new ones); deposit wallets have an owner, a batch nonce and session keys. Session
keys change only through `execute`, which takes the very bytes the real wallet takes: an EIP-712
`Batch` signed by the owner whose calldata is ``authorizeSessionSigner(address,uint256)`` or
``revokeSessionSigner(address)``. What stands in for the chain is that this class, and not a
contract, runs them; the scopes of a key live beside the chain in the real system as well.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError

from strongroom_host.testnet.contracts import Address, address_from
from strongroom_host.testnet.eip712 import (
    MalformedSignature,
    WalletCall,
    batch_message,
    recover,
)
from strongroom_host.testnet.errors import ChainCallRefused, ConfigError

__all__ = [
    "AUTHORIZE_SELECTOR",
    "REVOKE_SELECTOR",
    "SCOPES",
    "Batch",
    "SessionKey",
    "WalletKind",
    "Wallets",
    "authorize_calldata",
    "revoke_calldata",
]

AUTHORIZE_SELECTOR: Final = bytes.fromhex("24017fae")
REVOKE_SELECTOR: Final = bytes.fromhex("e63f952f")
SCOPES: Final = frozenset({"ALL", "CLOB", "COMBOSRFQ"})
_UINT256_LIMIT: Final = 1 << 256


class WalletKind(enum.Enum):
    """How a maker signs; the value is the order's signatureType."""

    EOA = 0
    PROXY = 1
    SAFE = 2
    DEPOSIT = 3


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A second key of a deposit wallet: `valid_until_s` in Unix seconds, venue scopes."""

    address: Address
    valid_until_s: int
    scopes: frozenset[str]

    def trades_clob(self, now_s: int) -> bool:
        """Whether the key may sign order-book orders at `now_s`."""
        return now_s < self.valid_until_s and bool(self.scopes & {"ALL", "CLOB"})


@dataclass(frozen=True, slots=True)
class Batch:
    """A signed request of an owner to its deposit wallet."""

    wallet: Address
    nonce: int
    deadline_s: int
    calls: tuple[WalletCall, ...]
    signature: bytes


@dataclass(slots=True)
class _Wallet:
    kind: WalletKind
    owner: Address
    nonce: int = 0
    session_keys: dict[Address, SessionKey] = field(default_factory=dict)


def authorize_calldata(session_signer: Address, valid_until_s: int) -> bytes:
    """Calldata of ``authorizeSessionSigner``: the key may sign until `valid_until_s`."""
    arguments: bytes = abi_encode(["address", "uint256"], [session_signer, valid_until_s])
    return AUTHORIZE_SELECTOR + arguments


def revoke_calldata(session_signer: Address) -> bytes:
    """Calldata of ``revokeSessionSigner``."""
    arguments: bytes = abi_encode(["address"], [session_signer])
    return REVOKE_SELECTOR + arguments


class Wallets:
    """The registry of one chain."""

    def __init__(self, chain_id: int) -> None:
        self._chain_id = chain_id
        self._wallets: dict[Address, _Wallet] = {}

    def register(self, wallet: Address, kind: WalletKind, owner: Address) -> None:
        """Make `wallet` known, as its deployment would.

        Raises:
            ConfigError: known already as something else, or an EOA that is not its own owner.
        """
        if kind is WalletKind.EOA and wallet != owner:
            raise ConfigError(f"EOA {wallet} cannot be owned by {owner}")
        known = self._wallets.get(wallet)
        if known is not None and (known.kind, known.owner) != (kind, owner):
            raise ConfigError(f"{wallet} is already a {known.kind.name} of {known.owner}")
        if known is None:
            self._wallets[wallet] = _Wallet(kind, owner)

    def kind_of(self, wallet: Address) -> WalletKind | None:
        """What `wallet` is, or None for an address the venue has never seen."""
        known = self._wallets.get(wallet)
        return None if known is None else known.kind

    def owner_of(self, wallet: Address) -> Address | None:
        """The key that owns `wallet`."""
        known = self._wallets.get(wallet)
        return None if known is None else known.owner

    def nonce_of(self, wallet: Address) -> int:
        """The batch nonce a deposit wallet expects next."""
        known = self._wallets.get(wallet)
        return 0 if known is None else known.nonce

    def wallet_of(self, party: Address, kind: WalletKind) -> Address | None:
        """The wallet of `kind` that `party` owns or has a session key of, if exactly one is."""
        found = [
            address
            for address, wallet in self._wallets.items()
            if wallet.kind is kind and (party == wallet.owner or party in wallet.session_keys)
        ]
        return found[0] if len(found) == 1 else None

    def session_keys(self, wallet: Address) -> tuple[SessionKey, ...]:
        """Every session key authorised and not revoked, expired ones included."""
        known = self._wallets.get(wallet)
        return () if known is None else tuple(known.session_keys.values())

    def session_key(self, wallet: Address, key: Address) -> SessionKey | None:
        """One session key of `wallet`."""
        known = self._wallets.get(wallet)
        return None if known is None else known.session_keys.get(key)

    def signs_for(self, wallet: Address, key: Address, now_s: int) -> bool:
        """Whether `key` is the owner of `wallet` or a live session key with the CLOB scope."""
        if self.owner_of(wallet) == key:
            return True
        session = self.session_key(wallet, key)
        return session is not None and session.trades_clob(now_s)

    def execute(self, batch: Batch, scopes: Mapping[Address, frozenset[str]], now_s: int) -> None:
        """Run an owner's batch on its wallet.

        `scopes` names the venues each newly authorised key may use; they travel beside the
        calldata. All calls apply or none does.

        Raises:
            ChainCallRefused: unknown wallet, wrong nonce, past deadline, not the owner's
                signature, another target, value attached, or calldata of another method.
        """
        wallet = self._wallets.get(batch.wallet)
        if wallet is None or wallet.kind is not WalletKind.DEPOSIT:
            raise ChainCallRefused("not a deployed deposit wallet", actual=batch.wallet)
        if batch.nonce != wallet.nonce:
            raise ChainCallRefused("invalid nonce", expected=wallet.nonce, actual=batch.nonce)
        if not now_s <= batch.deadline_s < _UINT256_LIMIT:
            raise ChainCallRefused("deadline passed", expected=now_s, actual=batch.deadline_s)
        message = batch_message(
            batch.wallet, batch.nonce, batch.deadline_s, batch.calls, self._chain_id
        )
        try:
            signer = recover(message, batch.signature)
        except MalformedSignature as error:
            raise ChainCallRefused("invalid signature", actual=str(error)) from error
        if signer != wallet.owner:
            raise ChainCallRefused("invalid signature", expected=wallet.owner, actual=signer)
        keys = dict(wallet.session_keys)
        for call in batch.calls:
            _apply(batch.wallet, call, scopes, keys)
        wallet.session_keys = keys
        wallet.nonce += 1


def _apply(
    wallet: Address,
    call: WalletCall,
    scopes: Mapping[Address, frozenset[str]],
    keys: dict[Address, SessionKey],
) -> None:
    target, value, data = call
    if target != wallet or value != 0:
        raise ChainCallRefused("the testnet's chain runs calls to the wallet itself only")
    selector, arguments = data[:4], data[4:]
    try:
        if selector == AUTHORIZE_SELECTOR and len(arguments) == 64:
            signer, valid_until = abi_decode(["address", "uint256"], arguments)
            key = address_from(signer)
            granted = scopes.get(key, frozenset())
            if not granted or not granted <= SCOPES or (len(granted) > 1 and "ALL" in granted):
                raise ChainCallRefused("invalid scopes", expected=SCOPES, actual=granted)
            if int(key, 16) == 0:
                raise ChainCallRefused("the zero address cannot be a session signer")
            keys[key] = SessionKey(key, int(valid_until), granted)
        elif selector == REVOKE_SELECTOR and len(arguments) == 32:
            (signer,) = abi_decode(["address"], arguments)
            key = address_from(signer)
            if keys.pop(key, None) is None:
                raise ChainCallRefused("not a session signer", actual=key)
        else:
            raise ChainCallRefused("unknown method", actual=data[:4].hex())
    except DecodingError as error:
        raise ChainCallRefused("malformed calldata", actual=str(error)) from error
