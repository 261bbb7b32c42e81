"""Where a model keeps a weight that a run multiplied with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ParameterLocation:
    """A parameter of a module.

    Attributes
    ----------
    path
        Path of the module.
    name
        Name of the parameter in it.
    transposed
        Whether the run multiplied with its transpose.
    """

    path: str
    name: str
    transposed: bool

    def outside(self, attention: str) -> list[str]:
        """Paths of the modules that contain the parameter (its own included) but not an attention module."""
        names = self.path.split(".")
        paths = [".".join(names[: n + 1]) for n in range(len(names))]
        return [path for path in paths if path != attention and not attention.startswith(f"{path}.")]


def locations_of(weight: Tensor, model: nn.Module) -> list[ParameterLocation]:
    """Every parameter of a model that is this matrix, as it is or transposed: several if modules share it; none if computed.

    Parameters
    ----------
    weight
        The matrix, as the run multiplied with it.
    model
        The model.
    """
    locations: list[ParameterLocation] = []
    for path, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is None or parameter.data_ptr() != weight.data_ptr() or parameter.ndim != 2:
                continue
            for transposed, seen in ((False, parameter), (True, parameter.T)):
                if seen.shape == weight.shape and seen.stride() == weight.stride() and torch.equal(seen, weight):
                    locations.append(ParameterLocation(path, name, transposed))
    return locations
