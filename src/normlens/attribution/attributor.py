"""Runs a method of attribution on inputs, batch by batch, in order."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.progress import Progress, TaskID
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from normlens.analysis.padding import Batcher
from normlens.analysis.runner import Runner
from normlens.attribution.arrays import Attribution
from normlens.attribution.registry import Request
from normlens.attribution.sinks import sink_note
from normlens.attribution.subject import Subject
from normlens.attribution.targets.answer_tokens import AnswerTokens
from normlens.attribution.whole_answers.step_scores import StepScores, step_scores
from normlens.engine.capture.eager_check import compare_with_eager, kept_functions_explained
from normlens.engine.capture.fingerprint import unchanged
from normlens.engine.frozen.run import unfrozen
from normlens.engine.frozen.scalar import require_sources
from normlens.engine.locks import exclusive
from normlens.engine.precision import full_precision
from normlens.errors import InvalidInput
from normlens.inputs.example import Example
from normlens.inputs.example_maker import ExampleMaker, ReadingOptions
from normlens.inputs.example_stream import Skip, SkipLog, examples_of, refuse_skip, require_target_text
from normlens.loading.checkpoint_checks import require_plain_model
from normlens.loading.progress_bars import bars_console
from normlens.memory import memory_explained

_WINDOW = 8  # batches whose texts are sorted by length together


@dataclass(frozen=True)
class _Text:
    """A text with its target."""

    example: Example
    target: Any
    position: int | None


class Attributor:
    """A model ready for attributions.

    Parameters
    ----------
    model, tokenizer
        As loaded.
    runner
        Measures weights and norms of its attention.
    maker
        Makes examples of inputs.
    attributes
        Further attributes of an example's result.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        runner: Runner,
        maker: ExampleMaker,
        attributes: Callable[[Example], dict[str, Any]],
    ) -> None:
        self.model, self.tokenizer, self._runner = model, tokenizer, runner
        self.maker, self._attributes = maker, attributes
        self._batcher = Batcher(model, frozenset(inspect.signature(model.forward).parameters))

    def attribute(
        self,
        inputs: Any,
        target_text: Any,
        request: Request,
        reading: ReadingOptions,
        batch_size: int,
        skip: Skip | None,
        progress: bool = False,
    ) -> Attribution | Iterator[Attribution]:
        """One attribution of one input; of an iterable of inputs an iterator, in order.

        Parameters
        ----------
        inputs, target_text, batch_size, skip, progress
            As in :meth:`normlens.Lens.attribute`.
        request
            The method with its target and options.
        reading
            How the inputs are read.

        Raises
        ------
        InvalidInput
            If the numbers of texts and targets differ, or a target doesn't exist.
        NormLensError
            If the method can't explain this model.
        """
        require_target_text(self.maker, inputs, target_text)
        rows = self.maker.reader.opened(inputs)
        if rows is None or len(rows) > 1:
            log = None if skip is None else SkipLog(skip)
            inputs = inputs if rows is None else rows
            examples = examples_of(self.maker, inputs, target_text, reading, log)
            shown = Progress(console=bars_console(), disable=not progress, transient=True)
            shown.add_task("attributing", total=len(inputs) if isinstance(inputs, Sequence) else None)
            return self._stream(examples, request, batch_size, log or (), shown)
        refuse_skip(skip)
        if isinstance(request.target, list) or isinstance(request.position, list):
            raise InvalidInput(
                "One text came with a list of targets or positions; expected one of each, without a list."
            )
        examples = examples_of(self.maker, rows, None if target_text is None else [target_text], reading)
        return next(self._stream(examples, request, 1))

    def of_targets(
        self, example: Example, targets: Sequence[Any], request: Request, batch_size: int
    ) -> list[Attribution]:
        """Attributions of several targets in one text, in order.

        Parameters
        ----------
        example
            The text.
        targets
            What is explained in it.
        request
            The method with its options.
        batch_size
            Number of targets that run together, unless the method explains any number in one run.
        """
        size = len(targets) if request.method.run_each is not None else batch_size
        return list(self._stream([example] * len(targets), replace(request, target=list(targets)), size))

    @full_precision()
    def step_scores(self, example: Example, target: AnswerTokens) -> StepScores:
        """Probability and entropy of each token of an answer."""
        with exclusive(self.model):
            subject = Subject(self.model, self.tokenizer, (example,), self._runner, self._batcher)
            return step_scores(subject, target)

    def _stream(
        self,
        examples: Iterable[Example],
        request: Request,
        batch_size: int,
        left_out: Container[int] = (),
        shown: Progress | None = None,
    ) -> Iterator[Attribution]:
        """One attribution per example, in order; ``left_out`` holds the numbers of the inputs that were skipped so far."""
        require_plain_model(self.model)
        texts = self._texts(examples, request, left_out)
        with nullcontext() if shown is None else shown:
            while window := list(itertools.islice(texts, _WINDOW * batch_size)):
                yield from self._of_window(window, request, batch_size, shown)

    @memory_explained()
    @unchanged()
    def _of_window(
        self, window: Sequence[_Text], request: Request, batch_size: int, shown: Progress | None
    ) -> list[Attribution]:
        """The results of a few batches of texts, in order."""
        done: dict[int, Attribution] = {}
        compare_with_eager(self.model, unfrozen(self.model, self._batcher.inputs([window[0].example])))
        ragged = not any(callable(text.target) for text in window)  # a function of the output reads where it likes
        for numbers in self._batcher.batches([text.example for text in window], batch_size, ragged=ragged):
            results = self._run([window[k] for k in numbers], request)
            for k, result in zip(numbers, results, strict=True):
                done[k] = result.assign_attrs({**self._attributes(window[k].example), **result.attrs})
            if shown is not None:
                shown.advance(TaskID(0), len(numbers))
        return [done[k] for k in range(len(window))]

    @full_precision()
    def _run(self, texts: Sequence[_Text], request: Request) -> list[Attribution]:
        together = (
            request.method.run_each is not None and len(texts) > 1 and len({id(text.example) for text in texts}) == 1
        )
        run = request.method.run_each if together and request.method.run_each is not None else request.method.run
        batch = tuple(text.example for text in texts[: 1 if together else None])
        subject = Subject(self.model, self.tokenizer, batch, self._runner, self._batcher)
        batch_request = request.for_batch([(text.target, text.position) for text in texts])
        start = time.perf_counter()
        with exclusive(self.model), kept_functions_explained(self.model):
            results = run(subject, batch_request)
        for result in results:
            if "runs" not in result.attrs:  # measured by plain runs: a share of zero is a measurement
                require_sources(self.model, torch.as_tensor(result.values)[None])
        seconds = (time.perf_counter() - start) / len(texts)
        common = {"method": request.method.name, "scope": request.scope or "", "target": ""}
        notes = [
            {"note": note} if (note := sink_note(self.model, text.target, result)) else {}
            for text, result in zip(texts, results, strict=True)
        ]
        return [
            result.assign_attrs({**common, **result.attrs, **note, "seconds": seconds})
            for result, note in zip(results, notes, strict=True)
        ]

    def _texts(self, examples: Iterable[Example], request: Request, left_out: Container[int]) -> Iterator[_Text]:
        per_text = isinstance(request.target, list) or isinstance(request.position, list)
        pair_up = itertools.zip_longest if per_text else zip
        targets = (pair for number, pair in enumerate(request.pairs()) if number not in left_out)
        for example, pair in pair_up(examples, targets):
            if example is None or pair is None:
                raise InvalidInput(
                    "The numbers of texts and targets (or positions) differ; a list must hold one for each text. Pass a "
                    "target that all texts share without a list; a pair of tokens is a tuple."
                )
            yield _Text(example, *pair)
