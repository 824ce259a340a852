"""The enclave's end of the software NSM's socket: a `Transport` for `NsmPlatform`.

It stands here and not beside `NsmPlatform` because the image knows only the device: what only the
local platform uses is no part of the trusted code.
"""

from socket import socket
from threading import Lock

from strongroom_enclave.platform.nsm import MAX_RESPONSE, DeviceUnavailable, Transport

__all__ = ["stream"]


def stream(sock: socket) -> Transport:
    """Returns a transport over a connected stream socket: u32 length, big-endian, then the CBOR.

    The first failure closes the socket, because what is left on it would be read as the answer to
    the next request. One exchange at a time; callers in other threads wait.
    """
    busy, reader = Lock(), sock.makefile("rb")

    def exchange(request: bytes) -> bytes:
        with busy:
            try:
                sock.sendall(len(request).to_bytes(4, "big") + request)
                size = int.from_bytes(reader.read(4), "big")
                answer = reader.read(min(size, MAX_RESPONSE))
                if not 0 < size == len(answer):
                    raise ConnectionError(f"{len(answer)} of {size} bytes")
            except OSError as error:
                reader.close()
                sock.close()
                raise DeviceUnavailable("NSM socket", "a whole answer", error) from error
            return answer

    return exchange
