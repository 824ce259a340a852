"""The network as a torch module, to run eagerly, on a GPU, or compiled."""

import torch
from torch import Tensor, nn

from strongroom_host.strategy.network import HIGHEST_HIDDEN, Network

__all__ = ["Gru"]


class Gru(nn.Module):  # type: ignore[misc]  # torch is not in this environment
    """The same operations as the ONNX file, on the same numbers, in the same units."""

    def __init__(self, network: Network) -> None:
        super().__init__()

        def held(name: str, values: object, scale: float, more: float = 0.0) -> None:
            exact = torch.tensor(values, dtype=torch.float64) * scale + more
            self.register_buffer(name, exact.reshape(-1, exact.shape[-1]).float())

        held("gate_x", network.gate_x, 8 / 2048)
        held("gate_h", network.gate_h, 1 / 2048)
        held("gate_b", network.gate_b, 1 / 2048, 64.5)
        held("memory_h", network.memory_h, 1 / 64)
        held("memory_b", network.memory_b, 1 / 64, 0.5)
        held("new_x", network.new_x, 16 / 128)
        held("new_b", network.new_b, 1 / 128, 0.5)
        held("score_h", network.score_h, 1 / 512)
        held("score_b", (network.score_b,), 1 / 512, 0.5)

    def forward(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Returns score (1, 1) and next state (1, H)."""
        top = float(HIGHEST_HIDDEN)
        gate = features @ self.gate_x.T + hidden @ self.gate_h.T + self.gate_b
        reset, update = torch.floor(gate).clamp(0.0, 128.0).chunk(2, dim=1)
        memory = torch.floor(hidden @ self.memory_h.T + self.memory_b).clamp(-8192.0, 8192.0)
        new = features @ self.new_x.T + self.new_b + reset * memory / 128.0
        new = torch.floor(new).clamp(-top, top)
        state = new + torch.floor((hidden - new) * update / 128.0 + 0.5)
        score = torch.floor(state @ self.score_h.T + self.score_b).clamp(-top, top)
        return score, state
