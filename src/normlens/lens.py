"""The lens: a model, its tokenizer and its anatomy. ``analyze`` is the main job."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, overload

import numpy as np
import torch
import transformers
import xarray as xr
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from normlens.analysis import Analysis
from normlens.anatomy import Block, BlockAnatomy, describe, require_attention_scope
from normlens.capture import attention_implementation, capturing, has_interface
from normlens.encoding import (
    Example,
    Tokens,
    check_length,
    counts_from_padding,
    encode_chat,
    encode_ids,
    encode_image,
    encode_text,
    pad,
)
from normlens.errors import ConservationError, InvalidInput, UnsupportedArchitecture
from normlens.loading import LoadedModel, load_model
from normlens.measuring import TOLERANCE, check_conservation, measure
from normlens.observing import observing
from normlens.recording import Layout, Recorder, Reduction, lay_out
from normlens.reducing import named_reduction
from normlens.tracing import Tracer, unfinished, unheard
from normlens.verification import verify_pairs

Input = str | Sequence[int] | Sequence[Mapping[str, str]] | Any
"""A text, token ids, chat messages, or an image."""


def load(source: Any, **options: Any) -> Lens:
    """Load a model and look at it through a lens.

    Parameters
    ----------
    source
        A hub id, a local folder with safetensors, a GGUF file, a bundled name ("minilm-l6", "smollm2-135m"), or a
        ``(model, tokenizer)`` pair.
    **options
        As in :func:`normlens.loading.load_model`: ``revision``, ``device``, ``dtype``, ``task``, ``trust_remote_code``.

    Raises
    ------
    ModelNotFound
        If there is no such model, or it may not be loaded safely.
    UnsupportedArchitecture
        If the model has no attention.
    """
    return Lens(load_model(source, **options))


class Lens:
    """A model seen through its weighted vectors.

    Parameters
    ----------
    loaded
        What :func:`normlens.loading.load_model` returns.

    Attributes
    ----------
    model, tokenizer, processor, name, revision
        As loaded.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.model, self.tokenizer, self.processor = loaded.model, loaded.tokenizer, loaded.processor
        self.name, self.revision = loaded.name, loaded.revision
        self._runner: torch.nn.Module = self.model.base_model
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._inspected_lengths: set[int] = set()
        self._not_measured: list[str] = []

    def __repr__(self) -> str:
        return f"Lens({self.name!r}, {type(self.model).__name__})"

    # -- the main job --------------------------------------------------------------------------------------------

    @overload
    def analyze(self, inputs: str, target: str | None = None, **options: Any) -> Analysis: ...
    @overload
    def analyze(self, inputs: Any, target: Any = None, **options: Any) -> Any: ...
    def analyze(self, inputs: Input | Iterable[Input], target: Any = None, **options: Any) -> Any:
        """Measure what attention moves: weights, vector norms, norms at every scope, mixing ratios.

        Parameters
        ----------
        inputs
            One text, a list of token ids, a list of chat messages, or an image: gives one :class:`Analysis`. An
            iterable of these gives an iterator of them, in order; see :meth:`stream`.
        target
            For encoder–decoder models: the target text (or ids), read teacher-forced; an iterable beside an iterable.
        **options
            ``generate``: let a decoder continue the prompt by this many tokens (greedily) and analyse both;
            ``reduce`` and ``chunk_size``: for long inputs; ``batch_size``, ``padding``, ``progress``: for iterables.
            All are described at :meth:`stream`.

        Returns
        -------
        Analysis or iterator of Analysis
            Norms are Euclidean, in the model's own units; see :attr:`Analysis.data`.

        Raises
        ------
        InvalidInput
            If there is nothing to analyse, or too much.
        UnsupportedArchitecture
            If the model can't be measured exactly.
        ConservationError
            If contributions don't add up to what the model produced; then nothing is returned.
        """
        if _is_one_input(inputs):
            return next(self.stream([inputs], None if target is None else [target], progress=False, **options))
        return self.stream(inputs, target, **options)

    def stream(
        self,
        inputs: Iterable[Input],
        targets: Iterable[Any] | None = None,
        *,
        generate: int | None = None,
        reduce: str | Reduction | None = None,
        chunk_size: int | None = None,
        batch_size: int = 8,
        padding: str = "right",
        progress: bool = True,
    ) -> Iterator[Analysis]:
        """Analyse many inputs; memory doesn't grow with their number.

        Parameters
        ----------
        inputs, targets
            As in :meth:`analyze`.
        generate
            Number of tokens that a decoder adds to each prompt before the analysis.
        reduce
            Keep no map of size head × target × source: "categories" (weight and norm per category of source), "sinks"
            (what the first token gets), "edges" (the ten strongest sources of each target), "mean" (mean over heads),
            or a function that takes one layer's maps (an ``xarray.Dataset``) and gives a smaller Dataset that still
            has the dimension ``target``.
        chunk_size
            Compute attention this many targets at a time, so that no such map is ever made.
        batch_size
            Inputs of similar length are run together, up to this many.
        padding
            "right" or "left": on which side a batch is padded. The numbers don't depend on it.
        progress
            Show a progress bar on standard error.

        Yields
        ------
        Analysis
            One per input, in order.
        """
        if chunk_size is not None and chunk_size < 1:
            raise InvalidInput(f"chunk_size is {chunk_size}; expected a number of targets, at least 1.")
        if batch_size < 1 or padding not in ("right", "left"):
            raise InvalidInput(f"batch_size is {batch_size} and padding {padding!r}; expected ≥ 1 and 'right' or 'left'.")
        reduction = named_reduction(reduce)
        examples = self._examples(inputs, targets, generate)
        with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bar:
            task = bar.add_task("analysing", total=len(inputs) if isinstance(inputs, Sequence) else None)
            for window in _batched(examples, 8 * batch_size):
                order = sorted(range(len(window)), key=lambda k: _length(window[k]))
                done: dict[int, Analysis] = {}
                for part in self._batches(order, window, batch_size):
                    batch = [window[k] for k in part]
                    done.update(zip(part, self._run(batch, reduction, chunk_size, padding), strict=True))
                    bar.advance(task, len(part))
                yield from (done[k] for k in range(len(window)))

    # -- inputs --------------------------------------------------------------------------------------------------

    def _examples(self, inputs: Iterable[Input], targets: Iterable[Any] | None, generate: int | None) -> Iterator[Example]:
        pairs: Iterable[tuple[Any, Any]]
        pairs = zip(inputs, itertools.repeat(None)) if targets is None else zip(inputs, targets, strict=True)
        for one, target in pairs:
            yield self._example(one, target, generate)

    def _example(self, one: Input, target: Any, generate: int | None) -> Example:
        """Turn one input into tensors and labels."""
        if not isinstance(one, (str, list, tuple)) and not (isinstance(one, Tensor) and one.ndim == 1):
            return self._image_example(one, target)
        if target is not None and not self.model.config.is_encoder_decoder:
            raise InvalidInput(f"A target was given, but {type(self.model).__name__} has no decoder that reads one.")
        source = self._tokens(one)
        if generate is not None:
            source = self._continued(source, generate)
        check_length(source, self.model, self.tokenizer, "input")
        tensors = {"input_ids": torch.as_tensor(source.ids)}
        tensors["attention_mask"] = torch.ones_like(tensors["input_ids"])
        decoder = None
        if self.model.config.is_encoder_decoder:
            decoder = self._decoder_tokens(target)
            check_length(decoder, self.model, self.tokenizer, "target")
            tensors["decoder_input_ids"] = torch.as_tensor(decoder.ids)
            tensors["decoder_attention_mask"] = torch.ones_like(tensors["decoder_input_ids"])
        return Example(tensors, source, decoder, source.text)

    def _image_example(self, image: Any, target: Any) -> Example:
        if isinstance(image, Tensor) and image.ndim == 3:
            return Example({"pixel_values": image}, None, None, "an image")
        if self.processor is None:
            raise InvalidInput(
                f"{type(image).__name__} was given; expected a text, token ids or chat messages. For images, load the "
                "model with its image processor, or pass pixel values as a tensor (channel, height, width)."
            )
        return Example(encode_image(self.processor, image), None, None, "an image")

    def _tokens(self, one: Any, as_target: bool = False) -> Tokens:
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        if not isinstance(one, str) and (not len(one) or not isinstance(one[0], Mapping)):
            return encode_ids(self.tokenizer, [int(i) for i in one], vocabulary)
        if self.tokenizer is None:
            raise InvalidInput("This model was loaded without a tokenizer; pass token ids, or (model, tokenizer) to load().")
        if isinstance(one, str):
            return encode_text(self.tokenizer, one, as_target=as_target)
        return encode_chat(self.tokenizer, one, vocabulary)

    def _decoder_tokens(self, target: Any) -> Tokens:
        """The decoder's input: its start token, then the target without its last token."""
        if target is None:
            raise InvalidInput(
                f"{type(self.model).__name__} is an encoder–decoder: expected target=, the text to read teacher-forced."
            )
        tokens = self._tokens(target, as_target=True)
        config = self.model.config
        start = config.decoder_start_token_id
        start = start if start is not None else (config.bos_token_id if config.bos_token_id is not None else config.pad_token_id)
        shifted = {
            name: np.concatenate([first, getattr(tokens, name)[:-1]])
            for name, first in (
                ("ids", [start]), ("labels", ["[START]"]), ("special", [True]), ("offsets", [[0, 0]]), ("words", [-1]),
                ("categories", ["special"]),
            )
        }  # fmt: skip
        return Tokens(text=tokens.text, **shifted)

    def _continued(self, prompt: Tokens, count: int) -> Tokens:
        """The prompt and what the model adds to it, greedily."""
        if count < 1 or not self.model.can_generate() or self.model.config.is_encoder_decoder:
            raise InvalidInput(f"generate={count} for {type(self.model).__name__}: expected ≥ 1 and a decoder that generates.")
        ids = torch.as_tensor(prompt.ids, device=self.model.device)[None]
        with torch.no_grad():
            made = self.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
        return encode_ids(self.tokenizer, made[0].tolist(), self.model.get_input_embeddings().weight.shape[0])

    # -- running -------------------------------------------------------------------------------------------------

    def _batches(self, order: list[int], window: list[Example], size: int) -> Iterator[list[int]]:
        """Index lists of examples that may run together."""
        for part in _batched(order, size):
            layout = self._layout(window[part[0]])
            together = window[part[0]].source is not None and self._batchable(layout, window[part[0]])
            yield from ([part] if together else [[k] for k in part])

    def _batchable(self, layout: Layout, example: Example) -> bool:
        """Whether every attention call is as long as the tokens it reads, so that padding can be found again."""
        known = {len(t) for t in (example.source, example.target) if t is not None}
        watched = [length for blocks in layout.groups.values() for b in blocks for length in (b.targets, b.sources)]
        return bool(self._inspected_lengths & set(watched)) and set(watched) <= self._inspected_lengths and bool(known)

    def _layout(self, example: Example) -> Layout:
        """Groups and layers of the model for this kind of input; found at first use, and verified."""
        kind = tuple(sorted(example.tensors))
        if kind not in self._layouts:
            self._inspected_lengths = {len(t) for t in (example.source, example.target) if t is not None}
            self._layouts[kind] = self._inspect(example)
        return self._layouts[kind]

    def _inspect(self, example: Example) -> Layout:
        """Run once untouched and once watched; compare, describe every block, and verify random pairs."""
        inputs = self._inputs([example], "right")
        tracer = Tracer(self._runner, on_block=lambda block: None, complete=lambda block: False)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            with attention_implementation(self.model, "eager"):
                untouched = self._forward(inputs)
            torch.manual_seed(0)
            with self._listening(tracer, None), tracer.watching():
                watched = self._forward(inputs)
            _require_equal(untouched, watched, type(self.model).__name__, self.model.dtype)
            anatomy = [describe(block) for block in tracer.open_blocks]
            require_attention_scope(anatomy, self.model)
            self._not_measured = unheard(tracer.ran_attention, [block.path for block in anatomy])
            for block, known in zip(tracer.open_blocks, anatomy, strict=True):
                verify_pairs(block, known.scopes, self.model.dtype)
        return lay_out(anatomy)

    def _run(
        self, batch: list[Example], reduction: Reduction | None, chunk_size: int | None, padding: str
    ) -> list[Analysis]:
        layout = self._layout(batch[0])
        recorder = Recorder(layout, batch, padding, reduction)

        def wanted(block: Block) -> BlockAnatomy:
            return layout.anatomy(block.path, block.occurrence)

        def complete(block: Block) -> bool:
            return block.reached()[: len(wanted(block).scopes)] == wanted(block).scopes

        def record(block: Block) -> None:
            known, targets = wanted(block), block.call.output.shape[1]
            if block.call.output.shape[0] != len(batch):
                raise UnsupportedArchitecture(
                    f"{block.path} attends within {block.call.output.shape[0]} windows of {len(batch)} input(s); "
                    "analyze() lays out attention over whole sequences only."
                )
            valid = recorder.valid_targets(known, len(batch), targets, block.call.output.device)
            for measures in measure(block, known.scopes, chunk_size):
                part = None if valid is None else valid[:, measures.start : measures.start + measures.weight.shape[2]]
                check_conservation(measures, block.path, self.model.dtype, part)
                recorder.add(known, measures, targets)

        tracer = Tracer(self._runner, record, complete)
        with torch.no_grad(), self._listening(tracer, chunk_size), tracer.watching():
            self._forward(self._inputs(batch, padding))
        if tracer.open_blocks:
            raise UnsupportedArchitecture(
                f"{unfinished(tracer.open_blocks)}: this run went another way than the first one that was watched "
                f"({tracer.open_blocks[0].obstacle}). Nothing was returned."
            )
        return [
            Analysis.of(trees, self._attributes(example)) for trees, example in zip(recorder.trees(), batch, strict=True)
        ]

    @contextmanager
    def _listening(self, tracer: Tracer, chunk_size: int | None) -> Iterator[None]:
        """Let the tracer hear the model's attention: through transformers' interface, or by observation."""
        if has_interface(self.model):
            with capturing(self.model, tracer.hear, chunk_size):
                yield
            return
        if chunk_size is not None:
            raise UnsupportedArchitecture(
                f"{type(self.model).__name__} computes attention inside its own modules, all targets at once; it can't be "
                "run in chunks. Leave chunk_size out."
            )
        with attention_implementation(self.model, "eager"), observing(self.model, tracer.hear):
            yield

    def _inputs(self, batch: list[Example], padding: str) -> dict[str, Tensor]:
        padding_id = self.model.config.get_text_config().pad_token_id
        inputs = pad(batch, 0 if padding_id is None else padding_id, self.model.device, padding)
        if padding == "left" and len(batch) > 1 and "attention_mask" in inputs:
            if self.model.config.is_encoder_decoder:
                raise InvalidInput("Encoder–decoder models count positions from the left edge; use padding='right'.")
            if "position_ids" in _forward_names(self._runner) and not counts_from_padding(self.model):
                inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        return inputs

    def _forward(self, inputs: dict[str, Tensor]) -> Any:
        names = _forward_names(self._runner)
        chosen = {name: x for name, x in inputs.items() if name in names}
        if "use_cache" in names:
            return self._runner(**chosen, use_cache=False)
        return self._runner(**chosen)

    def _attributes(self, example: Example) -> dict[str, str]:
        from normlens import __version__

        return {
            "text": example.text,
            "target_text": "" if example.target is None else example.target.text,
            "model": self.name,
            "revision": self.revision or "",
            "model_type": self.model.config.model_type,
            "not_measured": ", ".join(self._not_measured),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "normlens": __version__,
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
        }


def _require_equal(untouched: Any, watched: Any, name: str, dtype: torch.dtype) -> None:
    """Refuse a model that gives something else when it is listened to."""
    one, other = _first_tensor(untouched), _first_tensor(watched)
    gap = float((one - other).norm() / one.norm().clamp_min(torch.finfo(one.dtype).tiny))
    if not gap <= TOLERANCE.get(dtype, 1e-5):
        raise UnsupportedArchitecture(
            f"{name} gives another output when its attention is listened to (off by {gap:.1e} of its length; NaN means "
            "that it isn't finite at all): its own code asks which attention implementation runs, or its weights are broken."
        )


def _first_tensor(output: Any) -> Tensor:
    values = output.to_tuple() if hasattr(output, "to_tuple") else output
    while not isinstance(values, Tensor):
        values = values[0]
    return values.double() if values.dtype == torch.float64 else values.float()


def _forward_names(module: torch.nn.Module) -> set[str]:
    import inspect

    return set(inspect.signature(module.forward).parameters)


def _is_one_input(inputs: Any) -> bool:
    """Whether this is one text, list of ids, chat or image, rather than an iterable of them."""
    if isinstance(inputs, (str, Tensor, np.ndarray)) or not isinstance(inputs, Iterable):
        return True
    first = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else None
    return isinstance(first, (int, np.integer, Mapping))


def _length(example: Example) -> int:
    return sum(x.shape[0] for x in example.tensors.values())


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
