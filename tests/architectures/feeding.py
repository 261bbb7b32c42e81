"""Random inputs for one forward pass of a tiny model, made from the names in the forward's signature."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .overrides import SHAPES
from .sizes import HIDDEN, IMAGE, MELS, PATCH, VOCABULARY

FIRST_WORD = 10
"""Token numbers below this one are special in some tiny configuration."""

SOUND_FRAMES = 32
"""Length of a spectrogram."""

WAVE_SAMPLES = 2000
"""Length of a waveform: the smallest that leaves a few positions after the usual strides."""

FRAMES = 2
"""Images of a video."""

WITH_PIXELS = (
    "aimv2",
    "altclip",
    "blip",
    "chinese_clip",
    "clip",
    "clipseg",
    "flava",
    "groupvit",
    "metaclip_2",
    "owlv2",
    "owlvit",
    "siglip",
    "vision-text-dual-encoder",
)
EXTRA: dict[str, list[str]] = {name: ["input_ids", "pixel_values"] for name in WITH_PIXELS}
"""Inputs of the types whose forward asks for more than its signature says."""


def feed(
    model_type: str, model: PreTrainedModel, batch: int, length: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Make the inputs that the main input's name and the forward's signature ask for.

    Parameters
    ----------
    model_type
        The type that `model` was built as.
    model
        The model that will take them.
    batch, length
        Number of examples, and of tokens of a text.
    generator
        Source of every random number.
    """
    maker = Maker(model, batch, length, generator)
    if model_type in SHAPES:
        return {name: maker.shaped(name, shape) for name, shape in SHAPES[model_type].items()}
    parameters = inspect.signature(model.forward).parameters
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    named = model.main_input_name
    main = named if isinstance(named, str) and named in parameters else next(iter(parameters))
    if "input_ids" in parameters:
        main = "input_ids"
    wanted = EXTRA.get(model_type, [main, *required])
    if "decoder_input_ids" in parameters:
        wanted = [*wanted, "decoder_input_ids"]
    made = {name: maker.make(name, "grid_thw" in wanted) for name in dict.fromkeys(wanted)}
    return made | {"use_cache": False} if "use_cache" in parameters else made


class Maker:
    """Makes inputs by name for one model.

    Parameters
    ----------
    model
        The model that will take them.
    batch, length
        Number of examples, and of tokens of a text.
    generator
        Source of every random number.
    """

    def __init__(self, model: PreTrainedModel, batch: int, length: int, generator: torch.Generator) -> None:
        self.model = model
        self.batch = batch
        self.length = length
        self.generator = generator

    def make(self, name: str, in_patches: bool) -> Tensor:
        """Return one input; with `in_patches`, images come as a flat list of patches."""
        config, batch, length = self.model.config, self.batch, self.length
        if name == "decoder_input_ids":
            return self.words(length - 2)
        if name == "grid_thw":
            return torch.tensor([[1, IMAGE // PATCH, IMAGE // PATCH]] * batch)
        if in_patches:
            patches = batch * (IMAGE // PATCH) ** 2
            temporal = getattr(config, "temporal_patch_size", 1)
            return self.numbers(patches, getattr(config, "num_channels", 3) * temporal * PATCH**2)
        if name == "pixel_values":
            return self.numbers(batch, getattr(config, "num_channels", 3), IMAGE, IMAGE)
        if name == "pixel_values_videos":
            return self.numbers(batch, FRAMES, getattr(config, "num_channels", 3), IMAGE, IMAGE)
        if name == "input_features":
            return self.numbers(batch, MELS, SOUND_FRAMES)
        if name == "input_values":
            return self.numbers(batch, WAVE_SAMPLES)
        if name in ("inputs_embeds", "hidden_states", "encoder_hidden_states", "query_embeds"):
            return self.numbers(batch, length, getattr(config, "hidden_size", HIDDEN))
        if name.endswith("mask"):
            return torch.ones(batch, length, dtype=torch.bool)
        return self.words(length)

    def shaped(self, name: str, shape: tuple[int, ...] | int | str) -> Tensor:
        """Return one input of this shape (without the batch), number of tokens, or usual number of tokens."""
        if name == "image_attention_mask":
            return torch.ones(self.batch, self.length, 1, dtype=torch.long)
        if isinstance(shape, str | int):
            return self.words(self.length if isinstance(shape, str) else shape)
        if name.endswith("mask") or name == "aspect_ratio_ids":
            return torch.ones(self.batch, *shape, dtype=torch.long)
        if name == "spatial_shapes":
            return torch.full((self.batch, *shape), IMAGE // PATCH)
        if name.endswith("_ids"):
            return torch.randint(FIRST_WORD, 20, (self.batch, *shape), generator=self.generator)
        if name == "bbox":
            return torch.rand((self.batch, self.length, *shape), generator=self.generator).to(self.model.dtype)
        return self.numbers(self.batch, *shape)

    def words(self, length: int) -> Tensor:
        """Return random token numbers, none of them special."""
        return torch.randint(FIRST_WORD, VOCABULARY - FIRST_WORD, (self.batch, length), generator=self.generator)

    def numbers(self, *shape: int) -> Tensor:
        """Return standard normal numbers in the model's dtype."""
        return torch.randn(shape, generator=self.generator).to(self.model.dtype)
