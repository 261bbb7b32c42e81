"""Refusal of numbers that depend on parameters missing from the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from normlens.engine.capture.hooks import leave_hooks
from normlens.errors import InvalidInput
from normlens.loading.untrained import untrained


def require_trained(model: nn.Module, read: Callable[[], Any]) -> None:
    """Refuse a number that depends on parameters missing from the checkpoint.

    Parameters
    ----------
    model
        The model.
    read
        Runs the model and returns the number: a tensor or a sequence of tensors. Called only if such parameters exist.
        Automatic differentiation tells which of them the tensors depend on.

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
        used = [name for name, gradient in zip(random, gradients, strict=False) if gradient is not None]
    if used:
        more = f" and {len(used) - 1} more" if len(used) > 1 else ""
        raise InvalidInput(
            f"The checkpoint of {type(model).__name__} has no {used[0]}{more}: transformers filled in random numbers, "
            "and the result depends on them. Load a checkpoint that was trained for this task, or train these weights "
            "first."
        )


def require_trained_at(model: nn.Module, modules: Iterable[nn.Module], run: Callable[[], Any]) -> None:
    """Apply :func:`require_trained` to what these modules return while ``run`` runs the model."""

    def read() -> list[Tensor]:
        outputs: list[Tensor] = []

        def keep(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            tree = output if isinstance(output, tuple | list) else [output]
            outputs.extend(x for x in tree if isinstance(x, Tensor) and x.is_floating_point())

        with leave_hooks(modules, keep):
            run()
        return outputs

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
