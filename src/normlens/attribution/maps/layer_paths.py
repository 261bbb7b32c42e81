"""Module paths of the layers around attention blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from normlens.engine.frozen.sites import Site
from normlens.engine.tracing.layout import Layout
from normlens.errors import UnsupportedArchitecture


def root_path(model: PreTrainedModel, path: str) -> str:
    """Path of the submodel that a block's path starts from: the model itself (empty), or its body."""
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
        The module that paths start from.
    path, blocks
        The block, and all blocks of its kind.

    Raises
    ------
    UnsupportedArchitecture
        If there is none.
    """
    names = path.split(".")
    for depth in range(1, len(names)):
        prefix = ".".join(names[:depth])
        inside = {other for other in blocks if other.startswith(f"{prefix}.")}
        if isinstance(root.get_submodule(prefix.rpartition(".")[0]), nn.ModuleList) and len(inside) == 1:
            return prefix
    raise UnsupportedArchitecture(
        f"{path} is in no list of layers, so its layer can't be identified. Use method='alti' or 'decompx'."
    )


def last_layer(model: PreTrainedModel, layout: Layout, group: str) -> Site:
    """The output of the last layer of a group, in its last call if it is called several times.

    Raises
    ------
    UnsupportedArchitecture
        If a block lies in no list of layers.
    """
    paths = layout.paths[group]
    root = model.get_submodule(root_path(model, layout.groups[group][-1].path))
    layers = [root.get_submodule(layer_path(root, path, paths)) for path in paths]
    before = sum(layer is layers[-1] for layer in layers[:-1])
    return Site(next(path for path, module in model.named_modules() if module is layers[-1]), occurrence=before)


def without_attention(model: PreTrainedModel, blocks: Sequence[str]) -> list[str]:
    """Paths of layers without measured attention in lists of layers that have some (state-space layers, say).

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
        names = path.split(".")
        for parent in (".".join(names[:depth]) for depth in range(1, len(names))):
            if isinstance(module := root.get_submodule(parent), nn.ModuleList):
                lists[parent] = module
                break
    measured = {root.get_submodule(path) for path in blocks}  # a layer may be used in several places
    return [
        f"{parent}.{number}"
        for parent, layers in lists.items()
        for number, layer in enumerate(layers)
        if measured.isdisjoint(layer.modules())
    ]
