"""Which texts may run together: those whose numbers don't depend on the padding beside them, tried out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from normlens.engine.capture.fingerprint import state_of
from normlens.engine.capture.interface import asks_for_eager
from normlens.engine.frozen.settings import plain_settings
from normlens.engine.tolerance import tolerance
from normlens.inputs.batch import is_ragged, length, pad
from normlens.inputs.example import Example
from normlens.loading.configs import configs_of
from normlens.memory import is_out_of_memory


class Together:
    """Parts texts into batches that a model may run.

    Parameters
    ----------
    model
        The model.
    accepted
        The names of the inputs that its forward takes.
    """

    def __init__(self, model: PreTrainedModel, accepted: frozenset[str]) -> None:
        self.model, self.accepted = model, accepted
        self._holds: dict[tuple[tuple[str, ...], int], bool] = {}
        self._state: object = None

    def batches(self, examples: Sequence[Example], size: int, *, ragged: bool = True) -> Iterator[list[int]]:
        """Index lists of examples that may run together, at most ``size`` each; similar lengths side by side.

        Parameters
        ----------
        examples
            The texts.
        size
            Of a batch at most.
        ragged
            Whether texts of different lengths may be padded; not if somebody reads the output who can't tell padding.
        """
        state = state_of(self.model)
        if state != self._state:
            self._state = state
            self._holds.clear()
        order = sorted(range(len(examples)), key=lambda k: (sorted(examples[k].tensors), _shape(examples[k])))
        part: list[int] = []
        for k in order:
            if part and (len(part) == size or not self._fits(examples[part[0]], examples[k], ragged)):
                yield part
                part = []
            part.append(k)
        if part:
            yield part

    def inputs(self, batch: Sequence[Example]) -> dict[str, Tensor]:
        """What the model's forward takes: a batch padded on the right."""
        fill = getattr(self.model.config, "pad_token_id", None)
        inputs = pad(batch, 0 if fill is None else fill, self.model.device)
        return {name: x for name, x in inputs.items() if name in self.accepted}

    def _fits(self, first: Example, other: Example, ragged: bool) -> bool:
        if set(first.tensors) != set(other.tensors) or first.runs_alone or other.runs_alone:
            return False
        if not is_ragged([first, other]):
            return True
        if not ragged or not all(x.ndim == 1 for x in other.tensors.values()) or reads_padding(self.model):
            return False
        tried = tuple(sorted(first.tensors)), length(other).bit_length()
        if tried not in self._holds:
            self._holds[tried] = self._padding_holds([first, other])
        return self._holds[tried]

    def _padding_holds(self, pair: list[Example]) -> bool:
        """Whether the two texts give what each gives alone, in all that the model returns; again at twice the length."""
        try:
            together, alone = self._run(pair), [self._run([example]) for example in pair]
        except Exception as error:  # what the model can't read is reported when it is to be explained
            if is_out_of_memory(error):
                raise
            return False
        allowed = tolerance(self.model.dtype, "other shapes")
        for row, output in enumerate(alone):
            for name, x in output.items():
                padded = together[name][row][tuple(slice(0, n) for n in x.shape[1:])]
                if not float((padded - x[0]).abs().max()) <= allowed * float(x.abs().max()):
                    return False
        return True

    def _run(self, batch: Sequence[Example]) -> Mapping[str, Tensor]:
        with torch.no_grad(), plain_settings(self.model):
            output: Any = self.model(**self.inputs(batch))
        return {n: x for n, x in output.items() if isinstance(x, Tensor) and x.is_floating_point()}


def _shape(example: Example) -> tuple[int, ...]:
    return tuple(n for x in example.tensors.values() for n in x.shape)


def reads_padding(model: PreTrainedModel) -> bool:
    """Whether padding is known to change a model's numbers: sparse masks choose among padded positions too."""
    return asks_for_eager(model) or turns_by_length(model)


def turns_by_length(model: PreTrainedModel) -> bool:
    """Whether rotary positions depend on the longest text of a batch, so that a padded batch changes the others."""
    return any(
        _has_length_rule(getattr(config, name, None))
        for config in configs_of(model)
        for name in ("rope_parameters", "rope_scaling")
    )


def _has_length_rule(rope: Any) -> bool:
    """Whether a config's rotary settings, or those of one kind of its layers, look at the length."""
    if not isinstance(rope, Mapping):
        return False
    rule = rope.get("rope_type", rope.get("type"))
    return rule in ("dynamic", "longrope") or any(map(_has_length_rule, rope.values()))
