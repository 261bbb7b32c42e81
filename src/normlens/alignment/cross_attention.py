"""Cross-attention of selected layers, batch after batch, and nothing else.

An analysis measures every block and labels everything; word alignment needs one kind of block, one or two layers of it, and
thousands of sentences a minute. Here only the selected blocks are captured and measured, the model stops after the last of
them, and no labels are made. Anatomy and verification are those of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from normlens.analysis.inspector import Inspector
from normlens.analysis.runner import Runner
from normlens.engine.capture.interface import AttentionCall
from normlens.engine.computation import computing
from normlens.engine.contributions.measure import Measures, check_conservation, measure
from normlens.engine.tracing import Tracer
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.layout import Layout
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, AttentionScope
from normlens.engine.tracing.tracer import RunStopped, ScopesOf
from normlens.errors import ExecutionPathChanged, InvalidInput, UnsupportedArchitecture
from normlens.inputs.example import Example


class _AllMeasured(RunStopped):
    """All requested layers have been measured; the rest of the model needn't run."""


def check_translator(name: str, config: PreTrainedConfig) -> None:
    """Refuse a model that isn't an encoder–decoder.

    Parameters
    ----------
    name
        The model's name, for the error.
    config
        Its configuration.

    Raises
    ------
    InvalidInput
        Naming models that would work.
    """
    if not getattr(config, "is_encoder_decoder", False):
        raise InvalidInput(
            f"{name} ({config.model_type}) is not an encoder–decoder; words are aligned by the attention from a decoder to "
            "an encoder. Choose a translation model, such as Marian, M2M-100, NLLB, mBART, T5 or BART."
        )


class CrossReader:
    """An encoder–decoder whose cross-attention can be measured alone.

    Parameters
    ----------
    model
        The model.

    Raises
    ------
    InvalidInput
        If it isn't an encoder–decoder.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        check_translator(type(model).__name__, model.config)
        self.model = model
        self._inspector = Inspector(model)
        self._runner = Runner(self._inspector)

    def layers(self, example: Example) -> list[int]:
        """Numbers of the layers with cross-attention, for inputs like this one.

        Raises
        ------
        UnsupportedArchitecture
            If it has no cross-attention that can be measured.
        """
        layout = self._inspector.inspection(example).layout
        return layout.numbers[self._name(layout)]

    def scopes(self, example: Example, layer: int) -> tuple[AttentionScope, ...]:
        """The scopes that a layer's cross-attention has."""
        layout = self._inspector.inspection(example).layout
        return self._cross(layout)[layer].scopes

    @computing()
    def measured(
        self, batch: Sequence[Example], layers: Sequence[int], scope: AttentionScope = "attention"
    ) -> list[tuple[Measures, ...]]:
        """Weights and norms of some layers, for a batch of sentence pairs.

        Parameters
        ----------
        batch
            Padded on the right where lengths differ, if the model's numbers don't depend on padding; otherwise run singly.
        layers
            Numbers of the layers.
        scope
            How far norms are measured: this scope and those before it.

        Returns
        -------
        list of tuple of Measures
            For each run of the model, one entry per layer, in the order of ``layers``: a single run with the whole batch,
            or a run for each pair.
        """
        if len(batch) > 1 and not self._runner.may_pad(batch):
            return [run for example in batch for run in self.measured([example], layers, scope)]
        return [self._inspector.again_if_changed(lambda: self._measured(batch, layers, scope))]

    def _measured(self, batch: Sequence[Example], layers: Sequence[int], scope: AttentionScope) -> tuple[Measures, ...]:
        inspection = self._inspector.inspection(batch[0])
        blocks = self._cross(inspection.layout)
        selected = {(blocks[layer].path, blocks[layer].occurrence): layer for layer in layers}
        scopes = {key: blocks[layer].scopes[: ATTENTION_SCOPES.index(scope) + 1] for key, layer in selected.items()}
        measured: dict[int, Measures] = {}
        valid = self._valid(batch)

        def record(block: Block) -> None:
            key = block.path, block.occurrence
            if key not in selected:
                return
            (measured[selected[key]],) = measure(block, scopes[key])
            check_conservation(measured[selected[key]], block.path, self.model.dtype, valid)
            if len(measured) == len(selected):
                raise _AllMeasured

        tracer = _CrossAttentionTracer(
            self._inspector.body,
            record,
            lambda path, occurrence: scopes.get((path, occurrence), ()),
            {path for path, _ in selected},
        )
        try:
            self._inspector.watch(inspection, batch, tracer)
        except _AllMeasured:
            return tuple(measured[layer] for layer in layers)
        raise ExecutionPathChanged(
            f"{type(self.model).__name__} ran without the cross-attention that it had at inspection; nothing was returned."
        )

    def _valid(self, batch: Sequence[Example]) -> Tensor:
        lengths = torch.tensor([len(example.tensors["decoder_input_ids"]) for example in batch])
        return (torch.arange(int(lengths.max())) < lengths[:, None]).to(self.model.device)

    def _name(self, layout: Layout) -> str:
        names = [name for name, blocks in layout.groups.items() if blocks[0].group == "cross"]
        if len(names) != 1:
            raise UnsupportedArchitecture(
                f"{type(self.model).__name__} has {len(names)} kinds of cross-attention that can be measured; expected "
                "exactly one. Its word alignment can't be read."
            )
        return names[0]

    def _cross(self, layout: Layout) -> dict[int, BlockAnatomy]:
        """The cross-attention blocks by layer number."""
        name = self._name(layout)
        return dict(zip(layout.numbers[name], layout.groups[name], strict=True))


class _CrossAttentionTracer(Tracer):
    """A tracer that follows the attention calls of selected modules and ignores the others."""

    def __init__(
        self,
        model: PreTrainedModel,
        on_block: Callable[[Block], None],
        scopes_of: ScopesOf,
        paths: set[str],
    ) -> None:
        super().__init__(model, on_block, scopes_of)
        self._selected = paths

    def capture(self, call: AttentionCall) -> None:
        """Follow a call of one of the selected modules."""
        if self._paths.get(call.module) in self._selected:
            super().capture(call)
