"""Parameters of a translation model by their role: embeddings of source and target, cross-attention, and the rest.

Roles are read off a run of the model, not off names: which modules attend from the decoder to the encoder, and which norm
runs before or after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn
from transformers import PreTrainedModel

from normlens.engine.capture.hooks import enter_and_leave_hooks, evaluation_mode
from normlens.engine.locks import exclusive
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.norms import is_norm
from normlens.errors import UnsupportedArchitecture
from normlens.inputs.example import Example
from normlens.lens import Lens
from normlens.transfer.low_rank import is_low_rank

Role = Literal[
    "source embeddings",
    "target embeddings",
    "shared embeddings",
    "cross-attention",
    "decoder self-attention",
    "rest of the body",
    "low-rank updates",
    "unused",
]
"""What a parameter is for."""

ROLES: tuple[Role, ...] = get_args(Role)
"""All roles, in order."""

_FAMILIES = ("pre-norm", "post-norm", "sandwich")
_IDS = [4, 5, 6, 7]


@dataclass(frozen=True)
class ParameterGroups:
    """Names of a model's parameters by role; each parameter has one.

    Attributes
    ----------
    names
        By role, in the order of the model. *Embeddings* are tokens, positions and their norm; those of the target
        include the output projection. A tensor on both sides is in "shared embeddings". *Cross-attention* and
        *decoder self-attention* include their norms. *Low-rank updates* are those of a child by
        "src+lora". *Unused* is a table that a class always has, and
        that a model without tied embeddings never reads.
    norms
        Names of the parameters of all norms, whatever their role.
    counts
        Number of numbers by role.
    """

    names: Mapping[Role, tuple[str, ...]]
    norms: tuple[str, ...]
    counts: Mapping[Role, int]

    def __str__(self) -> str:
        """A line for each role, with its number of parameters and its share."""
        total = sum(self.counts.values())
        return "\n".join(f"{role}: {count:,} ({count / total:.1%})" for role, count in self.counts.items() if count)

    def of(self, roles: Iterable[Role]) -> tuple[str, ...]:
        """Names of the parameters with one of these roles."""
        return tuple(name for role in roles for name in self.names[role])


def parameter_groups(lens: Lens) -> ParameterGroups:
    """Find out what each parameter of an encoder–decoder is for.

    Parameters
    ----------
    lens
        A lens on a translation model: Marian, BART, mBART, M2M-100, NLLB, T5, or any other encoder–decoder whose
        cross-attention can be measured.

    Returns
    -------
    ParameterGroups

    Raises
    ------
    UnsupportedArchitecture
        If the model has no encoder and decoder, or no cross-attention.
    """
    model = lens.model
    if not model.config.is_encoder_decoder or lens.processor is not None:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is no encoder–decoder for text; expected a translation model, with cross-attention."
        )
    with exclusive(model):
        example = lens._maker.make(*_inputs(lens))
        blocks = [block for _, _, block in lens._inspector.blocks(example)]
        roles = _Roles(lens, example, blocks)
    names: dict[Role, list[str]] = {role: [] for role in ROLES}
    counts: dict[Role, int] = dict.fromkeys(ROLES, 0)
    for name, parameter in model.named_parameters():
        role = roles.of(parameter)
        names[role].append(name)
        counts[role] += parameter.numel()
    norms = {id(x) for module in model.modules() if is_norm(module) for x in module.parameters()}
    return ParameterGroups(
        {role: tuple(own) for role, own in names.items()},
        tuple(name for name, x in model.named_parameters() if id(x) in norms),
        counts,
    )


def with_updates(groups: ParameterGroups, model: PreTrainedModel) -> ParameterGroups:
    """The groups of a model once low-rank updates were put into it, beside weights that have other names then."""
    sizes = {name: x.numel() for name, x in model.named_parameters()}

    def now(name: str) -> str:
        module, _, own = name.rpartition(".")
        beside = f"{module}.base_layer.{own}"
        return beside if beside in sizes else name

    names: dict[Role, tuple[str, ...]] = {role: tuple(map(now, before)) for role, before in groups.names.items()}
    names["low-rank updates"] = tuple(filter(is_low_rank, sizes))
    counts: dict[Role, int] = {role: sum(sizes[name] for name in own) for role, own in names.items()}
    return ParameterGroups(names, tuple(map(now, groups.norms)), counts)


def _inputs(lens: Lens) -> tuple[Any, Any]:
    """Something that the model can read, whatever languages its tokenizer is set to."""
    size = lens.model.get_input_embeddings().weight.shape[0]
    ids = [number % size for number in _IDS]
    return ids, ids


class _Roles:
    """The modules of each role, as the model ran."""

    def __init__(self, lens: Lens, example: Example, blocks: Sequence[BlockAnatomy]) -> None:
        model = lens.model
        sides = encoder_and_decoder(model)
        for block in blocks:
            if block.family not in _FAMILIES:
                raise UnsupportedArchitecture(
                    f"{block.path} is a block of the {block.family} family; expected one of {', '.join(_FAMILIES)}, whose "
                    "norms can be told apart."
                )
        attentions = {lens._inspector.module(block.path): block for block in blocks}
        order = _order(lens, example, [m for m in model.modules() if m in attentions or is_norm(m)])
        self._ids: dict[str, set[int]] = {}
        for side, name in zip(sides, ("source", "target"), strict=True):
            own = set(side.modules())
            modules = [*_embeddings(side), *_norms_of_embeddings([m for m in order if m in own], attentions)]
            self._ids[name] = _parameters(modules)
        outside = [module for module in _embeddings(model) if not any(module in set(side.modules()) for side in sides)]
        self._ids["unused"] = _parameters(outside)
        output = model.get_output_embeddings()
        self._ids["target"] |= _parameters([] if output is None else [output])
        kinds = {"cross": "cross-attention", "decoder": "decoder self-attention"}
        for kind, role in kinds.items():
            chosen = {module: block for module, block in attentions.items() if block.group == kind}
            self._ids[role] = _parameters([*chosen, *_norms_beside(chosen, order)])
        if not self._ids["cross-attention"]:
            raise UnsupportedArchitecture(
                f"{type(model).__name__} has no cross-attention; expected a translation model."
            )

    def of(self, parameter: nn.Parameter) -> Role:
        """The role of a parameter."""
        source, target = (id(parameter) in self._ids[side] for side in ("source", "target"))
        if source or target:
            return "shared embeddings" if source and target else "source embeddings" if source else "target embeddings"
        if id(parameter) in self._ids["unused"]:
            return "unused"
        if id(parameter) in self._ids["cross-attention"]:
            return "cross-attention"
        if id(parameter) in self._ids["decoder self-attention"]:
            return "decoder self-attention"
        return "rest of the body"


def encoder_and_decoder(model: PreTrainedModel) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The two sides of an encoder–decoder."""
    return model.get_encoder(), model.get_decoder()


def _embeddings(side: nn.Module) -> list[nn.Module]:
    """Tables of tokens and positions."""
    return [module for module in side.modules() if isinstance(module, nn.Embedding)]


def _order(lens: Lens, example: Example, modules: Sequence[nn.Module]) -> list[nn.Module]:
    """The modules in the order in which they begin to run."""
    order: list[nn.Module] = []

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        order.append(module)

    body = lens._inspector._body
    with (
        torch.no_grad(), evaluation_mode(lens.model), enter_and_leave_hooks(modules, enter, lambda *_: None)
    ):  # fmt: skip
        body.run(body.inputs([example], "right"))
    return order


def _norms_of_embeddings(order: Sequence[nn.Module], attentions: Mapping[nn.Module, BlockAnatomy]) -> list[nn.Module]:
    """The norms that run before the first attention of a side, unless they belong to it."""
    first = next((place for place, module in enumerate(order) if module in attentions), len(order))
    before = list(order[:first])
    if first < len(order) and attentions[order[first]].family != "post-norm" and before:
        before.pop()  # the norm of the attention block itself
    return before


def _norms_beside(chosen: Mapping[nn.Module, BlockAnatomy], order: Sequence[nn.Module]) -> list[nn.Module]:
    """The norms of attention blocks: the one before in a pre-norm block, the one after in a post-norm block, or both."""
    norms: list[nn.Module] = []
    for module, block in chosen.items():
        inside = set(module.modules())
        place = order.index(module)
        before = [one for one in order[:place] if one not in inside]
        after = [one for one in order[place + 1 :] if one not in inside]
        if block.family != "post-norm" and before and is_norm(before[-1]):
            norms.append(before[-1])
        if block.family in ("post-norm", "sandwich") and after and is_norm(after[0]):
            norms.append(after[0])
    return norms


def _parameters(modules: Iterable[nn.Module]) -> set[int]:
    return {id(parameter) for module in modules for parameter in module.parameters()}
