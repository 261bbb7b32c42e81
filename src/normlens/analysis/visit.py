"""Visits to attention blocks, one at a time as the model runs, with their contribution vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from normlens.analysis.inspector import Inspector
from normlens.engine.contributions.vectors import Contributions
from normlens.engine.tracing import Tracer
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.scopes import AttentionScope
from normlens.inputs.example import Example


@dataclass(frozen=True)
class BlockVectors(Contributions):
    """The contribution vectors of one attention block, and the block's position in the model.

    Attributes
    ----------
    group, layer
        "encoder", "decoder", "cross", ..., and the number of the layer.
    anatomy
        The block's anatomy.
    """

    group: str
    layer: int
    anatomy: BlockAnatomy


Visit = Callable[[BlockVectors], None]


def visit_blocks(inspector: Inspector, batch: Sequence[Example], scope: AttentionScope, visit: Visit) -> None:
    """Run a batch, padded on the right, and call ``visit`` for every attention block as soon as it has run.

    Parameters
    ----------
    inspector
        Inspects the model and runs it.
    batch
        Texts that may be padded together; see :meth:`normlens.analysis.runner.Runner.may_pad`.
    scope
        The scope of the vectors.
    visit
        Called in the order in which blocks run; its argument is released when it returns.

    Raises
    ------
    UnsupportedArchitecture
        If a block lacks the scope; the message names the scopes that all blocks have.
    """
    inspector.again_if_changed(lambda: _visit(inspector, batch, scope, visit))


def _visit(inspector: Inspector, batch: Sequence[Example], scope: AttentionScope, visit: Visit) -> None:
    inspector.require_scope(batch[0], scope)
    inspection = inspector.inspection(batch[0])

    def show(block: Block) -> None:
        name, layer = inspection.layout.layer_of(block.path, block.occurrence)
        visit(BlockVectors(block, scope, name, layer, inspection.layout.anatomy(block.path, block.occurrence)))

    inspector.watch(inspection, batch, Tracer(inspector.body, show, inspection.layout.scopes_of))
