"""The first run of a switched model, and of each submodel that runs by itself: compared with its original attention.

Just before that run, the beginning of the same input is run with the attention that the model was set to, and with ours
keeping every source. If the outputs differ, the model is refused. The comparison also decides whether causal masks may be
left out (transformers' SDPA contract, which some models break), and finds the output projections if norms are needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.as_configured import run_as_configured
from normlens.engine.capture.interface import attention_implementation
from normlens.engine.capture.trees import first_tensor
from normlens.engine.computation import computing
from normlens.engine.locks import exclusive
from normlens.engine.precision import at_least_float32
from normlens.engine.tolerance import tolerance
from normlens.errors import NormLensError, UnsupportedArchitecture
from normlens.memory import is_out_of_memory

_COMPARED_LENGTH = 16
_SEQUENCES = {"input_ids", "inputs_embeds", "token_type_ids", "decoder_input_ids", "decoder_inputs_embeds"}
_LEFT_OUT = {
    "attention_mask", "decoder_attention_mask", "position_ids", "cache_position", "past_key_values", "labels",
    "logits_to_keep",
}  # fmt: skip

Compared = Callable[[PreTrainedModel, dict[str, Any], Callable[[str], bool]], None]
"""Receives a submodel, inputs to run it with, and a function that says whether an implementation agrees with eager."""


class FirstRuns:
    """Calls back just before each submodel runs for the first time.

    Parameters
    ----------
    model
        The model.
    concerned
        Whether a submodel is about to run with our attention, rather than temporarily switched to another.
    compared
        Called for each submodel that runs by itself, but not again for the submodels inside it.

    Attributes
    ----------
    running
        Whether the current run is one of these short ones.
    """

    def __init__(
        self, model: PreTrainedModel, concerned: Callable[[PreTrainedModel], bool], compared: Compared
    ) -> None:
        self._concerned, self._compared = concerned, compared
        self._seen: set[nn.Module] = set()
        self.running = False
        submodels = [submodel for submodel in model.modules() if isinstance(submodel, PreTrainedModel)]
        self._handles = [submodel.register_forward_pre_hook(self._before, with_kwargs=True) for submodel in submodels]

    def remove(self) -> None:
        """Remove all hooks from the model."""
        for handle in self._handles:
            handle.remove()

    def _before(self, submodel: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if submodel in self._seen or not self._concerned(submodel):
            return
        with exclusive(submodel):  # other threads wait: no submodel runs before it has been compared
            if not self.running and submodel not in self._seen:
                self._first(submodel, shortened(submodel, args, kwargs))

    @computing()
    def _first(self, submodel: PreTrainedModel, inputs: dict[str, Any]) -> None:
        self.running = True
        try:
            with torch.no_grad(), _random_state_kept(submodel.device), _evaluating(submodel):
                self._compared(submodel, inputs, lambda name: _agrees(submodel, inputs, name))
        except NormLensError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UnsupportedArchitecture(
                f"{type(submodel).__name__} could not be run on the beginning of {', '.join(inputs)} alone, which is "
                f"needed to compare top-k attention with its own: {error}"
            ) from error
        finally:
            self.running = False
        self._seen.update(module for module in submodel.modules() if isinstance(module, PreTrainedModel))


def shortened(submodel: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a run without masks and caches, truncated if they are only token sequences."""
    names = list(inspect.signature(submodel.forward).parameters)
    passed = {**dict(zip(names, args, strict=False)), **kwargs}
    inputs = {name: x for name, x in passed.items() if x is not None and name not in _LEFT_OUT}
    if is_text(inputs):
        inputs = {n: x[:1, :_COMPARED_LENGTH] if isinstance(x, Tensor) else x for n, x in inputs.items()}
    return inputs | ({"use_cache": False} if "use_cache" in names else {})


def is_text(inputs: dict[str, Any]) -> bool:
    """Whether inputs are only token sequences and plain options, so that all can be truncated to one length."""
    plain = (bool, int, float, str)
    return all(name in _SEQUENCES if isinstance(x, Tensor) else isinstance(x, plain) for name, x in inputs.items())


def _agrees(submodel: PreTrainedModel, inputs: dict[str, Any], implementation: str) -> bool:
    """Whether a submodel's output under ``implementation`` equals that under its original setting."""

    def run() -> Tensor:
        torch.manual_seed(0)
        return _first_numbers(submodel(**inputs))

    theirs = run_as_configured(submodel, run)
    with attention_implementation(submodel, implementation):
        ours = run()
    gap, size = float((ours - theirs).norm()), float(theirs.norm())
    return gap <= tolerance(submodel.dtype, "other operations") * size


def _first_numbers(output: Any) -> Tensor:
    """The first floating-point tensor of an output, in at least float32; an empty one if it has none."""
    tensor = first_tensor(output)
    return torch.zeros(0) if tensor is None else at_least_float32(tensor)


def _random_state_kept(device: torch.device) -> AbstractContextManager[None]:
    """Restore the random state afterwards; for a device without a torch module, only that of the CPU."""
    if device.type == "cpu" or not hasattr(torch, device.type):
        return torch.random.fork_rng([])
    return torch.random.fork_rng([device], device_type=device.type)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        yield
    finally:
        for module in training:
            module.training = True
