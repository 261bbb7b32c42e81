"""A runner that shows its attention blocks, one at a time, to whoever needs the contribution vectors themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from normlens.anatomy import Block, BlockAnatomy, Scope
from normlens.contributions import Contributions
from normlens.errors import AnotherWay, UnsupportedArchitecture
from normlens.examples import Example
from normlens.hooks import as_it_is
from normlens.running import Runner
from normlens.tracing import Tracer


@dataclass(frozen=True)
class BlockVectors(Contributions):
    """The contribution vectors of one attention block, and where in the model it is.

    Attributes
    ----------
    group, layer
        "encoder", "decoder", "cross", ..., and which of these layers.
    known
        The block's anatomy.
    """

    group: str
    layer: int
    known: BlockAnatomy


Visit = Callable[[BlockVectors], None]


class VisitingRunner(Runner):
    """A runner that can also show every block's contribution vectors."""

    def visit(self, batch: Sequence[Example], scope: Scope, visit: Visit) -> None:
        """Run a batch, padded on the right, and call ``visit`` for every attention block when it has ended.

        Parameters
        ----------
        batch
            Texts that may be padded together; see :meth:`may_pad`.
        scope
            The scope of the vectors.
        visit
            Called in the order in which blocks end; what it is given is dropped when it returns.

        Raises
        ------
        UnsupportedArchitecture
            If some block has no such scope, with those that it has.
        """
        try:
            self._visit(batch, scope, visit)
        except AnotherWay:
            self._known.clear()
            self._visit(batch, scope, visit)

    def require_scope(self, example: Example, scope: str) -> None:
        """Refuse a scope that some block doesn't have.

        Raises
        ------
        UnsupportedArchitecture
            Naming the block, why, and the scopes that all blocks have.
        """
        blocks = list(self.blocks(example))
        shared = [s for s in blocks[0][2].scopes if all(s in known.scopes for _, _, known in blocks)]
        for _, _, known in blocks:
            if scope not in known.scopes:
                raise UnsupportedArchitecture(
                    f"{known.path} ({known.family} family) has no scope {scope!r}: {known.obstacle}. "
                    f"All blocks of {type(self.model).__name__} have {', '.join(map(repr, shared))}; choose one of these."
                )

    def blocks(self, example: Example) -> Iterator[tuple[str, int, BlockAnatomy]]:
        """Group, layer and anatomy of every attention block."""
        layout = self._anatomy(example)[0]
        return ((name, layer, b) for name, blocks in layout.groups.items() for layer, b in enumerate(blocks))

    def module(self, path: str) -> nn.Module:
        """The module at a path as an anatomy gives it."""
        found: nn.Module = self._body.get_submodule(path)
        return found

    def _visit(self, batch: Sequence[Example], scope: Scope, visit: Visit) -> None:
        layout, listening, _ = self._anatomy(batch[0])
        self.require_scope(batch[0], scope)

        def complete(block: Block) -> bool:
            scopes = layout.anatomy(block.path, block.occurrence).scopes
            return block.reached()[: len(scopes)] == scopes

        def show(block: Block) -> None:
            name, layer = layout.place(block.path, block.occurrence)
            visit(BlockVectors(block, scope, name, layer, layout.anatomy(block.path, block.occurrence)))

        tracer = Tracer(self._body, show, complete)
        with torch.no_grad(), listening(self.model, tracer, None), as_it_is(self.model), tracer.watching():
            self._forward(self._inputs(batch, "right"))
