"""The frame on the socket between enclave and software NSM: u32 length, big-endian, then bytes."""

from socket import socket

__all__ = ["LENGTH_SIZE", "receive", "send"]

LENGTH_SIZE = 4


def send(sock: socket, content: bytes) -> None:
    """Sends one frame."""
    sock.sendall(len(content).to_bytes(LENGTH_SIZE, "big") + content)


def receive(sock: socket, size: int) -> bytes:
    """Returns the next `size` bytes, or fewer if the other end closes before."""
    data = b""
    while len(data) < size and (part := sock.recv(size - len(data))):
        data += part
    return data
