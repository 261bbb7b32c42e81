"""Low-rank updates (LoRA) of the cross-attention by the library peft: put in, and folded into the weights again."""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from torch import nn
from transformers import PreTrainedModel

from normlens.errors import InvalidInput, install_command


def with_low_rank(model: PreTrainedModel, parameters: Collection[str], rank: int, seed: int) -> None:
    """Put low-rank updates beside the matrices of linear modules, in place; they begin as zero.

    Parameters
    ----------
    model
        The model.
    parameters
        Names of parameters; the linear modules that own some of them are updated.
    rank
        Of the updates.
    seed
        Of the random numbers that they start from.

    Raises
    ------
    InvalidInput
        If peft isn't installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InvalidInput(
            f"Low-rank updates are made by peft, which isn't installed. Run `{install_command('adapters')}`."
        ) from error
    owners = {name.rpartition(".")[0] for name in parameters}
    linear = [name for name in owners if isinstance(model.get_submodule(name), nn.Linear)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=sorted(linear)), model)


def is_low_rank(parameter: str) -> bool:
    """Whether a parameter's name is that of a low-rank update."""
    return ".lora_A." in parameter or ".lora_B." in parameter


def folded(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose low-rank updates are added to the weights; the model itself if it has none."""
    if not any(is_low_rank(name) for name, _ in model.named_parameters()):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain = copy.deepcopy(model)
    for name, module in list(plain.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            above, _, own = name.rpartition(".")
            setattr(plain.get_submodule(above), own, module.get_base_layer())
    return plain.requires_grad_(False)
