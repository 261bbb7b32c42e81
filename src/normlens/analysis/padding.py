"""Padding: texts share a batch only if a trial shows that padding doesn't change their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from normlens.analysis.input_kinds import kind_of
from normlens.engine.capture.fingerprint import state_of
from normlens.engine.capture.interface import asks_for_eager
from normlens.engine.computation import computing
from normlens.engine.frozen.settings import plain_settings
from normlens.engine.tolerance import tolerance
from normlens.inputs.batch import is_ragged, length, pad
from normlens.inputs.example import Example
from normlens.loading.configs import configs_of
from normlens.memory import is_out_of_memory

Numbers = Mapping[str, Tensor]
"""The numbers of one text, by name."""

ReadNumbers = Callable[[Sequence[Example]], Sequence[Numbers]]
"""Runs texts together, and returns the numbers of each; those of padded positions, if any, come last."""


class PaddingProbe:
    """Tests whether padding changes a model's numbers, and remembers the outcome until the model changes.

    Parameters
    ----------
    model
        The model.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._outcomes: dict[tuple[tuple[str, ...], str, int], bool] = {}
        self._state: object = None

    def forget_if_changed(self) -> None:
        """Forget the outcomes if the model has changed since the tests."""
        state = state_of(self._model)
        if state != self._state:
            self._state = state
            self._outcomes.clear()

    def allows(self, examples: Sequence[Example], read: ReadNumbers, side: str = "right") -> bool:
        """Whether texts give the same numbers in a padded batch as alone.

        This is tested once for each kind of input and each side, with the shortest and the longest text, and again for texts
        twice as long. Texts that fail to run in a padded batch are not padded.

        Parameters
        ----------
        examples
            Texts of one kind.
        read
            Returns the numbers to compare, of a batch padded on ``side``.
        side
            "right" or "left".
        """
        if not is_ragged(examples):
            return True
        if reads_padding(self._model):
            return False
        shortest, *longer = sorted(examples, key=length)
        longest = next(example for example in reversed(longer) if is_ragged([shortest, example]))
        key = kind_of(longest), side, length(longest).bit_length()
        if key not in self._outcomes:
            self._outcomes[key] = self._tested([shortest, longest], read)
        return self._outcomes[key]

    def _tested(self, pair: Sequence[Example], read: ReadNumbers) -> bool:
        try:
            together = read(pair)
            alone = [numbers for example in pair for numbers in read([example])]
        except Exception as error:  # a text that the model can't read is reported when it runs alone
            if is_out_of_memory(error):
                raise
            return False
        allowed = tolerance(self._model.dtype, "other shapes")
        return all(agree(one, other, allowed) for one, other in zip(together, alone, strict=True))


def agree(padded: Numbers, alone: Numbers, allowed: float) -> bool:
    """Whether the numbers of a text agree, up to ``allowed`` times the largest number of the same name."""
    if padded.keys() != alone.keys():
        return False
    for name, expected in alone.items():
        numbers = padded[name][tuple(slice(0, size) for size in expected.shape)]
        finite = expected.isfinite()
        if numbers.shape != expected.shape or not torch.equal(numbers.isfinite(), finite):
            return False
        gap, size = (numbers - expected)[finite].abs(), expected[finite].abs()
        if size.numel() and not float(gap.max()) <= allowed * float(size.max()):
            return False
    return True


class Batcher:
    """Divides texts into batches that a model may run.

    Parameters
    ----------
    model
        The model.
    accepted
        The names of the inputs that its forward takes.
    """

    def __init__(self, model: PreTrainedModel, accepted: frozenset[str]) -> None:
        self.model, self.accepted = model, accepted
        self._probe = PaddingProbe(model)

    def batches(self, examples: Sequence[Example], size: int, *, ragged: bool = True) -> Iterator[list[int]]:
        """Index lists of examples that may run together, at most ``size`` each, with similar lengths together.

        Parameters
        ----------
        examples
            The texts.
        size
            Largest size of a batch.
        ragged
            Whether texts of different lengths may be padded; False if the output is read by code that can't recognize
            padding.
        """
        self._probe.forget_if_changed()
        order = sorted(range(len(examples)), key=lambda k: (sorted(examples[k].tensors), _shape(examples[k])))
        batch: list[int] = []
        for k in order:
            if batch and (len(batch) == size or not self._fits(examples[batch[0]], examples[k], ragged)):
                yield batch
                batch = []
            batch.append(k)
        if batch:
            yield batch

    def inputs(self, batch: Sequence[Example]) -> dict[str, Tensor]:
        """The arguments of the model's forward: a batch padded on the right."""
        fill = getattr(self.model.config, "pad_token_id", None)
        inputs = pad(batch, 0 if fill is None else fill, self.model.device)
        return {name: x for name, x in inputs.items() if name in self.accepted}

    def _fits(self, first: Example, other: Example, ragged: bool) -> bool:
        if set(first.tensors) != set(other.tensors) or first.runs_alone or other.runs_alone:
            return False
        if not is_ragged([first, other]):
            return True
        return (
            ragged
            and all(x.ndim == 1 for x in other.tensors.values())
            and self._probe.allows([first, other], self._run)
        )

    @computing()
    def _run(self, batch: Sequence[Example]) -> list[Numbers]:
        """All numbers of the model's output, text by text."""
        with torch.no_grad(), plain_settings(self.model):
            output: Any = self.model(**self.inputs(batch))
        tensors = {name: x for name, x in output.items() if isinstance(x, Tensor) and x.is_floating_point()}
        return [{name: x[row] for name, x in tensors.items()} for row in range(len(batch))]


def _shape(example: Example) -> tuple[int, ...]:
    return tuple(n for x in example.tensors.values() for n in x.shape)


def reads_padding(model: PreTrainedModel) -> bool:
    """Whether padding certainly changes a model's numbers: its sparse masks also choose padded positions, for example."""
    return asks_for_eager(model) or rotates_by_length(model)


def rotates_by_length(model: PreTrainedModel) -> bool:
    """Whether rotary positions depend on the longest text of a batch, so that it changes the numbers of the others."""
    return any(
        _has_length_rule(getattr(config, name, None))
        for config in configs_of(model)
        for name in ("rope_parameters", "rope_scaling")
    )


def _has_length_rule(rope: Any) -> bool:
    """Whether a config's rotary settings, or those of one of its kinds of layers, depend on the length."""
    if not isinstance(rope, Mapping):
        return False
    rule = rope.get("rope_type", rope.get("type"))
    return rule in ("dynamic", "longrope") or any(map(_has_length_rule, rope.values()))
