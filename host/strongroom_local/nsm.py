"""The software Nitro Secure Module: requests in, answers and signed documents out.

Rules of the device that are kept: 32 SHA-384 registers, 0 to 15 locked at the launch; a locked one
refuses extends; documents carry locked registers only; 256 random bytes a call; 0x1000 bytes of
request, 0x3000 of answer. Where devices differ it is the strictest of them: requests must be in
the shortest definite encoding (so an index takes at most 8 bits, which QEMU insists on) and carry
every field they have, and locking a register twice is refused.

Nothing here is a security boundary: registers and keys lie in an ordinary process.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from strongroom_local.measure import Measurements, extended
from strongroom_local.pki import Authority, Issued

__all__ = ["MAX_REQUEST", "MAX_RESPONSE", "Parent", "SoftwareNsm", "wall_clock_ms"]

MAX_REQUEST: Final = 0x1000
MAX_RESPONSE: Final = 0x3000
_MAX_FIELD: Final = 1024  # user_data, nonce and public_key of a recorded AWS document reach it
_PCRS: Final = 32
_LAUNCH_LOCKED: Final = 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALGORITHM: Final = cbor2.dumps({1: -35})  # COSE protected header: ES384

_log = logging.getLogger(__name__)


def wall_clock_ms() -> int:
    """Returns the machine's time, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Parent:
    """The EC2 instance that Nitro would name: its role makes PCR3, its id PCR4."""

    role_arn: str = "arn:aws:iam::000000000000:role/strongroom-local"
    instance_id: str = "i-00000000000000000"

    def __post_init__(self) -> None:
        """Refuses an id that AWS would not give, since it goes into certificate names."""
        if not re.fullmatch("i-[0-9a-f]{17}", self.instance_id):
            raise ValueError(f"instance id {self.instance_id!r}, expected i- and 17 hex digits")


class _Refused(Exception):
    """Becomes an `Error` answer of that name."""


class SoftwareNsm:
    """One boot of the module: its registers start anew with each object.

    `handle` is sans-I/O and is itself what `NsmPlatform` calls a transport; `server` puts it behind
    a socket. It answers every byte string and never raises.
    """

    def __init__(
        self,
        root: Issued,
        measured: Measurements,
        *,
        parent: Parent = Parent(),
        clock_ms: Callable[[], int] = wall_clock_ms,
        indefinite: bool = False,
    ) -> None:
        """Launches.

        Args:
            root: Where the certificate chain of documents ends.
            measured: PCR0 to PCR2.
            parent: Source of PCR3 and PCR4.
            clock_ms: Read for each document; tests move it both ways.
            indefinite: Write the payload map with an open length, as AWS does since 2025.
        """
        self._module_id = f"{parent.instance_id}-enc{secrets.token_hex(8)}"
        self._authority = Authority(root, parent.instance_id, self._module_id)
        self._clock_ms = clock_ms
        self._indefinite = indefinite
        self._busy = Lock()
        self._locked = [index < _LAUNCH_LOCKED for index in range(_PCRS)]
        self._pcrs = [bytes(48) for _ in range(_PCRS)]
        self._pcrs[:5] = (
            measured.pcr0,
            measured.pcr1,
            measured.pcr2,
            extended(parent.role_arn.encode()),
            extended(parent.instance_id.encode()),
        )

    def handle(self, request: bytes) -> bytes:
        """Returns the CBOR answer to one CBOR request; anything unfit is answered by an error."""
        with self._busy:
            try:
                answer = cbor2.dumps(self._answer(request))
                if len(answer) > MAX_RESPONSE:
                    raise _Refused("BufferTooSmall")
            except _Refused as refusal:
                answer = _error(str(refusal))
            except Exception:  # noqa: BLE001  like the device it answers, whatever went wrong
                _log.exception("software NSM failed on a request of %d bytes", len(request))
                answer = _error("InternalError")
            return answer

    def _answer(self, request: bytes) -> object:
        if len(request) > MAX_REQUEST:
            raise _Refused("InputTooLarge")
        match _decode(request):
            case "DescribeNSM":
                return {"DescribeNSM": self._describe_nsm()}
            case "GetRandom":
                return {"GetRandom": {"random": secrets.token_bytes(256)}}
            case {"DescribePCR": body, **rest} if not rest:
                index = self._index(*_fields(body, "index"))
                return {"DescribePCR": {"lock": self._locked[index], "data": self._pcrs[index]}}
            case {"ExtendPCR": body, **rest} if not rest:
                number, data = _fields(body, "index", "data")
                index = self._unlocked(number)
                if not isinstance(data, bytes):
                    raise _Refused("InvalidArgument")
                self._pcrs[index] = extended(data, self._pcrs[index])
                return {"ExtendPCR": {"data": self._pcrs[index]}}
            case {"LockPCR": body, **rest} if not rest:
                self._locked[self._unlocked(*_fields(body, "index"))] = True
                return "LockPCR"
            case {"LockPCRs": body, **rest} if not rest:
                (number,) = _fields(body, "range")
                upto = _number(number)
                if upto > _PCRS:
                    raise _Refused("InvalidIndex")
                self._locked[:upto] = [True] * upto
                return "LockPCRs"
            case {"Attestation": body, **rest} if not rest:
                user_data, nonce, public_key = _fields(body, "user_data", "nonce", "public_key")
                return {"Attestation": {"document": self._document(public_key, user_data, nonce)}}
            case _:
                raise _Refused("InvalidOperation")

    def _describe_nsm(self) -> dict[str, object]:
        return {
            "version_major": 1,
            "version_minor": 0,
            "version_patch": 0,
            "module_id": self._module_id,
            "max_pcrs": _PCRS,
            "locked_pcrs": [index for index in range(_PCRS) if self._locked[index]],
            "digest": "SHA384",
        }

    def _document(self, *optional: object) -> bytes:
        """Returns a COSE_Sign1 attestation document; `optional` are its last three fields."""
        for field in optional:
            if not isinstance(field, bytes | None):
                raise _Refused("InvalidArgument")
            if field is not None and len(field) > _MAX_FIELD:
                raise _Refused("InputTooLarge")
        now = self._clock_ms()
        chain = self._authority.chain(_EPOCH + timedelta(milliseconds=now))
        public_key, user_data, nonce = optional
        payload = _map(
            {
                "module_id": self._module_id,
                "digest": "SHA384",
                "timestamp": now,
                "pcrs": {i: value for i, value in enumerate(self._pcrs) if self._locked[i]},
                "certificate": chain.certificate,
                "cabundle": list(chain.cabundle),
                "public_key": public_key,
                "user_data": user_data,
                "nonce": nonce,
            },
            indefinite=self._indefinite,
        )
        signed = cbor2.dumps(["Signature1", _ALGORITHM, b"", payload])
        r, s = decode_dss_signature(chain.key.sign(signed, ec.ECDSA(SHA384())))
        signature = r.to_bytes(48, "big") + s.to_bytes(48, "big")
        return cbor2.dumps([_ALGORITHM, {}, payload, signature])

    def _index(self, number: object) -> int:
        index = _number(number)
        if index >= _PCRS:
            raise _Refused("InvalidIndex")
        return index

    def _unlocked(self, number: object) -> int:
        index = self._index(number)
        if self._locked[index]:
            raise _Refused("ReadOnlyIndex")
        return index


def _decode(request: bytes) -> object:
    """Returns the one item of a request in its shortest definite encoding."""
    try:
        item: object = cbor2.loads(request, max_depth=2, allow_duplicate_keys=False)
        canonical = cbor2.dumps(item)
    except Exception as error:
        raise _Refused("InvalidOperation") from error
    if canonical != request:
        raise _Refused("InvalidOperation")
    return item


def _fields(body: object, *names: str) -> list[object]:
    if not isinstance(body, dict) or body.keys() != set(names):
        raise _Refused("InvalidArgument")
    return [body[name] for name in names]


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 0xFF:
        raise _Refused("InvalidArgument")
    return value


def _map(entries: dict[str, object], *, indefinite: bool) -> bytes:
    if not indefinite:
        return cbor2.dumps(entries)
    pairs = (cbor2.dumps(key) + cbor2.dumps(value) for key, value in entries.items())
    return b"\xbf" + b"".join(pairs) + b"\xff"


def _error(name: str) -> bytes:
    return cbor2.dumps({"Error": name})
