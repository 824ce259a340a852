"""Training of the network, with torch: quantised as it runs, so that what is trained is what runs.

Each step of training computes with weights already rounded to their grid, and the rounding is
passed over when gradients go back (a straight-through estimator). One thread and deterministic
algorithms: the same tape, seed and version of torch on the same kind of machine give the same
model. Another machine may give another one; the model file, not its recipe, is what decisions are
recorded under.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from strongroom_host.strategy.features import NAMES
from strongroom_host.strategy.network import HIGHEST_HIDDEN, HIGHEST_WEIGHT, Matrix, Network
from strongroom_host.strategy.steps import Sample

__all__ = ["Plan", "Quality", "quality", "targets", "torch_version", "train"]

_CENT_TWICE = 2_000_000
_CLIP = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Attributes:
        seed: Of weights and order.
        hidden: Units of state.
        horizon: Steps ahead that are predicted.
        epochs: Passes over the steps.
        streams: Stretches that are trained side by side.
        stretch: Steps that gradients go back.
        rate: Of learning, at first; it falls to a tenth.
    """

    seed: int = 1
    hidden: int = 24
    horizon: int = 30
    epochs: int = 12
    streams: int = 64
    stretch: int = 50
    rate: float = 0.004


@dataclass(frozen=True, slots=True)
class Quality:
    """How scores compare with what came. Errors in cents squared.

    Attributes:
        steps: How many were compared.
        error: Mean squared error of the score.
        naive_error: ... of predicting no change.
        right: Of steps with half a cent or more to come, the share whose direction was right.
        moves: How many those were.
    """

    steps: int
    error: float
    naive_error: float
    right: float
    moves: int


def torch_version() -> str:
    """Returns the version of torch."""
    return str(torch.__version__)


def targets(samples: Sequence[Sample], horizon: int) -> list[int | None]:
    """Returns what each step's score should be, 1/128 cent; None where nobody knows: at the end,
    and where something was missing in between."""
    wanted: list[int | None] = []
    breaks = [place for place, sample in enumerate(samples) if sample.first] + [len(samples)]
    upcoming = 0
    for place, sample in enumerate(samples):
        while breaks[upcoming] <= place:
            upcoming += 1
        if place + horizon >= breaks[upcoming]:
            wanted.append(None)
            continue
        change = samples[place + horizon].twice_mid - sample.twice_mid
        wanted.append(max(-_CLIP, min(_CLIP, change * 128 // _CENT_TWICE)))
    return wanted


class _Rounded(torch.autograd.Function):  # type: ignore[misc]  # torch is not in this environment
    """Rounds to nearest, halves up; gradients pass as if it had not."""

    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:  # noqa: ARG004  torch's own signature
        return torch.floor(value + 0.5)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        return gradients[0]


def _rounded(value: Tensor) -> Tensor:
    rounded: Tensor = _Rounded.apply(value)
    return rounded


class _Trainee(nn.Module):  # type: ignore[misc]
    """The network of `network`, in the same units, with weights that can still move."""

    def __init__(self, hidden: int, features: int) -> None:
        super().__init__()
        self.hidden = hidden

        def weights(rows: int, columns: int, spread: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns) * spread * 64)

        self.gate_x = weights(2 * hidden, features, 0.5 / math.sqrt(features))
        self.gate_h = weights(2 * hidden, hidden, 0.5 / math.sqrt(hidden))
        self.memory_h = weights(hidden, hidden, 0.7 / math.sqrt(hidden))
        self.new_x = weights(hidden, features, 0.7 / math.sqrt(features))
        self.score_h = weights(1, hidden, 0.3 / math.sqrt(hidden))
        # Biases in units of a weight's, so that all learn at one pace; update begins high: memory.
        self.gate_b = nn.Parameter(torch.cat([torch.zeros(hidden), torch.full((hidden,), 64.0)]))
        self.memory_b, self.new_b = (nn.Parameter(torch.zeros(hidden)) for _ in range(2))
        self.score_b = nn.Parameter(torch.zeros(1))

    def grid(self) -> dict[str, Tensor]:
        """Returns the weights as they will be: rounded, and in their bounds."""
        matrices = ("gate_x", "gate_h", "memory_h", "new_x", "score_h")
        rounded = {
            name: _rounded(getattr(self, name).clamp(-HIGHEST_WEIGHT, HIGHEST_WEIGHT))
            for name in matrices
        }
        scales = {"gate_b": 1024, "memory_b": 1024, "new_b": 2048, "score_b": 1024}
        for name, scale in scales.items():
            rounded[name] = _rounded(getattr(self, name) * scale)
        return rounded

    def network(self) -> Network:
        """Returns the network in integers."""
        grid = {
            name: value.detach().to(torch.int64).tolist() for name, value in self.grid().items()
        }

        def matrix(name: str) -> Matrix:
            return tuple(tuple(row) for row in grid[name])

        return Network(
            gate_x=matrix("gate_x"),
            gate_h=matrix("gate_h"),
            gate_b=tuple(grid["gate_b"]),
            memory_h=matrix("memory_h"),
            memory_b=tuple(grid["memory_b"]),
            new_x=matrix("new_x"),
            new_b=tuple(grid["new_b"]),
            score_h=matrix("score_h")[0],
            score_b=grid["score_b"][0],
        )


def _step(grid: dict[str, Tensor], features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Returns score (1/128, unrounded and unclipped for the loss's sake) and next state."""
    top = float(HIGHEST_HIDDEN)
    gate = 8 * features @ grid["gate_x"].T + hidden @ grid["gate_h"].T + grid["gate_b"]
    reset, update = _rounded((gate / 2048 + 64).clamp(0, 128)).chunk(2, dim=1)
    memory = _rounded(((hidden @ grid["memory_h"].T + grid["memory_b"]) / 64).clamp(-8192, 8192))
    new = 16 * features @ grid["new_x"].T + reset * memory + grid["new_b"]
    new = _rounded((new / 128).clamp(-top, top))
    state = new + _rounded(update * (hidden - new) / 128)
    score = (state @ grid["score_h"].T + grid["score_b"]) / 512
    return score[:, 0], state


def train(
    samples: Sequence[Sample], plan: Plan, tell: Callable[[int, float], None]
) -> tuple[Network, Quality]:
    """Returns a network trained on those steps, and how it does on them (which proves little).

    Args:
        samples: Steps of a tape, in order.
        plan: How.
        tell: Is told of each epoch and its loss.
    """
    torch.manual_seed(plan.seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    features, wanted, known, fresh = _streams(samples, plan)
    trainee = _Trainee(plan.hidden, len(NAMES))
    optimiser = torch.optim.Adam(trainee.parameters(), lr=plan.rate * 64)
    length = features.shape[0]
    for epoch in range(plan.epochs):
        for group in optimiser.param_groups:
            fade = 0.5 * (1 + math.cos(math.pi * epoch / plan.epochs))
            group["lr"] = plan.rate * 64 * (0.1 + 0.9 * fade)
        hidden, total = torch.zeros(features.shape[1], plan.hidden), 0.0
        for begin in range(0, length, plan.stretch):
            grid, scores = trainee.grid(), list[Tensor]()
            end = min(begin + plan.stretch, length)
            for place in range(begin, end):
                hidden = hidden * (~fresh[place]).unsqueeze(1)
                score, hidden = _step(grid, features[place], hidden)
                scores.append(score)
            missed = (torch.stack(scores) - wanted[begin:end]) / 128
            loss = nn.functional.huber_loss(
                missed * known[begin:end], torch.zeros_like(missed), delta=2.0
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trainee.parameters(), 0.05)
            optimiser.step()
            hidden = hidden.detach()
            total += float(loss.detach()) * (end - begin)
        tell(epoch + 1, total / length)
    network = trainee.network()
    return network, quality(network, samples, plan.horizon)


def _streams(samples: Sequence[Sample], plan: Plan) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns steps by streams: features, targets, whether each is known, whether state is new."""
    length = len(samples) // plan.streams
    if length < plan.stretch:
        raise ValueError(f"{len(samples)} steps are too few for {plan.streams} streams")
    kept = samples[: length * plan.streams]
    wanted = targets(samples, plan.horizon)[: len(kept)]

    def shaped(values: Sequence[object]) -> Tensor:
        return torch.tensor(values).reshape(plan.streams, length, -1).transpose(0, 1).contiguous()

    features = shaped([sample.features for sample in kept]).float()
    goal = shaped([each or 0 for each in wanted]).float()[:, :, 0]
    known = shaped([each is not None for each in wanted]).float()[:, :, 0]
    fresh = shaped([sample.first for sample in kept]).bool()[:, :, 0]
    fresh[0] = True
    return features, goal, known, fresh


def quality(network: Network, samples: Sequence[Sample], horizon: int) -> Quality:
    """Returns how a network's scores compare with what came."""
    wanted = targets(samples, horizon)
    weights = {
        name: torch.tensor(getattr(network, name)).float() for name in Network.__dataclass_fields__
    }
    weights["score_h"] = weights["score_h"].unsqueeze(0)
    hidden = torch.zeros(1, network.hidden)
    squares = naive = 0.0
    count = right = moves = 0
    with torch.inference_mode():
        for sample, goal in zip(samples, wanted, strict=True):
            if sample.first:
                hidden = torch.zeros(1, network.hidden)
            row = torch.tensor([sample.features]).float()
            score, hidden = _step(weights, row, hidden)
            if goal is None:
                continue
            said = float(score.clamp(-_CLIP, _CLIP))
            count += 1
            squares += ((said - goal) / 128) ** 2
            naive += (goal / 128) ** 2
            if abs(goal) >= 64:
                moves += 1
                right += (said > 0) is (goal > 0)
    known = max(1, count)
    return Quality(count, squares / known, naive / known, right / max(1, moves), moves)
