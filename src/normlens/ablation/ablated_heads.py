"""Switch attention heads of a model off, by its own weights, and back.

A head's contributions are α f(x) with f(x) = v W_O, so a head whose rows of the output projection are zero contributes
nothing, and a head that always outputs its mean is a bias. Either way the library reads the model as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from normlens.ablation.head_names import Head, parsed_heads
from normlens.analysis.visit import BlockVectors, visit_blocks
from normlens.engine.locks import exclusive
from normlens.engine.precision import working_precision
from normlens.engine.tracing.parameter_locations import ParameterLocation, locations_of
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.example import Example
from normlens.lens import Lens

Value = Literal["zero", "mean"]

_ANY_TEXT = "A sentence."


def ablate(
    lens: Lens,
    heads: str | Iterable[str | Head],
    texts: Sequence[Any] | None = None,
    targets: Sequence[Any] | None = None,
    *,
    value: Value = "zero",
    group: str | None = None,
) -> Ablation:
    """Switch heads of a model off, from now on or while a ``with`` block lasts.

    The model itself is changed, so that plain runs, `analyze` and `attribute` all see it without these heads. Leaving the
    block, or `Ablation.undo`, restores its weights bit for bit.

    Parameters
    ----------
    lens
        A lens on the model.
    heads
        Heads as ``(layer, head)`` or ``"layer.head"``, from 0; or one string of several, ``"3.5,4.2"``.
    texts
        Inputs as for :meth:`normlens.Lens.analyze`: the model is run on them once, to observe the output projections and,
        with ``value="mean"``, to average the heads' outputs over all positions. Default with ``value="zero"``: a short text.
    targets
        Target texts for encoder–decoders, one for each text. Default: the texts.
    value
        "zero": the head contributes nothing. "mean": it contributes its mean output, the same at every position.
    group
        The kind of attention, such as "decoder" or "cross". Default: the only one; it must be named where there are several.

    Returns
    -------
    Ablation

    Raises
    ------
    InvalidInput
        If there is no such head or group, the texts are missing, or the heads are ablated already.
    UnsupportedArchitecture
        If an output projection is shared with another layer, or isn't a parameter of the model.

    Examples
    --------
    >>> with normlens.ablate(lens, "3.5,4.2"):  # doctest: +SKIP
    ...     lens.analyze(text)
    """
    if value not in get_args(Value):
        raise InvalidInput(f"value is {value!r}; expected one of {', '.join(get_args(Value))}.")
    chosen = parsed_heads(heads)
    examples = _examples(lens, texts, targets, value)
    with exclusive(lens.model):
        observed = _observed(lens, examples, group)
        _require_heads(chosen, observed)
        layers = sorted({layer for layer, _ in chosen})
        by_layer = {layer: sorted({head for of, head in chosen if of == layer}) for layer in layers}
        changes = [_change(lens.model, observed, layer, numbers, value) for layer, numbers in by_layer.items()]
        return Ablation(lens, chosen, changes)


class Ablation:
    """A model whose heads are switched off, until `undo`; made by `ablate`.

    Attributes
    ----------
    lens
        The lens on the model.
    heads
        The heads, as (layer, head).
    """

    def __init__(self, lens: Lens, heads: Sequence[Head], changes: Sequence[_Change]) -> None:
        self.lens, self.heads = lens, list(heads)
        self._changes = list(changes)
        for change in self._changes:
            change.apply()

    def undo(self) -> None:
        """Restore the weights; calling it again does nothing."""
        with exclusive(self.lens.model):
            while self._changes:
                self._changes.pop().revert()

    def __enter__(self) -> Ablation:
        """Return this ablation, which is in effect already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore the weights."""
        self.undo()

    def __repr__(self) -> str:
        names = ", ".join(f"{layer}.{head}" for layer, head in self.heads)
        state = "in effect" if self._changes else "undone"
        return f"<Ablation of {names} in {self.lens.name!r}, {state}>\nNext: .undo() restores the model"


@dataclass
class _Observed:
    """One attention block as it ran."""

    location: ParameterLocation
    heads: int
    total: Float[Tensor, "head head_dim"]
    positions: int


@dataclass
class _Change:
    """The change of one output projection, and what is needed to revert it."""

    module: nn.Module
    parameter: nn.Parameter
    transposed: bool
    rows: Tensor
    bias: Float[Tensor, " d"] | None
    saved: Tensor | None = None
    saved_bias: Tensor | None = None

    def _weight(self) -> Float[Tensor, "heads_x_head_dim d"]:
        return self.parameter.T if self.transposed else self.parameter

    def apply(self) -> None:
        """Zero the rows; add the bias."""
        with torch.inference_mode(self.parameter.is_inference()), torch.no_grad():
            weight = self._weight()
            self.saved = weight[self.rows].clone()
            weight[self.rows] = 0
            if self.bias is None:
                return
            present = self.module._parameters["bias"]
            if present is None:
                added = nn.Parameter(self.bias.to(self.parameter.dtype), requires_grad=False)
                self.module.register_parameter("bias", added)
            else:
                self.saved_bias = present.clone()
                present.add_(self.bias.to(present.dtype))

    def revert(self) -> None:
        """Write the saved numbers back."""
        assert self.saved is not None
        with torch.inference_mode(self.parameter.is_inference()), torch.no_grad():
            self._weight()[self.rows] = self.saved
            if self.bias is None:
                return
            if self.saved_bias is None:
                self.module.register_parameter("bias", None)
            else:
                present = self.module._parameters["bias"]
                assert present is not None
                present.copy_(self.saved_bias)


def _examples(lens: Lens, texts: Sequence[Any] | None, targets: Sequence[Any] | None, value: Value) -> list[Example]:
    """The inputs to run the model on."""
    if texts is None and (value == "mean" or lens.tokenizer is None):
        needed = "the mean output of a head is taken over texts" if value == "mean" else f"{lens.name} reads no text"
        raise InvalidInput(f"texts is missing, and {needed}. Pass at least one input.")
    inputs = [_ANY_TEXT] if texts is None else list(texts)
    if not inputs:
        raise InvalidInput("texts is empty; expected at least one input.")
    has_decoder = lens._maker.has_decoder
    second = [None] * len(inputs) if not has_decoder else list(inputs if targets is None else targets)
    if len(second) != len(inputs):
        raise InvalidInput(
            f"There are {len(inputs)} texts and {len(second)} targets; expected one target for each text."
        )
    return [lens._maker.make(one, target) for one, target in zip(inputs, second, strict=True)]


def _observed(lens: Lens, examples: Sequence[Example], group: str | None) -> dict[int, _Observed]:
    """The blocks of one kind of attention by layer, with the sums of their heads' outputs."""
    blocks: dict[int, _Observed] = {}
    groups = sorted({name for name, _, _ in lens._inspector.blocks(examples[0])})
    if group is None and len(groups) > 1:
        raise InvalidInput(f"This model has several kinds of attention; name one as group: {', '.join(groups)}.")
    if group is not None and group not in groups:
        raise InvalidInput(f"This model has no group {group}; it has {', '.join(groups)}. Choose one of these.")
    others: list[ParameterLocation] = []

    def visit(seen: BlockVectors) -> None:
        locations = locations_of(seen.block.projection.parameter, lens.model)
        if seen.group != groups[0 if group is None else groups.index(group)]:
            others.extend(locations)
            return
        output = working_precision(seen.block.call.output)[0]  # (target, head, head_dim)
        if seen.block.gate is not None:
            output = output * seen.block.gate[0].unflatten(-1, output.shape[1:])
        if seen.layer in blocks:
            blocks[seen.layer].total += output.sum(0)
            blocks[seen.layer].positions += len(output)
            return
        if seen.block.head_norm is not None:
            raise UnsupportedArchitecture(
                f"{seen.block.path}: a norm over all heads comes between attention and its projection, so that no head can "
                "be switched off without changing the others. Nothing was changed."
            )
        if len(locations) != 1:
            raise UnsupportedArchitecture(
                f"{seen.block.path}: its output projection "
                + (
                    "isn't a parameter of the model but is computed at each run"
                    if not locations
                    else "is shared by modules"
                )
                + ", so that heads of this layer can't be switched off alone. Nothing was changed."
            )
        blocks[seen.layer] = _Observed(locations[0], output.shape[1], output.sum(0), len(output))

    for example in examples:
        visit_blocks(lens._inspector, [example], "attention", visit)
    _refuse_shared(blocks, others)
    return blocks


def _refuse_shared(blocks: dict[int, _Observed], others: Sequence[ParameterLocation]) -> None:
    """Refuse layers that use the same projection."""
    locations = [(block.location.path, block.location.name) for block in blocks.values()]
    used = [*locations, *{(other.path, other.name) for other in others}]
    shared = next((location for location in locations if used.count(location) > 1), None)
    if shared is not None:
        raise UnsupportedArchitecture(
            f"{shared[0]} is the output projection of several layers, so that heads of one of them can't be switched off "
            "alone. Nothing was changed."
        )


def _require_heads(chosen: Sequence[Head], observed: dict[int, _Observed]) -> None:
    for layer, head in chosen:
        if layer not in observed:
            raise InvalidInput(f"There is no layer {layer}; expected one of {', '.join(map(str, sorted(observed)))}.")
        if not 0 <= head < observed[layer].heads:
            raise InvalidInput(
                f"Layer {layer} has no head {head}; expected a number from 0 to {observed[layer].heads - 1}."
            )


def _change(model: nn.Module, observed: dict[int, _Observed], layer: int, numbers: list[int], value: Value) -> _Change:
    """The change of a layer's output projection that switches heads off."""
    block = observed[layer]
    module = model.get_submodule(block.location.path)
    parameter = module._parameters[block.location.name]
    assert parameter is not None
    weight = parameter.detach().T if block.location.transposed else parameter.detach()  # (head * head_dim, d)
    size = len(weight) // block.heads
    rows = torch.tensor([head * size + k for head in numbers for k in range(size)], device=weight.device)
    if not bool(weight[rows].any()):
        raise InvalidInput(
            f"Heads {', '.join(map(str, numbers))} of layer {layer} have no weights but zeros: they are ablated already."
        )
    if value == "zero":
        return _Change(module, parameter, block.location.transposed, rows, None)
    if "bias" not in module._parameters:
        raise UnsupportedArchitecture(
            f"{block.location.path} ({type(module).__name__}) has no place for a bias, which the mean of a head becomes. "
            'Use value="zero".'
        )
    mean = (block.total / block.positions)[numbers].flatten().to(weight.device)
    return _Change(module, parameter, block.location.transposed, rows, mean @ working_precision(weight[rows]))
