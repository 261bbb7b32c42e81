"""The layout of an analysis: its groups of attention blocks, and the layer of each block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from normlens.engine.tracing.anatomy import BlockAnatomy, LayerAnatomy
from normlens.engine.tracing.layer_numbers import layer_numbers, tower
from normlens.engine.tracing.scopes import AttentionScope
from normlens.errors import ExecutionPathChanged


@dataclass(frozen=True)
class Layout:
    """The groups of attention blocks, in the order of the model.

    Attributes
    ----------
    groups
        Name of each group, and its blocks: the layers.
    numbers
        The model's own numbers of these layers, per group: in a hybrid, not every layer has attention.
    paths
        Each block's path, per group: if several layers share a module, its path in that layer.
    """

    groups: dict[str, list[BlockAnatomy]]
    numbers: dict[str, list[int]]
    paths: dict[str, list[str]]

    def position(self, path: str, occurrence: int) -> tuple[str, int]:
        """The group of a block, and its index in that group."""
        for name, blocks in self.groups.items():
            for index, block in enumerate(blocks):
                if (block.path, block.occurrence) == (path, occurrence):
                    return name, index
        raise ExecutionPathChanged(
            f"{path} was called {occurrence + 1} times in this run, but fewer times when the model was inspected: it takes "
            "a different execution path for this input. No result was returned."
        )

    def anatomy(self, path: str, occurrence: int) -> BlockAnatomy:
        """The anatomy of a block."""
        name, index = self.position(path, occurrence)
        return self.groups[name][index]

    def layer_of(self, path: str, occurrence: int) -> tuple[str, int]:
        """The group of a block, and the number of its layer."""
        name, index = self.position(path, occurrence)
        return name, self.numbers[name][index]

    def scopes_of(self, path: str, occurrence: int) -> tuple[AttentionScope, ...]:
        """The scopes of a block."""
        return self.anatomy(path, occurrence).scopes

    def layers(self) -> list[LayerAnatomy]:
        """The layers of all blocks whose layer continues after them."""
        return [block.layer for blocks in self.groups.values() for block in blocks if block.layer is not None]


def lay_out(blocks: Sequence[BlockAnatomy], model: nn.Module | None = None) -> Layout:
    """Group the blocks of a model by kind, by tower if it has several, and by sequence length if the layers' lengths differ.

    Parameters
    ----------
    blocks
        In the order in which they run.
    model
        The model that paths are relative to; needed to tell which layers share a module.
    """
    names = _names(blocks)
    groups: dict[str, list[BlockAnatomy]] = {}
    for block in blocks:
        alike = [b for b in blocks if names[b] == names[block]]
        stage = list(dict.fromkeys((b.targets, b.sources) for b in alike)).index((block.targets, block.sources))
        groups.setdefault(names[block] if not stage else f"{names[block]}_{stage}", []).append(block)
    by_block = _paths_by_layer(blocks, model)
    paths = {name: [by_block[block] for block in group] for name, group in groups.items()}
    return Layout(groups, {name: layer_numbers(here) for name, here in paths.items()}, paths)


def _names(blocks: Sequence[BlockAnatomy]) -> dict[BlockAnatomy, str]:
    """The name of each block's group: its kind, or its tower where several towers have blocks of that kind."""
    towers = {block: tower(block.path) for block in blocks}
    names: dict[BlockAnatomy, str] = {}
    for block in blocks:
        several = len({towers[b] for b in blocks if b.group == block.group}) > 1
        name = (towers[block].split(".")[0] or block.group) if several else block.group
        if several and any(b.group != block.group and towers[b].split(".")[0] == name for b in blocks):
            name = f"{name}_{block.group}"
        names[block] = name
    return names


def _paths_by_layer(blocks: Sequence[BlockAnatomy], model: nn.Module | None) -> dict[BlockAnatomy, str]:
    """Each block's path; if several layers share a module and each runs it once, its path in that layer."""
    modules = {} if model is None else dict(model.named_modules())
    paths: dict[nn.Module, list[str]] = {}
    for path, module in [] if model is None else model.named_modules(remove_duplicate=False):
        paths.setdefault(module, []).append(path)
    runs = Counter(block.path for block in blocks)
    here = {block: paths.get(modules[block.path], []) if block.path in modules else [] for block in blocks}
    return {b: here[b][b.occurrence] if len(here[b]) == runs[b.path] else b.path for b in blocks}
