"""The lens: a loaded model whose attention is measured and whose predictions are attributed to sources."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Unpack, overload

from normlens.analysis.analyzer import Analyzer
from normlens.attribution.arrays import Attribution
from normlens.attribution.asked import Asked
from normlens.attribution.attributor import Attributor
from normlens.attribution.method_options import AttributeOptions, MethodOptions
from normlens.attribution.registry import method_named
from normlens.attribution.targets.answer_tokens import Score
from normlens.attribution.whole_answers.answering import AnswerQuestion
from normlens.engine.frozen.call import Product
from normlens.engine.frozen.pushforward import DEFAULT_CHUNK
from normlens.errors import InvalidInput, install_command
from normlens.inputs.batch import check_sizes
from normlens.inputs.example_maker import ReadingOptions
from normlens.inputs.example_stream import Skip
from normlens.inputs.kinds import Input
from normlens.loading.load import LoadedModel
from normlens.words.text_spans import Spans
from normlens.words.three_lines import paragraph


class Lens(Analyzer):
    """A model whose attention is measured by the vectors that it moves.

    Threads may share a lens: analyses of a model wait for each other, and plain runs in other threads are unaffected. Only
    training must wait, because an analysis switches off dropout and the gradients of all parameters.

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
        super().__init__(loaded)
        self._attributor = Attributor(self.model, self.tokenizer, self._runner, self._maker, self._attributes)

    def __repr__(self) -> str:
        reader = self.tokenizer or self.processor
        return (
            f"<Lens {self.name!r}: {type(self.model).__name__}, {self.model.dtype}, on {self.model.device}>\n"
            f"Reads: {'token ids' if reader is None else f'input of {type(reader).__name__}'}, or model inputs as tensors\n"
            "Next: .analyze(text) for weights and norms, .attribute(text) for the sources of a prediction"
        )

    def _repr_html_(self) -> str:
        return paragraph(repr(self).splitlines())

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
        progress: bool = True,
        truncate: bool = False,
        skip: Skip | None = None,
        chunk_size: int = DEFAULT_CHUNK,
        product: Product = "half",
        generate: int | None = None,
        answer: Any = None,
        score: Score = "logprob",
        whole: bool = False,
        spans: Spans | None = None,
        **method_options: Unpack[MethodOptions],
    ) -> Any:
        """Attribute a prediction, or a position's vector, to the sources that it comes from.

        Parameters
        ----------
        inputs
            As in :meth:`analyze`: one input gives one attribution, an iterable an iterator, in order. Also a question about
            documents, ``{"context": [documents], "question": …}``, whose sources are the documents (or spans in them).
        method, scope
            One of :func:`normlens.methods`, and its scope in each block (default: the method's first scope).
        target
            What is explained: a class (name or number), a token's logit (string or id), the difference of two (a tuple),
            ``"logprob: …"`` or another object of :mod:`normlens.attribution`, "start" or "end" of an answer, or a function
            of the model's output that returns one number per text. A list holds one target for each text. Default: the
            model's own prediction (its class, its next token, the token at its mask); a model without a head, or a method
            that takes no target, gives a map.
        position
            Where the target is read; a list holds one for each text. Default: a decoder's last token, or the mask.
        target_text
            For encoder–decoder models: the second text, read teacher-forced; for an iterable of inputs, an iterable.
        generation_prompt
            Whether chat messages end where the model is about to answer: with the beginning of its answer, by the template,
            or inside the last message if that is the assistant's. False: the conversation is unchanged.
        batch_size, progress, truncate, skip
            As in :meth:`stream`.
        chunk_size
            Number of sources in memory at a time.
        product
            How the derivative of a product is split: "half", "first", "second" or "integrated".
        generate, answer
            Explain every token of an answer to one prompt instead of a target: one that a decoder or encoder–decoder
            generates (at most this many tokens), or a text or token ids that it is read with, teacher-forced.
        score
            What is explained of each token of an answer: its "logprob" or its "logit".
        whole
            Explain the sum over the answer's tokens, its log-probability, as one target.
        spans
            Add shares up over spans of the prompt: "sentences", "lines", "paragraphs", a regular expression, or pairs of
            character offsets; see :meth:`normlens.attribution.Attribution.spans`.
        **method_options
            Options of the method, described on its page; see :class:`normlens.attribution.MethodOptions`.

        Returns
        -------
        Attribution or iterator of Attribution
            An ``xarray.DataArray``: signed shares ``(source,)`` of a target, in its unit (logits, say), or a map
            ``(target, source)``. For an answer, signed shares ``(target, source)`` of each of its tokens, with
            ``target_probability``, ``target_entropy`` (nats) and ``source_role``. Coordinates are those of an analysis;
            for encoder–decoders, ``side`` is the text that a source belongs to. ``attrs`` hold method, scope, target,
            value, bias_share, conservation_error, rule and seconds; ``note`` warns if a decoder's first token, an
            attention sink, takes the largest share of a logit.

        Raises
        ------
        InvalidInput
            If method, scope, target or option doesn't exist, lengths don't match, or the model is in training mode.
        UnsupportedArchitecture
            If the method can't explain this model, or its weights are quantized.
        ConservationError
            If shares don't add up to the target; then nothing is returned.
        """
        check_sizes(None, batch_size, "right")
        how, options = method_named(method), {"chunk_size": chunk_size, "product": product, **method_options}
        question = AnswerQuestion(answer, generate, score, whole)
        asked = Asked(inputs, how, scope, target, position, target_text, options, question, spans)
        reading = ReadingOptions(None, generation_prompt, truncate)
        return asked.explained(self._attributor, reading, batch_size, skip, progress)

    def view(self, text: str = "", target_text: str = "") -> Any:
        """The explorer in a notebook's cell: every head of the model on a text, as on the page of ``normlens view``.

        Needs the extra "notebook". No port is opened; everything is sent through the kernel.

        Parameters
        ----------
        text
            What is shown first; another text can be typed in the cell.
        target_text
            For encoder–decoder models: the second text.

        Returns
        -------
        normlens.view.ExplorerWidget
            A widget, which the cell shows if it is its last expression.

        Raises
        ------
        InvalidInput
            If the libraries of the extra "notebook" are missing.
        """
        try:
            module = import_module("normlens.view.widget")  # by its name: the explorer stands on lenses
        except ImportError as error:
            raise InvalidInput(
                f"The explorer in a cell needs anywidget, which is not installed ({error}). "
                f"Run `{install_command('notebook')}`."
            ) from error
        return module.ExplorerWidget(self, text, target_text)
