"""Where a model's feed-forward layers are, read off its modules: an activation between linear layers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from torch import nn
from transformers import activations as transformers_activations
from transformers.pytorch_utils import Conv1D

from normlens.engine.tracing.layer_numbers import layer_number
from normlens.errors import UnsupportedArchitecture

_ACTIVATIONS = tuple(
    kind
    for module in (nn.modules.activation, transformers_activations)
    for kind in vars(module).values()
    if inspect.isclass(kind) and issubclass(kind, nn.Module) and kind not in (nn.Module, nn.MultiheadAttention)
)


def output_projections(model: nn.Module) -> list[str]:
    """Paths of the linear layers that take activations back to the hidden size, one per feed-forward layer.

    A feed-forward layer is a module with an activation and a linear layer from d to f units; the linear layer from f back
    to d is its own, or belongs to what follows it in the same block (BERT).

    Parameters
    ----------
    model
        The model; only modules inside its numbered layers count, so that poolers and heads don't.

    Raises
    ------
    UnsupportedArchitecture
        If there is none, or one without a linear layer back.
    """
    paths: list[str] = []
    for path, module in model.named_modules():
        if layer_number(path) is None or not any(isinstance(child, _ACTIVATIONS) for child in module.children()):
            continue
        if any(parameter.ndim == 3 for parameter in module.parameters(recurse=False)):
            raise UnsupportedArchitecture(
                f"{path} ({type(module).__name__}) holds the weights of several experts in one parameter; top-k units need "
                "a linear layer behind the activation. Leave this model's feed-forward layers as they are."
            )
        linears = _linears(module, path)
        if linears:
            paths.append(_projection_back(model, path, linears))
    if not paths:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} has no feed-forward layers that top-k units can be applied to; expected an activation "
            "module between linear layers, inside numbered layers."
        )
    return list(dict.fromkeys(paths))


def _projection_back(model: nn.Module, path: str, linears: dict[str, tuple[int, int]]) -> str:
    """The linear layer from f units back to d, among the module's own or else in what follows it in its block."""
    inward = next(iter(linears.values()))
    back = [name for name, sizes in linears.items() if _leads_back(inward, sizes)]
    if len(linears) > 1 and back:
        return back[-1]
    block, _, own = path.rpartition(".")
    children = dict(model.get_submodule(block).named_children())
    following = list(children)[list(children).index(own) + 1 :]
    for name in following:
        for inner, sizes in _linears(children[name], f"{block}.{name}").items():
            if _leads_back(inward, sizes):
                return inner
    raise UnsupportedArchitecture(
        f"{path} ({type(model.get_submodule(path)).__name__}) has an activation behind a linear layer from {inward[0]} to "
        f"{inward[1]} units, but no linear layer leads back from there; it is no feed-forward layer that can be swapped."
    )


def _leads_back(inward: tuple[int, int], sizes: tuple[int, int]) -> bool:
    """Whether a layer takes f units back to d; the layer from d may hold gate and units side by side, 2 f wide."""
    return sizes[1] == inward[0] and inward[1] in (sizes[0], 2 * sizes[0])


def _linears(module: nn.Module, path: str) -> dict[str, tuple[int, int]]:
    """Sizes (in, out) of the linear layers that belong to a module itself, by path."""
    return {f"{path}.{name}": sizes for name, sizes in _sizes(module)}


def _sizes(module: nn.Module) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            yield name, (child.in_features, child.out_features)
        elif isinstance(child, Conv1D):
            yield name, (child.nx, child.nf)
