"""A runner that shows its attention blocks, one at a time, to whoever needs the contribution vectors themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from normlens.anatomy import AppliedNorm, Block, BlockAnatomy, Scope, working_precision
from normlens.carrying import Carried, carried_to
from normlens.errors import AnotherWay, UnsupportedArchitecture
from normlens.examples import Example
from normlens.norms import split_projection
from normlens.running import Runner, as_it_is
from normlens.tracing import Tracer


@dataclass(frozen=True)
class BlockVectors:
    """The contribution vectors of one attention block at one scope, for a batch of texts.

    Attributes
    ----------
    group, layer
        Where the block is in the model: "encoder", "decoder", "cross", ..., and which of these layers.
    known
        The block's anatomy.
    scope
        How far into the block the vectors are followed.
    block
        The block as it ran.
    """

    group: str
    layer: int
    known: BlockAnatomy
    scope: Scope
    block: Block

    @property
    def carried(self) -> Carried:
        """The affine map from value vectors to the scope."""
        return carried_to(self.block, _up_to(self.scope))[self.scope]

    def rows(self, start: int, stop: int) -> Float[Tensor, "batch target source d"]:
        """c_ij of the targets ``start:stop``, float32 at least; the residual vector is on the diagonal (self-attention)."""
        block, at = self.block, self.carried
        weights = working_precision(block.call.rows(start, stop))
        value = working_precision(block.call.value)
        value = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
        if block.gate is None:
            moved = torch.einsum("bhsi,hid->bhsd", value, split_projection(at.projection, weights.shape[1]))
            vectors = torch.einsum("bhts,bhsd->btsd", weights, moved)
        else:
            mixed = torch.einsum("bhts,bhsi->btshi", weights, value).flatten(3)
            vectors = (mixed * block.gate[:, start:stop, None]) @ at.projection
        if not at.unscaled:
            vectors = vectors * (at.scale[:, start:stop, None] if at.scale.ndim == 3 else at.scale)
        own = self.own(start, stop)
        if own is not None and not block.cross:
            targets = torch.arange(stop - start, device=vectors.device)
            vectors[:, targets, targets + start] += own
        return vectors

    def along(self, direction: Float[Tensor, "batch target d"]) -> Float[Tensor, "batch target source"]:
        """⟨g_i, c_ij⟩ with a direction g_i for every target, without the vectors; what the residual stream brings apart.

        Parameters
        ----------
        direction
            One vector per target; rows that are zero give zeros.
        """
        block, at = self.block, self.carried
        weights = working_precision(block.call.rows(0, direction.shape[1]))
        value = working_precision(block.call.value)
        value = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
        back = direction @ at.projection.transpose(-1, -2)
        back = back if block.gate is None else back * block.gate
        back = back.unflatten(-1, (weights.shape[1], -1)).transpose(1, 2)
        moved: Tensor = (weights * (back @ value.transpose(-1, -2))).sum(1) * at.scale
        return moved

    def own(self, start: int, stop: int) -> Float[Tensor, "batch target d"] | None:
        """What the residual stream brings at the scope, for these targets; None at scope ``attention``."""
        if self.scope == "attention":
            return None
        assert self.block.own is not None
        own = working_precision(self.block.own)[:, start:stop]
        if self.scope == "residual":
            return own
        outer = self.block.outer_norm
        assert isinstance(outer, AppliedNorm)
        return outer.form.linear(own) * outer.scale[:, start:stop]

    def bias(self, start: int, stop: int) -> Float[Tensor, "batch target d"]:
        """What belongs to no source."""
        bias, whole = self.carried.bias, self.output(start, stop)
        return (bias[:, start:stop] if bias.ndim == 3 else bias).expand_as(whole)

    def output(self, start: int, stop: int) -> Float[Tensor, "batch target d"]:
        """What the model computed: Σ_j c_ij + bias_i (+ own_i in cross-attention)."""
        block = self.block
        if self.scope == "attention":
            assert block.projected is not None
            return working_precision(block.projected)[:, start:stop]
        if self.scope == "layernorm":
            assert block.outer_norm is not None
            return block.outer_norm.after[:, start:stop]
        assert block.summed is not None
        summed = working_precision(block.summed)[:, start:stop]
        return summed if block.left_out is None else summed - working_precision(block.left_out)[:, start:stop]


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
            visit(BlockVectors(name, layer, layout.anatomy(block.path, block.occurrence), scope, block))

        tracer = Tracer(self._body, show, complete)
        with torch.no_grad(), listening(self.model, tracer, None), as_it_is(self.model), tracer.watching():
            self._forward(self._inputs(batch, "right"))


def _up_to(scope: Scope) -> tuple[Scope, ...]:
    scopes: tuple[Scope, ...] = ("attention", "residual", "layernorm")
    return scopes[: scopes.index(scope) + 1]
