"""The dictionary of tiny random models: `build` makes one of a model type, `inputs` what its forward takes."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto

from . import feeding, weights
from .left_out import LEFT_OUT
from .overrides import CLASSES, OVERRIDES
from .sizes import tiny_fields

__all__ = ["LEFT_OUT", "build", "configuration", "inputs", "model_class", "model_types"]

HEAD_MAPPINGS = (
    "MODEL_MAPPING",
    "MODEL_FOR_CAUSAL_LM_MAPPING",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING",
    "MODEL_FOR_MULTIMODAL_LM_MAPPING",
    "MODEL_FOR_DEPTH_ESTIMATION_MAPPING",
    "MODEL_FOR_BACKBONE_MAPPING",
)
"""Where a model's class is looked up, in this order."""


def model_types() -> list[str]:
    """Return every model type of the matrix, sorted: all of transformers' but those in `LEFT_OUT`."""
    return sorted(set(CONFIG_MAPPING.keys()) - LEFT_OUT.keys())


def configuration(model_type: str) -> PretrainedConfig:
    """Return the tiny configuration of a model type.

    Parameters
    ----------
    model_type
        A key of transformers' ``CONFIG_MAPPING``.
    """
    config_class = CONFIG_MAPPING[model_type]
    return config_class(**merged(tiny_fields(config_class()), OVERRIDES.get(model_type, {})))


def model_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    """Return the class that `build` makes: ``AutoModel``'s where there is one, else the type's natural class."""
    if (name := CLASSES.get(config.model_type)) is not None:
        return getattr(transformers, name)
    for mapping_name in HEAD_MAPPINGS:
        mapping = getattr(modeling_auto, mapping_name)
        if type(config) in mapping:
            classes = mapping[type(config)]
            return classes[0] if isinstance(classes, tuple) else classes
    modeling = importlib.import_module(type(config).__module__.replace("configuration_", "modeling_"))
    own = [value for value in vars(modeling).values() if _is_model_of(value, config)]
    if not own:
        raise LookupError(f"{config.model_type}: no class of {modeling.__name__} takes a {type(config).__name__}")
    return own[0]


def _is_model_of(value: object, config: PretrainedConfig) -> bool:
    """Tell whether a name of a modeling file is a model (not an abstract base) that takes this configuration."""
    if (
        not isinstance(value, type)
        or not issubclass(value, PreTrainedModel)
        or value.__name__.endswith("PreTrainedModel")
    ):
        return False
    annotation = inspect.signature(value.__init__).parameters.get("config")
    named = annotation is not None and annotation.annotation in (type(config), type(config).__name__)
    return named or value.config_class is type(config)


def build(model_type: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Make a tiny random model in evaluation mode, with the eager attention implementation.

    Parameters
    ----------
    model_type
        One of `model_types`.
    seed
        Decides every parameter.
    dtype
        The parameters are drawn in float32, then converted.
    """
    config = configuration(model_type)
    with _seeded(seed):
        model = model_class(config)._from_config(
            config, attn_implementation="eager", experts_implementation="eager", dtype=torch.float32
        )
    weights.randomize(model, seed)
    return model.to(dtype).eval()


def inputs(
    model_type: str, model: PreTrainedModel, batch: int = 2, length: int = 7, seed: int = 0
) -> dict[str, Tensor]:
    """Make random inputs for one forward pass, without padding.

    Parameters
    ----------
    model_type
        The type that `model` was built as.
    model
        The model that will take them; decides names, sizes and dtype.
    batch
        Number of sequences, images or sounds.
    length
        Number of tokens of each text; decoders get two fewer, so that the two sides can be told apart.
    seed
        Decides every number.
    """
    return feeding.feed(model_type, model, batch, length, torch.Generator().manual_seed(seed))


def merged(fields: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return `fields` with `override` written over it, level by level."""
    result = dict(fields)
    for name, value in override.items():
        inner = result.get(name)
        result[name] = merged(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return result


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generator inside the block, and restore it after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
