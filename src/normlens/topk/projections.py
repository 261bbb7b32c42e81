"""The output projections behind a model's attention, found by watching a model run: what ‖f(x)‖ is measured with."""

from __future__ import annotations

from functools import cache
from typing import Any
from weakref import ref

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.fingerprint import made_of
from normlens.engine.capture.interface import capturing
from normlens.engine.precision import full_precision, working_precision
from normlens.engine.tracing import Tracer
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.follower import Followed, Follower
from normlens.engine.tracing.steps import Call, Constants
from normlens.errors import UnsupportedArchitecture
from normlens.topk.selection import log_vector_norms, projection_factors


class Projection:
    """An output projection W_O, read afresh from its module at each use, and the triangular factors of its heads' parts.

    Parameters
    ----------
    part
        The model, or part of one, that was watched.
    block
        One of its attention blocks.
    weight
        What attention's output went into there, ``(head * head_dim, d)``.

    Raises
    ------
    UnsupportedArchitecture
        If the weight is no parameter.
    """

    def __init__(self, part: nn.Module, block: Block, weight: Float[Tensor, "heads_x_head_dim d"]) -> None:
        self._part, self._heads = ref(part), block.call.output.shape[2]
        self._path, self._name, self._transposed = _place_of(weight, part, block.path)
        self._chain = _chain(block.path, self._path)
        self._around = [made_of(part.get_submodule(path)) for path in self._chain]
        self._known: tuple[Tensor, Tensor] | None = None

    def factors(self) -> Float[Tensor, "head rank head_dim"]:
        """The factors of the projection as it is now; the same tensor as before if that holds the same numbers."""
        weight = self._weight()
        known, seen = self._known, fingerprint(weight)
        if known is None or not same_fingerprint(known[0], seen):
            known = self._known = seen, projection_factors(working_precision(weight), self._heads)
        return known[1]

    def log_norms(self, value: Float[Tensor, "batch kv_head source head_dim"]) -> Float[Tensor, "batch head source"]:
        """log‖f(x)‖ of every source and head, from value vectors (cached ones too)."""
        with torch.no_grad():
            return log_vector_norms(value, self.factors())

    def _weight(self) -> Float[Tensor, "heads_x_head_dim d"]:
        part = self._part()
        assert part is not None
        try:
            around = [made_of(part.get_submodule(path)) for path in self._chain]
            parameter = part.get_submodule(self._path)._parameters[self._name]
        except (AttributeError, KeyError):
            around, parameter = [], None
        if parameter is None or parameter.is_meta or around != self._around:
            raise UnsupportedArchitecture(
                f"{self._path} is no longer the output projection that by='norm' saw run, or has no numbers: the model has "
                "changed. Call undo(), merge adapters, then use() again."
            )
        weight = parameter.detach()
        return weight.T if self._transposed else weight


@full_precision()
def find_projections(part: PreTrainedModel, inputs: dict[str, Any]) -> dict[nn.Module, Projection]:
    """Run a model once and note the projection behind each attention module.

    Parameters
    ----------
    part
        A model or a part of one, in evaluation mode.
    inputs
        Keyword arguments for it.

    Raises
    ------
    UnsupportedArchitecture
        If a gate, a norm or something unknown comes between attention and its projection, if there are several linear
        layers, or if attention is called again with another projection.
    """
    finder = _Finder(part)
    with torch.no_grad(), capturing(part, finder.capture), finder.watching():
        part(**inputs)
    weights: dict[nn.Module, Tensor] = {}
    found: dict[nn.Module, Projection] = {}
    for block in finder.open_blocks:
        _require_projection(block)
        module, weight = block.call.module, finder.weights[id(block)]
        if module in weights and weights[module].data_ptr() != weight.data_ptr():
            raise UnsupportedArchitecture(
                f"{block.path} is called several times with different output projections, so its sources have no norm "
                "‖f(x)‖ of their own. Choose them by='weight' instead."
            )
        weights[module] = weight
        found.setdefault(module, Projection(part, block, weight))
    return found


class _Noting(Follower):
    """A follower that notes the very tensors that attention's output is multiplied with, by block."""

    def __init__(self, constants: Constants) -> None:
        super().__init__(constants, lambda block: None)
        self.weights: dict[int, Tensor] = {}

    def step(self, at: Followed, call: Call) -> None:
        known = at.block.projection
        super().step(at, call)
        if known is None and at.block.projection is not None:
            linear = self._constants.linear_map(call, at.tensor)
            assert linear is not None
            self.weights[id(at.block)] = linear.weight


class _Finder(Tracer):
    """A tracer that keeps all blocks, and the weights that their outputs go into."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__(part, on_block=lambda block: None, complete=lambda block: False)
        noting = _Noting(self._constants)
        self._follower, self.weights = noting, noting.weights


def _require_projection(block: Block) -> None:
    obstacle = None
    if block.gate is not None or block.head_norm is not None:
        obstacle = "a gate or a norm comes between attention and its projection"
    if block.projected is None:
        obstacle = block.obstacle
    if obstacle is not None:
        raise UnsupportedArchitecture(
            f"{block.path}: {obstacle}, so sources have no norm ‖f(x)‖ that is the same for all targets. Choose them "
            "by='weight' instead."
        )


def _place_of(weight: Tensor, part: nn.Module, attention: str) -> tuple[str, str, bool]:
    """Path of the module that holds a weight, the parameter's name, and whether it is transposed there.

    Of several modules that share it (an encoder's and a decoder's), the nearest to attention.
    """
    found: list[tuple[str, str, bool]] = []
    for path, module in part.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is None or parameter.data_ptr() != weight.data_ptr() or parameter.ndim != 2:
                continue
            for transposed, seen in ((False, parameter), (True, parameter.T)):
                if seen.shape == weight.shape and seen.stride() == weight.stride() and torch.equal(seen, weight):
                    found.append((path, name, transposed))
    if not found:
        raise UnsupportedArchitecture(
            f"{attention}: its output projection is no parameter of the model but computed when it runs; ‖f(x)‖ can't "
            "follow its changes. Choose sources by='weight' instead."
        )
    return min(found, key=lambda place: len(_chain(attention, place[0])))


def _chain(attention: str, projection: str) -> list[str]:
    """Paths of the modules around a projection, itself included, that attention itself doesn't run in."""
    parts = projection.split(".")
    paths = [".".join(parts[: n + 1]) for n in range(len(parts))]
    return [path for path in paths if path != attention and not attention.startswith(f"{path}.")]


def fingerprint(weight: Float[Tensor, "heads_x_head_dim d"]) -> Float[Tensor, " heads_x_head_dim"]:
    """The product of a weight with a random vector, always the same one, at the cost of reading the weight once.

    It differs where a row has changed by more than rounding. Torch's counter of versions costs nothing, but misses every
    write through ``.data``.
    """
    return weight.detach() @ _direction(weight.shape[1], weight.dtype, weight.device)


@cache
def _direction(size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " d"]:
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def same_fingerprint(one: Tensor, other: Tensor) -> bool:
    """Whether two are equal, bit by bit; on different devices or of other dtypes they aren't."""
    return one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)
