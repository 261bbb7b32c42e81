"""A target's values if words or spans are taken out of what the model reads, by plain runs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from normlens.attribution.perturbation.removable_units import RemovableUnits
from normlens.attribution.subject import Subject
from normlens.attribution.targets.answer_tokens import RowSum
from normlens.attribution.targets.scalars import RowFunction, TextFunction
from normlens.engine.precision import double
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.example import Example
from normlens.inputs.lengths import cut

REPLACEMENTS = ("mask", "pad", "unknown")
_MOST_ROWS = 8


@dataclass
class RemovedRuns:
    """Runs of a model on one text with some of its units taken out; every set of units runs once.

    Attributes
    ----------
    subject
        The model; its texts are ignored.
    example
        What it reads.
    units
        The words or spans.
    functions
        The targets: numbers that are read in a row of the output.
    replacement
        None to delete tokens; or the special token that replaces each: "mask", "pad" or "unknown".
    most_rows
        Number of runs in one batch.
    """

    subject: Subject
    example: Example
    units: RemovableUnits
    functions: Sequence[TextFunction]
    replacement: str | None = None
    most_rows: int = _MOST_ROWS
    runs: int = 0
    _known: dict[bytes, NDArray[np.float64]] = field(default_factory=dict)

    def values(self, kept: Bool[np.ndarray, "run unit"]) -> Float[np.ndarray, "run target"]:
        """The values of all targets, for each set of units that stay."""
        wanted = {row.tobytes(): row for row in np.asarray(kept, dtype=bool)}
        missing = [row for key, row in wanted.items() if key not in self._known]
        variants = [self._without(row) for row in missing]
        examples = [example for example, _ in variants]
        with torch.no_grad():
            for batch in self.subject.batcher.batches(examples, min(self.most_rows, _MOST_ROWS)):
                output = self.subject.run(self.subject.batcher.inputs([examples[k] for k in batch]))
                for row, k in enumerate(batch):
                    moved = [_moved(function, variants[k][1]) for function in self.functions]
                    numbers = torch.stack([double(function(output, row)) for function in moved])
                    self._known[missing[k].tobytes()] = numbers.cpu().numpy()
        self.runs += len(missing)
        return np.stack([self._known[row.tobytes()] for row in np.asarray(kept, dtype=bool)])

    def _without(self, kept: Bool[np.ndarray, " unit"]) -> tuple[Example, NDArray[np.int64]]:
        """What the model reads without the other units, and the new position of every position that is read."""
        tokens, tensors = self.example.source, self.example.tensors
        assert tokens is not None
        stays = (self.units.numbers < 0) | np.append(kept, True)[self.units.numbers]
        length = len(tokens)
        if self.replacement is not None:
            ids = tensors["input_ids"].clone()
            ids[torch.as_tensor(~stays)] = self._special(self.replacement)
            return replace(self.example, tensors={**tensors, "input_ids": ids}), np.arange(length)
        moved = np.cumsum(stays) - 1
        along = [name for name in tensors if not name.startswith("decoder_")]
        if any(tensors[name].shape[:1] != (length,) for name in along):
            raise UnsupportedArchitecture(
                f"{type(self.subject.model).__name__} reads {', '.join(along)}, not all with one entry for each token, so "
                "tokens can't be deleted. Pass replacement='mask', or use method='decompx'."
            )
        shorter = {name: x if name not in along else x[torch.as_tensor(stays)] for name, x in tensors.items()}
        left = cut(tokens, np.flatnonzero(stays))
        if self.example.target is not None:
            return replace(self.example, tensors=shorter, source=left), np.arange(len(self.example.target))
        if not stays[: self._first_read + 1].any():  # nothing is left to read: the model's own mark begins texts
            begin = torch.tensor([self._begin()])
            added = {"input_ids": begin, "attention_mask": torch.ones_like(begin)}
            if set(along) - set(added):
                raise UnsupportedArchitecture(
                    "The beginning of the text can't be deleted beside other inputs. Pass replacement='mask'."
                )
            shorter = {name: torch.cat([added[name], x]) for name, x in shorter.items()}
            moved = moved + 1
            left = cut(tokens, np.concatenate([[0], np.flatnonzero(stays)]))
        return replace(self.example, tensors=shorter, source=left), moved

    @property
    def _first_read(self) -> int:
        """The first position that a target is read at; the last of all for targets of the whole text."""
        return min((at for function in self.functions for at in _positions(function)), default=len(self.units.numbers))

    def _begin(self) -> int:
        config, tokenizer = self.subject.model.config, self.subject.tokenizer
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            for owner in (tokenizer, config):
                number = getattr(owner, name, None)
                if isinstance(number, int):
                    return number
        raise InvalidInput(
            f"Nothing is left to read, and {type(self.subject.model).__name__} has no token that begins texts. Pass a "
            "longer prompt, or spans= that leave some of it."
        )

    def _special(self, name: str) -> int:
        number = getattr(self.subject.tokenizer, {"unknown": "unk"}.get(name, name) + "_token_id", None)
        if number is None:
            raise InvalidInput(
                f"replacement={name!r}, but the tokenizer has no {name} token. Choose another of "
                f"{', '.join(REPLACEMENTS)}, or None to delete tokens."
            )
        return int(number)


def check_replacement(replacement: object) -> None:
    """Refuse unknown replacements.

    Raises
    ------
    InvalidInput
        Naming those that exist.
    """
    if replacement is not None and replacement not in REPLACEMENTS:
        raise InvalidInput(
            f"replacement={replacement!r}; expected one of {', '.join(REPLACEMENTS)}, or None to delete tokens."
        )


def check_whole_number(name: str, value: object, least: int) -> None:
    """Refuse a value that is no integer from ``least`` on.

    Raises
    ------
    InvalidInput
        Naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"{name} is {value!r}; expected an integer of at least {least}.")


def _positions(function: TextFunction) -> list[int]:
    if isinstance(function, RowSum):
        return [at for term in function.terms for at in _positions(term)]
    index = function.place.index if isinstance(function, RowFunction) else ()
    return [at for at in index[:1] if isinstance(at, int)]


def _moved(function: TextFunction, moved: NDArray[np.int64]) -> TextFunction:
    """The same number, read where its position has moved to."""
    if isinstance(function, RowSum):
        terms = [_moved(term, moved) for term in function.terms]
        return RowSum(tuple(term for term in terms if isinstance(term, RowFunction)), function.kind)
    assert isinstance(function, RowFunction)
    if function.place.field in ("start_logits", "end_logits"):
        if np.array_equal(moved, np.arange(len(moved))):
            return function
        raise InvalidInput(
            "The target is a position, which may be deleted. Pass replacement='mask', so that positions stay."
        )
    if not function.place.index:
        return function
    at = function.place.index[0]
    assert isinstance(at, int)
    return replace(function, place=replace(function.place, index=(max(int(moved[at]), 0), *function.place.index[1:])))


def runs_of(
    subject: Subject, text: int, units: RemovableUnits, functions: Sequence[TextFunction], options: Any
) -> RemovedRuns:
    """The runs for one text of a batch."""
    if not functions:
        raise InvalidInput(
            "A function of the model's output reads positions of its own choice, which move when words are taken out. Name "
            "a class or a token as the target."
        )
    return RemovedRuns(subject, subject.examples[text], units, functions, options.get("replacement"))
