"""Adapters of the peft library: the model inside a ``PeftModel``, and folders that contain only an adapter."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from normlens.errors import InvalidInput, ModelNotFound, UnsupportedArchitecture, install_command
from normlens.loading.sizes import CheckpointSize, read_settings, size_of_files

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = "default"  # what peft calls an adapter that has no other name
_TASKS = {
    "SEQ_CLS": "sequence-classification",
    "TOKEN_CLS": "token-classification",
    "QUESTION_ANS": "question-answering",
    "CAUSAL_LM": "causal-lm",
    "SEQ_2_SEQ_LM": "seq2seq-lm",
}
_RANKS = re.compile(r"(init_|target_)?r|.*rank.*|.*block_size|.*num_blocks|n_frequency")
_PAIR = "If you have the model, add the adapter with peft and pass (model, tokenizer)."
_MERGE = "PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(new_folder)"


def without_wrapper(model: object) -> object:
    """The transformers model inside a ``PeftModel``, with its adapters; any other object unchanged.

    Raises
    ------
    UnsupportedArchitecture
        If the adapter adds virtual tokens or key/value pairs, which exist only in the wrapper.
    """
    peft: Any = sys.modules.get("peft")  # a PeftModel can exist only if peft is imported
    if peft is None or not isinstance(model, (peft.PeftModel, peft.PeftMixedModel)):
        return model
    _refuse_prompts(model.peft_config.values())
    return model.get_base_model() if isinstance(model, peft.PeftModel) else model.base_model.model


@dataclass(frozen=True)
class AdapterBase:
    """The model that an adapter was trained on: its name or path, its revision on the Hub, and its task."""

    name: str
    revision: str | None
    task: str | None


def adapter_base(name: str, folder: Path, before: Collection[Path] = ()) -> AdapterBase:
    """The model that an adapter was trained on.

    Parameters
    ----------
    name
        The adapter's name for messages.
    folder
        The folder with its files.
    before
        Folders of the adapters before this one in the chain, each the base of the one before it.

    Raises
    ------
    InvalidInput
        If the adapter doesn't say, its rank exceeds its weights, or peft is not installed.
    ModelNotFound
        If the adapter's weights are not in safetensors.
    """
    config = read_settings(folder / CONFIG)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(base, str) or not base or not isinstance(revision, str | None):
        raise InvalidInput(f"{name} holds an adapter, but its {CONFIG} doesn't name the model. {_PAIR}")
    if importlib.util.find_spec("peft") is None:
        raise InvalidInput(
            f"{name} holds an adapter of {base}. Reading it needs peft, which is not installed. Run "
            f"`{install_command('adapters')}`, or merge the adapter on a machine that has peft: {_MERGE}."
        )
    if not (folder / WEIGHTS).is_file():
        raise ModelNotFound(
            f"{name} has no {WEIGHTS}, and a pickle is never opened. If you trust the adapter, merge it where it is "
            f"safe to open it: {_MERGE}."
        )
    if folder.resolve() in before:
        raise InvalidInput(f"By its {CONFIG}, the adapter {name} is its own base. Name the model there.")
    _check_ranks(name, config, size_of_files([folder / WEIGHTS]))
    return AdapterBase(base, revision, _TASKS.get(str(config.get("task_type"))))


def _check_ranks(name: str, config: Mapping[str, Any], size: CheckpointSize | None) -> None:
    """Refuse ranks larger than every dimension of the adapter's weights, before peft allocates matrices of that size."""
    longest = 0 if size is None else size.longest
    for key, value in config.items():
        ranks = value.values() if isinstance(value, Mapping) else [value]
        for rank in ranks if _RANKS.fullmatch(key) else ():
            if isinstance(rank, int | float) and not rank <= longest:
                raise InvalidInput(
                    f"The {CONFIG} of {name} says {key} = {str(rank)[:20]}, more than its weights allow (at most "
                    f"{longest}). Download both again."
                )


@contextmanager
def explained_base(name: str, base: AdapterBase) -> Iterator[None]:
    """Add to the error of a missing base model that an adapter names it.

    Raises
    ------
    ModelNotFound
        With the adapter's name and what to do.
    """
    try:
        yield
    except ModelNotFound as error:
        raise ModelNotFound(
            f"{name} holds an adapter of {base.name}, which can't be loaded: {error} {_PAIR}"
        ) from error


def with_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Put the adapter in a folder on its model.

    Raises
    ------
    UnsupportedArchitecture
        If the adapter adds virtual tokens or key/value pairs.
    InvalidInput
        If weights of the adapter are missing or unexpected.
    """
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    config = PeftConfig.from_pretrained(str(folder))
    _refuse_prompts([config])
    config.inference_mode = True
    wrapped = get_peft_model(model, config)
    result: Any = set_peft_model_state_dict(wrapped, load_peft_weights(str(folder), device="cpu"))
    missing = [key for key in result.missing_keys if _NAME in key.split(".")]
    for verb, keys in {"lacks": missing, "holds": result.unexpected_keys}.items():
        if keys:
            raise InvalidInput(
                f"The adapter in {folder} {verb} {min(keys)}: it doesn't fit its {CONFIG} or its model, "
                f"{config.base_model_name_or_path}. Download both again."
            )
    adapted: PreTrainedModel = wrapped.get_base_model()
    return adapted.eval()


def _refuse_prompts(configs: Iterable[Any]) -> None:
    for config in configs:
        if config.is_prompt_learning:
            raise UnsupportedArchitecture(
                f"The adapter ({type(config).__name__}) adds virtual tokens that are not positions of the text. "
                "Adapters of weights, such as LoRA, can be loaded. To measure the model without its adapter, pass "
                "PeftModel.get_base_model()."
            )
