"""Examples of many inputs and their targets, made one after the other; unreadable inputs may be skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from normlens.errors import InvalidInput
from normlens.inputs.encodings import has_target
from normlens.inputs.example import Example
from normlens.inputs.example_maker import ExampleMaker, ReadingOptions
from normlens.memory import memory_explained


class Skipped(NamedTuple):
    """An input that can't be read.

    Attributes
    ----------
    number
        Its number among the inputs, counted from 0.
    reason
        Why it can't be read.
    """

    number: int
    reason: str


Skip = Callable[[Skipped], object]
"""Takes a skipped input, like the ``append`` of a list."""


def examples_of(
    maker: ExampleMaker, inputs: Iterable[Any], targets: Any, options: ReadingOptions, skip: Skip | None = None
) -> Iterator[Example]:
    """The examples of inputs, in order; an input with several rows (a padded batch) gives several examples.

    Parameters
    ----------
    maker
        Makes one example.
    inputs, targets
        The inputs, and one target for each; None for no targets.
    options
        How they are read.
    skip
        Takes inputs that can't be read; None to raise the error of the first one.

    Raises
    ------
    InvalidInput
        If an input can't be read (with its number, if there are several), or the numbers of inputs and targets differ.
    """
    each_target = iter(()) if targets is None else _each_target(maker, targets)
    missing = object()
    several = not isinstance(inputs, Sequence) or len(inputs) > 1
    pairs = zip_longest(_each(maker, inputs), each_target, fillvalue=missing)
    for number, (one, target) in enumerate(pairs):
        if one is missing or (target is missing and targets is not None):
            raise InvalidInput("The numbers of inputs and targets differ; expected one target for each input.")
        try:
            with memory_explained():
                example = maker.make(one, None if targets is None else target, options)
        except InvalidInput as reason:
            if skip is not None:
                skip(Skipped(number, str(reason)))
                continue
            if not several:
                raise
            raise InvalidInput(f"Input {number}, counted from 0: {reason}") from reason
        yield example


@dataclass
class SkipLog:
    """Passes skipped inputs on, and remembers their numbers.

    Attributes
    ----------
    skip
        Takes the skipped inputs.
    numbers
        Their numbers so far.
    """

    skip: Skip
    numbers: set[int] = field(default_factory=set)

    def __call__(self, skipped: Skipped) -> None:
        """Pass on one skipped input."""
        self.numbers.add(skipped.number)
        self.skip(skipped)

    def __contains__(self, number: object) -> bool:
        """Whether the input of this number was skipped."""
        return number in self.numbers


def refuse_skip(skip: object) -> None:
    """Refuse ``skip`` for a single input."""
    if skip is not None:
        raise InvalidInput("skip= is for several inputs, but there is only one. Pass several, or omit skip.")


def require_target_text(maker: ExampleMaker, inputs: Any, target_text: Any) -> None:
    """Refuse to explain an encoder–decoder without a second text.

    Raises
    ------
    InvalidInput
        Saying what the second text is.
    """
    if target_text is None and maker.has_decoder and not has_target(inputs):
        raise InvalidInput(
            f"{type(maker.loaded.model).__name__} is an encoder–decoder: expected target_text=, the second text, which is "
            "read teacher-forced (target= is what is explained); for a classifier, the same text again."
        )


def _each(maker: ExampleMaker, inputs: Iterable[Any], *, as_target: bool = False) -> Iterator[Any]:
    """Inputs one by one; each row of an input with several rows."""
    for number, one in enumerate(inputs):
        try:
            rows = maker.reader.opened(one, as_target=as_target)
        except InvalidInput as reason:
            name = "Target" if as_target else "Input"
            raise InvalidInput(f"{name} {number}, counted from 0: {reason}") from reason
        yield from rows or [one]


def _each_target(maker: ExampleMaker, targets: Any) -> Iterator[Any]:
    """Targets one by one.

    Raises
    ------
    InvalidInput
        If there is a single target for all inputs.
    """
    kinds = ("encoding", "rows", "several")
    if not isinstance(targets, Iterable) or maker.reader.kind(targets, as_target=True) not in kinds:
        raise InvalidInput(f"There is one target ({targets!r:.40}) for several inputs; expected one for each.")
    return _each(maker, maker.reader.opened(targets, as_target=True) or targets, as_target=True)
