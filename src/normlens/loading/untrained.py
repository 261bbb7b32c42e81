"""Mark parameters that a checkpoint lacks, which transformers fills with random numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_MARK = "_normlens_untrained"
_SAMPLE = 4096  # values of a parameter that are compared; training changes most of them
_RELATIVE, _ABSOLUTE = 2**-7, 1e-7  # the largest change by a cast to bfloat16 or float16 and back


@dataclass(frozen=True)
class _Mark:
    """A module's parameters as transformers initialized them: a sample of each, by name."""

    samples: Mapping[str, Tensor]

    def holds(self, module: nn.Module) -> bool:
        """Whether none of the parameters has been trained or replaced since."""
        for name, sample in self.samples.items():
            x = getattr(module, name, None)
            if not isinstance(x, Tensor):
                return False
            current = _sample(x)
            if current.shape != sample.shape or not torch.allclose(current, sample, rtol=_RELATIVE, atol=_ABSOLUTE):
                return False
        return True


def mark_untrained(model: nn.Module, keys: Iterable[str]) -> None:
    """Mark parameters and buffers, by their paths in ``model``, that came from no checkpoint.

    The mark is set on the module that owns them, so that it follows the module into a copy, a wrapper or another model.
    """
    by_module: dict[str, list[str]] = {}
    for key in sorted(keys):
        path, _, name = key.rpartition(".")
        by_module.setdefault(path, []).append(name)
    for path, names in by_module.items():
        module = model.get_submodule(path)
        tensors = {name: getattr(module, name, None) for name in names}
        samples = {n: _sample(x) for n, x in tensors.items() if isinstance(x, Tensor) and x.is_floating_point()}
        if samples:
            setattr(module, _MARK, _Mark(samples))


def untrained(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of ``model`` that its checkpoint lacked and that were not trained since, by path."""
    parameters: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        mark = vars(module).get(_MARK)
        if isinstance(mark, _Mark) and mark.holds(module):
            parameters |= {f"{path}.{name}" if path else name: getattr(module, name) for name in mark.samples}
    return parameters


def _sample(x: Tensor) -> Tensor:
    flat = x.detach().flatten()
    return flat[:: max(1, len(flat) // _SAMPLE)].float().cpu().clone()
