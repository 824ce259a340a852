"""The Nitro Secure Module as the platform: CBOR requests over a transport, answers read strictly.

A transport carries one encoded request and returns one encoded answer. `device` is the kernel's
node, the only one in the image; `strongroom_local` brings another, over a socket, from outside.
The shapes are those of aws-nitro-enclaves-nsm-api.

The module is trusted on Nitro, where the hypervisor is behind it. Its answers are read strictly all
the same: QEMU and the local platform answer here too, and a wrong guess at this border would
measure, lock or date something other than what we believe.
"""

import ctypes
import fcntl
import io
import os
import struct
from collections.abc import Callable, Mapping

import cbor2

from strongroom_enclave.platform import PlatformError

# Carries one CBOR request to the module and returns its CBOR answer; raises PlatformError.
Transport = Callable[[bytes], bytes]

_Fields = Mapping[str, object] | None
MAX_RESPONSE = 0x3000
_IOCTL = 0xC0200A00  # _IOWR(0x0A, 0, struct of 32 bytes), which is _RAW:
_RAW = struct.Struct("=4Q")  # request address, length; response address, length
_PCR_SIZE = 48  # SHA-384
_ERRORS = (
    "InvalidArgument", "InvalidIndex", "InvalidResponse", "ReadOnlyIndex", "InvalidOperation",
    "BufferTooSmall", "InputTooLarge", "InternalError",
)  # fmt: skip


class DeviceUnavailable(PlatformError):
    """The operating system could not open the module, or carry a request and its answer."""


class MalformedResponse(PlatformError):
    """The module's answer does not have the exact shape that answers this request."""


class NsmError(PlatformError):
    """The module understood the request and refused it; `actual` is the name it gave."""


class NsmPlatform:
    """Measured-boot registers, evidence, entropy and time, over one NSM transport.

    Registers and sizes are constants of the caller's; the module refuses what does not exist.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def attest(self, user_data: bytes, nonce: bytes) -> bytes:
        """Returns a COSE_Sign1 attestation document that carries both values, as received.

        `public_key` stays null: what the document commits to is in `user_data` alone. Whether it
        does carry them is left to its verifier, who has to check that anyway.
        """
        fields = {"user_data": user_data, "nonce": nonce, "public_key": None}
        return self._bytes("Attestation", fields, "document", range(1, MAX_RESPONSE + 1))

    def random(self, n: int) -> bytes:
        """Returns `n` bytes of the module's generator, which gives up to 256 an answer."""
        out = b""
        while len(out) < n:
            out += self._bytes("GetRandom", None, "random", range(1, 257))
        return out[:n]

    def extend(self, index: int, data: bytes) -> bytes:
        """Returns the register's new value; a locked one refuses with `ReadOnlyIndex`."""
        fields = {"index": index, "data": data}
        return self._bytes("ExtendPCR", fields, "data", range(_PCR_SIZE, _PCR_SIZE + 1))

    def lock(self, upto: int) -> None:
        """Locks registers 0 to `upto`-1 (`LockPCRs` with that range), `upto` from 1 to 32.

        The range has no lower end: locking 16 to 31 is `lock(32)`. That 0 to 15 are locked since
        the launch does no harm, and neither does asking twice.
        """
        answer = self._call("LockPCRs", {"range": upto})
        MalformedResponse.unless(answer == "LockPCRs", "answer", "LockPCRs", type(answer))

    def now_ms(self) -> int:
        """Returns the timestamp of a document made for this call, in milliseconds since 1970.

        The host cannot set it: on Nitro the hypervisor writes it. The signature is not verified
        here, since the module is the trust anchor of this call, and whoever could forge its
        answers could forge all of them. The nonce ties the document to this call, so that a
        transport which runs one answer behind cannot pass an old time off as new. The bounds
        (years 2004 and 10889) are there for the unit: seconds and microseconds fall outside.
        """
        nonce = os.urandom(16)
        match _decode(self._signed(nonce)[0]):
            case {"nonce": echo, "timestamp": int(ms)} if echo == nonce and 1 << 40 < ms < 1 << 48:
                return ms
        raise MalformedResponse("document", "our nonce and a time", "another")

    def copyable(self) -> bool:
        """Returns whether nobody signs documents here, as in an emulator, whose memory is a file.

        That who signs is AWS is for the verifier, on whose word a boot is permitted to sign.
        """
        return not any(self._signed(bytes(16))[1])

    def _signed(self, nonce: bytes) -> tuple[bytes, bytes]:
        """Returns a document's payload and signature; the tag is optional in COSE_Sign1."""
        match _decode(self.attest(b"", nonce)):
            case [_, _, bytes(payload), bytes(signature)] | cbor2.CBORTag(
                tag=18, value=[_, _, bytes(payload), bytes(signature)]
            ):
                return payload, signature
        raise MalformedResponse("document", "COSE_Sign1", "another")

    def _call(self, name: str, fields: _Fields) -> object:
        """Returns the decoded answer to request `name`, unless it is an error."""
        request = cbor2.dumps(name if fields is None else {name: fields})
        match answer := _decode(self._transport(request)):
            case {"Error": str(code), **more} if not more and code in _ERRORS:
                raise NsmError(f"NSM {name}", "success", code)
        return answer

    def _bytes(self, name: str, fields: _Fields, key: str, sizes: range) -> bytes:
        """Returns the byte string that is all of an answer to `name`, under `name` and `key`; an
        error never shows it: it may be key."""
        answer = self._call(name, fields)
        body = answer.get(name) if isinstance(answer, dict) and len(answer) == 1 else None
        value = body.get(key) if isinstance(body, dict) and len(body) == 1 else None
        if not isinstance(value, bytes) or len(value) not in sizes:
            raise MalformedResponse("answer", f"{name} with {key} of {sizes} bytes", type(value))
        return value


def device(path: str = "/dev/nsm") -> Transport:
    """Opens the kernel's node and returns a transport over its one ioctl.

    The driver makes the node with mode 0666, and whoever opens it can have a document made over
    values of his own; so it is closed to every other user here, before any of them runs.

    Raises:
        DeviceUnavailable: there is no such node, or its mode cannot be changed.
    """
    try:
        fd = os.open(path, os.O_RDWR)
        os.fchmod(fd, 0o600)
    except OSError as error:
        raise DeviceUnavailable("NSM device", path, error) from error

    def exchange(request: bytes) -> bytes:
        sent = ctypes.create_string_buffer(request, len(request))
        received = ctypes.create_string_buffer(MAX_RESPONSE)
        to, back = ctypes.addressof(sent), ctypes.addressof(received)
        message = bytearray(_RAW.pack(to, len(request), back, MAX_RESPONSE))
        try:
            fcntl.ioctl(fd, _IOCTL, message)
        except OSError as error:
            raise DeviceUnavailable("NSM ioctl", "an answer", error) from error
        return received.raw[: _RAW.unpack(message)[3]]

    return exchange


def _decode(data: bytes) -> object:
    """Returns the one CBOR item that `data` consists of: no key twice, no byte after it."""
    source = io.BytesIO(data)
    try:
        item: object = cbor2.CBORDecoder(source, allow_duplicate_keys=False).decode()
    except Exception as error:  # cbor2 names its own; nothing else may pass either
        raise MalformedResponse("CBOR", "one item", type(error)) from error
    whole = source.tell() == len(data) <= MAX_RESPONSE
    MalformedResponse.unless(whole, "bytes of the CBOR item", source.tell(), len(data))
    return item
