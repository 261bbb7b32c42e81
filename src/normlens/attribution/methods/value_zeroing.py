"""Value Zeroing: how far a layer's output turns if a source's value vectors are set to zero.

Mohebbi et al. 2023: in one layer, the value vector of token j is set to zero in all heads, while everything else
stays fixed; C_ij is the cosine distance of the layer's output at i with and without it. Rows are divided by their
sums, and the layers' maps are multiplied. Only the layer is run again, many sources at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from normlens.attribution.arrays import Attribution
from normlens.attribution.maps.collect import Collected
from normlens.attribution.maps.layer_maps import laid_out, require_layers
from normlens.attribution.maps.layer_paths import layer_path, root_path
from normlens.attribution.maps.rollout_algebra import rows_to_one
from normlens.attribution.methods.zeroing import LayerRun, is_zeroing, zeroable
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.engine.capture.hooks import leave_hooks
from normlens.engine.capture.trees import first_tensor
from normlens.engine.precision import double
from normlens.errors import InvalidInput

Place = tuple[str, str, nn.Module]
"""Group and path of an attention block, and its module."""


def cosine_distance(one: Float[Tensor, "*rows d"], other: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows"]:
    """1 − cos of the angle between vectors, as ½ ‖u − v‖² of the unit vectors: never negative, and exact near zero.

    One if exactly one of the two vectors is zero, zero if both are.
    """
    u, v = (x / x.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny) for x in (one, other))
    distance = (u - v).square().sum(-1) / 2
    return torch.where(u.any(-1) ^ v.any(-1), torch.ones_like(distance), distance)


def zeroed_distances(
    run: LayerRun, module: nn.Module, sources: int, chunk_size: int
) -> Float[Tensor, "batch target source"]:
    """Cosine distances between a layer's outputs with and without each source's values, float64.

    Parameters
    ----------
    run
        A call of the layer.
    module
        The attention module whose values are set to zero.
    sources
        Number of sources.
    chunk_size
        Number of sources that are set to zero at a time, each in its own copy of the batch.
    """
    distances = []
    for start in range(0, sources, chunk_size):
        tried = torch.arange(start, min(start + chunk_size, sources), device=run.output.device)
        distances.append(cosine_distance(double(run.again(module, tried)), double(run.output.unsqueeze(1))))
    return torch.cat(distances, dim=1).transpose(1, 2)


def run(subject: Subject, request: Request) -> list[Attribution]:
    """Value Zeroing of every text; options ``layers`` and ``group``."""
    layers = _layers(subject, request.options["group"])
    collected, calls = Collected(subject), Counter[str]()

    def leave(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        after = first_tensor(output)
        if is_zeroing() or after is None:
            return
        group, path, attention = layers[module]
        call = LayerRun(module, args, kwargs, after)
        call.require_repeatable(attention, subject.model)
        number = _number(subject, group, path, calls[path])
        calls[path] += 1
        collected.add(group, number, path, zeroed_distances(call, attention, after.shape[1], request.chunk_size))

    with zeroable(subject.model), leave_hooks(layers, leave):
        subject.model(**subject.inputs)
    return [_of_text(subject, text, collected, request) for text in range(len(subject))]


def _of_text(subject: Subject, text: int, collected: Collected, request: Request) -> Attribution:
    maps = collected.of_text(text)
    normalized = replace(maps, groups={name: rows_to_one(x) for name, x in maps.groups.items()})
    return laid_out(subject, text, normalized, request.options, {"rule": "cosine distance of the layer's output"})


def _layers(subject: Subject, group: str | None) -> dict[nn.Module, Place]:
    """The layers that are run again, each with the attention block whose values are set to zero in it.

    Raises
    ------
    InvalidInput
        If the group doesn't exist, or none was named for an encoder–decoder.
    """
    blocks = [(name, block.path) for name, _, block in subject.inspector.blocks(subject.examples[0])]
    names = list(dict.fromkeys(name for name, _ in blocks if name != "cross"))
    if group is None and any(name == "cross" for name, _ in blocks):
        raise InvalidInput(
            f"{type(subject.model).__name__} is an encoder–decoder; value zeroing doesn't say how its self- and "
            f"cross-attention add up. Choose one side, group={' or group='.join(map(repr, names))}, or use "
            "method='alti_plus'."
        )
    if group is not None and group not in names:
        raise InvalidInput(f"group is {group!r}; expected one of {', '.join(map(repr, names))}.")
    root = subject.model.get_submodule(root_path(subject.model, blocks[0][1]))
    chosen = [
        (name, path) for name, path in dict.fromkeys(blocks) if name == group or (group is None and name in names)
    ]
    paths = [path for _, path in chosen]
    return {
        root.get_submodule(layer_path(root, path, paths)): (name, path, root.get_submodule(path))
        for name, path in chosen
    }


def _number(subject: Subject, group: str, path: str, occurrence: int) -> int:
    """The layer number of a block within its group."""
    blocks = subject.inspector.blocks(subject.examples[0])
    return next(k for name, k, block in blocks if (name, block.path, block.occurrence) == (group, path, occurrence))


METHOD = Method(
    name="value_zeroing",
    meaning="How far a layer's output turns (cosine) when a source's values are set to zero, multiplied over layers.",
    source="Mohebbi et al. 2023",
    scopes=(),
    targets="none",
    signed=False,
    exact=False,
    run=run,
    options=MappingProxyType({"layers": "model", "group": None}),
    check=lambda request: require_layers(request.options),
)
