"""Parameters that a checkpoint lacks: random numbers of one loading, remembered, and refused wherever they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normlens.errors import InvalidInput
from normlens.hooks import entered_and_left

_MARK = "_normlens_untrained"
_SAMPLE = 4096  # numbers of a parameter that are compared; a fine-tuning changes most of them
_RELATIVE, _ABSOLUTE = 2**-7, 1e-7  # what a cast to bfloat16 or float16 and back may change


@dataclass(frozen=True)
class _Mark:
    """A module's parameters as transformers initialized them: a sample of each, by name."""

    samples: Mapping[str, Tensor]

    def holds(self, module: nn.Module) -> bool:
        """Whether none of them was trained or replaced since."""
        for name, sample in self.samples.items():
            x = getattr(module, name, None)
            if not isinstance(x, Tensor):
                return False
            now = _sample(x)
            if now.shape != sample.shape or not torch.allclose(now, sample, rtol=_RELATIVE, atol=_ABSOLUTE):
                return False
        return True


def mark_untrained(model: nn.Module, keys: Iterable[str]) -> None:
    """Remember that these parameters and buffers, by their paths in ``model``, came from no checkpoint.

    The mark is on the module that owns them, so that it goes where the module goes: into a copy, a wrapper, a new model.
    """
    by_module: dict[str, list[str]] = {}
    for key in sorted(keys):
        path, _, name = key.rpartition(".")
        by_module.setdefault(path, []).append(name)
    for path, names in by_module.items():
        module = model.get_submodule(path)
        found = {name: getattr(module, name, None) for name in names}
        samples = {n: _sample(x) for n, x in found.items() if isinstance(x, Tensor) and x.is_floating_point()}
        if samples:
            setattr(module, _MARK, _Mark(samples))


def untrained(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of ``model`` that its checkpoint lacked and that nobody trained since, by path."""
    found: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        mark = vars(module).get(_MARK)
        if isinstance(mark, _Mark) and mark.holds(module):
            found |= {f"{path}.{name}" if path else name: getattr(module, name) for name in mark.samples}
    return found


def require_trained(model: nn.Module, read: Callable[[], Any]) -> None:
    """Refuse to read a number that depends on parameters which the checkpoint lacked.

    Parameters
    ----------
    model
        The model.
    read
        Runs it and gives what is read, a tensor or a sequence of tensors; called only if such parameters exist. Which of
        them the tensors depend on is told by automatic differentiation.

    Raises
    ------
    InvalidInput
        Naming the parameters.
    """
    random = untrained(model)
    if not random:
        return
    with torch.inference_mode(False), torch.enable_grad(), _differentiable(random.values()):
        tensors = read()
        tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        total = sum((x.float().sum() for x in tensors if x.requires_grad), start=torch.zeros(()))
        gradients: Iterable[Tensor | None] = (
            torch.autograd.grad(total, list(random.values()), allow_unused=True) if total.requires_grad else ()
        )
        touched = [name for name, gradient in zip(random, gradients, strict=False) if gradient is not None]
    if touched:
        more = f" and {len(touched) - 1} more" if len(touched) > 1 else ""
        raise InvalidInput(
            f"The checkpoint of {type(model).__name__} has no {touched[0]}{more}: transformers filled in random numbers, "
            "and what is asked depends on them. Load a checkpoint that was trained for this task, or train these weights "
            "first."
        )


def require_trained_at(model: nn.Module, modules: Iterable[nn.Module], run: Callable[[], Any]) -> None:
    """Refuse as :func:`require_trained` does what these modules return while ``run`` runs the model."""

    def read() -> list[Tensor]:
        seen: list[Tensor] = []

        def keep(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            tree = output if isinstance(output, tuple | list) else [output]
            seen.extend(x for x in tree if isinstance(x, Tensor) and x.is_floating_point())

        with entered_and_left(modules, lambda *_: None, keep):
            run()
        return seen

    require_trained(model, read)


@contextmanager
def _differentiable(tensors: Iterable[Tensor]) -> Iterator[None]:
    before = [(x, x.requires_grad) for x in tensors]
    try:
        for x, _ in before:
            x.requires_grad_(True)
        yield
    finally:
        for x, requires_grad in before:
            x.requires_grad_(requires_grad)


def _sample(x: Tensor) -> Tensor:
    flat = x.detach().flatten()
    return flat[:: max(1, len(flat) // _SAMPLE)].float().cpu().clone()
