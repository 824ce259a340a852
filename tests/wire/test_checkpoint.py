"""The text that a log signs, held against the layout of C2SP tlog-checkpoint."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.encoding import pack
from strongroom_wire.errors import Malformed

from tests.wire.samples import byte
from tests.wire.test_encoding import packed

ORIGIN = log_origin(byte(1), "fund", Role.SIGNER)


def test_layout_is_the_published_one() -> None:
    # The example of the specification, as far as a checkpoint's own lines go.
    encoded = "CsUYapGGPo0dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    text = checkpoint_text("example.com/behind-the-sofa", LogHead(20852163, b64decode(encoded)))
    assert text == f"example.com/behind-the-sofa\n20852163\n{encoded}\n".encode()


def test_empty_log() -> None:
    lines = checkpoint_text(ORIGIN, EMPTY_LOG).split(b"\n")
    assert lines == [ORIGIN.encode(), b"0", b64encode(EMPTY_LOG.root), b""]


def test_origin_names_owners_account_and_role_and_discloses_none() -> None:
    by_hand = sha256(packed(b"strongroom/log/v1", byte(1), b"fund")).hexdigest()
    assert f"strongroom.log/signer/{by_hand}" == ORIGIN
    assert "fund" not in ORIGIN
    others = {
        log_origin(byte(2), "fund", Role.SIGNER),
        log_origin(byte(1), "fund2", Role.SIGNER),
        log_origin(byte(1), "fund", Role.RECORD),
    }
    assert len(others | {ORIGIN}) == 4


@given(st.binary(min_size=32, max_size=32), st.text(max_size=20).filter(str.isprintable))
def test_any_account_makes_an_origin_that_a_note_can_carry(owner: bytes, account: str) -> None:
    origin = log_origin(owner, account, Role.SIGNER)
    assert checkpoint_text(origin, EMPTY_LOG).startswith(origin.encode() + b"\n")


@pytest.mark.parametrize(
    "origin",
    ["", "a b", "a+b", "a\nb", "a\n", "\na", "a\tb", "a\x7f", "a\x00", "ä", "a\u2028b", " a"]
    + ["1a", "/a", "\x00\x17strongroom"],
)
def test_an_origin_that_could_be_read_otherwise_is_never_signed(origin: str) -> None:
    with pytest.raises(Malformed):
        checkpoint_text(origin, EMPTY_LOG)


@pytest.mark.parametrize(
    "head",
    [LogHead(1, bytes(31)), LogHead(1, bytes(33)), LogHead(1, b""), LogHead(-1, bytes(32))]
    + [LogHead(1 << 64, bytes(32))],
)
def test_what_is_no_head_is_never_signed(head: LogHead) -> None:
    with pytest.raises(Malformed):
        checkpoint_text(ORIGIN, head)


@given(st.binary(max_size=200), st.lists(st.binary(max_size=50), max_size=3))
def test_no_packed_value_is_a_checkpoint(domain: bytes, fields: list[bytes]) -> None:
    """A receipt key signs packed values and checkpoints; neither may pass for the other."""
    assert not pack(domain, *fields)[:1].isalpha()
    assert checkpoint_text(ORIGIN, EMPTY_LOG)[:1].isalpha()
