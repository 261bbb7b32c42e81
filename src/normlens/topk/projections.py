"""The output projections behind a model's attention, found by watching a model run: what ‖f(x)‖ is measured with."""

from __future__ import annotations

from itertools import takewhile
from typing import Any
from weakref import ref

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.anatomy import Block, working_precision
from normlens.capture import capturing
from normlens.errors import UnsupportedArchitecture
from normlens.precision import full_precision
from normlens.topk.arrival import Way, follow
from normlens.topk.fingerprints import fingerprint, same_fingerprint
from normlens.topk.selection import log_vector_norms, projection_factors
from normlens.tracing import Tracer
from normlens.tracing.follower import Followed, Follower
from normlens.tracing.steps import Call, Constants


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

    Attributes
    ----------
    home
        Path, in ``part``, of the innermost module that both attention and its projection run in.

    Raises
    ------
    UnsupportedArchitecture
        If the weight is no parameter.
    """

    def __init__(self, part: nn.Module, block: Block, weight: Float[Tensor, "heads_x_head_dim d"]) -> None:
        self._part, self._heads = ref(part), block.call.output.shape[2]
        self._path, self._name, self._transposed = _place_of(weight, part, block.path)
        self.home = _common(block.path, self._path)
        self._known: tuple[Int[Tensor, "segment word"], Tensor] | None = None
        self._measured: Tensor | None = None
        self._ways: list[Way] = []

    def factors(self) -> Float[Tensor, "head rank head_dim"]:
        """The factors of the projection as it is now; the same tensor as before if that holds the same numbers."""
        weight = self._measured = self._weight()
        seen = fingerprint(weight.T if self._transposed else weight, 0 if self._transposed else 1)
        if self._known is None or not same_fingerprint(self._known[0], seen):
            self._known = seen, projection_factors(working_precision(weight), self._heads)
        return self._known[1]

    def log_norms(self, value: Float[Tensor, "batch kv_head source head_dim"]) -> Float[Tensor, "batch head source"]:
        """log‖f(x)‖ of every source and head, from value vectors (cached ones too)."""
        with torch.no_grad():
            return log_vector_norms(value, self.factors())

    def expecting(self, output: Tensor) -> Tensor:
        """Attention's output, which is refused if it goes elsewhere than into this projection as it was for `factors`."""
        assert self._measured is not None
        self._ways.append(Way(self._path, self._measured))
        self._measured = None
        return follow(output, self._ways[-1])

    def begin(self, home: nn.Module, given: Any) -> None:
        """Before the module at `home` runs: forget outputs of attention that was run by itself; a forward pre-hook."""
        self._ways = []

    def end(self, home: nn.Module, given: Any, output: Any) -> None:
        """After the module at `home` has run: a forward hook, with ``output`` None if it raised."""
        ways, self._ways = self._ways, []
        for way in ways:
            if output is None:
                way.over = True
            else:
                way.end()

    def _weight(self) -> Float[Tensor, "heads_x_head_dim d"]:
        part = self._part()
        assert part is not None
        try:
            parameter = part.get_submodule(self._path)._parameters[self._name]
        except (AttributeError, KeyError):
            parameter = None
        if parameter is None or parameter.is_meta:
            raise UnsupportedArchitecture(
                f"{self._path} holds no parameter {self._name!r} with numbers any more: the model has changed since "
                "by='norm' watched it. Call undo(), merge adapters, then use() again."
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
    with torch.no_grad(), capturing(part, finder.hear), finder.watching():
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
            self.weights[id(at.block)] = linear[0]


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
    """Path of the module that holds a weight, the parameter's name, and whether it is transposed there."""
    for path, module in part.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is None or parameter.data_ptr() != weight.data_ptr() or parameter.ndim != 2:
                continue
            for transposed, seen in ((False, parameter), (True, parameter.T)):
                if seen.shape == weight.shape and seen.stride() == weight.stride():
                    return path, name, transposed
    raise UnsupportedArchitecture(
        f"{attention}: its output projection is no parameter of the model but computed when it runs; ‖f(x)‖ can't follow "
        "its changes. Choose sources by='weight' instead."
    )


def _common(one: str, other: str) -> str:
    """The path of the innermost module that two paths lie in."""
    pairs = zip(one.split("."), other.split("."), strict=False)
    return ".".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
