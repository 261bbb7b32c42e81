"""Inputs as a user hands them in, made ready for one model: tensors, labels, padding."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from normlens.configs import configs_of
from normlens.encoding import Tokens, encode_chat, encode_ids, encode_pair, encode_text, is_pair
from normlens.errors import InvalidInput
from normlens.hooks import as_it_is
from normlens.loading import LoadedModel
from normlens.positions import UNLIMITED, position_limit
from normlens.precision import full_precision
from normlens.untrained import require_trained


@dataclass(frozen=True)
class Example:
    """One input, ready for the model.

    Attributes
    ----------
    tensors
        Model inputs without a batch axis.
    source
        The tokens that an encoder or a decoder-only model reads; None for images, whose positions are known later.
    target
        The decoder's input tokens in an encoder–decoder, else None.
    text
        What was handed in, for the record.
    patches
        Rows and columns of an image's patches, if they are known.
    """

    tensors: dict[str, Tensor]
    source: Tokens | None
    target: Tokens | None
    text: str
    patches: tuple[int, int] | None = None


@dataclass(frozen=True)
class ExampleMaker:
    """Turns one input into an :class:`Example` for a model.

    Attributes
    ----------
    loaded
        The model, with its tokenizer or image processor.
    """

    loaded: LoadedModel

    def make(self, one: Any, target: Any = None, generate: int | None = None) -> Example:
        """Tensors and labels of one input.

        Parameters
        ----------
        one
            A text, token ids, chat messages, two texts as ``{"text": …, "text_pair": …}``, or an image.
        target
            What the decoder of an encoder–decoder reads.
        generate
            How many tokens a decoder adds first.

        Raises
        ------
        InvalidInput
            If the input isn't one that this model takes.
        """
        model = self.loaded.model
        if (
            not isinstance(one, (str, list, tuple))
            and not is_pair(one)
            and not (isinstance(one, (Tensor, np.ndarray)) and one.ndim == 1)
        ):
            return self._image(one)
        if target is not None and not self._has_decoder():
            raise InvalidInput(f"A target was given, but {type(model).__name__} has no decoder that reads one.")
        if is_pair(one) and generate is not None:
            raise InvalidInput("generate= continues one text; two that are read together were given. Join them.")
        source, types = self._pair(one) if is_pair(one) else (self._tokens(one), None)
        if generate is not None:
            source = self._continued(source, generate)
        check_length(source, self.loaded, "input")
        tensors = {"input_ids": torch.as_tensor(source.ids)}
        tensors["attention_mask"] = torch.ones_like(tensors["input_ids"])
        if types is not None:
            tensors["token_type_ids"] = torch.as_tensor(types)
        if not self._has_decoder():
            return Example(tensors, source, None, source.text)
        decoder = self._decoder_tokens(target)
        check_length(decoder, self.loaded, "target")
        tensors["decoder_input_ids"] = torch.as_tensor(decoder.ids)
        tensors["decoder_attention_mask"] = torch.ones_like(tensors["decoder_input_ids"])
        return Example(tensors, source, decoder, source.text)

    def _tokens(self, one: Any, as_target: bool = False) -> Tokens:
        vocabulary = self._vocabulary()
        if not isinstance(one, (str, list, tuple, np.ndarray, Tensor)):
            raise InvalidInput(f"{type(one).__name__} was given; expected a text, token ids or chat messages.")
        if not isinstance(one, str) and (not len(one) or not isinstance(one[0], Mapping)):
            return encode_ids(self.loaded.tokenizer, _integers(one), vocabulary)
        if isinstance(one, str):
            return self._within_vocabulary(encode_text(self._tokenizer(), one, as_target=as_target))
        return self._within_vocabulary(encode_chat(self._tokenizer(), list(one), vocabulary))

    def _pair(self, one: Mapping[str, str]) -> tuple[Tokens, Any]:
        tokens, types = encode_pair(self._tokenizer(), one)
        return self._within_vocabulary(tokens), types

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

    def _has_decoder(self) -> bool:
        return bool(getattr(self.loaded.model.config, "is_encoder_decoder", False))

    def _vocabulary(self) -> int:
        try:
            embeddings = self.loaded.model.get_input_embeddings()
        except NotImplementedError:
            return UNLIMITED
        size = getattr(embeddings, "weight", None)
        return UNLIMITED if size is None else int(size.shape[0])

    def _decoder_tokens(self, target: Any) -> Tokens:
        """The decoder's input: its start token, then the target without its last token."""
        model = self.loaded.model
        if target is None:
            raise InvalidInput(
                f"{type(model).__name__} is an encoder–decoder: expected target=, the text to read teacher-forced."
            )
        tokens, config = self._tokens(target, as_target=True), model.config
        names = ("decoder_start_token_id", "bos_token_id", "pad_token_id")
        start = next((s for name in names if (s := getattr(config, name, None)) is not None), 0)
        if getattr(config, names[0], None) is None and _shifts_by_last_token(model):
            start = int(tokens.ids[-1])
        first = {"ids": [start], "labels": ["[START]"], "special": [True], "offsets": [[0, 0]], "words": [-1]}
        shifted = {
            name: np.concatenate([value, getattr(tokens, name)[:-1]])
            for name, value in {**first, "categories": ["special"]}.items()
        }
        return Tokens(text=tokens.text, **shifted)

    @full_precision()
    def _continued(self, prompt: Tokens, count: int) -> Tokens:
        """The prompt and what the model adds to it, greedily."""
        model = self.loaded.model
        if not isinstance(count, int) or count < 1 or not model.can_generate() or self._has_decoder():
            raise InvalidInput(
                f"generate={count!r} was asked of {type(model).__name__}; expected a number from 1 and a decoder that "
                "generates (a model with a language-model head)."
            )
        check_length(prompt, self.loaded, "input")
        _check_room(prompt, self.loaded, count)
        ids = torch.as_tensor(prompt.ids, device=model.device)[None]
        with torch.no_grad(), as_it_is(model), _greedy(model):
            require_trained(model, lambda: model(ids.clone()).logits)
            made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count)
        return encode_ids(self.loaded.tokenizer, made[0].tolist(), self._vocabulary())

    def _image(self, image: Any) -> Example:
        """Pixel values: given as a tensor ``(channel, height, width)``, or made by the image processor."""
        if isinstance(image, Tensor) and image.ndim == 3:
            return self._of_pixels({"pixel_values": image})
        if self.loaded.processor is None:
            raise InvalidInput(
                f"{type(image).__name__} was given; expected a text, token ids or chat messages. For images, load the "
                "model with its image processor, or pass pixel values as a tensor (channel, height, width)."
            )
        try:
            features: BatchFeature = self.loaded.processor(images=image, return_tensors="pt")
        except Exception as error:
            raise InvalidInput(f"The image processor refused the image ({type(image).__name__}): {error}") from error
        return self._of_pixels({n: x[0] for n, x in features.items() if isinstance(x, Tensor)})

    def _of_pixels(self, tensors: dict[str, Tensor]) -> Example:
        pixels = tensors.get("pixel_values")
        size = next((s for c in configs_of(self.loaded.model) if (s := getattr(c, "patch_size", None))), None)
        if any(getattr(config, "num_detection_tokens", 0) for config in configs_of(self.loaded.model)):
            return Example(tensors, None, None, "an image", (0, 0))  # tokens behind the patches, too (YOLOS)
        if pixels is None or pixels.ndim != 3 or not isinstance(size, (int, list, tuple)):
            return Example(tensors, None, None, "an image")
        height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
        return Example(tensors, None, None, "an image", (pixels.shape[1] // height, pixels.shape[2] // width))


@contextmanager
def _greedy(model: PreTrainedModel) -> Iterator[None]:
    """Leave of a model's settings for generation what tells where a text ends: no beams, penalties or samples."""
    before = model.generation_config
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    model.generation_config = GenerationConfig(**{name: getattr(before, name, None) for name in names})
    try:
        yield
    finally:
        model.generation_config = before


def _shifts_by_last_token(model: PreTrainedModel) -> bool:
    """Whether a decoder starts with the target's last token (the language, in mBART) instead of a token of its own."""
    shift = getattr(sys.modules[type(model).__module__], "shift_tokens_right", None)
    return shift is not None and len(inspect.signature(shift).parameters) == 2


def _integers(ids: Any) -> list[int]:
    """Token ids as they were given, if they are whole numbers that a model can take."""
    values = ids.tolist() if isinstance(ids, (Tensor, np.ndarray)) else list(ids)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not -(2**63) <= value < 2**63:
            raise InvalidInput(
                f"{value!r} ({type(value).__name__}) is among the token ids; expected whole numbers. Pass a text as a "
                "string, and several inputs as an iterable of texts or of lists of ids."
            )
    return [int(value) for value in values]


def check_length(tokens: Tokens, loaded: LoadedModel, side: str) -> None:
    """Refuse a sequence that the model has no positions for.

    Raises
    ------
    InvalidInput
        With both lengths.
    """
    limit = _limit(loaded)
    if len(tokens) > limit:
        raise InvalidInput(
            f"The {side} has {len(tokens)} tokens; this model takes at most {limit}. Cut the text, or split it into parts."
        )


def _check_room(prompt: Tokens, loaded: LoadedModel, generate: int) -> None:
    """Refuse a continuation past the model's positions before anything runs."""
    room = _limit(loaded) - len(prompt)
    if generate > room >= 0:
        advice = f"Ask for at most {room}, or cut the prompt." if room else "Cut the prompt."
        raise InvalidInput(
            f"The prompt's length in tokens is {len(prompt)}, with generate={generate} {len(prompt) + generate}; this model "
            f"takes at most {len(prompt) + room}. {advice}"
        )


def _limit(loaded: LoadedModel) -> int:
    """How many tokens the model takes, by its tokenizer and its positions."""
    limits = [getattr(loaded.tokenizer, "model_max_length", UNLIMITED), position_limit(loaded.model)]
    return min(int(x) for x in limits if x)
