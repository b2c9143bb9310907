"""Networks that torch.jit.script turns into loops and branches."""

from typing import List

import torch
from torch import nn

from torch_models import CHANNELS, HORIZON

DIM = 8


class ScriptedDecoder(nn.Module):
    """An autoregressive loop with its number of steps in the model."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(DIM + 1, DIM)
        self.head = nn.Linear(DIM, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(x.size(0), 8)
        for t in range(x.size(1)):
            state = torch.tanh(self.cell(torch.cat([x[:, t : t + 1], state], dim=1)))
        out = self.head(state)
        steps: List[torch.Tensor] = []
        for _ in range(8):
            state = torch.tanh(self.cell(torch.cat([out, state], dim=1)))
            out = self.head(state)
            steps.append(out)
        return torch.cat(steps, dim=1)


class ScriptedBranch(nn.Module):
    """A branch on the data: scaled where the level is high."""

    def __init__(self):
        super().__init__()
        self.high, self.low = nn.Linear(CHANNELS, HORIZON), nn.Linear(CHANNELS, HORIZON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=1)
        if bool(mean.abs().max() > 0.5):
            return self.high(mean / mean.abs().max())
        else:
            return self.low(mean)
