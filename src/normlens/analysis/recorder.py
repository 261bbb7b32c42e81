"""The recorder: collects the measures of all blocks of a run, as labeled arrays for each text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import xarray as xr
from torch import Tensor

from normlens.analysis.group_arrays import GroupLabels, ReducedArrays, WholeArrays, pieces_of
from normlens.analysis.position_labels import labeled, source_medium
from normlens.analysis.reductions import Reduction
from normlens.engine.contributions.choice import DEFAULT_MEASURES, MeasureName
from normlens.engine.contributions.measure import Measures
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.layout import Layout
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, Scope
from normlens.errors import ExecutionPathChanged
from normlens.inputs.batch import is_ragged
from normlens.inputs.example import Example
from normlens.inputs.tokens import Tokens


class Recorder:
    """Collects the measures of a run, block by block, into labeled arrays for each text.

    Parameters
    ----------
    layout
        Groups and layers of the model.
    examples
        The texts of the batch.
    padding
        "right" or "left".
    reduction
        Applied to each layer's maps as soon as they are measured, so that no maps are kept; None to keep all maps.
    scopes
        Labels of the dimension ``scope``.
    chosen
        The measures to keep.
    """

    def __init__(
        self,
        layout: Layout,
        examples: Sequence[Example],
        padding: str = "right",
        reduction: Reduction | None = None,
        scopes: Sequence[Scope] = ATTENTION_SCOPES,
        chosen: frozenset[MeasureName] = frozenset(DEFAULT_MEASURES),
    ) -> None:
        self._layout, self._examples, self._padding, self._reduction = layout, examples, padding, reduction
        self._scopes, self._chosen = scopes, chosen
        self._ragged = is_ragged(examples)
        self._seen: set[tuple[str, int]] = set()
        self._groups: list[dict[str, WholeArrays | ReducedArrays]] = [{} for _ in examples]

    def valid_targets(self, block: BlockAnatomy, batch: int, targets: int, device: torch.device) -> Tensor | None:
        """True for the targets of a block that aren't padding, ``(batch, target)``; None if there is no padding."""
        if batch != len(self._examples):
            return None
        rows = [self._real(self._target_tokens(e, block), targets) for e in self._examples]
        if all(r == slice(0, targets) for r in rows):
            return None
        valid = torch.zeros(batch, targets, dtype=torch.bool, device=device)
        for k, row in enumerate(rows):
            valid[k, row] = True
        return valid

    def add(self, block: BlockAnatomy, measures: Measures, targets: int) -> None:
        """Store the measures of a slice of a block's targets; ``targets`` is the block's number of targets, with padding."""
        name, row = self._layout.position(block.path, block.occurrence)
        self._seen.add((block.path, block.occurrence))
        sources = measures.weight.shape[-1]
        for k, example in enumerate(self._examples):
            target_rows = self._real(self._target_tokens(example, block), targets)
            source_rows = self._real(self._source_tokens(example, block), sources)
            if name not in self._groups[k]:
                self._groups[k][name] = self._arrays(name, block, example, _size(target_rows), _size(source_rows))
            start = max(measures.start, target_rows.start)
            stop = min(measures.start + measures.weight.shape[2], target_rows.stop)
            if start < stop:
                measured = slice(start - measures.start, stop - measures.start)
                targets_of_text = slice(start - target_rows.start, stop - target_rows.start)
                pieces = pieces_of(measures, k, measured, source_rows, self._chosen)
                self._groups[k][name].store(row, targets_of_text, pieces)

    def require_all(self) -> None:
        """Refuse a run in which a block of the layout was not measured.

        Raises
        ------
        ExecutionPathChanged
            Naming the first one.
        """
        for blocks in self._layout.groups.values():
            for block in blocks:
                if (block.path, block.occurrence) not in self._seen:
                    raise ExecutionPathChanged(
                        f"{block.path} ran at the inspection of the model, but not in this run: the model takes a different "
                        "execution path for this input. Nothing was returned."
                    )

    def trees(self) -> list[dict[str, xr.Dataset]]:
        """One dictionary of group name to labeled arrays for each text."""
        return [{name: arrays.dataset() for name, arrays in groups.items()} for groups in self._groups]

    def _arrays(
        self, name: str, block: BlockAnatomy, example: Example, targets: int, sources: int
    ) -> WholeArrays | ReducedArrays:
        """Empty arrays of a group and a text."""
        target = labeled(self._target_tokens(example, block), targets, example, block.medium)
        source = labeled(self._source_tokens(example, block), sources, example, source_medium(example, block))
        blocks, numbers = self._layout.groups[name], self._layout.numbers[name]
        labels = GroupLabels(name, blocks, numbers, self._scopes, target, source)
        return WholeArrays(labels) if self._reduction is None else ReducedArrays(labels, self._reduction)

    def _target_tokens(self, example: Example, block: BlockAnatomy) -> Tokens | None:
        if block.medium != "text":
            return None
        return example.target if example.target is not None and block.group != "encoder" else example.source

    def _source_tokens(self, example: Example, block: BlockAnatomy) -> Tokens | None:
        if block.group == "cross":
            return example.source if example.target is not None else None
        return self._target_tokens(example, block)

    def _real(self, tokens: Tokens | None, length: int) -> slice:
        """The slice of a text's positions in a padded sequence of ``length``."""
        if tokens is None or not self._ragged or len(tokens) > length:
            return slice(0, length)
        return slice(0, len(tokens)) if self._padding == "right" else slice(length - len(tokens), length)


def _size(positions: slice) -> int:
    return int(positions.stop - positions.start)
