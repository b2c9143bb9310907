"""What is exported from PyTorch, and example inputs."""

from dataclasses import dataclass
from typing import Callable

import torch
from torch import nn

import torch_models as tm

TORCHSCRIPT, DYNAMO = "torch.onnx, TorchScript", "torch.onnx, dynamo"


@dataclass(frozen=True)
class TorchCase:
    """A network, its example inputs, and its dimensions that are not fixed.

    `dynamic` gives, for each input, {axis: name}; `exporters` are those that
    can write the network.
    """

    name: str
    build: Callable[[], nn.Module]
    args: tuple[torch.Tensor, ...]
    inputs: tuple[str, ...] = ("context",)
    outputs: tuple[str, ...] = ("forecast",)
    dynamic: tuple[dict[int, str], ...] = ()
    exporters: tuple[str, ...] = (TORCHSCRIPT, DYNAMO)


def window(batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, tm.CONTEXT, tm.CHANNELS)


def tokens(batch: int = 1, length: int = tm.CONTEXT) -> torch.Tensor:
    return torch.randint(0, tm.VOCABULARY, (batch, length))
