"""Real sentences that have a cue right before an adjective, and real sentences that take one there."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from normlens.errors import InvalidInput
from normlens.negation import read_annotated
from reproduce.data.classified_texts import sentence_of_tree
from reproduce.data.corpora import read_corpus
from reproduce.negation.annotated_cues import FILES

CUES = {
    "not": r"(?:not|n't)",
    "never": "never",
    "no longer": r"no\s+longer",
    "hardly, scarcely, barely": "(?:hardly|scarcely|barely)",
    "very": "very",
}
"""What is looked for right before an adjective, as patterns."""

LONGEST = 40
"""Longer sentences, in words, are left out."""

PER_WORD = 6
"""At most this many sentences for an adjective, with a cue or taking one."""

T = TypeVar("T")

_VERBS = r"\b(?:is|was|are|were|be|been|am|seems?|seemed|looks?|looked|feels?|felt|becomes?|became)|'(?:s|re|m)"
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")


@dataclass(frozen=True)
class Placed:
    """A sentence with the place of an adjective.

    Attributes
    ----------
    text, start, word
        The sentence, the first character of the adjective, and the adjective in lower case.
    """

    text: str
    start: int
    word: str

    @property
    def span(self) -> tuple[int, int]:
        """The adjective's first character, and the one after its last."""
        return self.start, self.start + len(self.word)

    def after(self, modifier: str) -> Placed:
        """The same sentence with a modifier before the adjective."""
        text = f"{self.text[: self.start]}{modifier} {self.text[self.start :]}"
        return Placed(text, self.start + len(modifier) + 1, self.word)


def real_sentences(data: Path) -> dict[str, list[str]]:
    """Sentences by source, without repetitions.

    Raises
    ------
    InvalidInput
        If a file is missing or not in its format.
    """
    seen: set[str] = set()
    result: dict[str, list[str]] = {}
    for name, read in _READERS.items():
        try:
            sentences = read(data)
        except (OSError, KeyError, IndexError, ValueError) as error:
            raise InvalidInput(f"The sentences of {name} can't be read: {error}.") from error
        short = [one for one in dict.fromkeys(sentences) if len(one.split()) <= LONGEST and one not in seen]
        seen.update(short)
        result[name] = short
    return result


def with_cue(sentences: Sequence[str], cue: str, words: Sequence[str]) -> list[tuple[Placed, Placed]]:
    """Sentences with a cue right before one of the adjectives, each without it and as it is.

    Of each adjective at most `PER_WORD`, spread evenly.

    Parameters
    ----------
    sentences, words
        The sentences, and the adjectives in lower case.
    cue
        One of `CUES`.
    """
    search = re.compile(rf"(?<![\w'])({CUES[cue]}\s+)({'|'.join(words)})\b", re.IGNORECASE)
    pairs = []
    for sentence in sentences:
        match = search.search(sentence)
        if match is not None:
            word = match[2].lower()
            cut = sentence[: match.start(1)] + sentence[match.end(1) :]
            pairs.append((Placed(cut, match.start(1), word), Placed(sentence, match.start(2), word)))
    return _spread(pairs, lambda pair: pair[0].word)


def taking_cue(sentences: Sequence[str], words: Sequence[str]) -> list[Placed]:
    """Sentences that end a clause with a verb such as "is" and one of the adjectives, so that a cue fits between the two.

    Of each adjective at most `PER_WORD`, spread evenly.

    Parameters
    ----------
    sentences, words
        The sentences, and the adjectives in lower case.
    """
    search = re.compile(rf"(?:{_VERBS})\s+({'|'.join(words)})(?=\s*(?:[.,;!?]|$|and\b|but\b))", re.IGNORECASE)
    matches = ((sentence, search.search(sentence)) for sentence in sentences)
    placed = [Placed(sentence, match.start(1), match[1].lower()) for sentence, match in matches if match is not None]
    return _spread(placed, lambda one: one.word)


def _spread(every: Sequence[T], word_of: Callable[[T], str]) -> list[T]:
    by_word: dict[str, list[T]] = {}
    for one in every:
        by_word.setdefault(word_of(one), []).append(one)
    kept = []
    for _, own in sorted(by_word.items()):
        count = min(PER_WORD, len(own))
        kept += [own[k * len(own) // count] for k in range(count)]
    return kept


def _sst(data: Path) -> list[str]:
    lines = [line for split in ("train", "dev", "test") for line in _lines(data / "sst" / f"{split}.txt")]
    return [sentence_of_tree(line) for line in lines if line.strip()]


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def _stories(data: Path) -> list[str]:
    return [sentence.text for file in FILES.values() for sentence in read_annotated(data / "cdsco" / file)]


def _captions(data: Path) -> list[str]:
    return [line.strip() for file in sorted((data / "multi30k").glob("*.en")) for line in _lines(file)]


def _news(data: Path) -> list[str]:
    with (data / "ag_news" / "test.csv").open(encoding="utf-8", newline="") as file:
        texts = [html.unescape(text.replace("\\", " ")) for row in csv.reader(file) for text in row[1:]]
    return [sentence for text in texts for sentence in _SENTENCES.split(text)]


def _questions(data: Path) -> list[str]:
    articles = json.loads((data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    texts = [sentence for paragraph in paragraphs for sentence in _SENTENCES.split(paragraph["context"])]
    return texts + [question["question"] for paragraph in paragraphs for question in paragraph["qas"]]


def _tatoeba(data: Path) -> list[str]:
    return [line.split("\t")[0] for line in _lines(data / "deen" / "parallel" / "tatoeba.en-de.tsv")]


_READERS: Mapping[str, Callable[[Path], list[str]]] = {
    "Stanford Sentiment Treebank": _sst,
    "CD-SCO": _stories,
    "UD PUD": lambda data: list(read_corpus(data / "ud_pud" / "en_pud-ud-test.conllu").texts),
    "XQuAD": _questions,
    "Multi30k": _captions,
    "AG News": _news,
    "Tatoeba": _tatoeba,
}
