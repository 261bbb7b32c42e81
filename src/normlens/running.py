"""Runs a model under the tracer: once to find its anatomy and verify it, then batch after batch to measure."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import xarray as xr
from torch import Tensor
from transformers import PreTrainedModel

from normlens.anatomy import SCOPES, Block, BlockAnatomy, describe, require_attention_scope
from normlens.batching import is_ragged, length, pad
from normlens.capture import asks_for_eager, attention_implementation, has_interface
from normlens.errors import AnotherWay, ConservationError, InvalidInput, NormLensError, UnsupportedArchitecture
from normlens.examples import Example
from normlens.following.learning import Learner
from normlens.following.pushing import pushing
from normlens.frozen.call import Product
from normlens.hooks import as_it_is
from normlens.layout import Layout, lay_out
from normlens.listening import Listening, by_observation, require_no_chance, require_same_output, through_interface
from normlens.measuring import ALL_SCOPES, TOLERANCE, Push, check_conservation, measure
from normlens.positions import counts_from_padding, turns_by_length
from normlens.precision import full_precision
from normlens.recording import Recorder, Reduction
from normlens.reducing import first_token
from normlens.tracing import Tracer, unfinished, unheard
from normlens.tracing.layers import LayerFinder, LayerTracer
from normlens.verification import verify_pairs

_WATCHED_LENGTH = 64  # tokens of the run that is watched before anything is measured


class Runner:
    """A model with what is known of its anatomy.

    Parameters
    ----------
    model
        The model; its head is left out of the run, since no attention happens there.

    Attributes
    ----------
    not_measured
        Attention modules that ran without being heard (attention without a softmax, say), by path.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.not_measured: list[str] = []
        self._body = _without_head(model)
        self._arguments = set(inspect.signature(self._body.forward).parameters)
        self._known: dict[tuple[tuple[str, ...], bool], tuple[Layout, Listening, bool]] = {}
        self._padding_holds: dict[tuple[tuple[str, ...], str, int], bool] = {}
        self._modules: tuple[int, ...] = ()

    def batchable(self, example: Example) -> bool:
        """Whether inputs like this one can be padded: every attention call is as long as the tokens it reads."""
        return self._anatomy(example)[2]

    @full_precision()
    def run(
        self,
        batch: Sequence[Example],
        reduction: Reduction | None = None,
        chunk_size: int | None = None,
        padding: str = "right",
        product: Product | None = None,
    ) -> list[dict[str, xr.Dataset]]:
        """Measure a batch: one dictionary of group name to labelled arrays per example.

        With a ``product`` rule, contributions are followed through the whole block, not the attention block alone.

        Raises
        ------
        UnsupportedArchitecture
            If the model can't be measured, or takes another way than in the run that was watched first.
        ConservationError
            If contributions don't add up.
        """
        kinds = [_kind(example) for example in batch]
        if len(set(kinds)) > 1:
            return self._run_by_kind(batch, kinds, reduction, chunk_size, padding, product)
        if len(batch) > 1 and not self._may_pad(batch, chunk_size, padding):
            return [tree for one in batch for tree in self.run([one], reduction, chunk_size, product=product)]
        try:
            return self._measure(batch, reduction, chunk_size, padding, product)
        except AnotherWay:
            self._known.clear()  # some models switch their attention once, by length: watch again
            return self._measure(batch, reduction, chunk_size, padding, product)

    def _run_by_kind(
        self, batch: Sequence[Example], kinds: Sequence[tuple[str, ...]], *asked: Any
    ) -> list[dict[str, xr.Dataset]]:
        """Measure a batch in which some inputs have tensors that others lack (token types), each kind by itself."""
        found: dict[int, dict[str, xr.Dataset]] = {}
        for kind in dict.fromkeys(kinds):
            places = [k for k, other in enumerate(kinds) if other == kind]
            found.update(zip(places, self.run([batch[k] for k in places], *asked), strict=True))
        return [found[k] for k in range(len(batch))]

    def _may_pad(self, batch: Sequence[Example], chunk_size: int | None, padding: str) -> bool:
        """Whether a padded batch gives this model's numbers for one text at a time: tried out.

        Tried once for each side, with the shortest and the longest text; again for texts twice as long.
        """
        if not is_ragged(batch):
            return True
        if asks_for_eager(self.model) or turns_by_length(self.model):
            return False  # sparse masks choose among the padded positions too
        ordered = sorted(batch, key=length)
        key = _kind(batch[0]), padding, length(ordered[-1]).bit_length()
        if key not in self._padding_holds:
            pair = [ordered[0], next(example for example in reversed(ordered) if is_ragged([ordered[0], example]))]
            try:
                together = self._measure(pair, first_token, chunk_size, padding)
            except (NormLensError, IndexError):
                self._padding_holds[key] = False
                return False
            alone = [self.run([example], first_token, chunk_size)[0] for example in pair]
            tolerance = 100 * TOLERANCE.get(self.model.dtype, TOLERANCE[torch.float32])
            self._padding_holds[key] = all(map(partial(_agree, tolerance), together, alone))
        return self._padding_holds[key]

    def _measure(
        self,
        batch: Sequence[Example],
        reduction: Reduction | None,
        chunk_size: int | None,
        padding: str,
        product: Product | None = None,
    ) -> list[dict[str, xr.Dataset]]:
        layout, listening, _ = self._anatomy(batch[0], product is not None)
        recorder = Recorder(layout, batch, padding, reduction, ALL_SCOPES if product else SCOPES)

        def known(block: Block) -> BlockAnatomy:
            return layout.anatomy(block.path, block.occurrence)

        def complete(block: Block) -> bool:
            scopes = known(block).scopes
            return block.reached()[: len(scopes)] == scopes

        def record(block: Block) -> None:
            with pushing(self._body, block, known(block).layer, product) as pusher:
                push = None if pusher is None else pusher.push
                self._record(block, known(block), recorder, len(batch), chunk_size, push)

        tracer = Tracer(self._body, record, complete)
        if product is not None:
            tracer = LayerTracer(self._body, record, complete, lambda block: known(block).layer, layout.layers())
        with torch.no_grad(), listening(self.model, tracer, chunk_size), as_it_is(self.model), tracer.watching():
            self._forward(self._inputs(batch, padding))
        recorder.require_all()
        if tracer.open_blocks:
            raise AnotherWay(
                f"{unfinished(tracer.open_blocks)}: this run went another way than the first one that was watched "
                f"({tracer.open_blocks[0].obstacle}). Nothing was returned."
            )
        return recorder.trees()

    def _record(
        self,
        block: Block,
        known: BlockAnatomy,
        recorder: Recorder,
        size: int,
        chunk_size: int | None,
        push: Push | None,
    ) -> None:
        """Measure one block and store what was measured, if it adds up."""
        batch, targets = block.call.output.shape[:2]
        if batch != size:
            raise UnsupportedArchitecture(
                f"{block.path} attends within {batch} windows of {size} input(s); analyze() lays out attention over whole "
                "sequences only."
            )
        valid = recorder.valid_targets(known, batch, targets, block.call.output.device)
        for measures in measure(block, known.scopes, chunk_size, known.sinks, push):
            part = None if valid is None else valid[:, measures.start : measures.start + measures.weight.shape[2]]
            check_conservation(measures, block.path, self.model.dtype, part)
            recorder.add(known, measures, targets)

    @full_precision()
    def _anatomy(self, example: Example, layers: bool = False) -> tuple[Layout, Listening, bool]:
        """Layout (with the blocks' layers if asked), the way of listening, and whether batches can be padded.

        Found once for inputs of a kind.
        """
        modules = tuple(map(id, self._body.modules()))
        if modules != self._modules:  # another part took a part's place, or was put around it: look anew
            self._modules = modules
            self._known.clear()
            self._padding_holds.clear()
        kind = _kind(example), layers
        if kind not in self._known:
            shortened = _shortened(example)
            blocks, way = self._first_way_that_holds(shortened, layers)
            lengths = {len(x) for x in shortened.tensors.values() if x.ndim == 1}
            watched = {length for block in blocks for length in (block.targets, block.sources)}
            self._known[kind] = lay_out(blocks), way, watched <= lengths
        return self._known[kind]

    def _first_way_that_holds(self, example: Example, layers: bool) -> tuple[list[BlockAnatomy], Listening]:
        """Listen through the interface, or else by observation; if neither holds, the first reason is given."""
        through = has_interface(self.model) and not asks_for_eager(self.model)
        ways = [through_interface, by_observation] if through else [by_observation]
        refusals: list[NormLensError] = []
        for way in ways:
            try:
                return self._inspect(example, way, layers), way
            except (UnsupportedArchitecture, ConservationError) as refusal:
                refusals.append(refusal)
        raise refusals[0]

    def _inspect(self, example: Example, listening: Listening, layers: bool) -> list[BlockAnatomy]:
        """Run once untouched and once watched; compare, describe every block, check what it moves against vectors."""
        inputs = self._inputs([example], "right")
        learner = Learner(self._body)
        tracer = (
            LayerFinder(self._body, learner.learn)
            if layers
            else Tracer(self._body, lambda block: None, lambda block: False)
        )
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            with attention_implementation(self.model, "eager"), as_it_is(self.model):
                untouched = self._first_forward(inputs)
                torch.manual_seed(1)
                require_no_chance(untouched, self._forward(inputs), self.model)
            torch.manual_seed(0)
            with listening(self.model, tracer, None), as_it_is(self.model), tracer.watching():
                watched = self._forward(inputs)
            require_same_output(untouched, watched, self.model)
            anatomy = [describe(block) for block in tracer.open_blocks]
            require_attention_scope(anatomy, self.model)
            for block, known in zip(tracer.open_blocks, anatomy, strict=True):
                verify_pairs(block, known.scopes, self.model.dtype)
                for measures in measure(block, ("attention",)):
                    check_conservation(measures, block.path, self.model.dtype, None)
        self.not_measured = unheard(tracer.ran_attention, [block.path for block in anatomy])
        return list(map(learner.described, tracer.open_blocks, anatomy)) if layers else anatomy

    def _inputs(self, batch: Sequence[Example], padding: str) -> dict[str, Tensor]:
        padding_id = getattr(self.model.config, "pad_token_id", None)
        inputs = pad(batch, 0 if padding_id is None else padding_id, self.model.device, padding)
        counts = "position_ids" in self._arguments and not counts_from_padding(self.model)
        if padding == "left" and len(batch) > 1 and "attention_mask" in inputs and counts:
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        return inputs

    def _first_forward(self, inputs: dict[str, Tensor]) -> Any:
        """Run the untouched model for the first time; what it can't read is the input's fault, and said so."""
        try:
            return self._forward(inputs)
        except (ValueError, TypeError, RuntimeError, AttributeError, LookupError, NotImplementedError) as error:
            raise InvalidInput(
                f"{type(self.model).__name__} could not read {', '.join(inputs)}: {error}. It may need further inputs than "
                "texts, token ids or one image, which analyze() doesn't give."
            ) from error

    def _forward(self, inputs: dict[str, Tensor]) -> Any:
        chosen = {name: x for name, x in inputs.items() if name in self._arguments}
        return self._body(**chosen, use_cache=False) if "use_cache" in self._arguments else self._body(**chosen)


def _kind(example: Example) -> tuple[str, ...]:
    """Inputs that the model treats alike: those with the same tensors."""
    return tuple(sorted(example.tensors))


def _shortened(example: Example) -> Example:
    """The beginning of a long input: enough to see what the model is made of.

    A single token is doubled: one source alone doesn't show whether a model is causal.
    """
    watched = {
        n: x.repeat(2)[: max(2, min(len(x), _WATCHED_LENGTH))] for n, x in example.tensors.items() if x.ndim == 1
    }
    return replace(example, tensors={**example.tensors, **watched})


def _agree(tolerance: float, one: dict[str, xr.Dataset], other: dict[str, xr.Dataset]) -> bool:
    """Whether two measurements of a text are the same numbers, to ``tolerance`` of each variable's largest."""
    if {name: dict(data.sizes) for name, data in one.items()} != {
        name: dict(data.sizes) for name, data in other.items()
    }:
        return False
    pairs = ((one[g][v], other[g][v]) for g in one for v in one[g].data_vars if v != "conservation_error")
    return all(float(abs(a - b).max()) <= tolerance * float(abs(b).max()) or bool(b.isnull().all()) for a, b in pairs)


def _without_head(model: PreTrainedModel) -> PreTrainedModel:
    """The part of a model that attends, if it takes the same input; else the model."""
    body: PreTrainedModel = model.base_model
    return body if model.main_input_name in inspect.signature(body.forward).parameters else model
