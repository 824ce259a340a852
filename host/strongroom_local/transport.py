"""The enclave's end of the software NSM's socket: a `Transport` for `NsmPlatform`.

It stands here and not beside `NsmPlatform` because the image knows only the device: what only the
local platform uses is no part of the trusted code.
"""

from socket import socket
from threading import Lock

from strongroom_enclave.platform.nsm import MAX_RESPONSE, DeviceUnavailable, Transport

from strongroom_local.framing import LENGTH_SIZE, receive, send

__all__ = ["stream"]


def stream(sock: socket) -> Transport:
    """Returns a transport over a connected stream socket.

    The first failure closes the socket, because what is left on it would be read as the answer to
    the next request. One exchange at a time; callers in other threads wait.
    """
    busy = Lock()

    def exchange(request: bytes) -> bytes:
        with busy:
            try:
                send(sock, request)
                size = int.from_bytes(receive(sock, LENGTH_SIZE), "big")
                answer = receive(sock, min(size, MAX_RESPONSE))
                if not 0 < size == len(answer):
                    raise ConnectionError(f"{len(answer)} of {size} bytes")
            except OSError as error:
                sock.close()
                raise DeviceUnavailable("NSM socket", "a whole answer", error) from error
            return answer

    return exchange
