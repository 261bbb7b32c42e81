"""Random parameters that leave no mistake room to hide: no bias is zero, no gain is one, no attention is uniform."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

ATTENTION_GAIN = 1.5
"""How much wider than unit variance queries and keys are, so that the softmax is far from uniform."""

QUERY_AND_KEY_NAMES = ("q_proj", "k_proj", "query", "key", "qkv", "c_attn", "Wqkv", "q_lin", "k_lin")
"""Last names in the paths of query and key projections, fused ones included."""


@torch.no_grad()
def randomize(model: nn.Module, seed: int) -> None:
    """Draw every parameter of `model` anew, in place.

    Matrices keep activations of order one (variance 1 / fan-in); norm gains are 1 + 0.3 N, or 0.3 N where the model
    adds the one itself; biases are 0.2 N; layer scales are 0.5 + 0.3 N. Vectors that the model itself initializes to
    differing values (decay rates, frequencies, slopes) and re-parametrized weights stay as they are.

    Parameters
    ----------
    model
        A freshly initialized model.
    seed
        Seed of the generator; the global generator isn't touched.
    """
    generator = torch.Generator().manual_seed(seed)
    modules = dict(model.named_modules())
    for path, parameter in model.named_parameters():
        owner_path, _, name = path.rpartition(".")
        if "parametrizations" in path or not parameter.is_floating_point() or parameter.numel() == 0:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(_redrawn(parameter, noise, modules[owner_path], owner_path, name))


def _redrawn(parameter: Tensor, noise: Tensor, owner: nn.Module, owner_path: str, name: str) -> Tensor:
    """Return the new value of one parameter, from standard normal noise of its shape."""
    if name.endswith("bias") or name.startswith("bias"):
        return 0.2 * noise
    if isinstance(owner, nn.Embedding):
        return noise
    if parameter.dim() >= 2 and not _is_constant(parameter):
        gain = ATTENTION_GAIN if owner_path.rpartition(".")[2] in QUERY_AND_KEY_NAMES else 1.0
        return gain * noise / math.sqrt(_fan_in(parameter, owner))
    if not _is_constant(parameter):
        return parameter
    # A temperature of attention starts at zero, but is learned from there.
    value = 1.0 if name == "temp" else float(parameter.flatten()[0])
    if value == 0.0 or parameter.dim() >= 2:
        return value + 0.3 * noise
    return (1.0 if value == 1.0 else 0.5) + 0.3 * noise


def _is_constant(parameter: Tensor) -> bool:
    """Tell whether all entries are equal, as gains, biases and layer scales are at initialization."""
    return bool((parameter == parameter.flatten()[0]).all())


def _fan_in(parameter: Tensor, owner: nn.Module) -> int:
    """Return how many inputs one output of a matrix or convolution adds up."""
    if type(owner).__name__ == "Conv1D":
        return parameter.shape[0]
    if parameter.dim() == 3 and not isinstance(owner, nn.Conv1d):
        return min(parameter.shape[1:])
    return math.prod(parameter.shape[1:])
