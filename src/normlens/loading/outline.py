"""A model's outline before its weights are read, and options that can be refused from the outline alone.

Numbers in a config are upper bounds: a layer beyond them doesn't exist, and a layer within them may have no attention.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from normlens.errors import InvalidInput

_LAYERS = re.compile(r".*layers?")
_HEADS = re.compile(r".*heads?")
_STAGES = ("block_sizes", "depths")
_REPEATS = ("inner_group_num", "total_ut_steps")
_ARGUMENTS = {
    "text": ("input_ids",),
    "images": ("pixel", "image"),
    "sounds": ("input_features", "input_values", "audio", "input_audio"),
}
"""How arguments of a model's forward begin that are of a text, an image or a sound."""
_KINDS = ("encoder", "decoder", "cross")


@dataclass(frozen=True)
class Outline:
    """A model before its weights are read.

    Attributes
    ----------
    name
        The name that the caller used.
    config
        Its configuration.
    model_class
        The model's class; None if the config doesn't determine it.
    tokenizer
        Its tokenizer; None if the model reads no text, or its class isn't determined.
    """

    name: str
    config: PreTrainedConfig
    model_class: type[PreTrainedModel] | None
    tokenizer: PreTrainedTokenizerBase | None

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether it encodes one text and decodes another."""
        return bool(getattr(self.config, "is_encoder_decoder", False))

    @property
    def layers(self) -> int | None:
        """Upper bound on the layers of a kind of attention; None if the config doesn't say, or has several towers."""
        if self.config.sub_configs:
            return None
        counted = _most(self.config.to_dict(), _LAYERS, summed=not self.is_encoder_decoder)
        declared = getattr(self.config, "num_hidden_layers", None)  # a property of some configs
        return max(counted, declared) if counted is not None and isinstance(declared, int) else counted

    @property
    def heads(self) -> int | None:
        """Upper bound on the heads of a layer; None if the config doesn't say, or has several towers."""
        return None if self.config.sub_configs else _most(self.config.to_dict(), _HEADS, summed=False)

    def check_view(self, group: str | None = None, layer: int | None = None, head: int | None = None) -> None:
        """Refuse a kind of attention, a layer or a head that the model doesn't have.

        Raises
        ------
        InvalidInput
            Naming the request and the valid values.
        """
        for name, number, count in (("layer", layer, self.layers), ("head", head, self.heads)):
            if number is not None and (number < 0 or (count is not None and number >= count)):
                there = "" if count is None else f": its config has {count} {name}s, 0 to {count - 1}"
                raise InvalidInput(f"{self.name} has no {name} {number}{there}. Choose another.")
        self._check_group(group)

    def _check_group(self, group: str | None) -> None:
        if group is None or self.config.sub_configs:  # towers may have other group names
            return
        crosses = self.is_encoder_decoder or any(
            "cross" in str(name) and value for name, value in self.config.to_dict().items()
        )
        if (group == "cross" and not crosses) or not any(kind in group for kind in _KINDS):
            kinds = ", ".join(_KINDS) if self.is_encoder_decoder else "encoder or decoder, one of them"
            raise InvalidInput(f"{self.name} has no group {group}; expected {kinds}. Omit the group to see all groups.")

    def check_second_text(self, is_present: bool, name: str) -> None:
        """Refuse a second text if the model has no decoder for it, and its absence for an encoder–decoder.

        Parameters
        ----------
        is_present
            Whether there is a second text.
        name
            Name of the caller's option.

        Raises
        ------
        InvalidInput
            Saying what is expected.
        """
        kind = getattr(self.model_class, "__name__", self.config.model_type)
        if is_present and not self.is_encoder_decoder:
            raise InvalidInput(f"{kind} has no decoder that reads a second text. Omit {name}.")
        if not is_present and self.is_encoder_decoder:
            raise InvalidInput(
                f"{kind} is an encoder–decoder: expected {name}, the text that the decoder reads teacher-forced."
            )

    def check_media(self, *, text: bool, image: bool, audio: bool) -> None:
        """Refuse a text, an image or a sound that the model has no argument for.

        Parameters
        ----------
        text, image, audio
            Which of them there are.

        Raises
        ------
        InvalidInput
            Naming what the model reads.
        """
        if self.model_class is None:
            return
        names = inspect.signature(self.model_class.forward).parameters
        reads = {kind: any(name.startswith(prefixes) for name in names) for kind, prefixes in _ARGUMENTS.items()}
        asked = {"text": text, "images": image, "sounds": audio}
        for kind in (kind for kind, wanted in asked.items() if wanted and not reads[kind]):
            instead = " and ".join(other for other, read in reads.items() if read) or "something else"
            raise InvalidInput(
                f"{self.model_class.__name__} reads no {kind}; it reads {instead}. Pass {instead}, or choose another model."
            )


def _most(config: Mapping[str, Any], names: re.Pattern[str], *, summed: bool) -> int | None:
    """The largest number in a config whose name matches, or the sum of all such numbers."""
    numbers = list(_numbers(config, names))
    return (sum(numbers) if summed else max(numbers)) if numbers else None


def _numbers(config: Mapping[str, Any], names: re.Pattern[str]) -> Iterator[int]:
    repeats = [config[name] for name in _REPEATS if isinstance(config.get(name), int)] if names is _LAYERS else []
    for name, value in config.items():
        if isinstance(value, bool) or not isinstance(name, str):
            continue
        if names.fullmatch(name) and isinstance(value, int):
            yield value * max([1, *repeats])
        elif isinstance(value, (list, tuple)) and (names.fullmatch(name) or (names is _LAYERS and name in _STAGES)):
            counts = [x for x in value if isinstance(x, int)]
            if counts:
                yield sum(counts) if names is _LAYERS else max(counts)
