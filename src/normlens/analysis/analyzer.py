"""What a loaded model's attention is measured with: the half of the lens that analyzes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Never, Unpack, overload

import xarray as xr

from normlens.analysis.analyze_options import AnalyzeOptions, Through, rule_for
from normlens.analysis.generate import continued
from normlens.analysis.inspector import Inspector
from normlens.analysis.logit_lens import logit_lens
from normlens.analysis.measurement import Measurement
from normlens.analysis.provenance import provenance
from normlens.analysis.reductions import Reduction
from normlens.analysis.result import Analysis
from normlens.analysis.runner import Runner
from normlens.analysis.stream import stream_analyses
from normlens.engine.contributions.choice import chosen_measures
from normlens.engine.frozen.call import Product
from normlens.errors import refuse_unknown_options
from normlens.inputs.example_maker import ExampleMaker, ReadingOptions
from normlens.inputs.example_stream import Skip, examples_of, refuse_skip
from normlens.inputs.kinds import Input
from normlens.loading.load import LoadedModel


class Analyzer:
    """A loaded model whose attention is measured; :class:`normlens.Lens` adds attribution.

    Parameters
    ----------
    loaded
        The result of :func:`normlens.loading.load.load_model`.

    Attributes
    ----------
    model, tokenizer, processor, name, revision
        As loaded.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.model, self.tokenizer, self.processor = loaded.model, loaded.tokenizer, loaded.processor
        self.name, self.revision = loaded.name, loaded.revision
        self._maker, self._inspector = ExampleMaker(loaded, continued), Inspector(loaded.model)
        self._runner = Runner(self._inspector)
        self._attributes = partial(provenance, loaded=loaded)

    @overload
    def analyze(self, inputs: str, target_text: str | None = None, **options: Unpack[AnalyzeOptions]) -> Analysis: ...
    @overload
    def analyze(self, inputs: Any, target_text: Any = None, **options: Unpack[AnalyzeOptions]) -> Any: ...
    def analyze(
        self,
        inputs: Input | Iterable[Input],
        target_text: Any = None,
        *,
        generate: int | None = None,
        generation_prompt: bool | None = None,
        through: Through = "attention",
        product: Product = "half",
        measures: Iterable[str] | None = None,
        reduce: str | Reduction | None = None,
        chunk_size: int | None = None,
        batch_size: int = 8,
        padding: str = "right",
        progress: bool = True,
        truncate: bool = False,
        skip: Skip | None = None,
        **unknown: Any,
    ) -> Any:
        """Measure what attention moves: weights, vector norms, norms at every scope, mixing ratios.

        Parameters
        ----------
        inputs
            One input gives one :class:`Analysis`: a text, its words (``{"words": […]}``; among several inputs, a list of
            strings), token ids, chat messages, a pair of texts (``{"text": …, "text_pair": …}``), an image, or the output of
            a tokenizer or processor. An iterable of inputs gives an iterator, in order (see :meth:`stream`); so does
            tokenizer output or a tensor of ids with several rows. Padding at the ends, by ``attention_mask``, is removed.
        target_text
            For encoder–decoder models: the second text (or ids, or tokenizer output), read teacher-forced; for an iterable
            of inputs, an iterable. The decoder reads its start token and then this text without its last token, so drop the
            start token from the output of ``model.generate``. Not needed with ``labels`` or ``decoder_input_ids``.
        generate, generation_prompt, through, product, measures, reduce, chunk_size
            As in :meth:`stream`.
        batch_size, padding, progress, truncate, skip
            As in :meth:`stream`. They affect only iterables; ``skip`` is refused for one input.
        **unknown
            Refused; the message suggests the nearest option.

        Returns
        -------
        Analysis or iterator of Analysis
            Norms are Euclidean, in the model's own units; see :attr:`Analysis.data`.

        Raises
        ------
        InvalidInput
            If the input is empty, too long, or can't be read.
        UnsupportedArchitecture
            If the model can't be measured exactly.
        ConservationError
            If contributions don't add up to the model's output; then nothing is returned.
        """
        refuse_unknown_options(Analyzer.analyze, unknown)
        options = AnalyzeOptions(
            generate=generate, generation_prompt=generation_prompt, through=through, product=product, measures=measures,
            reduce=reduce, chunk_size=chunk_size, batch_size=batch_size, padding=padding, progress=progress,
            truncate=truncate, skip=skip,
        )  # fmt: skip
        rows = self._maker.reader.opened(inputs)
        if rows is None or len(rows) > 1:
            return self.stream(inputs if rows is None else rows, target_text, **options)
        refuse_skip(skip)
        options["progress"] = False
        return next(self.stream(rows, None if target_text is None else [target_text], **options))

    def stream(
        self,
        inputs: Iterable[Input],
        target_text: Iterable[Any] | None = None,
        *,
        generate: int | None = None,
        generation_prompt: bool | None = None,
        through: Through = "attention",
        product: Product = "half",
        measures: Iterable[str] | None = None,
        reduce: str | Reduction | None = None,
        chunk_size: int | None = None,
        batch_size: int = 8,
        padding: str = "right",
        progress: bool = True,
        truncate: bool = False,
        skip: Skip | None = None,
        **unknown: Never,
    ) -> Iterator[Analysis]:
        """Analyze many inputs one after the other; memory doesn't grow with their number.

        Parameters
        ----------
        inputs, target_text
            As in :meth:`analyze`.
        generate
            Number of tokens that a decoder generates after each prompt before the analysis. Prompt and continuation must
            fit into ``max_position_embeddings`` of the model's config, also with rotary positions, because the model was
            not trained on longer texts.
        generation_prompt
            Whether chat messages end with the beginning of an answer, by the template (see ``attribute``). Default: only
            with ``generate``.
        through
            "attention": the scopes ``attention``, ``residual`` and ``layernorm``, at about the cost of the forward pass.
            "block": also ``feedforward``, ``feedforward_residual`` and ``block``; every contribution is pushed through the
            rest of the layer, which costs about 2n + 1 passes of n tokens through the feed-forward blocks.
        product
            How gated feed-forwards split a product of two factors that both depend on the contributions: half to each
            ("half"), by integrated gradients ("integrated"), or all to the "first" or "second".
        measures
            Some of "weight", "vector_norm", "weighted_norm", "norm", "mixing_ratio" (the default: these five),
            "displacement" (α‖f(x) − o‖ of every head, o being its output), "contribution_weight" (⟨α f(x), o⟩ / ‖o‖² of
            every head, and of the sum over heads at every scope; rows add up to one), "output_norm" (‖o‖ of every head).
            Fewer measures take less time.
        reduce
            Keep a summary instead of the maps (head × target × source): "categories" (weight and norm per category of
            source), "sinks" (weight and norm of the first token), "edges" (the ten strongest sources of each target), "mean"
            (mean over heads), or a function from one layer's maps (an ``xarray.Dataset``) to a smaller Dataset that still
            has the dimension ``target``.
        chunk_size
            Compute attention for this many targets at a time, and push this many sources at a time through the
            feed-forward, so that whole maps are never in memory.
        batch_size
            Run up to this many inputs of similar length together.
        padding
            The side on which batches are padded, "right" or "left". The numbers don't depend on it.
        progress
            Show a progress bar on standard error.
        truncate
            Truncate texts that are too long for the model; ``attrs["truncated"]`` counts the tokens that were cut off.
        skip
            A function that takes ``(number, reason)`` of each input that can't be read, such as a list's ``append``.
            Default: the first such input raises its error.
        **unknown
            Refused; the message suggests the nearest option.

        Yields
        ------
        Analysis
            One per input, in order; skipped inputs have none.
        """
        refuse_unknown_options(Analyzer.stream, unknown)
        rule, chosen = rule_for(through, product), chosen_measures(measures)
        measurement = Measurement(reduce, rule, chunk_size, batch_size, padding, chosen)
        inputs = self._maker.reader.opened(inputs) or inputs
        answers = generate is not None if generation_prompt is None else generation_prompt
        examples = examples_of(self._maker, inputs, target_text, ReadingOptions(generate, answers, truncate), skip)
        total = len(inputs) if isinstance(inputs, Sequence) else None
        return stream_analyses(self._runner, examples, measurement, self._attributes, total, progress=progress)

    def logit_lens(self, inputs: Input, target_text: Any = None, *, top: int = 5) -> xr.Dataset:
        """What the model's own head would predict from the vectors behind each layer; an approximation, but for the last.

        Parameters
        ----------
        inputs, target_text
            As in :meth:`analyze`.
        top
            Number of tokens at each layer and position.

        Returns
        -------
        xarray.Dataset
            ``token``, ``id``, ``probability``, ``logit``, ``(layer, target, rank)``; in encoder–decoders, of the decoder.

        Raises
        ------
        NormLensError
            If the model has no head that predicts tokens, or its layers don't each read what the one before returns.
        """
        return logit_lens(self._inspector, self.tokenizer, self._maker.make(inputs, target_text), top)
