"""Text split into words: by white space, or by Moses' rules, so that punctuation marks become words of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from normlens.bitext.corpora import Line
from normlens.errors import InvalidInput, install_command

_WORD = re.compile(r"[^ \t\r\n\f\v]+")
_UNSPACED = {"zh"}  # has rules for sentence ends, but none for words

WordSplitter = Callable[[str], list[str]]


def split_words(sentence: str) -> list[str]:
    """The words of a sentence, separated by white space; a no-break space belongs to its word.

    Examples
    --------
    >>> split_words(" das  ist gut .")
    ['das', 'ist', 'gut', '.']
    """
    return _WORD.findall(sentence)


@dataclass(frozen=True)
class Tokenized:
    """A parallel text whose sentences are split into words; can be read as often as the text itself.

    Attributes
    ----------
    lines
        The text.
    languages
        Codes of source and target, such as "de-en".

    Raises
    ------
    InvalidInput
        If there are no rules for a language, or sacremoses isn't installed.
    """

    lines: Iterable[Line]
    languages: str

    def __post_init__(self) -> None:
        moses_rules(self.languages)

    def __iter__(self) -> Iterator[Line]:
        """Every line, its words separated by single spaces."""
        source, target = moses_rules(self.languages)
        for line in self.lines:
            yield replace(line, source=" ".join(source(line.source)), target=" ".join(target(line.target)))


def moses_rules(languages: str) -> tuple[WordSplitter, WordSplitter]:
    """Functions that split the sentences of two languages into words.

    Parameters
    ----------
    languages
        Two-letter codes of source and target, such as "de-en".

    Raises
    ------
    InvalidInput
        If there are no rules for one, or sacremoses isn't installed.
    """
    try:
        from sacremoses import MosesTokenizer
        from sacremoses.corpus import NonbreakingPrefixes
    except ImportError as error:
        raise InvalidInput(
            f"Raw text is tokenized by sacremoses, which isn't installed. Run `{install_command('align')}`, or pass text "
            "whose words are separated by spaces."
        ) from error
    supported = sorted({code for code in NonbreakingPrefixes().available_langs.values() if len(code) == 2} - _UNSPACED)
    codes = languages.split("-")
    if len(codes) != 2 or not set(codes) <= set(supported):
        raise InvalidInput(
            f"tokenize must name the languages of source and target, such as de-en, got {languages!r}. There are rules for "
            f"{', '.join(supported)}. For other languages, pass text whose words are separated by spaces."
        )

    def splitter(code: str) -> WordSplitter:
        moses = MosesTokenizer(code)
        return lambda sentence: [str(word) for word in moses.tokenize(sentence, escape=False)]

    return splitter(codes[0]), splitter(codes[1])


def moses_joiner(language: str) -> Callable[[str], str]:
    """A function that joins words to raw text, by Moses' rules for a language: the reverse of :func:`moses_rules`.

    Parameters
    ----------
    language
        Two-letter code.
    """
    from sacremoses import MosesDetokenizer

    moses = MosesDetokenizer(language)
    return lambda words: str(moses.detokenize(words.split()))
