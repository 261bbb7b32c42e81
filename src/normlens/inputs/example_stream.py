"""Many inputs, one after the other, each made ready beside its target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from normlens.errors import InvalidInput
from normlens.inputs.encodings import carries_target
from normlens.inputs.example import Example
from normlens.inputs.example_maker import ExampleMaker, ReadingOptions
from normlens.memory import memory_explained


class Skipped(NamedTuple):
    """An input that can't be read.

    Attributes
    ----------
    number
        Which of the inputs it is, from 0.
    reason
        Why it can't.
    """

    number: int
    reason: str


Skip = Callable[[Skipped], object]
"""Takes an input that is left out, such as the ``append`` of a list."""


def examples_of(
    maker: ExampleMaker, inputs: Iterable[Any], targets: Any, options: ReadingOptions, skip: Skip | None = None
) -> Iterator[Example]:
    """Inputs made ready, in order; those that hold several (a padded batch among batches) are opened.

    Parameters
    ----------
    maker
        Makes one ready.
    inputs, targets
        As many targets as inputs; None for no targets.
    options
        How they are to be read.
    skip
        Takes those that can't be read; None: the first of them is raised.

    Raises
    ------
    InvalidInput
        If some input can't be read, naming it where there are several, or there are not as many targets.
    """
    given = iter(()) if targets is None else _each_target(maker, targets)
    missing = object()
    several = not isinstance(inputs, Sequence) or len(inputs) > 1
    pairs = zip_longest(_each(maker, inputs), given, fillvalue=missing)
    for number, (one, target) in enumerate(pairs):
        if one is missing or (target is missing and targets is not None):
            raise InvalidInput("Inputs and targets are not equally many; expected one target for each input.")
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
    """Hands on what is left out, and knows its numbers.

    Attributes
    ----------
    skip
        Takes them.
    """

    skip: Skip
    numbers: set[int] = field(default_factory=set)

    def __call__(self, skipped: Skipped) -> None:
        """Hand on one."""
        self.numbers.add(skipped.number)
        self.skip(skipped)

    def __contains__(self, number: object) -> bool:
        """Whether the input of this number is left out."""
        return number in self.numbers


def refuse_skip(skip: object) -> None:
    """Refuse to leave out the only input that there is."""
    if skip is not None:
        raise InvalidInput("skip= leaves inputs out, and there is one only. Give several, or leave it out.")


def require_target_text(maker: ExampleMaker, inputs: Any, target_text: Any) -> None:
    """Refuse to explain an encoder–decoder that is given one text only.

    Raises
    ------
    InvalidInput
        Saying what the second one is.
    """
    if target_text is None and maker.has_decoder and not carries_target(inputs):
        raise InvalidInput(
            f"{type(maker.loaded.model).__name__} is an encoder–decoder: expected target_text=, the second text, which is "
            "read teacher-forced (target= is what is explained); for a classifier, the same text again."
        )


def _each(maker: ExampleMaker, inputs: Iterable[Any], *, as_target: bool = False) -> Iterator[Any]:
    """Inputs one by one, those that hold several opened."""
    for number, one in enumerate(inputs):
        try:
            rows = maker.opened(one, as_target=as_target)
        except InvalidInput as reason:
            name = "Target" if as_target else "Input"
            raise InvalidInput(f"{name} {number}, counted from 0: {reason}") from reason
        yield from rows or [one]


def _each_target(maker: ExampleMaker, targets: Any) -> Iterator[Any]:
    """Targets one by one.

    Raises
    ------
    InvalidInput
        If it is a single one.
    """
    kinds = ("encoding", "rows", "several")
    if not isinstance(targets, Iterable) or maker.kind(targets, as_target=True) not in kinds:
        raise InvalidInput(f"One target ({targets!r:.40}) was given for several inputs; expected one for each.")
    return _each(maker, maker.opened(targets, as_target=True) or targets, as_target=True)
