"""The output projections after a model's attention, observed in a run; ‖f(x)‖ is measured with them."""

from __future__ import annotations

from functools import cache
from typing import Any
from weakref import ref

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.fingerprint import structure_of
from normlens.engine.capture.interface import capturing
from normlens.engine.precision import full_precision, working_precision
from normlens.engine.tracing import Tracer
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.parameter_locations import ParameterLocation, locations_of
from normlens.engine.tracing.trace import BlockTrace
from normlens.errors import UnsupportedArchitecture
from normlens.topk.selection import log_vector_norms, projection_factors


class FactoredProjection:
    """An output projection W_O, read from its module at each use, and the triangular factors of its heads' rows.

    Parameters
    ----------
    model
        The model, or submodel, that was watched.
    block
        One of its attention blocks.
    weight
        The matrix that multiplies attention's output there, ``(head * head_dim, d)``.

    Raises
    ------
    UnsupportedArchitecture
        If the weight isn't a parameter.
    """

    def __init__(self, model: nn.Module, block: Block, weight: Float[Tensor, "heads_x_head_dim d"]) -> None:
        self._model, self._heads = ref(model), block.call.output.shape[2]
        self._location = _location_of(weight, model, block.path)
        self._chain = self._location.outside(block.path)
        self._around = [structure_of(model.get_submodule(path)) for path in self._chain]
        self._cached: tuple[Tensor, Tensor] | None = None

    def factors(self) -> Float[Tensor, "head rank head_dim"]:
        """The factors of the current projection; the same tensor as before if the weights are unchanged."""
        weight = self._weight()
        cached, current = self._cached, fingerprint(weight)
        if cached is None or not same_fingerprint(cached[0], current):
            cached = self._cached = current, projection_factors(working_precision(weight), self._heads)
        return cached[1]

    def log_norms(self, value: Float[Tensor, "batch kv_head source head_dim"]) -> Float[Tensor, "batch head source"]:
        """log‖f(x)‖ of every source and head, from value vectors (cached ones too)."""
        with torch.no_grad():
            return log_vector_norms(value, self.factors())

    def _weight(self) -> Float[Tensor, "heads_x_head_dim d"]:
        model = self._model()
        assert model is not None
        try:
            around = [structure_of(model.get_submodule(path)) for path in self._chain]
            parameter = model.get_submodule(self._location.path)._parameters[self._location.name]
        except (AttributeError, KeyError):
            around, parameter = [], None
        if parameter is None or parameter.is_meta or around != self._around:
            raise UnsupportedArchitecture(
                f"{self._location.path} is no longer the output projection that was observed in the first run, or it "
                "has no data: the model has changed. Call undo(), merge adapters, then use() again."
            )
        weight = parameter.detach()
        return weight.T if self._location.transposed else weight


@full_precision()
def find_projections(model: PreTrainedModel, inputs: dict[str, Any]) -> dict[nn.Module, FactoredProjection]:
    """Run a model once and note the projection behind each attention module.

    Parameters
    ----------
    model
        A model or submodel, in evaluation mode.
    inputs
        Keyword arguments for its run.

    Raises
    ------
    UnsupportedArchitecture
        If a gate, a norm or something unknown comes between attention and its projection, if there are several linear
        layers, or if attention is called again with another projection.
    """
    tracer = Tracer(model)
    with torch.no_grad(), capturing(model, tracer.capture), tracer.watching():
        model(**inputs)
    weights: dict[nn.Module, Tensor] = {}
    projections: dict[nn.Module, FactoredProjection] = {}
    for trace in tracer.open_traces:
        _require_projection(trace)
        block = trace.finished()
        module, weight = block.call.module, block.projection.parameter
        if module in weights and weights[module].data_ptr() != weight.data_ptr():
            raise UnsupportedArchitecture(
                f"{block.path} is called several times with different output projections, so its sources have no norm "
                "‖f(x)‖ of their own. Choose them with measure='weight' instead."
            )
        weights[module] = weight
        projections.setdefault(module, FactoredProjection(model, block, weight))
    return projections


def _require_projection(block: BlockTrace) -> None:
    obstacle = None
    if block.gate is not None or block.head_norm is not None:
        obstacle = "a gate or a norm comes between attention and its projection"
    if block.projected is None:
        obstacle = block.obstacle
    if obstacle is not None:
        raise UnsupportedArchitecture(
            f"{block.path}: {obstacle}, so sources have no norm ‖f(x)‖ that is the same for all targets. Choose them "
            "measure='weight' instead."
        )


def _location_of(weight: Tensor, model: nn.Module, attention: str) -> ParameterLocation:
    """Where a projection is kept: if several modules share it (an encoder's and a decoder's), nearest to attention."""
    locations = locations_of(weight, model)
    if not locations:
        raise UnsupportedArchitecture(
            f"{attention}: its output projection isn't a parameter of the model but is computed at each run; ‖f(x)‖ can't "
            "follow its changes. Choose sources with measure='weight' instead."
        )
    return min(locations, key=lambda location: len(location.outside(attention)))


def fingerprint(weight: Float[Tensor, "heads_x_head_dim d"]) -> Float[Tensor, " heads_x_head_dim"]:
    """The product of a weight with one fixed random vector, at the cost of reading the weight once.

    It differs if a row has changed by more than rounding. Torch's version counter would cost nothing, but misses writes
    through ``.data``.
    """
    return weight.detach() @ _direction(weight.shape[1], weight.dtype, weight.device)


@cache
def _direction(size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " d"]:
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def same_fingerprint(one: Tensor, other: Tensor) -> bool:
    """Whether two fingerprints are equal bit by bit; never across devices or dtypes."""
    return one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)
