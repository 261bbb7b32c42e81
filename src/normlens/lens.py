"""The lens: a model, its tokenizer and its anatomy. ``analyze`` is the main job."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, overload

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from normlens.analysis import Analysis
from normlens.errors import InvalidInput
from normlens.examples import Example, ExampleMaker, position_limit
from normlens.loading import LoadedModel, load_model
from normlens.recording import Reduction
from normlens.reducing import named_reduction
from normlens.running import Runner
from normlens.version import __version__

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

    While an analysis runs, the model's attention is switched: don't run the same model in another thread meanwhile (other
    analyses of it wait for their turn by themselves).

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
        self._maker, self._runner = ExampleMaker(loaded), Runner(loaded.model)

    def __repr__(self) -> str:
        return f"Lens({self.name!r}, {type(self.model).__name__})"

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
            Number of tokens that a decoder adds to each prompt before the analysis. Prompt and continuation together
            may be as long as a text may be: no longer than ``max_position_embeddings`` of the model's config, also
            where positions are rotary and more could be computed, since the model never learnt what is further away.
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
        _check_options(chunk_size, batch_size, padding)
        reduction = named_reduction(reduce)
        examples = self._examples(inputs, targets, generate)
        with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bar:
            task = bar.add_task("analysing", total=len(inputs) if isinstance(inputs, Sequence) else None)
            for window in _batched(examples, 8 * batch_size):
                order = sorted(range(len(window)), key=lambda k: _length(window[k]))
                done: dict[int, Analysis] = {}
                for part in self._batches(order, window, batch_size):
                    batch = [window[k] for k in part]
                    trees = self._runner.run(batch, reduction, chunk_size, padding)
                    for k, example, tree in zip(part, batch, trees, strict=True):
                        done[k] = Analysis.of(tree, self._attributes(example))
                    bar.advance(task, len(part))
                yield from (done[k] for k in range(len(window)))

    def _examples(
        self, inputs: Iterable[Input], targets: Iterable[Any] | None, generate: int | None
    ) -> Iterator[Example]:
        if isinstance(targets, (str, Mapping)) or (targets is not None and not isinstance(targets, Iterable)):
            raise InvalidInput(f"One target ({targets!r:.40}) was given for several inputs; expected one for each.")
        missing = object()
        for one, target in zip_longest(inputs, [] if targets is None else targets, fillvalue=missing):
            if one is missing or (target is missing and targets is not None):
                raise InvalidInput("Inputs and targets are not equally many; expected one target for each input.")
            self._require_room(one, generate)
            yield self._maker.make(one, None if targets is None else target, generate)

    def _require_room(self, prompt: Input, generate: int | None) -> None:
        """Refuse a continuation past the model's positions before anything runs."""
        continues = self.model.can_generate() and not self.model.config.is_encoder_decoder
        if not isinstance(generate, int) or generate < 1 or not continues:
            return
        tokens = self._maker.make(prompt).source
        limits = (getattr(self.tokenizer, "model_max_length", None), position_limit(self.model))
        room = min(limit for limit in limits if limit) - (0 if tokens is None else len(tokens))
        if tokens is not None and generate > room:
            advice = f"Ask for at most {room}, or cut the prompt." if room else "Cut the prompt."
            raise InvalidInput(
                f"The prompt's length in tokens is {len(tokens)}, with generate={generate} {len(tokens) + generate}; this "
                f"model takes at most {len(tokens) + room}. {advice}"
            )

    def _batches(self, order: list[int], window: list[Example], size: int) -> Iterator[list[int]]:
        """Index lists of examples that may run together."""
        for part in _batched(order, size):
            if window[part[0]].source is not None and self._runner.batchable(window[part[0]]):
                yield part
            else:
                yield from ([k] for k in part)

    def _attributes(self, example: Example) -> dict[str, str]:
        return {
            "text": example.text,
            "target_text": "" if example.target is None else example.target.text,
            "model": self.name,
            "revision": self.revision or "",
            "model_type": self.model.config.model_type,
            "not_measured": ", ".join(self._runner.not_measured),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "normlens": __version__,
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
        }


def _is_one_input(inputs: Any) -> bool:
    """Whether this is one text, list of ids, chat or image, rather than an iterable of them.

    Raises
    ------
    InvalidInput
        If it is a mapping or a table, whose iteration would give its keys.
    """
    if isinstance(inputs, Mapping) or hasattr(inputs, "columns"):
        raise InvalidInput(
            f"{type(inputs).__name__} was given; expected a text, token ids, chat messages, an image, or an iterable of "
            "these. From a tokenizer's output pass the ids (['input_ids']), from a table a column."
        )
    if isinstance(inputs, (str, bytes, Tensor, np.ndarray)) or not isinstance(inputs, Iterable):
        return True
    first = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else None
    return isinstance(first, (int, float, np.number, Mapping))


def _check_options(chunk_size: Any, batch_size: Any, padding: Any) -> None:
    """Refuse options that are not what they should be."""
    for name, value in (("chunk_size", chunk_size), ("batch_size", batch_size)):
        if not (value is None and name == "chunk_size") and (
            isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1
        ):
            raise InvalidInput(f"{name} is {value!r}; expected a whole number, at least 1.")
    if padding not in ("right", "left"):
        raise InvalidInput(f"padding is {padding!r}; expected 'right' or 'left'.")


def _length(example: Example) -> int:
    return sum(x.shape[0] for x in example.tensors.values())


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
