"""Drafting what owners sign for one verified boot: start permits and owner orders."""

import secrets
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role, hpke_info
from strongroom_wire.encoding import pack, u64
from strongroom_wire.manifest import Manifest, VerifiedManifest, micro
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.record import Credentials
from strongroom_wire.statements import ORDER_DOMAIN, Action, Budget, OwnerOrder, Permit

from strongroom_host.contract.sealing import seal
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.errors import HostError
from strongroom_host.owner.errors import DocumentInvalid, UnknownManifestKey
from strongroom_host.owner.manifest_draft import parse_money

__all__ = [
    "MAX_PERMIT_SECONDS",
    "RecordHistory",
    "WrongBootDocument",
    "check_for_boot",
    "draft_connect",
    "draft_enrolment",
    "draft_export",
    "draft_import",
    "draft_kill",
    "draft_order",
    "draft_permit",
    "key_index",
    "parse_budget",
]

MAX_PERMIT_SECONDS = 31 * 86_400
_IMPORT = b"key-import"
_SHARE = b"unlock-share"
_CONNECT = b"record-credentials"
_MAX_ORDERS = (1 << 32) - 1


class RecordHistory(NamedTuple):
    """What a permit says about the record's log: the history that this boot continues, a head that
    is given up, and the root of all account states which that history ends with (32 bytes)."""

    log: Frontier = Frontier()
    abandons: LogHead = EMPTY_LOG
    root: bytes = bytes(32)


class WrongBootDocument(HostError):
    """A permit or order names another boot or manifest than the enclave that is there."""

    exit_status = 3


def parse_budget(text: str, manifest: Manifest) -> Budget:
    """Returns the budget written as KEY=PUSD or KEY=PUSD:ORDERS.

    Without a number of orders it is what the notional allows at one cent each, at most 2**32 - 1.

    Raises:
        DocumentInvalid: another shape, or an amount finer than a millionth.
        UnknownManifestKey: the manifest has no such key.
    """
    name, equals, rest = text.partition("=")
    amount, colon, orders = rest.partition(":")
    if not equals or (colon and not (orders.isascii() and orders.isdigit())):
        raise DocumentInvalid(
            f"{text!r} is not a budget", expected="KEY=PUSD or KEY=PUSD:ORDERS, e.g. main=500:200"
        )
    key_index(manifest, name)
    notional = micro(parse_money(amount, f"budget of {name}"))
    count = int(orders) if colon else notional // 10_000
    if count > _MAX_ORDERS:
        if colon:
            raise DocumentInvalid(f"budget of {name}: at most {_MAX_ORDERS} orders")
        count = _MAX_ORDERS
    return Budget(name, notional, count)


def key_index(manifest: Manifest, name: str) -> int:
    """Returns the index by which intents name this key.

    Raises:
        UnknownManifestKey: there is none.
    """
    names = [key.name for key in manifest.keys]
    if name not in names:
        raise UnknownManifestKey(
            f"the manifest has no key {name!r}",
            expected=", ".join(names) or "a manifest with keys",
            actual=name,
            remedy="name one of these, or add the key to the next manifest version",
        )
    return names.index(name)


def draft_permit(
    evidence: VerifiedEvidence,
    budgets: tuple[Budget, ...],
    *,
    serial: int,
    not_after: int,
    share: bytes | None,
    log: Frontier | None = None,
    not_before: int = 0,
    abandons: LogHead = EMPTY_LOG,
    record: RecordHistory | None = None,
) -> Permit:
    """Returns a permit for the boot that `evidence` proves, and for no other.

    Args:
        evidence: The boot.
        budgets: Totals since boot, one for each key that may trade.
        serial: Above every earlier one of this boot.
        not_after: Expiry, ms since the epoch.
        share: The unlock share, sealed here to the attested init; None sends none.
        log: The history that this boot continues; None begins an empty log.
        not_before: A time known to have passed, ms since the epoch: that of the newest leaf stored.
        abandons: A head of this log that the owners know, and that `log` does not contain.
        record: The same of the record's log; None begins an empty one.

    Raises:
        DocumentInvalid: a key is budgeted twice.
    """
    bundle = evidence.bundle
    names = [budget.key for budget in budgets]
    if len(set(names)) != len(names):
        raise DocumentInvalid("a key is budgeted twice", actual=names, remedy="name each key once")
    sealed = b""
    if share is not None:
        info = hpke_info(bundle, Role.INIT, _SHARE)
        sealed = seal(share, evidence.keys(Role.INIT).hpke, info)
    record = record or RecordHistory()
    return Permit(
        owner_root=bundle.owner_root,
        manifest_digest=bundle.manifest_digest,
        keys_digest=bundle.keys_digest,
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        signer_log=(log or Frontier()).serialise(),
        abandons=abandons,
        share=sealed,
        budgets=budgets,
        record_log=record.log.serialise(),
        record_abandons=record.abandons,
        record_root=record.root,
    )


def draft_order(
    evidence: VerifiedEvidence, action: Action, key: str = "", body: bytes = b""
) -> OwnerOrder:
    """Returns an owner order for the boot that `evidence` proves, and for no other."""
    bundle = evidence.bundle
    return OwnerOrder(action, bundle.boot_id, bundle.manifest_digest, key, body)


def draft_export(evidence: VerifiedEvidence) -> OwnerOrder:
    """Returns an order to export the sealed keys, unlike any before it.

    Receipts answer exact bytes. With the same bytes twice, a host could answer with an earlier
    blob, which lacks the keys made since: after a restart they would be gone.
    """
    return draft_order(evidence, Action.EXPORT, body=secrets.token_bytes(16))


def draft_import(evidence: VerifiedEvidence, key: str, secret: bytes) -> OwnerOrder:
    """Returns the order that brings in a 32-byte private key, sealed to the attested signer."""
    info = hpke_info(evidence.bundle, Role.SIGNER, _IMPORT)
    sealed = seal(secret, evidence.keys(Role.SIGNER).hpke, info)
    return draft_order(evidence, Action.IMPORT, key, sealed)


def draft_connect(evidence: VerifiedEvidence, credentials: Credentials) -> OwnerOrder:
    """Returns the order that brings in an account's credentials, sealed to the attested record.

    Raises:
        RoleMissing: this boot keeps no record.
    """
    record = evidence.keys(Role.RECORD)
    info = hpke_info(evidence.bundle, Role.RECORD, _CONNECT)
    sealed = seal(credentials.serialise(), record.hpke, info)
    return draft_order(evidence, Action.CONNECT, credentials.account, sealed)


def draft_enrolment(
    evidence: VerifiedEvidence, key: str, *, derive: bool, nonce: int
) -> OwnerOrder:
    """Returns the order that creates, or derives again, a key's venue credentials inside."""
    action = Action.ENROLL_DERIVE if derive else Action.ENROLL_CREATE
    return draft_order(evidence, action, key, u64(nonce))


def draft_kill(evidence: VerifiedEvidence, key: Ed25519PrivateKey) -> Statement:
    """Returns the kill switch for this boot, signed by one owner, which is enough."""
    payload = draft_order(evidence, Action.KILL).serialise()
    value = key.sign(pack(ORDER_DOMAIN, payload))
    return Statement(payload, (Signature(key.public_key().public_bytes_raw(), value),))


def check_for_boot(
    document: Permit | OwnerOrder, evidence: VerifiedEvidence, manifest: VerifiedManifest
) -> None:
    """Proves that a document made earlier is for the boot that `evidence` proves now.

    Before adding a signature to somebody else's draft, and before submitting: a permit for keys
    that are not attested would hand its budgets to whoever made them.

    Raises:
        WrongBootDocument: it is for another boot, manifest, or owners.
    """
    bundle = evidence.bundle
    facts: list[tuple[str, bytes, bytes]] = [
        ("manifest", manifest.digest, document.manifest_digest)
    ]
    if isinstance(document, Permit):
        facts.append(("owners", bundle.owner_root, document.owner_root))
        facts.append(("this boot's keys", bundle.keys_digest, document.keys_digest))
    else:
        facts.append(("boot", bundle.boot_id, document.boot_id))
    for what, expected, actual in facts:
        if expected != actual:
            raise WrongBootDocument(
                f"this document is not for the enclave that is there: {what} differ",
                expected=expected.hex(),
                actual=actual.hex(),
                remedy="do not sign it; ask its author, or draft a new one for this boot",
            )
