"""Signed notes, checkpoints, cosignatures: the specifications' examples, one flaw at a time."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.errors import (
    CheckpointMalformed,
    CheckpointUnsigned,
    KeyMalformed,
    NoteMalformed,
    SignatureWrong,
)
from strongroom_host.log.notes import (
    MAX_NOTE,
    MAX_SIGNATURES,
    Checkpoint,
    Note,
    NoteSignature,
    SignatureType,
    VerifierKey,
    cosign,
    open_checkpoint,
    signed_note,
)
from strongroom_wire.bundle import EMPTY_LOG, LogHead
from strongroom_wire.checkpoint import checkpoint_text

from tests.host.log.histories import ORIGIN, checkpoint, key_of
from tests.wire.samples import byte, private_key, public

DASH = "\u2014".encode()
HEAD = LogHead(7, byte(0x77))
NOTE = checkpoint(HEAD)
TEXT = checkpoint_text(ORIGIN, HEAD)
WITNESS = VerifierKey("witness.example/w1", public(9), SignatureType.COSIGNATURE)
TIME = 1_800_000_000

# Examples that the C2SP specifications print.
SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
SPEC_CHECKPOINT = (
    b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
)


def cosigned(note: bytes, *witnesses: int, time: int = TIME) -> bytes:
    """Return the note with the cosignatures of these keys appended."""
    text = Note.parse(note).text
    lines = (cosign(text, "witness.example/w1", private_key(n), time) for n in witnesses)
    return note + "".join(map(str, lines)).encode()


def test_the_example_of_signed_note_verifies() -> None:
    key = VerifierKey.parse(SPEC_VKEY)
    assert (key.name, key.kind, str(key)) == ("example.com/foo", 1, SPEC_VKEY)
    note = Note.parse(SPEC_NOTE)
    assert note.text == b"This is an example message.\n"
    assert note.verify([key]) == {key: 0}
    assert note.serialise() == SPEC_NOTE
    with pytest.raises(SignatureWrong):
        Note(b"This is another message.\n", note.signatures).verify([key])


def test_the_example_of_tlog_checkpoint_parses() -> None:
    root = b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    found = Checkpoint.parse(SPEC_CHECKPOINT)
    assert found == Checkpoint("example.com/behind-the-sofa", LogHead(20852163, root))
    assert found.text() == SPEC_CHECKPOINT


def test_what_the_enclave_writes_is_what_is_read_here() -> None:
    assert Checkpoint.parse(TEXT) == Checkpoint(ORIGIN, HEAD)
    opened = open_checkpoint(NOTE, ORIGIN, [key_of(1)])
    assert (opened.head, opened.signers, opened.witnesses) == (HEAD, (key_of(1),), {})
    empty = open_checkpoint(checkpoint(EMPTY_LOG), ORIGIN, [key_of(1)])
    assert empty.head == EMPTY_LOG


def test_a_note_needs_one_key_of_the_log() -> None:
    opened = open_checkpoint(NOTE, ORIGIN, [key_of(2), key_of(1)])
    assert opened.signers == (key_of(1),)
    for keys in ([], [key_of(2)], [VerifierKey("other", public(1))]):
        with pytest.raises(CheckpointUnsigned):
            open_checkpoint(NOTE, ORIGIN, keys)
    same_id = VerifierKey(ORIGIN, public(2))
    line = NoteSignature(ORIGIN, same_id.id, private_key(1).sign(TEXT))
    with pytest.raises(SignatureWrong):  # in the name of key 2, by key 1
        open_checkpoint(Note(TEXT, (line,)).serialise(), ORIGIN, [same_id])


def test_a_witness_alone_does_not_make_a_head() -> None:
    line = cosign(TEXT, WITNESS.name, private_key(9), TIME)
    alone = Note(TEXT, (line,)).serialise()
    with pytest.raises(CheckpointUnsigned):
        open_checkpoint(alone, ORIGIN, [key_of(1)], [WITNESS])
    with pytest.raises(CheckpointUnsigned):  # not even where it is given as a key of the log
        open_checkpoint(alone, ORIGIN, [WITNESS], [WITNESS])


def test_a_signature_that_fails_spoils_the_note() -> None:
    note = Note.parse(NOTE)
    (line,) = note.signatures
    flipped = NoteSignature(line.name, line.key_id, line.value[:-1] + bytes([line.value[-1] ^ 1]))
    good = cosigned(NOTE, 9)
    for signatures in ((flipped,), (line, flipped), (flipped, line)):
        with pytest.raises(SignatureWrong):
            open_checkpoint(Note(TEXT, signatures).serialise(), ORIGIN, [key_of(1)])
    for cut in (0, 1, 63):
        short = NoteSignature(line.name, line.key_id, line.value[: cut or 1])
        with pytest.raises(SignatureWrong):
            open_checkpoint(Note(TEXT, (line, short)).serialise(), ORIGIN, [key_of(1)])
    assert open_checkpoint(good, ORIGIN, [key_of(1)], [WITNESS]).witnesses == {WITNESS: TIME}


def test_signatures_of_strangers_are_ignored() -> None:
    stranger = NoteSignature("stranger.example", b"abcd", b"anything at all")
    same_name = NoteSignature(ORIGIN, b"abcd", bytes(64))
    note = Note(TEXT, (stranger, *Note.parse(NOTE).signatures, same_name))
    assert open_checkpoint(note.serialise(), ORIGIN, [key_of(1)]).head == HEAD


def test_an_ed25519_key_of_small_order_signs_nothing() -> None:
    weak = VerifierKey(ORIGIN, b"\x01" + bytes(31))
    line = NoteSignature(ORIGIN, weak.id, b"\x01" + bytes(63))
    with pytest.raises(SignatureWrong):
        open_checkpoint(Note(TEXT, (line,)).serialise(), ORIGIN, [weak])


def test_another_logs_checkpoint_is_refused() -> None:
    other = checkpoint(HEAD, origin="strongroom.log/signer/other")
    with pytest.raises(CheckpointMalformed):
        open_checkpoint(other, ORIGIN, [VerifierKey("strongroom.log/signer/other", public(1))])
    # Signed by the right key under the right name, but of another log.
    text = checkpoint_text("strongroom.log/signer/other", HEAD)
    note = signed_note(text, key_of(1), private_key(1).sign(text))
    with pytest.raises(CheckpointMalformed):
        open_checkpoint(note, ORIGIN, [key_of(1)])


def test_cosignatures_are_as_the_specification_writes_them() -> None:
    line = cosign(SPEC_CHECKPOINT, WITNESS.name, private_key(9), 1679315147)
    assert line.value[:8] == (1679315147).to_bytes(8, "big")
    signed = b"cosignature/v1\ntime 1679315147\n" + SPEC_CHECKPOINT
    private_key(9).public_key().verify(line.value[8:], signed)
    assert line.key_id == WITNESS.id
    assert VerifierKey.parse(str(WITNESS)) == WITNESS


def test_cosignatures_bind_time_and_text() -> None:
    line = cosign(TEXT, WITNESS.name, private_key(9), TIME)
    later = NoteSignature(line.name, line.key_id, (TIME + 1).to_bytes(8, "big") + line.value[8:])
    untimed = NoteSignature(line.name, line.key_id, line.value[8:])
    plain = NoteSignature(
        line.name, line.key_id, TIME.to_bytes(8, "big") + private_key(9).sign(TEXT)
    )
    for wrong in (later, untimed, plain):
        with pytest.raises(SignatureWrong):
            Note(TEXT, (wrong,)).verify([WITNESS])
    with pytest.raises(SignatureWrong):
        Note(checkpoint_text(ORIGIN, LogHead(8, byte(1))), (line,)).verify([WITNESS])
    never = 1 << 63
    with pytest.raises(SignatureWrong):
        Note(TEXT, (cosign(TEXT, WITNESS.name, private_key(9), never),)).verify([WITNESS])


def test_a_witness_that_signs_twice_counts_once_with_its_first_time() -> None:
    for first, second in ((TIME, TIME + 5), (TIME + 5, TIME)):
        note = cosigned(cosigned(NOTE, 9, time=first), 9, time=second)
        opened = open_checkpoint(note, ORIGIN, [key_of(1)], [WITNESS])
        assert opened.witnesses == {WITNESS: TIME}


def test_a_log_key_is_no_witness() -> None:
    """The same Ed25519 key as witness has another id, and signs another message."""
    both = VerifierKey(ORIGIN, public(1), SignatureType.COSIGNATURE)
    assert both.id != key_of(1).id
    assert open_checkpoint(NOTE, ORIGIN, [key_of(1)], [both]).witnesses == {}


def _flawed_notes() -> dict[str, bytes]:
    line = NOTE[len(TEXT) + 1 :]
    encoded = line.split(b" ")[2].strip()
    return {
        "nothing": b"",
        "text alone": TEXT,
        "no empty line": TEXT + line,
        "no signatures": TEXT + b"\n",
        "signatures alone": line,
        "no newline at the end": NOTE[:-1],
        "another end than a newline": NOTE[:-1] + b"x",
        "a line after": NOTE + b"x\n",
        "an empty line after": NOTE + b"\n",
        "carriage returns": NOTE.replace(b"\n", b"\r\n"),
        "a tab": NOTE.replace(b"strongroom.log", b"strongroom\tlog"),
        "a zero byte": b"\x00" + NOTE,
        "not UTF-8": b"\xff" + NOTE,
        "a hyphen for the dash": NOTE.replace(DASH, b"-"),
        "no space after the dash": NOTE.replace(DASH + b" ", DASH),
        "no name": TEXT + b"\n" + DASH + b"  " + encoded + b"\n",
        "a plus in the name": TEXT + b"\n" + DASH + b" a+b " + encoded + b"\n",
        "an odd space in the name": TEXT + f"\n\u2014 a\u00a0b {encoded.decode()}\n".encode(),
        "no signature": TEXT + b"\n" + DASH + b" name \n",
        "a word more": TEXT + b"\n" + DASH + b" name " + encoded + b" x\n",
        "not base64": TEXT + b"\n" + DASH + b" name !!!!\n",
        "base64 without padding": TEXT + b"\n" + DASH + b" name AAAAAAA\n",
        "base64 of another spelling": TEXT + b"\n" + DASH + b" name AAAAAAB=\n",
        "base64 for URLs": TEXT + b"\n" + DASH + b" name AAAA-_AA\n",
        "a key id alone": TEXT + b"\n" + DASH + b" name AAAAAA==\n",
        "a key id cut": TEXT + b"\n" + DASH + b" name AAAA\n",
        "too many signatures": NOTE + line * MAX_SIGNATURES,
        "too long": b"x" * MAX_NOTE + NOTE,
    }


@pytest.mark.parametrize("data", _flawed_notes().values(), ids=_flawed_notes())
def test_a_flawed_note_is_refused(data: bytes) -> None:
    with pytest.raises(NoteMalformed):
        Note.parse(data)


def test_the_text_ends_at_the_last_empty_line() -> None:
    note = Note.parse(b"one\n\ntwo\n\n" + NOTE[len(TEXT) + 1 :])
    assert note.text == b"one\n\ntwo\n"


def test_sixteen_long_signatures_fit() -> None:
    line = str(NoteSignature("witness.example/pq", b"abcd", bytes(5000))).encode()
    assert len(Note.parse(NOTE + line * 16).signatures) == 17


ROOT = b64encode(HEAD.root).decode()


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a\n", "a\n7\n", f"\n7\n{ROOT}\n", f"a\n07\n{ROOT}\n", f"a\n+7\n{ROOT}\n"]
    + [f"a\n-7\n{ROOT}\n", f"a\n 7\n{ROOT}\n", f"a\n7 \n{ROOT}\n", f"a\n1_0\n{ROOT}\n"]
    + [f"a\n\u0667\n{ROOT}\n", f"a\n0x7\n{ROOT}\n", f"a\n{1 << 64}\n{ROOT}\n", f"a\n7\n{ROOT}"]
    + [f"a\n7\n{ROOT}\n\n", f"a\n7\n{ROOT}\n\nx\n", f"a\n7\n{ROOT[:-1]}\n", "a\n7\nAAAA\n"]
    + [f"a\n7\n{ROOT[:-2]}d=\n", "a\n7\n\n", f"a\n{'9' * 5000}\n{ROOT}\n"]
    + [f"a\n7\n{b64encode(bytes(33)).decode()}\n"],
)
def test_a_flawed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(CheckpointMalformed):
        Checkpoint.parse(text.encode())


def test_extension_lines_are_kept() -> None:
    text = f"a\n7\n{ROOT}\nmore\nand more\n".encode()
    assert Checkpoint.parse(text).extensions == ("more", "and more")
    assert Checkpoint.parse(text).text() == text


@pytest.mark.parametrize(
    "text",
    ["", "a", "a+b", "a+00000000+", "+" + SPEC_VKEY.partition("+")[2], SPEC_VKEY[:-1]]
    + [SPEC_VKEY.replace("530d903a", "530d903b"), SPEC_VKEY.replace("530d903a", "530D903A")]
    + [SPEC_VKEY + "\n", SPEC_VKEY.replace("foo", "fo o"), SPEC_VKEY.replace("foo", "bar")]
    + ["a+00000000+" + b64encode(b"\x02" + bytes(32)).decode()]
    + ["a+00000000+" + b64encode(b"\x01" + bytes(31)).decode()],
)
def test_a_flawed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(KeyMalformed):
        VerifierKey.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n", "a\u2003b", "a\x1fb", "\ud800"])
def test_no_key_has_a_name_that_a_note_cannot_carry(name: str) -> None:
    with pytest.raises(KeyMalformed):
        VerifierKey(name, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_no_key_has_another_length(length: int) -> None:
    with pytest.raises(KeyMalformed):
        VerifierKey("name", bytes(length))


@given(st.text(min_size=1, max_size=20), st.binary(min_size=32, max_size=32))
def test_verifier_keys_round_trip(name: str, key: bytes) -> None:
    try:
        made = VerifierKey(name, key)
    except KeyMalformed:
        assert any(c.isspace() or c < " " or c == "+" or 0xD800 <= ord(c) < 0xE000 for c in name)
        return
    assert VerifierKey.parse(str(made)) == made
