"""Requests to witnesses: the document's own example, and one flaw at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.errors import LogError
from strongroom_host.log.notes import Checkpoint, Note
from strongroom_host.log.submissions import (
    MAX_PROOF,
    MAX_SUBMISSION,
    Introduction,
    Submission,
    checkpoint_path,
    parse_size,
)
from strongroom_host.log.witness_errors import SubmissionMalformed

# The example that C2SP tlog-witness prints.
EXAMPLE = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q\
1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u2014 example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V626\
7UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()
HASH = st.binary(min_size=32, max_size=32)


def test_the_example_of_tlog_witness_parses() -> None:
    found = Submission.parse(EXAMPLE)
    assert (found.old, len(found.proof)) == (20852014, 4)
    assert found.proof[0][:2] == b"\x3e\x54"
    note = Note.parse(found.note)
    assert Checkpoint.parse(note.text).head.size == 20852163
    assert [each.name for each in note.signatures] == ["example.com/behind-the-sofa"] * 2
    assert found.serialise() == EXAMPLE


@given(st.integers(0, 2**64 - 1), st.lists(HASH, max_size=MAX_PROOF), st.binary(max_size=100))
def test_what_is_written_is_read(old: int, proof: list[bytes], note: bytes) -> None:
    made = Submission(old, tuple(proof), note)
    assert Submission.parse(made.serialise()) == made


@given(st.binary(max_size=200))
def test_what_is_read_is_written_the_same(data: bytes) -> None:
    for body in (data, b"old 5\n\n" + data, b"old " + data):
        try:
            assert Submission.parse(body).serialise() == body
        except LogError:
            continue


def test_too_long_is_refused_before_it_is_read() -> None:
    body = Submission(0, (), bytes(MAX_SUBMISSION)).serialise()
    with pytest.raises(SubmissionMalformed):
        Submission.parse(body)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        (b"old 20852014", b"20852014"),
        (b"old 20852014", b"old old 20852014"),
        (b"ZZDDpkaw=", b"ZZDDpkax="),  # the same 32 bytes, spelt with other spare bits
        (b"ZZDDpkaw=\n", b"ZZDDpkaw=\r\n"),
    ],
)
def test_there_is_one_spelling(part: bytes, instead: bytes) -> None:
    with pytest.raises(SubmissionMalformed):
        Submission.parse(EXAMPLE.replace(part, instead, 1))


@pytest.mark.parametrize("text", ["", "00", "01", "+1", "-1", "1_0", " 1", "1 ", "1\n", "٣", "1e3"])
def test_sizes_are_plain_decimals(text: str) -> None:
    with pytest.raises(ValueError, match="no tree size"):
        parse_size(text)


def test_sizes_end_at_64_bits() -> None:
    assert parse_size(str(2**64 - 1)) == 2**64 - 1
    with pytest.raises(ValueError, match="no tree size"):
        parse_size(str(2**64))


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50))
def test_introductions_are_read_as_written(manifest: bytes, permit: bytes, bundle: bytes) -> None:
    made = Introduction(manifest, permit, bundle)
    assert Introduction.parse(made.serialise()) == made
    with pytest.raises(SubmissionMalformed):
        Introduction.parse(made.serialise() + b"\x00")


def test_a_monitor_asks_by_the_hash_of_the_name() -> None:
    # printf example.com/behind-the-sofa | sha256sum
    digest = "5fd2dc0beb4ce54da5050cf6d5c75248b023abad441c3cecde3976fbe9da4fe4"
    assert checkpoint_path("example.com/behind-the-sofa") == f"{digest}/checkpoint"
