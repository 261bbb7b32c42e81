"""A parent from French to English and its children, on halves of Multi30k that share no sentence."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sacremoses import MosesTokenizer

import normlens
from normlens import Lens, transfer
from normlens.translation import TrainingText
from normlens.translation import train as train_translation
from reproduce.training.translation import Printed

PARENT: dict[str, Any] = {"width": 128, "layers": 3, "heads": 4, "pieces": 4000, "epochs": 20, "dropout": 0.2}
CHILD: dict[str, Any] = {"pieces": 4000, "epochs": 15}
TEST = "test_2016_flickr"
NOISY = "noisy"
"""Name of the source of the child that restores French sentences whose words were dropped and moved."""

_DROPPED, _MOVED = 0.1, 3


class Family:
    """The models of the study; each is trained when it is first asked for, and kept.

    Parameters
    ----------
    data
        Folder with ``train.fr``, ``val.fr`` and so on.
    work
        Folder for text and models.
    """

    def __init__(self, data: Path, work: Path) -> None:
        self.data, self.work = data, work
        work.mkdir(parents=True, exist_ok=True)

    @cached_property
    def parent(self) -> Lens:
        """From French to English, trained on the even pairs."""
        text = TrainingText([(self.half("fr", 0), self.half("en", 0))], "fr", "en")
        folder = train_translation(text, self.work / "parent", reporter=Printed(), **PARENT).forward
        return normlens.load(str(folder))

    def child(self, setting: str, seed: int) -> transfer.Delta:
        """From German to English, trained on the odd pairs."""
        text = TrainingText([(self.half("de", 1), self.half("en", 1))], "de", "en")
        folder = self.work / f"{setting.replace('+', '-')}-{seed}"
        return transfer.train(self.parent, text, folder, setting, reporter=Printed(), seed=seed, **CHILD)

    def french_child(self, seed: int) -> transfer.Delta:
        """From noisy French to French, trained on the even pairs: the only new target that three languages leave."""
        text = TrainingText([(self._noisy(), self.half("fr", 0))], NOISY, "fr")
        return transfer.train(
            self.parent, text, self.work / f"french-{seed}", "tgt+xattn", reporter=Printed(), seed=seed, **CHILD
        )

    def half(self, language: str, rest: int) -> Path:
        """The words of every second sentence: the even ones, or the odd ones."""
        path = self.work / f"half{rest}.{language}"
        if not path.exists():
            _write(path, itertools.islice(self._words("train", language), rest, None, 2))
        return path

    def test(self, language: str) -> tuple[list[str], list[str]]:
        """The test sentences as words, and as they are."""
        raw = (self.data / f"{TEST}.{language}").read_text(encoding="utf-8").splitlines()
        return list(self._words(TEST, language)), raw

    def words(self, names: Sequence[str], language: str) -> list[str]:
        """The words of all sentences of some sets, such as "val"."""
        return [sentence for name in names for sentence in self._words(name, language)]

    def _noisy(self) -> Path:
        path = self.work / "half0.noisy"
        if not path.exists():
            generator = random.Random(0)
            clean = self.half("fr", 0).read_text(encoding="utf-8").splitlines()
            _write(path, (with_noise(sentence, generator) for sentence in clean))
        return path

    def _words(self, name: str, language: str) -> Iterator[str]:
        moses = MosesTokenizer(language)
        with (self.data / f"{name}.{language}").open(encoding="utf-8") as file:
            for line in file:
                yield str(moses.tokenize(line.strip(), escape=False, return_str=True))


def with_noise(sentence: str, generator: random.Random) -> str:
    """A sentence with a tenth of its words dropped and the others moved by up to three places (Lample et al. 2018).

    Examples
    --------
    >>> sorted(with_noise("a b c", random.Random(4)).split())
    ['a', 'b', 'c']
    """
    words = sentence.split()
    left = [word for word in words if generator.random() >= _DROPPED] or words[:1]
    keys = [place + generator.uniform(0, _MOVED) for place in range(len(left))]
    return " ".join(word for _, word in sorted(zip(keys, left, strict=True), key=lambda pair: pair[0]))


def _write(path: Path, sentences: Iterable[str]) -> None:
    path.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
