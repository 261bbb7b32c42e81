"""The transformers class of a checkpoint, by the task or by the checkpoint's config."""

from __future__ import annotations

from typing import Any

import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from normlens.errors import InvalidInput

TASKS = {
    "base": "AutoModel",
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "image-classification": "AutoModelForImageClassification",
}
"""The tasks that a model can be loaded for, and their transformers classes."""


def model_class(config: PreTrainedConfig, task: str | None, is_gguf: bool) -> Any:
    """The class to load: that of the task, else the class that the checkpoint names, else ``AutoModel``.

    Raises
    ------
    InvalidInput
        If the checkpoint names the base class of all models.
    """
    if task is not None:
        return getattr(transformers, TASKS[task])
    architectures = config.architectures or []
    own_code = type(config).__module__.startswith("transformers_modules.")
    for auto_class, path in (getattr(config, "auto_map", None) or {}).items() if own_code else ():
        if auto_class.startswith("AutoModel") and str(path).rpartition(".")[2] in architectures:
            return getattr(transformers, auto_class)
    for name in architectures:
        named_class = getattr(transformers, name, None)
        if named_class is PreTrainedModel:  # building one would change class attributes of all transformers models
            raise InvalidInput(
                f"The config of a {config.model_type} model names the class PreTrainedModel, the base of all models. "
                "Correct the name, or say which task the model is for."
            )
        if isinstance(named_class, type) and issubclass(named_class, PreTrainedModel):
            return named_class
    if is_gguf:
        return getattr(transformers, TASKS["seq2seq-lm" if config.is_encoder_decoder else "causal-lm"])
    return transformers.AutoModel


def resolved_class(chosen: Any, config: PreTrainedConfig) -> Any:
    """The class itself, or the class that an automatic class chooses by the config; None if it chooses none."""
    if not hasattr(chosen, "_model_mapping"):
        return chosen
    mapped = chosen._model_mapping.get(type(config), None)
    return mapped[0] if isinstance(mapped, tuple) else mapped
