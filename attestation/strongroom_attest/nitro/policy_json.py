"""Nitro policies as JSON values: strict in both directions, `dump_policy(load_policy(x)) == x`.

A leaf policy is an object with exactly these members (`allow_unsigned` may be left out):

    {"platform": "nitro", "mode": "production", "allow_unsigned": false,
     "pcrs": {"0": M, "1": M, "2": M, ...}, "public_key": M, "user_data": M, "nonce": M}

M is a hex string (exactly), a list of hex strings (one of), null (absent in the document), or
{"unchecked": "reason"}. {"all_of": [...]} and {"any_of": [...]} combine policies. Reading text,
and refusing repeated members in it, is up to the caller: this module takes decoded JSON.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from strongroom_attest.errors import PolicyInvalid, shown
from strongroom_attest.nitro.policy import NitroEvidence, NitroPolicy, PcrMatcher
from strongroom_attest.policy import (
    Absent,
    AllOf,
    AnyOf,
    Exactly,
    Matcher,
    OneOf,
    Policy,
    Unchecked,
)
from strongroom_attest.result import Mode

__all__ = ["NitroPolicyTree", "dump_policy", "load_policy"]

NitroPolicyTree: TypeAlias = NitroPolicy | AllOf[NitroEvidence] | AnyOf[NitroEvidence]

MAX_NESTING: Final = 8
_REQUIRED: Final = frozenset({"platform", "mode", "pcrs", "public_key", "user_data", "nonce"})
_OPTIONAL: Final = frozenset({"allow_unsigned"})
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")
_INDEX: Final = re.compile(r"0|[1-9][0-9]?")


def load_policy(value: object) -> NitroPolicyTree:
    """Returns the policy in decoded JSON.

    Raises:
        PolicyInvalid: A member is missing, unknown, or has the wrong type or value.
        EmptyPolicy: It would compare nothing.
    """
    return _load(value, "policy", 0)


def dump_policy(policy: Policy[NitroEvidence]) -> dict[str, object]:
    """Returns the JSON form of a policy, all members written out.

    Raises:
        PolicyInvalid: The policy is of a type that has no JSON form.
    """
    match policy:
        case AllOf(policies=members):
            return {"all_of": [dump_policy(member) for member in members]}
        case AnyOf(policies=members):
            return {"any_of": [dump_policy(member) for member in members]}
        case NitroPolicy():
            return {
                "platform": "nitro",
                "mode": policy.mode.value,
                "allow_unsigned": policy.allow_unsigned,
                "pcrs": {str(n): _dump_matcher(m) for n, m in sorted(policy.pcrs.items())},
                "public_key": _dump_matcher(policy.public_key),
                "user_data": _dump_matcher(policy.user_data),
                "nonce": _dump_matcher(policy.nonce),
            }
    raise PolicyInvalid(f"a {type(policy).__name__} has no JSON form")


def _load(value: object, where: str, depth: int) -> NitroPolicyTree:
    check_nesting(depth)
    members = _object(value, where)
    for name, combine in (("all_of", AllOf[NitroEvidence]), ("any_of", AnyOf[NitroEvidence])):
        if name in members:
            check_members(members, where, frozenset({name}), frozenset())
            parts = members[name]
            if not isinstance(parts, list):
                raise PolicyInvalid(f"{where}.{name}: must be a list of policies")
            return combine(
                tuple(_load(p, f"{where}.{name}[{n}]", depth + 1) for n, p in enumerate(parts))
            )
    check_members(members, where, _REQUIRED, _OPTIONAL)
    if members["platform"] != "nitro":
        raise PolicyInvalid(f'{where}.platform: only "nitro" is known')
    allow_unsigned = members.get("allow_unsigned", False)
    if not isinstance(allow_unsigned, bool):
        raise PolicyInvalid(f"{where}.allow_unsigned: must be true or false")
    return NitroPolicy(
        mode=_load_mode(members["mode"], where),
        allow_unsigned=allow_unsigned,
        pcrs=_load_pcrs(members["pcrs"], f"{where}.pcrs"),
        public_key=_load_matcher(members["public_key"], f"{where}.public_key"),
        user_data=_load_matcher(members["user_data"], f"{where}.user_data"),
        nonce=_load_matcher(members["nonce"], f"{where}.nonce"),
    )


def check_nesting(depth: int) -> None:
    """Bounds recursion."""
    if depth > MAX_NESTING:
        raise PolicyInvalid(f"policies nested deeper than {MAX_NESTING}")


def check_members(
    members: Mapping[str, object], where: str, required: frozenset[str], optional: frozenset[str]
) -> None:
    """Refuses missing and unknown members: a misspelt check must not be a check left out."""
    missing = required - members.keys()
    if missing:
        raise PolicyInvalid(f"{where}: {', '.join(sorted(missing))} missing")
    unknown = members.keys() - required - optional
    if unknown:
        raise PolicyInvalid(f"{where}: unknown {', '.join(shown(n) for n in sorted(unknown))}")


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise PolicyInvalid(f"{where}: must be an object")
    return value


def _load_mode(value: object, where: str) -> Mode:
    for mode in Mode:
        if value == mode.value:
            return mode
    raise PolicyInvalid(f'{where}.mode: must be "production" or "development"')


def _load_pcrs(value: object, where: str) -> dict[int, PcrMatcher]:
    pcrs: dict[int, PcrMatcher] = {}
    for name, form in _object(value, where).items():
        if not _INDEX.fullmatch(name):
            raise PolicyInvalid(f"{where}: {shown(name)} is not a PCR index")
        matcher = _load_matcher(form, f"{where}[{name}]")
        if isinstance(matcher, Absent):
            raise PolicyInvalid(f"{where}[{name}]: null is not for PCRs")
        pcrs[int(name)] = matcher
    return pcrs


def _load_matcher(value: object, where: str) -> Matcher:
    match value:
        case None:
            return Absent()
        case str():
            return Exactly(_load_hex(value, where))
        case list():
            return OneOf(tuple(_load_hex(v, f"{where}[{n}]") for n, v in enumerate(value)))
        case dict():
            members = _object(value, where)
            check_members(members, where, frozenset({"unchecked"}), frozenset())
            reason = members["unchecked"]
            if isinstance(reason, str):
                return Unchecked(reason)
    raise PolicyInvalid(f'{where}: must be hex, a list of hex, null, or {{"unchecked": "reason"}}')


def _load_hex(value: object, where: str) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise PolicyInvalid(f"{where}: must be an even number of hex digits")
    return bytes.fromhex(value)


def _dump_matcher(matcher: Matcher) -> object:
    match matcher:
        case Exactly(value=value):
            return value.hex()
        case OneOf(values=values):
            return [value.hex() for value in values]
        case Absent():
            return None
        case Unchecked(reason=reason):
            return {"unchecked": reason}
