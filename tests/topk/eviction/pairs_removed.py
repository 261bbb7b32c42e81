"""Pairs removed from a model's attention by hand: their scores are masked just before one softmax of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from normlens.engine.tracing import Tracer
from normlens.engine.tracing.block import Block
from normlens.topk.eviction import TextReading
from normlens.topk.eviction.budgets import Kept
from normlens.topk.eviction.read_blocks import BlockName, ReadBlock


class PairsRemoved(TorchFunctionMode):
    """Removes pairs from one attention call of a run.

    Parameters
    ----------
    call
        The number of the softmax of the right shape, counted from zero.
    kept
        ``(head, source)``, True for pairs that stay.
    targets
        The number of targets.
    """

    def __init__(self, call: int, kept: Tensor, targets: int) -> None:
        super().__init__()
        self._call, self._kept, self._targets, self.calls = call, kept, targets, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if getattr(func, "__name__", "") == "softmax":
            scores = args[0] if args else kwargs.pop("input")
            if self._is_attention(scores):
                self.calls += 1
                scores = self._removed(scores) if self.calls - 1 == self._call else scores
            args = (scores, *args[1:])
        return func(*args, **kwargs)

    def _is_attention(self, scores: Tensor) -> bool:
        heads, sources = self._kept.shape
        if scores.ndim not in (3, 4):
            return False
        *_, stored, targets, columns = scores.shape  # a learned sink is one more column
        return (stored, targets) == (heads, self._targets) and columns in (sources, sources + 1)

    def _removed(self, scores: Tensor) -> Tensor:
        gone = torch.zeros(scores.shape[-3], 1, scores.shape[-1], dtype=torch.bool)
        gone[:, 0, : self._kept.shape[1]] = ~self._kept
        return scores.masked_fill(gone, torch.finfo(scores.dtype).min)


Shape = tuple[int, ...]
"""Heads, sources and targets of an attention call."""


@dataclass(frozen=True)
class ByHand:
    """Errors of one block after the pairs were removed: as in `OutputErrors`, and which queries see a pair that stays."""

    head: Tensor
    layer: Tensor
    seeing: Tensor


def read_blocks(reading: TextReading) -> dict[BlockName, ReadBlock]:
    """All blocks of a short text."""
    blocks: dict[BlockName, ReadBlock] = {}
    reading.visit(lambda block: blocks.setdefault(block.name, block) and None)
    return blocks


class Removal:
    """Runs a model with pairs removed in one block, and compares it with the model as it is.

    Parameters
    ----------
    reading
        The text that the model reads.
    """

    def __init__(self, reading: TextReading) -> None:
        self._reading = reading
        self._untouched: dict[Shape, tuple[dict[BlockName, Block], int]] = {}
        self._next: dict[Shape, int] = {}

    def errors(self, block: ReadBlock, kept: Kept) -> ByHand | None:
        """Errors of a block without some pairs; None if none of the pairs has any weight there.

        The softmax of the block is the one whose change is seen in no block before it. It is sought first after that of the
        block that was asked for before.
        """
        heads = kept.repeat_interleave(block.shared, dim=0)
        shape = (*heads.shape, block.size)
        if shape not in self._untouched:
            untouched = PairsRemoved(-1, heads, block.size)
            self._untouched[shape] = _run(self._reading, untouched), untouched.calls
        before, calls = self._untouched[shape]
        first = self._next.get(shape, 0)
        for call in (*range(first, calls), *range(first)):
            after = _run(self._reading, PairsRemoved(call, heads, block.size))
            changed = (
                name for name, run in after.items() if not torch.equal(run.call.output, before[name].call.output)
            )
            if next(changed, None) == block.name:
                self._next[shape] = call + 1
                return _errors(block, before[block.name], after[block.name], heads)
        return None


def _run(reading: TextReading, removing: PairsRemoved) -> dict[BlockName, Block]:
    inspection, blocks = reading.inspector.inspection(reading.example), dict[BlockName, Block]()

    def note(block: Block) -> None:
        if (block.path, block.occurrence) in {name for names in reading.blocks.values() for name in names}:
            blocks[block.path, block.occurrence] = block

    with removing:
        tracer = Tracer(reading.inspector.body, note, inspection.layout.scopes_of)
        reading.inspector.watch(inspection, [reading.example], tracer)
    return blocks


def _errors(block: ReadBlock, before: Block, after: Block, kept: Tensor) -> ByHand:
    """Relative errors of head outputs and of the block's output, as the model computed it."""
    weights = torch.cat([rows.weights for rows in block.rows()], dim=1)
    projection = before.projection.weight.reshape(block.heads, -1, before.projection.weight.shape[-1])

    def heads_of(run: Block) -> Tensor:
        mixed = (
            run.call.output[0]
            if run.gate is None
            else run.call.output[0] * run.gate[0].unflatten(-1, (block.heads, -1))
        )
        if run.head_norm is not None:
            flat = mixed.flatten(1)
            centered = flat - flat.mean(-1, keepdim=True) if run.head_norm.form.centered else flat
            mixed = (centered * run.head_norm.form.gain).unflatten(-1, (block.heads, -1))
        return mixed.transpose(0, 1) @ projection

    one, other = heads_of(before), heads_of(after)
    y, moved = before.projection.output[0], after.projection.output[0]
    return ByHand(
        _relative((other - one).norm(dim=-1), one.norm(dim=-1)),
        _relative((moved - y).norm(dim=-1), y.norm(dim=-1)),
        (weights * kept[:, None]).sum(-1) > 0,
    )


def _relative(gap: Tensor, size: Tensor) -> Tensor:
    """A ratio; zero for a head whose output is zero and stays so."""
    return torch.where(gap == 0, 0.0, gap / size)
