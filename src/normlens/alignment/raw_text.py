"""Raw text cut into words by Moses' rules, so that punctuation has words and links of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from normlens.alignment.corpora import Line
from normlens.errors import InvalidInput

_UNSPACED = {"zh"}  # has rules where a sentence ends, but none that find words

Cut = Callable[[str], list[str]]


@dataclass(frozen=True)
class Tokenized:
    """A parallel text whose sentences are cut into words; may be read as often as the text itself.

    Attributes
    ----------
    lines
        The text.
    languages
        Of source and target, such as "de-en".

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
        """Every line, its words between single spaces."""
        source, target = moses_rules(self.languages)
        for line in self.lines:
            yield replace(line, source=" ".join(source(line.source)), target=" ".join(target(line.target)))


def moses_rules(languages: str) -> tuple[Cut, Cut]:
    """What cuts the sentences of two languages into words.

    Parameters
    ----------
    languages
        Of source and target by their two letters, such as "de-en".

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
            "Raw text is cut into words by sacremoses, which isn't installed. Run `pip install normlens[align]`, or give "
            "text whose words stand between spaces."
        ) from error
    known = sorted({code for code in NonbreakingPrefixes().available_langs.values() if len(code) == 2} - _UNSPACED)
    codes = languages.split("-")
    if len(codes) != 2 or not set(codes) <= set(known):
        raise InvalidInput(
            f"tokenize is {languages!r}; expected the languages of source and target, such as de-en, of those with rules: "
            f"{', '.join(known)}. For others, give text whose words stand between spaces."
        )

    def cut_by(code: str) -> Cut:
        moses = MosesTokenizer(code)
        return lambda sentence: [str(word) for word in moses.tokenize(sentence, escape=False)]

    return cut_by(codes[0]), cut_by(codes[1])
