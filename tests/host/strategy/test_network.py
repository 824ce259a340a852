"""The network: exact in integers, the same in every order of adding, and the file that runs it."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.strategy.errors import ModelUnfit
from strongroom_host.strategy.model import SHIPPED, load_model
from strongroom_host.strategy.network import HIGHEST_HIDDEN, Matrix, Network, Vector
from strongroom_host.strategy.onnx_file import onnx_bytes
from strongroom_host.strategy.runtimes import stepper


def made(seed: int, hidden: int = 6, features: int = 12, top: int = 127) -> Network:
    chance = random.Random(seed)  # noqa: S311

    def matrix(rows: int, columns: int) -> Matrix:
        return tuple(tuple(chance.randint(-top, top) for _ in range(columns)) for _ in range(rows))

    def vector(length: int, high: int) -> Vector:
        return tuple(chance.randint(-high, high) for _ in range(length))

    return Network(
        *(matrix(2 * hidden, features), matrix(2 * hidden, hidden), vector(2 * hidden, 1 << 17)),
        *(matrix(hidden, hidden), vector(hidden, 1 << 16)),
        *(matrix(hidden, features), vector(hidden, 1 << 16)),
        *(vector(hidden, top), 5),
    )


def oracle(net: Network, x: Vector, h: Vector) -> tuple[int, Vector]:
    """The formulas of the module's docstring in fractions, written out once more."""

    def dot(row: Vector, values: Vector) -> int:
        return sum(a * b for a, b in zip(row, values, strict=True))

    def nearest(value: Fraction, low: int, high: int) -> int:
        return max(low, min(high, (value + Fraction(1, 2)).__floor__()))

    units = net.hidden
    gates = [
        nearest(
            Fraction(8 * dot(net.gate_x[n], x) + dot(net.gate_h[n], h) + net.gate_b[n], 2048) + 64,
            *(0, 128),
        )
        for n in range(2 * units)
    ]
    state = []
    for n in range(units):
        memory = nearest(Fraction(dot(net.memory_h[n], h) + net.memory_b[n], 64), -8192, 8192)
        new = nearest(
            Fraction(16 * dot(net.new_x[n], x) + gates[n] * memory + net.new_b[n], 128),
            *(-1024, 1024),
        )
        state.append(new + nearest(Fraction(gates[units + n] * (h[n] - new), 128), -9999, 9999))
    score = nearest(Fraction(dot(net.score_h, tuple(state)) + net.score_b, 512), -1024, 1024)
    return score, tuple(state)


FEATURES = st.tuples(*[st.integers(-256, 256)] * 12)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 999), steps=st.lists(FEATURES, max_size=6))
def test_it_computes_what_is_written(seed: int, steps: list[Vector]) -> None:
    net = made(seed)
    mine = theirs = (0,) * net.hidden
    for x in steps:
        score, mine = net.step(x, mine)
        assert (score, mine) == oracle(net, x, theirs)
        theirs = mine
        assert all(abs(value) <= HIGHEST_HIDDEN for value in mine)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), steps=st.lists(FEATURES, min_size=1, max_size=8))
def test_the_file_computes_the_same_to_the_last_bit(seed: int, steps: list[Vector]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    net = made(seed)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        onnx_bytes(net), options, providers=["CPUExecutionProvider"]
    )
    state, hidden = (0,) * net.hidden, np.zeros((1, net.hidden), np.float32)
    for x in steps:
        score, state = net.step(x, state)
        given_ = {"features": np.array([x], np.float32), "hidden": hidden}
        said, hidden = session.run(None, given_)
        assert float(said[0, 0]) == score
        assert tuple(hidden[0].tolist()) == state


def test_every_order_of_adding_gives_the_same() -> None:
    """What a GPU may do: other orders and partial sums, here of the largest that there can be."""
    model = load_model(SHIPPED)
    net, chance = model.description.weights, random.Random(3)  # noqa: S311
    for row, other, bias in zip(net.gate_x, net.gate_h, net.gate_b, strict=True):
        x = [256 if value > 0 else -256 for value in row]
        h = [1024 if value > 0 else -1024 for value in other]
        terms = [a * b * 8 / 2048 for a, b in zip(row, x, strict=True)]
        terms += [a * b / 2048 for a, b in zip(other, h, strict=True)]
        terms += [bias / 2048 + 64.5]
        exact = sum(map(Fraction, terms))
        for _ in range(5):
            chance.shuffle(terms)
            total = np.float32(0)
            for term in terms:
                total = np.float32(total + np.float32(term))
            assert Fraction(float(total)) == exact


def test_sums_that_float32_could_round_are_refused() -> None:
    net = made(1, hidden=120)
    parts = {name: getattr(net, name) for name in Network.__dataclass_fields__}
    parts["memory_h"] = ((127,) * 120,) * 120
    assert Network(**parts).largest() < 1 << 24
    parts["memory_b"] = ((1 << 24) - 120 * 127 * 1024,) * 120
    with pytest.raises(ModelUnfit, match="beyond what float32") as caught:
        Network(**parts)
    assert int(str(caught.value.actual)) >= 1 << 24


@pytest.mark.parametrize(
    ("field", "words"),
    [("gate_x", "shape"), ("gate_b", "shape"), ("memory_h", "shape"), ("score_h", "shape")],
)
def test_other_shapes_are_refused(field: str, words: str) -> None:
    net = made(1)
    parts = {name: getattr(net, name) for name in Network.__dataclass_fields__}
    parts[field] = parts[field][:-1]
    with pytest.raises(ModelUnfit, match=words):
        Network(**parts)


def test_weights_have_bounds() -> None:
    with pytest.raises(ModelUnfit, match="too large"):
        made(1, top=400)


def test_the_runtimes_carry_state_from_step_to_step_and_can_forget() -> None:
    model = load_model(SHIPPED)
    exact, onnx = stepper(model, "exact", "cpu"), stepper(model, "onnx", "cpu")
    chance = random.Random(5)  # noqa: S311
    rows = [[chance.randint(-256, 256) for _ in range(12)] for _ in range(300)]
    first = [exact.step(row) for row in rows]
    assert [onnx.step(row) for row in rows] == first
    assert len(set(first)) > 100
    for runtime in (exact, onnx):
        assert [runtime.step(row) for row in rows[:5]] != first[:5]
        runtime.reset()
        assert [runtime.step(row) for row in rows] == first
