"""Makes an example of an input: the tensors and labels that one model reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.inputs.bare_ids import integers, unpadded
from normlens.inputs.encoded_row import EncodedRow
from normlens.inputs.encodings import labels_of
from normlens.inputs.example import Example, token_example
from normlens.inputs.grid_labels import number_positions
from normlens.inputs.images import image_example, mark_image_tokens
from normlens.inputs.kinds import Kind
from normlens.inputs.lengths import check_length, cut, fitting
from normlens.inputs.media_labels import media_labels
from normlens.inputs.pretokenized import is_list_of_strings
from normlens.inputs.processing import holds_media, read_media
from normlens.inputs.teacher_forcing import shifted
from normlens.inputs.token_reader import TokenReader
from normlens.inputs.tokens import Tokens
from normlens.loading.load import LoadedModel
from normlens.loading.tokenizer_failures import library_explained


@dataclass(frozen=True)
class ReadingOptions:
    """How an input is read.

    Attributes
    ----------
    generate
        Number of tokens that a decoder generates first; None for no generation.
    generation_prompt
        Whether chat messages end where the model is about to answer.
    truncate
        Whether a text that is too long for the model is truncated.
    """

    generate: int | None = None
    generation_prompt: bool = False
    truncate: bool = False


@dataclass(frozen=True)
class ExampleMaker:
    """Makes an :class:`Example` of an input, for one model.

    Attributes
    ----------
    loaded
        The model, with its tokenizer or image processor.
    continued
        Takes a prompt, a number of tokens and the model; returns the ids of the prompt and of that many generated tokens.
        None if generation is not supported.
    """

    loaded: LoadedModel
    continued: Callable[[Tokens, int, LoadedModel], list[int]] | None = None

    @cached_property
    def reader(self) -> TokenReader:
        """Reads texts and ids as the model's tokens."""
        return TokenReader(self.loaded)

    @property
    def has_decoder(self) -> bool:
        """Whether the model reads a target in addition to its input."""
        reads_both = any(
            name.startswith("decoder_") for name in inspect.signature(self.loaded.model.forward).parameters
        )
        return reads_both and bool(getattr(self.loaded.model.config, "is_encoder_decoder", False))

    def make(self, one: Any, target: Any = None, options: ReadingOptions = ReadingOptions()) -> Example:
        """Tensors and labels of one input.

        Parameters
        ----------
        one
            A text, its words as ``{"words": […]}`` or a list, token ids, chat messages, two texts as ``{"text": …,
            "text_pair": …}``, an image, an image or a sound by name (``{"text": …, "image": …}``), or one row of a
            tokenizer's or processor's output.
        target
            The decoder's text in an encoder–decoder: a text, ids, or tokenizer output.
        options
            How they are read.

        Raises
        ------
        InvalidInput
            If the model can't read the input.
        """
        with library_explained(self.loaded.name):
            return self._made(one, target, options)

    def _made(self, one: Any, target: Any, options: ReadingOptions) -> Example:
        kind, row = self.reader.kind(one), None
        if kind == "media" or (kind == "chat" and holds_media(one)):
            one, kind = read_media(one, self.loaded, options.generation_prompt), "encoding"
        if kind == "encoding":
            row = self.reader.only_row(one)
            example = self._encoded(row)
        elif kind == "medium":
            example = image_example(one, self.loaded)
        else:
            example = self._text(one, kind, options.generation_prompt)
            if options.truncate and kind != "chat":
                example = self._truncated(example, options.generate or 0, len(one["text"]) + 1 if kind == "pair" else 0)
        if options.generate is not None and (kind == "words" or is_list_of_strings(one)):
            raise InvalidInput("generate= continues a text, but the input is a list of words. Pass the text itself.")
        if options.generate is not None:
            example = self._continued(example, options.generate)
        if example.source is not None:
            check_length(example.source, self.loaded, "input")
        return self._with_decoder(example, row, target, options)

    def _text(self, one: Any, kind: Kind, generation_prompt: bool) -> Example:
        if kind == "chat":
            return token_example(self.reader.chat(list(one), generation_prompt))
        if kind != "pair":
            return token_example(self.reader.tokens(one))
        tokens, types = self.reader.pair(one)
        return token_example(tokens, {} if types is None else {"token_type_ids": types})

    def _truncated(self, example: Example, generated: int, second: int) -> Example:
        """The example without tokens that exceed the model's positions; a token of the second text must remain.

        Parameters
        ----------
        example
            The example of a text or a pair.
        generated
            Number of tokens to be generated.
        second
            The position in the text at which the second text of a pair begins; 0 if there is none.
        """
        assert example.source is not None
        kept = fitting(example.source, self.loaded, "input", generated)
        if kept is None:
            return example
        source = cut(example.source, kept)
        if second and not bool((source.offsets[~source.special, 1] > second).any()):
            raise InvalidInput(
                f"The first text alone fills the {len(source)} tokens that the model can read. Shorten the first text."
            )
        further = {name: x[torch.as_tensor(kept)] for name, x in example.tensors.items() if name == "token_type_ids"}
        return replace(token_example(source, further), truncated=len(example.source) - len(source))

    def _continued(self, prompt: Example, count: int) -> Example:
        if (
            prompt.source is None
            or set(prompt.tensors) != set(token_example(prompt.source).tensors)
            or prompt.runs_alone
        ):
            raise InvalidInput(
                f"generate= continues one text, but the input has {', '.join([*prompt.tensors, *prompt.whole])}, or a mask "
                "that excludes tokens between others. Pass a text, chat messages or token ids; join the two texts of a pair."
            )
        if self.continued is None:
            raise InvalidInput("generate= is not supported here. Pass the whole text.")
        whole = token_example(self.reader.ids(self.continued(prompt.source, count, self.loaded)))
        return replace(whole, truncated=prompt.truncated)

    def _encoded(self, row: EncodedRow) -> Example:
        """A row of a tokenizer's or processor's output: its tokens are labeled, all other tensors stay as they are."""
        source = None
        if "input_ids" in row.tensors:
            if "attention_mask" not in row.tensors:
                row = row.cut(unpadded(integers(row.tensors["input_ids"]), self.loaded))
            source = self.reader.ids(integers(row.tensors["input_ids"]))
        elif "inputs_embeds" in row.tensors:
            source = number_positions(len(row.tensors["inputs_embeds"]))
        tensors = {name: x for name, x in row.tensors.items() if name != "labels" and not name.startswith("decoder_")}
        if source is not None:
            tensors = {"attention_mask": torch.ones(len(source), dtype=torch.long), **tensors}
            fields = {**row.whole, **tensors}
            source = mark_image_tokens(
                source, self.loaded.model, fields.get("image_grid_thw"), fields.get("pixel_values")
            )
        medium, label = media_labels({**row.whole, **tensors}, self.loaded)
        text = source.text if source is not None else "an image" if medium == "image" else "a sound"
        return Example(tensors, source, None, text, label, medium, row.whole)

    def _with_decoder(self, example: Example, row: EncodedRow | None, target: Any, options: ReadingOptions) -> Example:
        """The example with the decoder's input, if the model has a decoder."""
        decoder_ids = None if row is None else row.tensors.get("decoder_input_ids")
        labels = None if row is None or not self.has_decoder else labels_of(row)
        if target is None and decoder_ids is None and labels is None:
            if not self.has_decoder or (example.source is None and "decoder_input_ids" not in self.reader.accepted):
                return example
            raise InvalidInput(
                f"{type(self.loaded.model).__name__} is an encoder–decoder: expected target_text=, the second text, "
                "which is read teacher-forced."
            )
        self._check_target(target, decoder_ids is not None or labels is not None)
        truncated, tensors = example.truncated, dict[str, Tensor]()
        if decoder_ids is not None and row is not None:
            tokens = self.reader.ids(integers(decoder_ids), as_target=True, special_only=True)
            tensors = {name: x for name, x in row.tensors.items() if name.startswith("decoder_")}
        elif labels is not None:
            values = integers(labels)
            whole = self.reader.ids(values[unpadded(values, self.loaded)], as_target=True)
            tokens = shifted(whole, self.loaded.model)
        else:
            whole = self.reader.tokens(target, as_target=True)
            kept = fitting(whole, self.loaded, "target") if options.truncate else None
            truncated += 0 if kept is None else len(whole) - len(kept)
            prefix = getattr(self.loaded.tokenizer, "prefix_tokens", ()) if isinstance(target, str) else ()
            tokens = shifted(whole if kept is None else cut(whole, kept), self.loaded.model, prefix)
        check_length(tokens, self.loaded, "target")
        ids = torch.as_tensor(tokens.ids)
        read: dict[str, Tensor] = {"decoder_input_ids": ids, "decoder_attention_mask": torch.ones_like(ids)}
        return replace(example, tensors={**example.tensors, **read, **tensors}, target=tokens, truncated=truncated)

    def _check_target(self, target: Any, has_target: bool) -> None:
        """Refuse a target for a model without a decoder, and a second one for an input that has one."""
        if target is None:
            return
        if not self.has_decoder:
            raise InvalidInput(
                f"{type(self.loaded.model).__name__} has no decoder that reads target_text=. Omit target_text."
            )
        if has_target:
            raise InvalidInput(
                "The input already has a target text; expected it there or in target_text=, not in both."
            )
