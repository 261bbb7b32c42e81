"""Where a model's layers are: module paths of the layers around attention blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from normlens.engine.frozen.sites import Site
from normlens.engine.tracing.layout import Layout
from normlens.errors import UnsupportedArchitecture


def root_path(model: PreTrainedModel, path: str) -> str:
    """Path of the part of the model that a block's path starts from: the model itself (empty), or its body."""
    body: PreTrainedModel = model.base_model
    if body is model or all(name != path for name, _ in body.named_modules()):
        return ""
    paths: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
    return paths[body]


def layer_path(root: nn.Module, path: str, blocks: Sequence[str]) -> str:
    """The outermost member of a module list that holds an attention block, and no other of ``blocks``.

    Parameters
    ----------
    root
        What paths start from.
    path, blocks
        The block, and all blocks of its kind.

    Raises
    ------
    UnsupportedArchitecture
        If there is none.
    """
    parts = path.split(".")
    for depth in range(1, len(parts)):
        prefix = ".".join(parts[:depth])
        inside = {other for other in blocks if other.startswith(f"{prefix}.")}
        if isinstance(root.get_submodule(prefix.rpartition(".")[0]), nn.ModuleList) and len(inside) == 1:
            return prefix
    raise UnsupportedArchitecture(
        f"{path} lies in no list of layers of its own, so its layer can't be told apart. Take alti or decompx."
    )


def last_layer(model: PreTrainedModel, layout: Layout, group: str) -> Site:
    """What the last layer of a group gives, in its last call where it stands in several places.

    Raises
    ------
    UnsupportedArchitecture
        If a block lies in no list of layers.
    """
    paths = layout.paths[group]
    part = model.get_submodule(root_path(model, layout.groups[group][-1].path))
    layers = [part.get_submodule(layer_path(part, path, paths)) for path in paths]
    before = sum(layer is layers[-1] for layer in layers[:-1])
    return Site(next(path for path, module in model.named_modules() if module is layers[-1]), occurrence=before)


def without_attention(model: PreTrainedModel, blocks: Sequence[str]) -> list[str]:
    """Paths of the layers, in the lists that hold attention blocks, that hold none themselves (state-space layers, say).

    Parameters
    ----------
    model
        The model.
    blocks
        Paths of all attention blocks that were measured.
    """
    root = model.get_submodule(root_path(model, blocks[0]))
    lists: dict[str, nn.ModuleList] = {}
    for path in blocks:
        parts = path.split(".")
        for parent in (".".join(parts[:depth]) for depth in range(1, len(parts))):
            if isinstance(module := root.get_submodule(parent), nn.ModuleList):
                lists[parent] = module
                break
    measured = {root.get_submodule(path) for path in blocks}  # a layer may stand in several places
    return [
        f"{parent}.{number}"
        for parent, layers in lists.items()
        for number, layer in enumerate(layers)
        if measured.isdisjoint(layer.modules())
    ]
