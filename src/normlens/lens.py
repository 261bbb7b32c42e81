"""The lens: a model, its tokenizer and its anatomy. ``analyze`` is the main job."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Never, Unpack, overload

import torch
import xarray as xr

from normlens.analysis.analyze_options import AnalyzeOptions, Through, rule_for
from normlens.analysis.generate import continued
from normlens.analysis.inspector import Inspector
from normlens.analysis.provenance import provenance
from normlens.analysis.recorder import Reduction
from normlens.analysis.reductions import named_reduction
from normlens.analysis.result import Analysis
from normlens.analysis.runner import Runner
from normlens.analysis.stream import Measurement, stream_analyses
from normlens.attribution.attributor import Attributor
from normlens.attribution.method_options import AttributeOptions, MethodOptions
from normlens.attribution.registry import method_named
from normlens.attribution.request import checked_request
from normlens.attribution.targets.resolve import default_target
from normlens.engine.frozen.call import Product
from normlens.engine.frozen.pushforward import DEFAULT_CHUNK
from normlens.errors import InvalidInput, refuse_unknown_options
from normlens.inputs.batch import check_sizes
from normlens.inputs.example_maker import ExampleMaker, ReadingOptions
from normlens.inputs.example_stream import Skip, SkipLog, examples_of, refuse_skip, require_target_text
from normlens.inputs.kinds import Input
from normlens.loading.load import LoadedModel, ModelSource, load_model
from normlens.loading.outline import Outline


def load(
    source: ModelSource,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    task: str | None = None,
    trust_remote_code: bool = False,
    check: Callable[[Outline], None] | None = None,
    **unknown: Never,
) -> Lens:
    """Load a model and look at it through a lens.

    Parameters
    ----------
    source
        A hub id, a local folder with safetensors, a GGUF file, a bundled name ("minilm-l6", "smollm2-135m"), or a
        ``(model, tokenizer)`` pair.
    revision, device, dtype, task, trust_remote_code, check
        As in :func:`normlens.loading.load.load_model`.
    **unknown
        Refused, with the option most like it.

    Raises
    ------
    ModelNotFound
        If there is no such model, or it may not be loaded safely.
    UnsupportedArchitecture
        If the model has no attention.
    """
    refuse_unknown_options(load, unknown)
    return Lens(
        load_model(
            source, revision=revision, device=device, dtype=dtype, task=task, trust_remote_code=trust_remote_code,
            check=check,
        )
    )  # fmt: skip


class Lens:
    """A model seen through its weighted vectors.

    Threads may share it: analyses of a model wait for each other, and its plain runs beside them are what they are alone.
    Only training must wait: during an analysis parameters require no gradient, and dropout is off.

    Parameters
    ----------
    loaded
        What :func:`normlens.loading.load.load_model` returns.

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
        self._attributor = Attributor(self.model, self.tokenizer, self._runner)

    def __repr__(self) -> str:
        reader = self.tokenizer or self.processor
        return (
            f"<Lens {self.name!r}: {type(self.model).__name__}, {self.model.dtype}, on {self.model.device}>\n"
            f"Reads: {'token ids' if reader is None else f'what {type(reader).__name__} takes'}, or ready-made tensors\n"
            "Next: .analyze(text) for weights and norms, .attribute(text) for the sources of a prediction"
        )

    def _repr_html_(self) -> str:
        return f"<p>{'<br>'.join(map(html.escape, repr(self).splitlines()))}</p>"

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
            One text, its words (``{"words": […]}``; among several inputs, a list of strings), token ids, chat messages, two
            texts read together (``{"text": …, "text_pair": …}``), an image, or what a tokenizer or processor returned (a
            mapping of tensors or lists): gives one :class:`Analysis`. An iterable of these gives an iterator, in order; so
            does tokenizer output or a tensor of ids with several rows. Tokens that an ``attention_mask`` leaves out at the
            ends are padding, and absent. See :meth:`stream`.
        target_text
            For encoder–decoder models: the second text (ids, tokenizer output), read teacher-forced; an iterable beside an
            iterable. Tokenizer output with ``labels`` or ``decoder_input_ids`` brings its own.
            The decoder reads its start token and then the target without its last token, which it would only predict: of
            what ``model.generate`` returns, leave the start token out.
        generate, generation_prompt, through, product, reduce, chunk_size, batch_size, padding, progress, truncate, skip
            As in :meth:`stream`; the last five matter for iterables, and ``skip`` is refused elsewhere.
        **unknown
            Refused, with the option most like it.

        Returns
        -------
        Analysis or iterator of Analysis
            Norms are Euclidean, in the model's own units; see :attr:`Analysis.data`.

        Raises
        ------
        InvalidInput
            If there is nothing to analyze, or too much.
        UnsupportedArchitecture
            If the model can't be measured exactly.
        ConservationError
            If contributions don't add up to what the model produced; then nothing is returned.
        """
        refuse_unknown_options(Lens.analyze, unknown)
        options = AnalyzeOptions(
            generate=generate, generation_prompt=generation_prompt, through=through, product=product, reduce=reduce,
            chunk_size=chunk_size, batch_size=batch_size, padding=padding, progress=progress, truncate=truncate, skip=skip,
        )  # fmt: skip
        rows = self._maker.opened(inputs)
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
        reduce: str | Reduction | None = None,
        chunk_size: int | None = None,
        batch_size: int = 8,
        padding: str = "right",
        progress: bool = True,
        truncate: bool = False,
        skip: Skip | None = None,
        **unknown: Never,
    ) -> Iterator[Analysis]:
        """Analyze many inputs; memory doesn't grow with their number.

        Parameters
        ----------
        inputs, target_text
            As in :meth:`analyze`.
        generate
            Number of tokens that a decoder adds to each prompt before the analysis. Prompt and continuation together
            may be as long as a text may be: no longer than ``max_position_embeddings`` of the model's config, also
            where positions are rotary and more could be computed, since the model never learned what is further away.
        generation_prompt
            Whether chat messages end where the model is about to answer (see :meth:`attribute`). None: with ``generate``
            they do; without it, the conversation is measured as it stands.
        through
            "attention": the scopes ``attention``, ``residual`` and ``layernorm``, at about the cost of the forward pass.
            "block": also ``feedforward``, ``feedforward_residual`` and ``block``, each contribution pushed through the
            rest of the layer, for about 2n + 1 passes of n tokens through the feed-forwards.
        product
            For gated feed-forwards: how a product of two factors that both depend on the contributions is split, half to
            each ("half"), by integrated gradients ("integrated"), or all to the "first" or "second".
        reduce
            Keep no map of size head × target × source: "categories" (weight and norm per category of source, and of
            all), "sinks" (what the first token gets), "edges" (the ten strongest sources of each target), "mean" (mean
            over heads), or a function that takes one layer's maps (an ``xarray.Dataset``) and gives a smaller Dataset
            that still has the dimension ``target``.
        chunk_size
            Compute attention this many targets at a time, so that no such map is ever made, and push this many sources
            at a time through the feed-forward.
        batch_size
            Inputs of similar length are run together, up to this many.
        padding
            "right" or "left": on which side a batch is padded. The numbers don't depend on it.
        progress
            Show a progress bar on standard error.
        truncate
            Cut texts that are longer than the model takes at their end (``attrs["truncated"]`` says by how many tokens).
        skip
            Takes ``(number, reason)`` of inputs that can't be read, such as a list's ``append``. None: the first is raised.
        **unknown
            Refused, with the option most like it.

        Yields
        ------
        Analysis
            One per input, in order; without those that are left out.
        """
        refuse_unknown_options(Lens.stream, unknown)
        check_sizes(chunk_size, batch_size, padding)
        named_reduction(reduce)
        measurement = Measurement(reduce, rule_for(through, product), chunk_size, batch_size, padding)
        inputs = self._maker.opened(inputs) or inputs
        answers = generate is not None if generation_prompt is None else generation_prompt
        examples = examples_of(self._maker, inputs, target_text, ReadingOptions(generate, answers, truncate), skip)
        total = len(inputs) if isinstance(inputs, Sequence) else None
        return stream_analyses(self._runner, examples, measurement, self._attributes, total, progress=progress)

    @overload
    def attribute(self, inputs: str, **options: Unpack[AttributeOptions]) -> Attribution: ...
    @overload
    def attribute(self, inputs: Any, **options: Unpack[AttributeOptions]) -> Any: ...
    def attribute(
        self,
        inputs: Input | Iterable[Input],
        *,
        method: str = "decompx",
        scope: str | None = None,
        target: Any = None,
        position: Any = None,
        target_text: Any = None,
        generation_prompt: bool = True,
        batch_size: int = 8,
        truncate: bool = False,
        skip: Skip | None = None,
        chunk_size: int = DEFAULT_CHUNK,
        product: Product = "half",
        **method_options: Unpack[MethodOptions],
    ) -> Any:
        """Which sources made the model say this.

        Parameters
        ----------
        inputs
            As in :meth:`analyze`: one text gives one array, an iterable of texts an iterator of arrays, in order.
        method, scope
            One of :func:`normlens.methods`, and how far into each block it goes (the method's first scope by default).
        target
            What is explained: a class (name or number), a token's logit (a string, or its id), the difference of two
            (a tuple), ``"logprob: …"`` or another object of :mod:`normlens.attribution`, "start" or "end" of an answer,
            or a function of the model's output that gives one number per text. A list holds one for each text. By
            default what the model itself predicts, where it has a head and the method takes a target: its class, its
            next token, the token at its mask. A model without a head, and a method that takes no target, give a map.
        position
            Where the target is read; by default a decoder's last token, a masked language model's mask. A list holds
            one for each text.
        target_text
            For encoder–decoder models: the second text, read teacher-forced; an iterable beside an iterable.
        generation_prompt
            Whether chat messages end where the model is about to answer: the template opens its answer, or leaves the
            last message open if that is the assistant's. False: as the conversation stands.
        batch_size
            How many texts run together at most.
        truncate, skip
            As in :meth:`stream`.
        chunk_size
            How many sources are held in memory at a time.
        product
            How the derivative of a product is split: "half", "first", "second" or "integrated".
        **method_options
            The method's own, which its page describes; see :class:`normlens.attribution.MethodOptions`.

        Returns
        -------
        xarray.DataArray or iterator of xarray.DataArray
            Signed shares ``(source,)`` of a target, in its own unit (logits, say), or a map ``(target, source)``.
            Coordinates as in an analysis; for encoder–decoders ``side`` says which text a source is in. ``attrs`` hold
            method, scope, target, value, bias_share, conservation_error, rule and seconds; ``note`` says where a decoder's
            first token takes the largest share of a logit, as attention sinks do.

        Raises
        ------
        InvalidInput
            If method, scope, target or option don't exist, lengths don't match, or the model is in training mode.
        UnsupportedArchitecture
            If the method can't explain this model, or its weights are quantized.
        ConservationError
            If shares don't add up to the target; then nothing is returned.
        """
        how = method_named(method)
        target = default_target(self.model, how, method_options) if target is None else target
        request = checked_request(
            how, scope, target, position, {"chunk_size": chunk_size, "product": product, **method_options}
        )
        check_sizes(None, batch_size, "right")
        require_target_text(self._maker, inputs, target_text)
        rows, read = self._maker.opened(inputs), ReadingOptions(None, generation_prompt, truncate)
        if rows is None or len(rows) > 1:
            taken = None if skip is None else SkipLog(skip)
            examples = examples_of(self._maker, inputs if rows is None else rows, target_text, read, taken)
            return self._attributor.attribute(examples, request, batch_size, self._attributes, taken or ())
        refuse_skip(skip)
        if isinstance(target, list) or isinstance(position, list):
            raise InvalidInput("One text was given with a list of targets or positions; expected one, without a list.")
        examples = examples_of(self._maker, rows, None if target_text is None else [target_text], read)
        return next(self._attributor.attribute(examples, request, 1, self._attributes))
