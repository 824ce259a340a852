"""Leaves and their records in plain values, for people and for JSON; see `strongroom_wire.leaves`.

Digests, keys and hashes are hex, amounts are decimal strings of pUSD, times ms since the epoch.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.errors import Rule
from strongroom_wire.leaves import Boot, Decision, Kind, Leaf, ModelDecision
from strongroom_wire.owners import Statement
from strongroom_wire.record import Receipt, ReturnsReceipt, SyncReceipt
from strongroom_wire.statements import Action, OwnerOrder, Permit

__all__ = ["Plain", "decode_leaf", "decode_record"]

Plain = dict[str, object]


def decode_leaf(leaf: Leaf) -> Plain:
    """What a leaf says in public."""
    found: Plain = {
        "kind": leaf.kind.name,
        "index": leaf.index,
        "time_ms": leaf.time_ms,
        "boot": leaf.epoch.hex(),
        "commitment": leaf.commitment.hex(),
    }
    match leaf.kind:
        case Kind.BOOT:
            start = Boot.parse(leaf.public)
            found["continues"] = _head(start.continued)
            found["manifest"] = start.manifest_digest.hex()
            found["keys"] = start.keys_digest.hex()
            found["permit"] = start.permit_digest.hex()
            found["version"] = start.version
        case Kind.KEY:
            found["action"] = Action(leaf.public[0]).name
        case Kind.DENIED:
            found["rule"] = Rule(leaf.public[0]).name
        case Kind.PERMIT:
            found["permit"] = leaf.public.hex()
        case Kind.SYNC | Kind.RETURNS:
            found["root"] = leaf.public.hex()
        case _:
            pass
    return found


def decode_record(leaf: Leaf, record: bytes) -> Plain:
    """What a leaf commits to, out of its record; whose signatures are on it is not verified.

    Raises:
        WireError: it is no record of this kind of leaf.
    """
    match leaf.kind:
        case Kind.BOOT | Kind.PERMIT:
            statement = Statement.parse(record)
            return _permit(Permit.parse(statement.payload)) | _signers(statement)
        case Kind.KEY | Kind.KILL:
            statement = Statement.parse(record)
            order = OwnerOrder.parse(statement.payload)
            return {
                "order": order.action.name,
                "boot": order.boot_id.hex(),
                "manifest": order.manifest_digest.hex(),
                "key": order.key,
                "body_bytes": len(order.body),
            } | _signers(statement)
        case Kind.SIGNED | Kind.DENIED:
            return _decision(Decision.parse(record))
        case Kind.MODEL:
            model = ModelDecision.parse(record)
            return {
                "client": model.client,
                "model": model.model.hex(),
                "inputs": model.inputs.hex(),
                "output": model.output.hex(),
            }
        case Kind.SYNC:
            return _plain(SyncReceipt.parse(record))
        case Kind.RETURNS:
            return _plain(ReturnsReceipt.parse(record))


def _decision(decision: Decision) -> Plain:
    reply = decision.reply
    found: Plain = {
        "key": decision.key,
        "client": decision.client,
        "code": reply.code.name,
        "decision": reply.decision,
        "orders": [each.hex() for each in reply.order_hashes],
        "intent": decision.intent.hex(),
        "signed_total": {"notional": _pusd(decision.notional), "orders": decision.orders},
    }
    if any(decision.request):
        found["request"] = decision.request.hex()
    if reply.rule is not Rule.NONE:
        found |= {"rule": reply.rule.name, "order_at_fault": reply.order}
        found |= {"limit": reply.limit, "asked": reply.actual}
    if decision.context:
        found["model"] = decision.context[:32].hex()
        found["inputs"] = decision.context[32:].hex()
    return found


def _permit(permit: Permit) -> Plain:
    return {
        "owner_root": permit.owner_root.hex(),
        "manifest": permit.manifest_digest.hex(),
        "keys": permit.keys_digest.hex(),
        "serial": permit.serial,
        "not_before_ms": permit.not_before,
        "not_after_ms": permit.not_after,
        "continues": _head(permit.continues(Role.SIGNER).head),
        "abandons": _head(permit.abandons) if permit.abandons.size else None,
        "record": {
            "continues": _head(permit.continues(Role.RECORD).head),
            "abandons": _head(permit.record_abandons) if permit.record_abandons.size else None,
            "states": permit.record_root.hex(),
        },
        "unlock_share": bool(permit.share),
        "budgets": {
            each.key: {"notional": _pusd(each.notional), "orders": each.orders}
            for each in permit.budgets
        },
    }


def _signers(statement: Statement) -> Plain:
    return {"signed_by": [each.key.hex() for each in statement.signatures]}


def _head(head: LogHead) -> Plain:
    return {"size": head.size, "root": head.root.hex()}


def _pusd(millionths: int) -> str:
    return f"{Decimal(millionths).scaleb(-6):f}"


def _plain(receipt: Receipt) -> Plain:
    return msgspec.json.decode(receipt.serialise(), type=Plain)
