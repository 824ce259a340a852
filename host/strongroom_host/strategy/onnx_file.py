"""A network as an ONNX file, written byte by byte: the same network gives the same file.

Twenty-two nodes of opset 13 in float32. Every constant is a weight times a power of two, so none is
rounded (`network` has the argument). Field numbers are those of onnx.proto3.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from strongroom_host.strategy.network import HIGHEST_HIDDEN, Matrix, Network, Vector

__all__ = ["INPUTS", "OUTPUTS", "onnx_bytes"]

INPUTS: Final = ("features", "hidden")
OUTPUTS: Final = ("score", "next_hidden")

_IR: Final = 8
_OPSET: Final = 13
_FLOAT, _INT64 = 1, 7
_INT_ATTRIBUTE = 2


def onnx_bytes(network: Network) -> bytes:
    """Returns the file: features (1, F) and hidden (1, H) in, score (1, 1) and next_hidden out."""
    units, width = network.hidden, network.features
    nodes = [
        _node("Gemm", ("features", "gate_x", "gate_b"), "gate_1", transposed=True),
        _node("Gemm", ("hidden", "gate_h", "gate_1"), "gate_2", transposed=True),
        _node("Floor", ("gate_2",), "gate_3"),
        _node("Clip", ("gate_3", "zero", "gate_top"), "gates"),
        _node("Split", ("gates", "halves"), "reset", "update"),
        _node("Gemm", ("hidden", "memory_h", "memory_b"), "memory_1", transposed=True),
        _node("Floor", ("memory_1",), "memory_2"),
        _node("Clip", ("memory_2", "memory_low", "memory_top"), "memory"),
        _node("Mul", ("reset", "memory"), "kept_1"),
        _node("Mul", ("kept_1", "per_128"), "kept"),
        _node("Gemm", ("features", "new_x", "new_b"), "new_1", transposed=True),
        _node("Add", ("new_1", "kept"), "new_2"),
        _node("Floor", ("new_2",), "new_3"),
        _node("Clip", ("new_3", "low", "top"), "new"),
        _node("Sub", ("hidden", "new"), "change_1"),
        _node("Mul", ("change_1", "update"), "change_2"),
        _node("Mul", ("change_2", "per_128"), "change_3"),
        _node("Add", ("change_3", "half"), "change_4"),
        _node("Floor", ("change_4",), "change"),
        _node("Add", ("new", "change"), "next_hidden"),
        _node("Gemm", ("next_hidden", "score_h", "score_b"), "score_1", transposed=True),
        _node("Floor", ("score_1",), "score_2"),
        _node("Clip", ("score_2", "low", "top"), "score"),
    ]
    top = float(HIGHEST_HIDDEN)
    weights = [
        _matrix("gate_x", network.gate_x, 8 / 2048),
        _matrix("gate_h", network.gate_h, 1 / 2048),
        _row("gate_b", network.gate_b, 1 / 2048, 64.5),
        _matrix("memory_h", network.memory_h, 1 / 64),
        _row("memory_b", network.memory_b, 1 / 64, 0.5),
        _matrix("new_x", network.new_x, 16 / 128),
        _row("new_b", network.new_b, 1 / 128, 0.5),
        _matrix("score_h", (network.score_h,), 1 / 512),
        _row("score_b", (network.score_b,), 1 / 512, 0.5),
        *(_scalar(name, value) for name, value in (("zero", 0.0), ("gate_top", 128.0))),
        *(
            _scalar(name, value)
            for name, value in (("memory_low", -8192.0), ("memory_top", 8192.0))
        ),
        *(_scalar(name, value) for name, value in (("low", -top), ("top", top), ("half", 0.5))),
        _scalar("per_128", 1 / 128),
        _tensor("halves", (2,), _INT64, struct.pack("<2q", units, units)),
    ]
    graph = [
        *(_bytes(1, node) for node in nodes),
        _bytes(2, b"gru"),
        *(_bytes(5, tensor) for tensor in weights),
        _bytes(11, _value("features", width)),
        _bytes(11, _value("hidden", units)),
        _bytes(12, _value("score", 1)),
        _bytes(12, _value("next_hidden", units)),
    ]
    opset = _bytes(1, b"") + _number(2, _OPSET)
    head = _number(1, _IR) + _bytes(2, b"strongroom")
    return head + _bytes(7, b"".join(graph)) + _bytes(8, opset)


def _node(kind: str, inputs: Sequence[str], *outputs: str, transposed: bool = False) -> bytes:
    parts = [_bytes(1, name.encode()) for name in inputs]
    parts += [_bytes(2, name.encode()) for name in outputs]
    parts.append(_bytes(4, kind.encode()))
    attributes = {"transB": 1} if transposed else {"axis": 1} if kind == "Split" else {}
    for name, value in attributes.items():
        attribute = _bytes(1, name.encode()) + _number(3, value) + _number(20, _INT_ATTRIBUTE)
        parts.append(_bytes(5, attribute))
    return b"".join(parts)


def _matrix(name: str, rows: Matrix, scale: float) -> bytes:
    values = [value * scale for row in rows for value in row]
    return _tensor(name, (len(rows), len(rows[0])), _FLOAT, _floats(values))


def _row(name: str, values: Vector, scale: float, more: float) -> bytes:
    floats = _floats([value * scale + more for value in values])
    return _tensor(name, (1, len(values)), _FLOAT, floats)


def _scalar(name: str, value: float) -> bytes:
    return _tensor(name, (), _FLOAT, _floats([value]))


def _floats(values: Sequence[float]) -> bytes:
    data = struct.pack(f"<{len(values)}f", *values)
    if struct.unpack(f"<{len(values)}f", data) != tuple(values):
        raise ValueError("a weight is not exact in float32, which `Network` rules out")
    return data


def _tensor(name: str, shape: Iterable[int], kind: int, data: bytes) -> bytes:
    dimensions = b"".join(_number(1, each) for each in shape)
    return dimensions + _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, data)


def _value(name: str, width: int) -> bytes:
    shape = b"".join(_bytes(1, _number(1, each)) for each in (1, width))
    tensor = _number(1, _FLOAT) + _bytes(2, shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
