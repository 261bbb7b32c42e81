"""ListOps as the Long Range Arena generates it: reader, batches, and the settings of a training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from normlens.errors import InvalidInput

WORDS = ("[PAD]", "[CLS]", *map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]")
"""The vocabulary; parentheses are left out, since operators and brackets carry the same information."""

PADDING = 0
_NUMBERS = {word: number for number, word in enumerate(WORDS)}
_OPERATORS: dict[str, Callable[[list[int]], int]] = {
    "[MIN": min, "[MAX": max, "[MED": lambda values: int(median(values)), "[SM": lambda values: sum(values) % 10,
}  # fmt: skip
_SOURCE = "ListOps comes from the generator of https://github.com/google-research/long-range-arena."


@dataclass(frozen=True)
class Settings:
    """Everything that determines the result of a training; kept with it, so that it resumes only with equal settings.

    Attributes
    ----------
    length
        "short" (up to 200 words) or "long" (500 to 2,000).
    k, by
        Number of sources that each target keeps while training, and their ranking; k None: all.
    seed
        Random seed of weights, order and dropout.
    epochs, batch_tokens
        Passes over the training split, and tokens per step, padding included.
    width, layers, heads, dropout
        Sizes of the model; the feed-forward layers are four times as wide.
    learning_rate, warmup
        Peak of the learning rate, and the share of steps before it; it falls to zero at the end.
    limit
        Maximum number of examples per split; None for all.
    subexpressions
        Whether every subexpression is also an example of its own: from short ones a model can learn
        the operators.
    """

    length: str = "short"
    k: int | None = None
    by: str = "weight"
    seed: int = 1
    epochs: int = 20
    batch_tokens: int = 4096
    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1
    learning_rate: float = 1e-3
    warmup: float = 0.1
    limit: int | None = None
    subexpressions: bool = False

    def __post_init__(self) -> None:
        numbers = (self.epochs, self.batch_tokens, self.width, self.layers, self.heads)
        if min(numbers) < 1 or self.width % self.heads or not 0 < self.warmup < 1 or self.learning_rate <= 0:
            raise InvalidInput(
                f"Epochs, tokens per step, width, layers and heads are {numbers}, the warm-up {self.warmup}, the learning "
                f"rate {self.learning_rate}; expected at least 1 each, a width that the heads divide, a warm-up between "
                "0 and 1, and a rate above 0."
            )


@dataclass(frozen=True)
class Example:
    """One expression and its value.

    Attributes
    ----------
    ids
        Numbers of its words, [CLS] first.
    label
        0 to 9.
    """

    ids: tuple[int, ...]
    label: int


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples padded to one length."""

    ids: Int[Tensor, "text token"]
    mask: Bool[Tensor, "text token"]
    labels: Int[Tensor, " text"]


def read_listops(data: Path, length: str, split: str, limit: int | None = None) -> list[Example]:
    """Read one split.

    Parameters
    ----------
    data
        Folder with ``listops/listops_<length>_<split>.tsv``, with a header and lines of expression, tab, value.
    length, split
        "short" or "long"; "train" or "val".
    limit
        Maximum number of examples.

    Raises
    ------
    InvalidInput
        If the file is missing or has another format.
    """
    path = data / "listops" / f"listops_{length}_{split}.tsv"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        examples = [encoded(*line.split("\t")) for line in lines[:limit]]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} can't be read ({error}). {_SOURCE}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path} holds a line that is no expression of ListOps with its value ({error}).") from error
    if not examples:
        raise InvalidInput(f"{path} holds no expression. {_SOURCE}")
    return examples


def encoded(expression: str, value: str) -> Example:
    """Number the words of an expression."""
    words = [word for word in expression.split() if word not in "()"]
    return Example((_NUMBERS["[CLS]"], *(_NUMBERS[word] for word in words)), int(value))


def with_subexpressions(examples: list[Example]) -> list[Example]:
    """The examples and every expression inside them, each expression once, in the order in which they end.

    Raises
    ------
    InvalidInput
        If the value of an example isn't the result of its operators.
    """
    labels: dict[tuple[int, ...], int] = {}
    for example in examples:
        inside = list(_subexpressions(example.ids))
        if inside[-1][1] != example.label:
            raise InvalidInput(
                f"An expression has the value {example.label} in the data; its operators give {inside[-1][1]}. {_SOURCE}"
            )
        labels.update(inside)
    return [Example(ids, label) for ids, label in labels.items()]


def _subexpressions(ids: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Words, [CLS] first, and value of every expression that ends in one; the whole comes last."""
    opened: list[tuple[int, list[int]]] = []
    for place, word in enumerate(WORDS[number] for number in ids):
        if word in _OPERATORS:
            opened.append((place, []))
        elif word == "]":
            start, values = opened.pop()
            value = _OPERATORS[WORDS[ids[start]]](values)
            yield (ids[0], *ids[start : place + 1]), value
            if opened:
                opened[-1][1].append(value)
        elif opened:
            opened[-1][1].append(int(word))


def by_first_word(training: list[Example], validation: list[Example]) -> float:
    """Accuracy of a baseline that reads only the outermost operator and answers its most frequent training value."""
    labels: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for example in training:
        labels[example.ids[1]][example.label] += 1
    answers = {word: counts.most_common(1)[0][0] for word, counts in labels.items()}
    return sum(answers.get(example.ids[1]) == example.label for example in validation) / len(validation)


def batches(examples: list[Example], tokens: int, *, shuffle: bool = False) -> Iterator[Batch]:
    """Batches of examples of similar length; shuffled by torch's random numbers.

    Parameters
    ----------
    examples
        All examples.
    tokens
        Maximum per batch, padding included; a longer example is a batch of its own.
    shuffle
        Whether lengths are blurred by a tenth, and batches come in random order.
    """
    blur = 1 + 0.1 * torch.rand(len(examples)) if shuffle else torch.ones(len(examples))
    order = (torch.tensor([len(example.ids) for example in examples]) * blur).argsort().tolist()
    groups: list[list[Example]] = [[]]
    for place in order:
        longest = max(len(example.ids) for example in [*groups[-1], examples[place]])
        if groups[-1] and longest * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(examples[place])
    for place in torch.randperm(len(groups)).tolist() if shuffle else range(len(groups)):
        yield _padded(groups[place])


def _padded(group: list[Example]) -> Batch:
    longest = max(len(example.ids) for example in group)
    ids = torch.tensor([[*example.ids, *[PADDING] * (longest - len(example.ids))] for example in group])
    return Batch(ids, ids != PADDING, torch.tensor([example.label for example in group]))
