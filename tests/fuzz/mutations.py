"""Ways to spoil good bytes, good fields and good documents, as hypothesis strategies."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

__all__ = ["Node", "as_nodes", "mutated", "repacked", "respelled", "spoiled", "written"]

_LENGTHS = [0, 1, 4, 31, 32, 33, 2**16, 2**31, 2**32 - 1]


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Return `data` after one to three changes to its bytes."""
    for _ in range(draw(st.integers(1, 3))):
        at, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        change = draw(st.sampled_from(["flip", "put", "insert", "cut", "repeat", "length", "end"]))
        head, middle, tail = data[:at], data[at:end], data[end:]
        if change == "flip" and at < len(data):
            flipped = data[at] ^ 1 << draw(st.integers(0, 7))
            data = head + bytes([flipped]) + data[at + 1 :]
        elif change == "put":
            new = draw(st.binary(min_size=1, max_size=4))
            data = head + new + data[at + len(new) :]
        elif change == "insert":
            data = head + draw(st.binary(min_size=1, max_size=40)) + data[at:]
        elif change == "cut":
            data = head + tail
        elif change == "repeat":
            data = head + middle + middle + tail
        elif change == "length":
            data = head + draw(st.sampled_from(_LENGTHS)).to_bytes(4, "big") + data[at + 4 :]
        else:
            data = head
    return data


@st.composite
def repacked(draw: st.DrawFn, fields: Sequence[bytes]) -> list[bytes]:
    """Return the fields of a packed value with one of them misplaced, resized or spoiled."""
    found = list(fields) or [b""]
    at = draw(st.integers(0, len(found) - 1))
    match draw(st.sampled_from(["drop", "double", "swap", "resize", "spoil", "none"])):
        case "drop":
            del found[at]
        case "double":
            found.insert(draw(st.integers(0, len(found))), found[at])
        case "swap":
            other = draw(st.integers(0, len(found) - 1))
            found[at], found[other] = found[other], found[at]
        case "resize":
            size = draw(st.integers(0, 100))
            found[at] = (found[at] + bytes(100))[:size]
        case "spoil":
            found[at] = draw(mutated(found[at]))
    return found


class Node:
    """A JSON object as the pairs it is written with: keys may repeat, and stand in any order."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def as_nodes(data: bytes) -> Node:
    """Return a JSON document with its objects as `Node`s."""
    node = json.loads(data, object_pairs_hook=Node)
    assert isinstance(node, Node)
    return node


def written(value: object, indent: int = 0) -> str:
    """Return two-space JSON of nodes, lists and scalars; a `Raw` stands for its own text."""
    pad, close = "  " * (indent + 1), "  " * indent
    if isinstance(value, _Raw):
        return value.text
    if isinstance(value, Node):
        entries = [f"{json.dumps(key)}: {written(v, indent + 1)}" for key, v in value.pairs]
        opening, closing = "{", "}"
    elif isinstance(value, list):
        entries = [written(entry, indent + 1) for entry in value]
        opening, closing = "[", "]"
    else:
        return json.dumps(value, ensure_ascii=False)
    if not entries:
        return opening + closing
    inside = ",\n".join(pad + entry for entry in entries)
    return f"{opening}\n{inside}\n{close}{closing}"


class _Raw:
    """Text that stands in the document as it is, JSON or not."""

    def __init__(self, text: str) -> None:
        self.text = text


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**70),
    st.text(max_size=12),
    st.text("0123456789abcdef", max_size=70),
    st.sampled_from(
        ["", "0", "-0", "1E+3", "1e999999999", "NaN", "Infinity", "0.0000001", "1.50", "buy", "v2"]
        + ["eoa", "session", "production", "order", "a\n", "00" * 32, "AA==", "AB=="]
        + ["0x" + "0" * 40, "clob.polymarket.com"]
    ),
)
_RAW = st.sampled_from(
    ["7.0", "7e0", "-0", "007", "1e400", "9" * 400, "1." + "0" * 400, "nul", "'a'", '"\\u0061"']
    + ['"\\ud800"', "[" * 2000, '"\\/"', "NaN", "{}", "[[]]", '{"a": {}}', "/*x*/1", "0x10"]
).map(_Raw)


@st.composite
def spoiled(draw: st.DrawFn, document: Node) -> Node:
    """Return the document with one to three changes to its keys or values, in place."""
    for _ in range(draw(st.integers(1, 3))):
        holders = _holders(document)
        holder = draw(st.sampled_from(holders))
        if isinstance(holder, Node) and holder.pairs:
            _spoil_pairs(draw, holder.pairs)
        elif isinstance(holder, list):
            _spoil_entries(draw, holder)
    return document


_CHANGES = ["value", "value", "raw", "drop", "double", "other", "swap", "add"]


def _spoil_pairs(draw: st.DrawFn, pairs: list[tuple[str, Any]]) -> None:
    at = draw(st.integers(0, len(pairs) - 1))
    key, value = pairs[at]
    match draw(st.sampled_from(_CHANGES)):
        case "value":
            pairs[at] = (key, draw(_SCALARS))
        case "raw":
            pairs[at] = (key, draw(_RAW))
        case "drop":
            del pairs[at]
        case "double":
            pairs.insert(draw(st.integers(0, len(pairs))), (key, value))
        case "other":
            pairs.insert(draw(st.integers(0, len(pairs))), (key, draw(_SCALARS)))
        case "swap":
            other = draw(st.integers(0, len(pairs) - 1))
            pairs[at], pairs[other] = pairs[other], pairs[at]
        case "add":
            pairs.append((draw(st.text(max_size=8)), value))


def _spoil_entries(draw: st.DrawFn, entries: list[Any]) -> None:
    at = draw(st.integers(0, len(entries)))
    match draw(st.sampled_from(["drop", "double", "add", "raw"])):
        case "drop":
            del entries[at : at + 1]
        case "double":
            entries[at:at] = entries[at : at + 1]
        case "add":
            entries.insert(at, draw(_SCALARS))
        case "raw":
            entries.insert(at, draw(_RAW))


def _holders(value: object) -> list[object]:
    """Return every object and array in the document, itself included."""
    if isinstance(value, Node):
        return [value, *(found for _, entry in value.pairs for found in _holders(entry))]
    if isinstance(value, list):
        return [value, *(found for entry in value for found in _holders(entry))]
    return []


@st.composite
def respelled(draw: st.DrawFn, data: bytes) -> bytes:
    """Return a text that most JSON readers take for the same document, written otherwise."""
    text = data.decode()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text) - 1))
        match draw(st.sampled_from(["space", "escape", "zero", "case", "newline", "comma"])):
            case "space":
                text = text[:at] + draw(st.sampled_from(" \t\n\r\ufeff")) + text[at:]
            case "escape":
                text = text[:at] + f"\\u{ord(text[at]):04x}" + text[at + 1 :]
            case "zero":
                text = text[:at] + "0" + text[at:]
            case "case":
                text = text[:at] + text[at].swapcase() + text[at + 1 :]
            case "newline":
                text = text.replace("\n", "\r\n")
            case "comma":
                text = text[:at] + "," + text[at:]
    return text.encode()
