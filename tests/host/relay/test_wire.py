"""The vectors of wire.md, recomputed from its words: none of the relay's own code is used for it.

Then the relay's code has to make the very same bytes, so text, vectors and code are one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from strongroom_host.relay import frames_v1, messages
from strongroom_host.relay.frames_v2 import (
    TO_CLIENT,
    TO_RELAY,
    HandshakeKeys,
    Sealer,
)
from strongroom_host.relay.keys import SessionKeys
from strongroom_host.relay.reasons import Reason

DOCUMENT = Path(__file__).parents[3] / "host" / "strongroom_host" / "relay" / "wire.md"


def vectors() -> dict[str, str]:
    block = DOCUMENT.read_text().partition("```text\n")[2].partition("```")[0]
    return dict(line.split(" = ") for line in block.splitlines())


V = vectors()


def h(name: str) -> bytes:
    return bytes.fromhex(V[name])


def n(name: str) -> int:
    return int(V[name])


def mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def key(label: bytes, salt: bytes | None = None) -> bytes:
    return HKDF(SHA256(), 32, salt, b"strongroom relay v2 " + label).derive(h("psk"))


def seal(sealing_key: bytes, sequence: int, head: bytes, message: bytes) -> bytes:
    return head + AESGCM(sealing_key).encrypt(bytes(4) + sequence.to_bytes(8, "big"), message, head)


def u(*values: int | bytes, layout: str) -> bytes:
    return struct.pack(">" + layout, *values)


def recomputed() -> dict[str, bytes]:
    """Every vector that is not an input, from the inputs and the document's words."""
    salts = h("client_salt") + h("relay_salt")
    clock = u(n("relay_ns"), layout="Q")
    made = {f"key.{name}": key(name.encode()) for name in ("hello", "challenge", "reset")}
    made["key.to_relay"], made["key.to_client"] = key(b"to relay", salts), key(b"to client", salts)
    stamp = u(n("v1.sequence"), n("v1.timestamp_ns"), layout="IQ")
    payload = h("v1.payload")
    made["v1.frame"] = stamp + mac(h("psk"), stamp + payload) + payload
    hello = b"SR\x02\x01" + h("client_salt") + bytes(40)
    made["hello"] = hello + mac(made["key.hello"], hello)
    cookie = mac(h("cookie_key"), salts + clock + V["address"].encode())[:16]
    challenge = b"SR\x02\x02" + salts + clock + cookie
    made["challenge"] = challenge + mac(made["key.challenge"], challenge)
    number = n("start.sequence")
    head = b"SR\x02\x03" + salts + clock + cookie + u(number, layout="Q")
    made["start"] = seal(made["key.to_relay"], number, head, h("client_id"))
    session, identity = h("relay_salt")[:8], h("message_id")
    made["message.request"] = (
        b"\x01" + identity + u(7_000_000_000, 0, 1, len(payload), layout="QHHH") + payload
    )
    number = n("packet.sequence")
    head = b"SR\x02\x04" + session + u(number, layout="Q")
    made["packet.request"] = seal(made["key.to_relay"], number, head, made["message.request"])
    made["message.answer"] = b"\x44" + identity + u(0, 1, 2, layout="HHH") + b"\x00\xc8"
    head = b"SR\x02\x05" + session + u(2, layout="Q")
    made["packet.answer"] = seal(made["key.to_client"], 2, head, made["message.answer"])
    made["message.poll"] = b"\x02" + identity + u(7_000_000_000, 3, 0xFFFFFFFF, layout="QHQ")
    made["message.ping"] = b"\x03" + u(9, layout="Q")
    times = u(6_000_000_000, 60_000_000_000, len(payload), layout="QQH")
    made["message.deposit"] = b"\x04" + u(1, 0, layout="QB") + times + payload
    made["message.beat"] = b"\x05" + u(2, 0, 8_000_000_000, layout="QBQ")
    made["message.status"] = b"\x06" + identity
    made["message.close"] = b"\x07"
    wall = n("v1.timestamp_ns")
    made["message.accepted"] = (
        b"\x41" + bytes(range(16)) + u(5_000_000_001, wall, 65_536, layout="QQI")
    )
    made["message.pong"] = b"\x42" + u(9, 5_000_000_002, layout="QQ")
    made["message.ack"] = b"\x43" + identity
    text = b"while waiting"
    made["message.failure"] = b"\x45" + identity + u(2, 61, len(text), layout="BBB") + text
    made["message.held"] = b"\x46" + u(2, 0, 1, layout="QBB")
    head = b"SR\x02\x06" + session + u(n("packet.sequence"), layout="Q")
    made["reset"] = head + mac(made["key.reset"], head)[:16]
    return made


RECOMPUTED = recomputed()
INPUTS = {
    *("psk", "v1.sequence", "v1.timestamp_ns", "v1.payload", "client_salt", "relay_salt"),
    *("cookie_key", "address", "relay_ns", "client_id", "start.sequence", "message_id"),
    "packet.sequence",
}


@pytest.mark.parametrize("name", sorted(RECOMPUTED))
def test_the_document_is_right(name: str) -> None:
    assert V[name] == RECOMPUTED[name].hex()


def test_nothing_in_it_is_left_unchecked() -> None:
    assert V.keys() == RECOMPUTED.keys() | INPUTS


def ours() -> dict[str, bytes]:
    """The same, by the relay's code."""
    psk, payload, identity = h("psk"), h("v1.payload"), h("message_id")
    keys = HandshakeKeys(psk)
    address = V["address"].encode()
    challenge = keys.challenge(
        h("cookie_key"), address, h("client_salt"), h("relay_salt"), n("relay_ns")
    )
    read = keys.read_challenge(challenge, h("client_salt"))
    session = SessionKeys.derive(psk, h("client_salt"), h("relay_salt"))
    ask = messages.Request(identity, 7_000_000_000, 0, 1, payload).pack()
    answer = messages.Answer(identity, 0, 1, b"\x00\xc8").pack()
    number = n("packet.sequence")
    failure = messages.Failure(
        identity, messages.Outcome.UNKNOWN, Reason.UPSTREAM_BROKE, "while waiting"
    )
    accepted = messages.Accepted(bytes(range(16)), 5_000_000_001, n("v1.timestamp_ns"), 65_536)
    return {
        "v1.frame": frames_v1.build(psk, n("v1.sequence"), n("v1.timestamp_ns"), payload),
        "key.to_relay": session.to_relay,
        "key.to_client": session.to_client,
        "hello": keys.hello(h("client_salt")),
        "challenge": challenge,
        "start": keys.start(read, n("start.sequence"), h("client_id")),
        "message.request": ask,
        "packet.request": Sealer(session.to_relay, TO_RELAY, read.session, lambda: number).seal(
            ask
        ),
        "message.answer": answer,
        "packet.answer": Sealer(session.to_client, TO_CLIENT, read.session, lambda: 2).seal(answer),
        "message.poll": messages.Poll(identity, 7_000_000_000, 3, 0xFFFFFFFF).pack(),
        "message.ping": messages.Ping(9).pack(),
        "message.deposit": messages.Deposit(1, 0, 6_000_000_000, 60_000_000_000, payload).pack(),
        "message.beat": messages.Beat(2, 0, 8_000_000_000).pack(),
        "message.status": messages.Status(identity).pack(),
        "message.close": messages.Close().pack(),
        "message.accepted": accepted.pack(),
        "message.pong": messages.Pong(9, 5_000_000_002).pack(),
        "message.ack": messages.Ack(identity).pack(),
        "message.failure": failure.pack(),
        "message.held": messages.Held(2, 0, messages.HeldState.HELD).pack(),
        "reset": keys.reset(read.session, number),
    }


def test_the_code_makes_the_same_bytes() -> None:
    assert {name: data.hex() for name, data in ours().items()} == {name: V[name] for name in ours()}


def test_every_message_of_the_format_has_a_vector() -> None:
    table = re.findall(r"^\| (\d+) \| ([A-Z]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert len(table) == 13
    for number, name in table:
        assert h(f"message.{name.lower()}")[0] == int(number)
