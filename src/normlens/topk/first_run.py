"""The first run of a switched model, and of each part that runs by itself: compared with the attention that it had before.

Just before it, a short run on the beginning of the same input is made with the attention that the model was set to, and
with ours keeping every source. What differs is refused. The comparison also decides whether causal masks may be left out
(transformers' SDPA contract, which some models break), and finds the output projections where norms are asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.as_set import run_as_set
from normlens.engine.capture.interface import attention_implementation
from normlens.engine.capture.trees import first_tensor
from normlens.engine.locks import exclusive
from normlens.engine.precision import at_least_float32, full_precision
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
"""Told a part, inputs to run it with, and a function that says whether an implementation does as eager does."""


class FirstRuns:
    """Calls back just before each part of a model runs for the first time.

    Parameters
    ----------
    model
        The model.
    concerned
        Whether a part is about to run with our attention, not switched to something else for a while.
    compared
        Called for each part that runs on its own, not again for the parts inside it.

    Attributes
    ----------
    running
        Whether the run that is going on is one of these short ones.
    """

    def __init__(
        self, model: PreTrainedModel, concerned: Callable[[PreTrainedModel], bool], compared: Compared
    ) -> None:
        self._concerned, self._compared = concerned, compared
        self._seen: set[nn.Module] = set()
        self.running = False
        parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
        self._handles = [part.register_forward_pre_hook(self._before, with_kwargs=True) for part in parts]

    def remove(self) -> None:
        """Take all hooks off the model again."""
        for handle in self._handles:
            handle.remove()

    def _before(self, part: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if part in self._seen or not self._concerned(part):
            return
        with exclusive(part):  # other threads wait: nobody runs a part before it was compared
            if not self.running and part not in self._seen:
                self._first(part, shortened(part, args, kwargs))

    @full_precision()
    def _first(self, part: PreTrainedModel, inputs: dict[str, Any]) -> None:
        self.running = True
        try:
            with torch.no_grad(), _random_numbers_kept(part.device), _evaluating(part):
                self._compared(part, inputs, lambda name: _agrees(part, inputs, name))
        except NormLensError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UnsupportedArchitecture(
                f"{type(part).__name__} could not be run with the beginning of {', '.join(inputs)} alone, to be compared "
                f"with its own attention: {error}"
            ) from error
        finally:
            self.running = False
        self._seen.update(module for module in part.modules() if isinstance(module, PreTrainedModel))


def shortened(part: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a run without masks and caches, and cut short where they are token sequences alone."""
    names = list(inspect.signature(part.forward).parameters)
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    inputs = {name: x for name, x in given.items() if x is not None and name not in _LEFT_OUT}
    if is_text(inputs):
        inputs = {n: x[:1, :_COMPARED_LENGTH] if isinstance(x, Tensor) else x for n, x in inputs.items()}
    return inputs | ({"use_cache": False} if "use_cache" in names else {})


def is_text(inputs: dict[str, Any]) -> bool:
    """Whether inputs are token sequences and plain options alone, so that all of them can be cut short alike."""
    plain = (bool, int, float, str)
    return all(name in _SEQUENCES if isinstance(x, Tensor) else isinstance(x, plain) for name, x in inputs.items())


def _agrees(part: PreTrainedModel, inputs: dict[str, Any], implementation: str) -> bool:
    """Whether a part gives under ``implementation`` what it gives as it was set before."""

    def run() -> Tensor:
        torch.manual_seed(0)
        return _first_numbers(part(**inputs))

    theirs = run_as_set(part, run)
    with attention_implementation(part, implementation):
        ours = run()
    gap, size = float((ours - theirs).norm()), float(theirs.norm())
    return gap <= tolerance(part.dtype, "other operations") * size


def _first_numbers(output: Any) -> Tensor:
    """The first floating-point tensor of an output, in at least float32; an empty one if it has none."""
    tensor = first_tensor(output)
    return torch.zeros(0) if tensor is None else at_least_float32(tensor)


def _random_numbers_kept(device: torch.device) -> AbstractContextManager[None]:
    """Leave the generators as they were; of a device that torch has no module for, that of the CPU alone."""
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
