"""From an input as a user hands it in to an example that one model can read."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.inputs.bare_ids import integers, unpadded
from normlens.inputs.chats import encode_chat
from normlens.inputs.encodings import EncodedRow, encoded_rows, labels_of
from normlens.inputs.example import Example, token_example
from normlens.inputs.images import image_example, mark_image_tokens
from normlens.inputs.kinds import Kind, input_kind
from normlens.inputs.lengths import check_length, cut, fitting
from normlens.inputs.media_labels import media_labels
from normlens.inputs.pretokenized import encode_words, is_list_of_strings
from normlens.inputs.processing import holds_media, read_media
from normlens.inputs.teacher_forcing import shifted
from normlens.inputs.tokens import Tokens, encode_ids, encode_pair, encode_text, number_positions
from normlens.loading.load import LoadedModel
from normlens.loading.positions import UNLIMITED
from normlens.loading.tokenizer_failures import library_explained


@dataclass(frozen=True)
class ReadingOptions:
    """How an input is to be read.

    Attributes
    ----------
    generate
        How many tokens a decoder adds first; None for none.
    generation_prompt
        Whether chat messages end where the model is about to answer.
    truncate
        Whether a text that is longer than the model takes is cut at its end.
    """

    generate: int | None = None
    generation_prompt: bool = False
    truncate: bool = False


@dataclass(frozen=True)
class ExampleMaker:
    """Turns one input into an :class:`Example` for a model.

    Attributes
    ----------
    loaded
        The model, with its tokenizer or image processor.
    continued
        Gives the token ids of a prompt and of so many tokens that the model adds; None where nothing is generated.
    """

    loaded: LoadedModel
    continued: Callable[[Tokens, int, LoadedModel], list[int]] | None = None

    def kind(self, given: Any, *, as_target: bool = False) -> Kind:
        """Which kind of input this is, for this model or its decoder."""
        if isinstance(given, EncodedRow):
            return "encoding"
        return input_kind(given, as_target or self.loaded.model.main_input_name == "input_ids")

    def opened(self, given: Any, *, as_target: bool = False) -> list[Any] | None:
        """The inputs that one object holds: the rows of tokenizer output or of an array; None for other iterables."""
        kind = self.kind(given, as_target=as_target)
        if kind == "encoding":
            return list(encoded_rows(given, self._accepted | (_IDS if as_target else frozenset())))
        if kind == "rows":
            if not len(given):
                raise InvalidInput(
                    f"{type(given).__name__} of shape {tuple(given.shape)} has no rows; expected one at least."
                )
            return list(given)
        return None if kind == "several" else [given]

    @property
    def has_decoder(self) -> bool:
        """Whether the model reads a target beside its input."""
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
            "text_pair": …}``, an image, an image or a sound by name (``{"text": …, "image": …}``), or one row of what a
            tokenizer or processor returned.
        target
            What the decoder of an encoder–decoder reads: a text, ids, or tokenizer output.
        options
            How it is to be read.

        Raises
        ------
        InvalidInput
            If the input isn't one that this model takes.
        """
        with library_explained(self.loaded.name):
            return self._made(one, target, options)

    def _made(self, one: Any, target: Any, options: ReadingOptions) -> Example:
        kind, row = self.kind(one), None
        if kind == "media" or (kind == "chat" and holds_media(one)):
            one, kind = read_media(one, self.loaded, options.generation_prompt), "encoding"
        if kind == "encoding":
            row = self._only_row(one)
            example = self._encoded(row)
        elif kind == "medium":
            example = image_example(one, self.loaded)
        else:
            example = self._text(one, kind, options.generation_prompt)
            if options.truncate and kind != "chat":
                example = self._cut(example, options.generate or 0, len(one["text"]) + 1 if kind == "pair" else 0)
        if options.generate is not None and (kind == "words" or is_list_of_strings(one)):
            raise InvalidInput("generate= continues a text, and its words were given. Give the text itself.")
        if options.generate is not None:
            example = self._continued(example, options.generate)
        if example.source is not None:
            check_length(example.source, self.loaded, "input")
        return self._with_decoder(example, row, target, options)

    def _cut(self, example: Example, beside: int, second: int) -> Example:
        """The example without the tokens that there is no room for; one of a second text, which begins here, is kept."""
        assert example.source is not None
        kept = fitting(example.source, self.loaded, "input", beside)
        if kept is None:
            return example
        source = cut(example.source, kept)
        if second and not bool((source.offsets[~source.special, 1] > second).any()):
            raise InvalidInput(f"The first text alone fills the {len(source)} tokens that there is room for; cut it.")
        further = {name: x[torch.as_tensor(kept)] for name, x in example.tensors.items() if name == "token_type_ids"}
        return replace(token_example(source, further), truncated=len(example.source) - len(source))

    def _continued(self, prompt: Example, count: int) -> Example:
        if (
            prompt.source is None
            or set(prompt.tensors) != set(token_example(prompt.source).tensors)
            or prompt.runs_alone
        ):
            raise InvalidInput(
                f"generate= continues one text; {', '.join([*prompt.tensors, *prompt.whole])} were given, or a mask that "
                "leaves out tokens inside. Give a text, chat messages or token ids; join two texts that are read together."
            )
        if self.continued is None:
            raise InvalidInput("generate= isn't taken here. Pass the whole text.")
        whole = token_example(self._ids(self.continued(prompt.source, count, self.loaded)))
        return replace(whole, truncated=prompt.truncated)

    def _text(self, one: Any, kind: Kind, generation_prompt: bool) -> Example:
        if kind == "chat":
            chat = encode_chat(self._tokenizer(), list(one), self._vocabulary(), generation_prompt=generation_prompt)
            return token_example(self._within_vocabulary(chat))
        if kind != "pair":
            return token_example(self._tokens(one))
        tokens, types = encode_pair(self._tokenizer(), one)
        return token_example(self._within_vocabulary(tokens), {} if types is None else {"token_type_ids": types})

    def _tokens(self, one: Any, as_target: bool = False) -> Tokens:
        kind = self.kind(one, as_target=as_target)
        if kind in ("encoding", "rows"):
            one = self._only_row(one, as_target)
            return self._tokens(one, as_target) if kind == "rows" else self._ids(integers(self._read_ids(one)))
        if isinstance(one, str):
            return self._within_vocabulary(encode_text(self._tokenizer(), one, as_target=as_target))
        if kind == "words" or is_list_of_strings(one):
            words = one["words"] if kind == "words" else one
            return self._within_vocabulary(encode_words(self._tokenizer(), words, as_target=as_target))
        if kind == "ids" or (isinstance(one, (list, tuple)) and not one):
            ids = integers(one)
            return self._ids(ids[unpadded(ids, self.loaded)])
        raise InvalidInput(f"{type(one).__name__} was given; expected a text, token ids or chat messages.")

    def _only_row(self, given: Any, as_target: bool = False) -> Any:
        rows = self.opened(given, as_target=as_target) or []
        if len(rows) != 1:
            raise InvalidInput(f"{type(given).__name__} holds {len(rows)} rows; expected one here.")
        return rows[0]

    def _ids(self, ids: list[int], *, marks_only: bool = False) -> Tokens:
        return encode_ids(self.loaded.tokenizer, ids, self._vocabulary(), marks_only=marks_only)

    def _encoded(self, row: EncodedRow) -> Example:
        """What a tokenizer or processor returned, as it is: its tokens labeled, everything else passed on."""
        source = None
        if "input_ids" in row.tensors:
            if "attention_mask" not in row.tensors:
                row = row.cut(unpadded(integers(row.tensors["input_ids"]), self.loaded))
            source = self._ids(integers(row.tensors["input_ids"]))
        elif "inputs_embeds" in row.tensors:
            source = number_positions(len(row.tensors["inputs_embeds"]))
        tensors = {name: x for name, x in row.tensors.items() if name != "labels" and not name.startswith("decoder_")}
        if source is not None:
            tensors = {"attention_mask": torch.ones(len(source), dtype=torch.long), **tensors}
            source = mark_image_tokens(source, self.loaded.model, {**row.whole, **tensors}.get("image_grid_thw"))
        medium, label = media_labels({**row.whole, **tensors}, self.loaded)
        text = source.text if source is not None else "an image" if medium == "image" else "a sound"
        return Example(tensors, source, None, text, label, medium, row.whole)

    def _read_ids(self, row: EncodedRow) -> Tensor:
        """The ids of a row that is read as a target."""
        ids = row.tensors.get("input_ids")
        if ids is None or not bool(row.tensors.get("attention_mask", torch.ones(1)).all()):
            raise InvalidInput(
                "The target holds no input_ids, or its mask leaves out tokens inside; expected plain ids."
            )
        return ids if "attention_mask" in row.tensors else ids[unpadded(integers(ids), self.loaded)]

    def _with_decoder(self, example: Example, row: EncodedRow | None, target: Any, options: ReadingOptions) -> Example:
        """The example with what the decoder reads, if the model has one."""
        left_out = example.truncated
        given = None if row is None else row.tensors.get("decoder_input_ids")
        labels = None if row is None or not self.has_decoder else labels_of(row)
        if target is not None and not self.has_decoder:
            raise InvalidInput(
                f"target_text= was given, but {type(self.loaded.model).__name__} has no decoder that reads one."
            )
        if target is not None and (given is not None or labels is not None):
            raise InvalidInput(
                "The input holds its target text already, and target_text= was given; expected one of them."
            )
        if target is None and given is None and labels is None:
            if not self.has_decoder or (example.source is None and "decoder_input_ids" not in self._accepted):
                return example
            raise InvalidInput(
                f"{type(self.loaded.model).__name__} is an encoder–decoder: expected target_text=, the second text, "
                "which is read teacher-forced."
            )
        tensors: dict[str, Tensor] = {}
        if given is not None and row is not None:
            tokens = self._ids(integers(given), marks_only=True)
            tensors = {name: x for name, x in row.tensors.items() if name.startswith("decoder_")}
        elif labels is not None:
            values = integers(labels)
            tokens = shifted(self._ids(values[unpadded(values, self.loaded)]), self.loaded.model)
        else:
            read_as = self._tokens(target, as_target=True)
            kept = fitting(read_as, self.loaded, "target") if options.truncate else None
            left_out += 0 if kept is None else len(read_as) - len(kept)
            prefix = getattr(self.loaded.tokenizer, "prefix_tokens", ()) if isinstance(target, str) else ()
            tokens = shifted(read_as if kept is None else cut(read_as, kept), self.loaded.model, prefix)
        check_length(tokens, self.loaded, "target")
        ids = torch.as_tensor(tokens.ids)
        read: dict[str, Tensor] = {"decoder_input_ids": ids, "decoder_attention_mask": torch.ones_like(ids)}
        return replace(example, tensors={**example.tensors, **read, **tensors}, target=tokens, truncated=left_out)

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        if self.loaded.tokenizer is None:
            raise InvalidInput(
                f"{self.loaded.name} was loaded without a tokenizer, but a text was given. Pass token ids, or load it as "
                "(model, tokenizer)."
            )
        return self.loaded.tokenizer

    def _within_vocabulary(self, tokens: Tokens) -> Tokens:
        vocabulary = self._vocabulary()
        if tokens.ids.max() >= vocabulary:
            raise InvalidInput(
                f"The tokenizer gave id {tokens.ids.max()}; the model has embeddings for {vocabulary} ids. This tokenizer "
                "belongs to another model, or the model's embeddings were never resized for its added tokens."
            )
        return tokens

    def _vocabulary(self) -> int:
        try:
            embeddings = self.loaded.model.get_input_embeddings()
        except NotImplementedError:
            return UNLIMITED
        size = getattr(embeddings, "weight", None)
        return UNLIMITED if size is None else int(size.shape[0])

    @cached_property
    def _accepted(self) -> frozenset[str]:
        """The names of what the model's forward takes, with and without its head."""
        model = self.loaded.model
        names = frozenset(inspect.signature(model.forward).parameters)
        inside = frozenset(inspect.signature(model.base_model.forward).parameters)
        return names & inside if model.main_input_name in inside else names


_IDS = frozenset({"input_ids", "attention_mask"})
