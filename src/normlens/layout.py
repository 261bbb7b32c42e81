"""Which attention blocks form which group of an analysis, and which layer of it each one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normlens.anatomy import Block, BlockAnatomy
from normlens.errors import AnotherWay
from normlens.layers import LayerAnatomy


@dataclass(frozen=True)
class Layout:
    """Which blocks form which group, in the order of the model.

    Attributes
    ----------
    groups
        Name of each group, and its blocks: the layers.
    """

    groups: dict[str, list[BlockAnatomy]]

    def place(self, path: str, occurrence: int) -> tuple[str, int]:
        """Group and layer number of a block."""
        for name, blocks in self.groups.items():
            for layer, block in enumerate(blocks):
                if (block.path, block.occurrence) == (path, occurrence):
                    return name, layer
        raise AnotherWay(
            f"{path} was called a {occurrence + 1}. time in this run, but not in the first run that was watched: the model "
            "takes another way for this input. Nothing was returned."
        )

    def anatomy(self, path: str, occurrence: int) -> BlockAnatomy:
        """The anatomy of a block."""
        name, layer = self.place(path, occurrence)
        return self.groups[name][layer]

    def is_complete(self, block: Block) -> bool:
        """Whether the trace of a block has come as far as its anatomy goes."""
        scopes = self.anatomy(block.path, block.occurrence).scopes
        return block.reached()[: len(scopes)] == scopes

    def layers(self) -> list[LayerAnatomy]:
        """The layers of all blocks that have one to go on in."""
        return [block.layer for blocks in self.groups.values() for block in blocks if block.layer is not None]


def lay_out(blocks: Sequence[BlockAnatomy]) -> Layout:
    """Group the blocks of a model: by kind; by tower where a model has several; by length where layers differ in it."""
    towers = {block: _tower(block.path) for block in blocks}
    groups: dict[str, list[BlockAnatomy]] = {}
    for block in blocks:
        alike = [b for b in blocks if b.group == block.group]
        several = len({towers[b] for b in alike}) > 1
        name = (towers[block].split(".")[0] or block.group) if several else block.group
        if several and any(b.group != block.group and towers[b].split(".")[0] == name for b in blocks):
            name = f"{name}_{block.group}"
        lengths = list(dict.fromkeys((b.targets, b.sources) for b in alike if towers[b] == towers[block]))
        stage = lengths.index((block.targets, block.sources))
        groups.setdefault(name if not stage else f"{name}_{stage}", []).append(block)
    return Layout(groups)


def _tower(path: str) -> str:
    """The part of a module path in front of its layer number."""
    parts = path.split(".")
    first = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts))
    return ".".join(parts[:first])
