"""What a checkpoint says of its model before its weights are read, and what can be refused by that alone.

Numbers in a config are upper bounds: a layer that isn't counted there doesn't exist, while one that is may turn out to have
no attention.
"""

from __future__ import annotations

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
_KINDS = ("encoder", "decoder", "cross")


@dataclass(frozen=True)
class Outline:
    """A model before its weights are read.

    Attributes
    ----------
    name
        As the caller gave it.
    config
        Its configuration.
    model_class
        The class it will have; None where that isn't known yet.
    tokenizer
        None for a model that reads no text, or whose class isn't known yet.
    """

    name: str
    config: PreTrainedConfig
    model_class: type[PreTrainedModel] | None
    tokenizer: PreTrainedTokenizerBase | None

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether it reads a text and decodes another."""
        return bool(getattr(self.config, "is_encoder_decoder", False))

    @property
    def layers(self) -> int | None:
        """How many layers a kind of attention has at most; None where the config doesn't say, or names several towers."""
        if self.config.sub_configs:
            return None
        counted = _most(self.config.to_dict(), _LAYERS, summed=not self.is_encoder_decoder)
        said = getattr(self.config, "num_hidden_layers", None)  # a property of some configs
        return max(counted, said) if counted is not None and isinstance(said, int) else counted

    @property
    def heads(self) -> int | None:
        """How many heads a layer has at most; None where the config doesn't say, or names several towers."""
        return None if self.config.sub_configs else _most(self.config.to_dict(), _HEADS, summed=False)

    def check_view(self, group: str | None = None, layer: int | None = None, head: int | None = None) -> None:
        """Refuse a kind of attention, a layer or a head that the model can't have.

        Raises
        ------
        InvalidInput
            Naming what was asked for, and what there is.
        """
        for name, number, count in (("layer", layer, self.layers), ("head", head, self.heads)):
            if number is not None and (number < 0 or (count is not None and number >= count)):
                there = "" if count is None else f": its config counts {count} {name}s, 0 to {count - 1}"
                raise InvalidInput(f"{self.name} has no {name} {number}{there}. Choose another.")
        self._check_group(group)

    def _check_group(self, group: str | None) -> None:
        if group is None or self.config.sub_configs:  # several towers may have names of their own
            return
        crosses = self.is_encoder_decoder or any(
            "cross" in str(name) and value for name, value in self.config.to_dict().items()
        )
        if (group == "cross" and not crosses) or not any(kind in group for kind in _KINDS):
            kinds = ", ".join(_KINDS) if self.is_encoder_decoder else "encoder or decoder, one of them"
            raise InvalidInput(
                f"{self.name} has no group {group}; expected {kinds}. Leave it out to see what there is."
            )

    def check_second_text(self, given: bool, name: str) -> None:
        """Refuse a text to decode for a model without a decoder of its own, and its absence for an encoder–decoder.

        Parameters
        ----------
        given
            Whether there is one.
        name
            What the caller calls it.

        Raises
        ------
        InvalidInput
            With what is expected.
        """
        kind = getattr(self.model_class, "__name__", self.config.model_type)
        if given and not self.is_encoder_decoder:
            raise InvalidInput(f"{name} was given, but {kind} has no decoder that reads a second text. Leave it out.")
        if not given and self.is_encoder_decoder:
            raise InvalidInput(f"{kind} is an encoder–decoder: expected {name}, the text that is read teacher-forced.")


def _most(config: Mapping[str, Any], names: re.Pattern[str], *, summed: bool) -> int | None:
    """The largest of the numbers so called in a config; or their sum, where they add up."""
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
